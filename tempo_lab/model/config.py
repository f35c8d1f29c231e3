"""TempoConfig: the released `tempo_qwen` configuration, made self-contained."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import Qwen3Config, Qwen3VLConfig


@strict
class TempoConfig(Qwen3Config):
    """Configuration of a Tempo: the LLM's own fields (a Qwen3), and what the compressor adds.

    Field names are those of the released `config.json`; the ones below `# ours` are additional and
    make a saved folder self-contained.

    Args:
        mm_projector_type: `linear` or `mlp2x_gelu`.
        mm_hidden_size: width of the memory tokens (the SVLM's hidden size).
        num_compression_tokens: K, memory tokens a segment.
        mm_vision_tower_aux_list: where the base SVLM is: a folder or a hub name.
        dynamic_compress: whether ATA is on by default.
        tokenizer_model_max_length: context of the LLM in tokens.
        compressor_config: the SVLM's configuration; None in a released file (read from the base).
        frame_size: (width, height) in pixels of every frame; None for the released resize chain.
        segment_frames: sampled frames in a segment.
        min_tokens: fewest memory tokens that ATA gives a segment.
        training: how the weights were made (commit, seed, time, data version).
    """

    model_type = "tempo_qwen"

    mm_projector_type: str = "linear"
    mm_hidden_size: int | None = None
    num_compression_tokens: int = 128
    mm_vision_tower_aux_list: list[str] | tuple[str, ...] = ()
    dynamic_compress: bool = True
    tokenizer_model_max_length: int | None = 16384
    # ours
    compressor_config: Any = None  # a Qwen3VLConfig once made; a dict in a file
    frame_size: list[int] | tuple[int, ...] | None = None
    segment_frames: int = 8
    min_tokens: int = 4
    training: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.compressor_config, dict):
            self.compressor_config = Qwen3VLConfig(**self.compressor_config)
        super().__post_init__(**kwargs)
