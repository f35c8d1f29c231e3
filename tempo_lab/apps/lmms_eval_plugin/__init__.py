"""A plug-in for lmms-eval: `python -m lmms_eval --model tempo_lab --tasks ...`.

See docs/lmms_eval.md. lmms-eval calls `manifest` whenever it starts, for any model, so it
imports nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def manifest() -> ModelManifest:
    """Return what lmms-eval must know about the model: its name and its class."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="tempo_lab",
        chat_class_path="tempo_lab.apps.lmms_eval_plugin.model.TempoLab",
    )
