"""TempoConfig: the released `tempo_qwen` configuration, with fields that make it self-contained."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import Qwen3Config, Qwen3VLConfig


@strict
class TempoConfig(Qwen3Config):
    """Configuration of a Tempo: the fields of the LLM (a Qwen3) and of the compressor.

    Field names are those of the released `config.json`. The fields below `# ours` are additional
    and make a saved folder self-contained.

    Args:
        mm_projector_type: `linear` or `mlp2x_gelu`.
        mm_hidden_size: width of the memory tokens (the SVLM's hidden size).
        num_compression_tokens: K, memory tokens per segment; 0 only for a plain Qwen3-VL.
        mm_vision_tower_aux_list: folders or hub names of the base SVLM.
        dynamic_compress: whether ATA is on by default.
        tokenizer_model_max_length: context length of the LLM in tokens.
        compressor_config: the SVLM's configuration; None in a released file (the base has it).
        frame_size: (width, height) in pixels of every frame; None for the released resize chain.
        segment_frames: sampled frames per segment.
        min_tokens: minimum number of memory tokens per segment in ATA.
        shared_tokenizer: whether the SVLM and the LLM have one tokenizer.
        training: how the weights were trained (commit, seed, time, data version).
        example_questions: kinds of questions that a model with a small vocabulary can answer;
            questions with other words are refused.
        familiar: whether the weights contain statistics of the training frames
            (`model/out_of_distribution.py`).
    """

    model_type = "tempo_qwen"

    mm_projector_type: str = "linear"
    mm_hidden_size: int | None = None
    num_compression_tokens: int = 128
    mm_vision_tower_aux_list: list[str] | tuple[str, ...] = ()
    dynamic_compress: bool = True
    tokenizer_model_max_length: int | None = 16384
    # ours
    compressor_config: Any = None  # a Qwen3VLConfig; a dict in a file
    frame_size: list[int] | tuple[int, ...] | None = None
    segment_frames: int = 8
    min_tokens: int = 4
    shared_tokenizer: bool = False
    training: dict[str, Any] | None = None
    example_questions: list[str] | tuple[str, ...] | None = None
    familiar: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if isinstance(self.compressor_config, dict):
            self.compressor_config = Qwen3VLConfig(**self.compressor_config)
        super().__post_init__(**kwargs)
        self._validate()

    @property
    def context_length(self) -> int:
        """Tokens that the LLM can hold."""
        return int(self.tokenizer_model_max_length or self.max_position_embeddings)

    def _validate(self) -> None:
        """Refuse values that would fail later or give wrong answers.

        Raises:
            ValueError: names the field.
        """
        for name in ("num_compression_tokens", "segment_frames", "tokenizer_model_max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if not 0 <= self.min_tokens <= self.num_compression_tokens:
            raise ValueError(f"min_tokens must be 0 to K, not {self.min_tokens}")
        if self.frame_size is not None and self.compressor_config is not None:
            vision = self.compressor_config.vision_config
            edge = vision.patch_size * vision.spatial_merge_size
            size = list(self.frame_size)
            if len(size) != 2 or any(length < edge or length % edge for length in size):
                raise ValueError(f"frame_size must be two multiples of {edge}, not {size}")
