"""How many segments one pass through the SVLM may take at once, by the bytes it needs."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import Qwen3VLConfig

from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.qwen import needs_mask


@dataclass(frozen=True)
class BatchLimit:
    """Bytes that one pass may need while it is computed, about.

    A segment that needs more than all of them goes alone.

    Attributes:
        config: of the SVLM.
        itemsize: bytes of one number.
        limit: bytes.
    """

    config: Qwen3VLConfig
    itemsize: int
    limit: int

    def vision_segments(self, grid: PatchGrid) -> int:
        """Segments of `grid` patches that the vision tower may take at once."""
        vision = self.config.vision_config
        pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        # about 10 widths of hidden states and twice the MLP's are alive in a layer
        numbers = 10 * vision.hidden_size + 2 * vision.intermediate_size
        each = numbers * self.itemsize + pixels  # which are bytes
        return self._segments(grid.pairs * grid.rows * grid.columns * each)

    def prefill_segments(self, new: int, past: int) -> int:
        """Segments of which `new` tokens may be read at once after `past` cached ones."""
        return self._segments(self.prefill_bytes(new, past))

    def prefill_bytes(self, new: int, past: int) -> int:
        """Bytes that reading `new` tokens of one segment after `past` cached ones needs."""
        text = self.config.text_config
        # hidden states around an MLP, and what is alive inside it
        numbers = new * (4 * text.hidden_size + 3 * text.intermediate_size)
        # the cache grows by concatenation: what is continued, and a copy of it in every layer
        numbers += (2 * past + new) * kv_cache_size(self.config)
        # keys and values are repeated for all heads, one layer at a time
        repeated = 2 * (past + new) * text.num_attention_heads * text.head_dim
        if needs_mask(new, past):  # of each segment, as booleans and as numbers
            mask = new * (past + new) * (1 + self.itemsize)
            return (numbers + repeated) * self.itemsize + mask
        # queries of all positions, what they find, and a copy of it
        return (numbers + 5 * repeated // 2) * self.itemsize

    def _segments(self, each: int) -> int:
        return max(1, self.limit // each)


def kv_cache_size(config: Qwen3VLConfig) -> int:
    """Numbers that the keys and values of one position are, in all layers of the SVLM."""
    text = config.text_config
    return 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
