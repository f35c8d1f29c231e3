"""Tempo Lab: see inside query-aware video compression.

    import tempo_lab as tl

    tempo = tl.load("nano")
    with tempo.open("data/clips/voyage.mp4") as video:
        trace = video.ask("What color is the star?", budget=64)

Names are imported when they are first used, so that `import tempo_lab` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tempo_lab.common.version import __version__

if TYPE_CHECKING:
    from tempo_lab import analysis, plots, widgets
    from tempo_lab.allocation.ata import Allocation, allocate
    from tempo_lab.common.errors import (
        BudgetError,
        CaptureError,
        CheckpointError,
        QueryError,
        SubtitleError,
        TempoLabError,
        TraceError,
        VideoError,
    )
    from tempo_lab.evaluation import datasets
    from tempo_lab.evaluation.evaluate import evaluate
    from tempo_lab.evaluation.run_folder import EvaluationRun
    from tempo_lab.session.capture.spec import Capture, Rows
    from tempo_lab.session.interventions.spec import Intervention
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo, load
    from tempo_lab.trace.trace import Trace
    from tempo_lab.video import Video, plan_sampling

_HOMES = {
    # video -> model -> session -> trace
    "Video": "video",
    "plan_sampling": "video",
    "load": "session.tempo",
    "Tempo": "session.tempo",
    "Session": "session.session",
    "Trace": "trace.trace",
    # allocation
    "allocate": "allocation.ata",
    "Allocation": "allocation.ata",
    # look inside
    "Capture": "session.capture.spec",
    "Intervention": "session.interventions.spec",
    "Rows": "session.capture.spec",
    # evaluate
    "evaluate": "evaluation.evaluate",
    "EvaluationRun": "evaluation.run_folder",
    # errors
    "TempoLabError": "common.errors",
    "VideoError": "common.errors",
    "CheckpointError": "common.errors",
    "BudgetError": "common.errors",
    "QueryError": "common.errors",
    "SubtitleError": "common.errors",
    "CaptureError": "common.errors",
    "TraceError": "common.errors",
}

__all__ = [
    "Allocation",
    "BudgetError",
    "Capture",
    "CaptureError",
    "CheckpointError",
    "EvaluationRun",
    "Intervention",
    "QueryError",
    "Rows",
    "Session",
    "SubtitleError",
    "Tempo",
    "TempoLabError",
    "Trace",
    "TraceError",
    "Video",
    "VideoError",
    "__version__",
    "allocate",
    "analysis",
    "datasets",
    "evaluate",
    "load",
    "plan_sampling",
    "plots",
    "widgets",
]


def __getattr__(name: str) -> Any:
    if name == "datasets":
        return import_module("tempo_lab.evaluation.datasets")
    if name in ("analysis", "plots", "widgets"):
        return import_module(f"tempo_lab.{name}")
    if name in _HOMES:
        return getattr(import_module(f"tempo_lab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tempo_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
