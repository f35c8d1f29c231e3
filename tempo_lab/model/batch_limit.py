"""How many segments one forward pass may process at once, by the bytes of memory that it needs."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import Qwen3VLConfig

from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.qwen import needs_mask


@dataclass(frozen=True)
class BatchLimit:
    """The memory that one forward pass may need, approximately.

    A segment that needs more than the limit is processed alone.

    Attributes:
        config: the SVLM's configuration.
        itemsize: bytes per number.
        limit: bytes per forward pass.
    """

    config: Qwen3VLConfig
    itemsize: int
    limit: int

    def vision_segments(self, grid: PatchGrid) -> int:
        """Return how many segments of `grid` patches the vision tower may process at once."""
        vision = self.config.vision_config
        pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        # in a layer about 10 hidden states and two of the MLP's width are in memory
        numbers = 10 * vision.hidden_size + 2 * vision.intermediate_size
        each = numbers * self.itemsize + pixels  # a pixel value is one byte
        return self._segments(grid.pairs * grid.rows * grid.columns * each)

    def prefill_segments(self, new: int, past: int) -> int:
        """Return how many segments may prefill `new` tokens at once after `past` cached ones."""
        return self._segments(self.prefill_bytes(new, past))

    def prefill_bytes(self, new: int, past: int) -> int:
        """Return the bytes that a prefill of `new` tokens after `past` cached ones needs."""
        text = self.config.text_config
        # hidden states before and after an MLP, and the activations inside it
        numbers = new * (4 * text.hidden_size + 3 * text.intermediate_size)
        # the cache grows by concatenation: the old cache, and a longer copy in every layer
        numbers += (2 * past + new) * kv_cache_size(self.config)
        # keys and values are repeated for all heads, one layer at a time
        repeated = 2 * (past + new) * text.num_attention_heads * text.head_dim
        if needs_mask(new, past):  # per segment, as booleans and as numbers
            mask = new * (past + new) * (1 + self.itemsize)
            return (numbers + repeated) * self.itemsize + mask
        # queries of all positions, the attention output, and a copy of it
        return (numbers + 5 * repeated // 2) * self.itemsize

    def _segments(self, each: int) -> int:
        return max(1, self.limit // each)


def kv_cache_size(config: Qwen3VLConfig) -> int:
    """Return the number of values in the KV cache per position, in all layers of the SVLM."""
    text = config.text_config
    return 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
