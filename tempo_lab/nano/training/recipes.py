"""Recipes of nano, the embedded model, and of other models: sizes and lengths of stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

FRAME = 128
PATCH = 16
MERGE = 2
TEMPORAL = 2
WINDOW = 8
GRID = FRAME // PATCH
TOKENS_A_PATCH = (GRID // MERGE) ** 2
PATCHES = WINDOW // TEMPORAL
MEMORY = 16
ROPE_THETA = 10000.0


@dataclass(frozen=True)
class Sizes:
    """Widths and depths of the three networks."""

    vision_width: int = 96
    vision_depth: int = 4
    vision_heads: int = 3
    vision_mlp: int = 288
    deepstack: tuple[int, ...] = (1,)
    width: int = 128
    depth: int = 4
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 32
    mlp: int = 384
    memory: int = MEMORY

    def vision_config(self) -> dict[str, Any]:
        """Return the arguments of transformers' Qwen3VLVisionConfig."""
        return {
            "depth": self.vision_depth,
            "hidden_size": self.vision_width,
            "hidden_act": "gelu_pytorch_tanh",
            "intermediate_size": self.vision_mlp,
            "num_heads": self.vision_heads,
            "in_channels": 3,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": TEMPORAL,
            "out_hidden_size": self.width,
            "num_position_embeddings": GRID * GRID,
            "deepstack_visual_indexes": list(self.deepstack),
            "initializer_range": 0.06,
        }

    def text_config(self, vocabulary: int) -> dict[str, Any]:
        """Return the arguments of transformers' Qwen3VLTextConfig."""
        rope = {
            "rope_type": "default",
            "rope_theta": ROPE_THETA,
            "mrope_section": [6, 5, 5],
            "mrope_interleaved": True,
        }
        return {**self._decoder(vocabulary), "rope_parameters": rope}

    def llm_config(self, vocabulary: int) -> dict[str, Any]:
        """Return the arguments of transformers' Qwen3Config."""
        rope = {"rope_type": "default", "rope_theta": ROPE_THETA}
        return {**self._decoder(vocabulary), "rope_parameters": rope}

    def _decoder(self, vocabulary: int) -> dict[str, Any]:
        return {
            "vocab_size": vocabulary,
            "hidden_size": self.width,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.depth,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": 16384,
            "tie_word_embeddings": True,
            "initializer_range": 0.06,
            "rms_norm_eps": 1e-6,
        }


@dataclass(frozen=True)
class StageLength:
    """Steps and batch of one stage."""

    steps: int
    batch: int


@dataclass(frozen=True)
class Recipe:
    """One named recipe: sizes, lengths of the stages, seed."""

    name: str = "nano"
    seed: int = 2
    sizes: Sizes = field(default_factory=Sizes)
    bank: int = 12288
    vision: StageLength = StageLength(2000, 64)
    svlm: StageLength = StageLength(1600, 16)
    form: StageLength = StageLength(1000, 16)
    llm: StageLength = StageLength(3000, 16)
    align: StageLength = StageLength(150, 16)
    single: StageLength = StageLength(500, 12)
    short: StageLength = StageLength(300, 4)
    long: StageLength = StageLength(700, 2)
    workers: int = 2
    """Batches per step of a joint stage, each drawn separately. With as many processes, each trains
    on one batch; with fewer, as on one GPU, some train on several."""
    truncation: bool = True
    """Whether the LLM often reads only the first memory tokens of a segment in joint training."""
    save_seconds: float = 120.0
    tune_svlm: bool = False
    """Whether joint training also changes the SVLM. With True, the prior's AUC fell from 1.0 to .54
    within the single-segment stage; with False, the prior stays as pre-trained."""


NANO = Recipe()
PLAIN = replace(NANO, name="nano-plain", truncation=False, long=StageLength(250, 2))
"""The ablation. Long videos without truncation are slow to read: it has a third of their steps."""
SMALL = replace(
    NANO,
    name="small",
    sizes=Sizes(vision_width=192, vision_depth=6, vision_heads=6, vision_mlp=576, deepstack=(1, 3),
                width=384, depth=6, heads=12, kv_heads=4, mlp=1152, memory=32),
    workers=8,
)  # fmt: skip
"""Ten times nano's parameters and twice its memory tokens, for up to eight GPUs. Nobody has trained
it yet: it has nano's lengths and learning rates, and nothing about it is measured."""

TINY = Recipe(
    name="tiny",
    sizes=Sizes(vision_width=24, vision_depth=1, vision_heads=2, vision_mlp=32, deepstack=(0,),
                width=32, depth=1, heads=2, kv_heads=1, mlp=32, memory=4),
    bank=256,
    vision=StageLength(4, 2),
    svlm=StageLength(4, 2),
    form=StageLength(3, 2),
    llm=StageLength(4, 2),
    align=StageLength(2, 2),
    single=StageLength(3, 2),
    short=StageLength(3, 1),
    long=StageLength(2, 1),
    workers=1,
    save_seconds=0.0,
    tune_svlm=True,
)  # fmt: skip
RECIPES = {recipe.name: recipe for recipe in (NANO, PLAIN, SMALL, TINY)}
