"""PlainQwen3VL: a Qwen3-VL as it was released, which scores segments and has no memory.

It is the control of a Tempo's relevance prior: the same prompt, code and rows for Yes and No, with
the weights from before the tuning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

from torch import nn
from transformers import Qwen3VLConfig
from transformers.models.qwen3.modeling_qwen3 import Qwen3PreTrainedModel

from tempo_lab.common.errors import CheckpointError
from tempo_lab.model.base_qwen import plain_values
from tempo_lab.model.compressor import Compressor
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.hub import check_plain
from tempo_lab.model.tempo import TempoForConditionalGeneration

PLAIN_TYPE = "qwen3_vl"
"""The model type in a plain Qwen3-VL's config.json."""
PLAIN_HEAD = "lm_head.weight"
"""Output embedding in an untied checkpoint; only the rows for Yes and No are read."""


def plain_config(folder: Path, values: dict[str, Any]) -> TempoConfig:
    """Return the configuration of a Tempo that is nothing but this Qwen3-VL.

    It has no memory tokens and no LLM layers.

    Args:
        folder: the folder of the Qwen3-VL.
        values: the object in its config.json.

    Raises:
        CheckpointError: the configuration is not valid, or the weights are quantized.
    """
    check_plain(folder, values)
    try:
        svlm = Qwen3VLConfig(**plain_values(values))
        config = TempoConfig(
            compressor_config=svlm,
            vocab_size=svlm.text_config.vocab_size,
            hidden_size=svlm.text_config.hidden_size,
            num_hidden_layers=0,
            mm_hidden_size=svlm.text_config.hidden_size,
            tokenizer_model_max_length=svlm.text_config.max_position_embeddings,
            tie_word_embeddings=False,
            shared_tokenizer=True,
        )
    except Exception as err:  # transformers raises errors of several kinds
        raise CheckpointError(
            "this configuration of a Qwen3-VL is not valid",
            asked=folder / "config.json",
            found=str(err),
            fix="correct it, or download the folder again",
        ) from err
    config.num_compression_tokens = config.min_tokens = 0
    return config


class _Modules(nn.Module):
    """Holds the SVLM where a Tempo holds it."""

    def __init__(self, config: TempoConfig) -> None:
        super().__init__()
        self.vision_tower_aux_list = nn.ModuleList([Compressor(config.compressor_config, 0)])
        self.familiar = None


class PlainQwen3VL(TempoForConditionalGeneration):
    """The SVLM of a Tempo and its rows for Yes and No, without memory tokens, projector and LLM.

    Args:
        config: from `plain_config`.
    """

    def __init__(self, config: TempoConfig) -> None:
        Qwen3PreTrainedModel.__init__(self, config)
        self.model = _Modules(config)  # type: ignore[assignment]
        self.post_init()

    def forward(self, *args: Any, **kwargs: Any) -> NoReturn:  # type: ignore[override]
        """Refuse: there is no LLM."""
        raise no_memory(self.config.compressor_config.model_type)

    def project(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: there is no memory token to project."""
        raise no_memory(self.config.compressor_config.model_type)

    def embed(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: there is no LLM."""
        raise no_memory(self.config.compressor_config.model_type)


def no_memory(name: str) -> CheckpointError:
    """Return the error of a plain Qwen3-VL, named `name`, that is asked for more than scores."""
    return CheckpointError(
        "this model has no memory tokens, so it cannot answer",
        asked="memory tokens of the video, and an answer from them",
        found=f"a plain Qwen3-VL: {name}",
        fix="session.score(question) returns the relevance of every segment; for answers, load a "
        "Tempo checkpoint (with this folder as base=)",
    )
