"""Run the SVLM's text model on a segment and several questions at once.

Questions about one segment are branches. They share its visual prefix through a block mask, and
each attends to exactly what it would attend to alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.qwen import cache_argument
from tempo_lab.model.token_map import VISION, TokenMap, concatenate, rope_positions
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import GRID, PATCHES
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS

MEMORY_ID = -1
SYSTEMS = ("generic", "compressor", "relevance")


@dataclass(frozen=True)
class PromptLayout:
    """The parts of a prefix that do not depend on the segment; timestamps are filled in later."""

    ids: Tensor
    vision: Tensor
    clocks: Tensor
    positions: Tensor
    following: int


class BranchedOutput(NamedTuple):
    """The output of :class:`BranchedForward`; see its ``__call__`` for shapes."""

    states: Tensor
    ids: Tensor
    visual: Tensor


class BranchedForward:
    """Runs the SVLM's text model on a prefix and its branches.

    Args:
        model: the text model.
        words: prompts and tokenizer.
        memory: the memory tokens [1, slot, width], if branches use them.
    """

    def __init__(
        self, model: Qwen3VLTextModel, words: PromptIds, memory: nn.Parameter | None = None
    ) -> None:
        self.model, self.words, self.memory = model, words, memory
        self.layouts = {system: self._layout(system) for system in SYSTEMS}

    def _layout(self, system: str) -> PromptLayout:
        prompts = self.words.prompts
        grid = PatchGrid(PATCHES, GRID, GRID)
        start: TokenMap = (
            prompts.opening()
            if system == "generic"
            else prompts.system(relevance=system == "relevance")
        )
        prompt = concatenate([start, prompts.video(grid, np.arange(PATCHES) + 0.2)])
        positions, following = rope_positions(prompt)
        device = self.model.embed_tokens.weight.device
        stamps = np.flatnonzero(prompt.role == 1)
        return PromptLayout(
            torch.from_numpy(prompt.ids.copy()).to(device),
            torch.from_numpy(np.flatnonzero(prompt.role == VISION)).to(device),
            torch.from_numpy(stamps).to(device),
            torch.from_numpy(positions).to(device),
            following,
        )

    def __call__(
        self,
        system: str,
        features: tuple[Tensor, list[Tensor]],
        seconds: np.ndarray,
        branches: list[list[list[int]]],
    ) -> BranchedOutput:
        """Read segments, each with the same number of branches.

        Args:
            system: which system prompt.
            features: merged [segment, 64, width], and the same for each deepstack level.
            seconds: [segment, 4], the time before each temporal patch.
            branches: ids of each branch of each segment; ``MEMORY_ID`` stands for the next slot.

        Returns:
            Final-norm states [segment, branch, position, width], ids [segment, branch,
            position], padded on the right, and the visual tokens' states [segment, 64, width].
        """
        layout, words, model = self.layouts[system], self.words, self.model
        table = model.embed_tokens.weight
        device = table.device
        merged, deep = features[0].to(device), [level.to(device) for level in features[1]]
        count, many = len(branches), len(branches[0])
        longest = max(len(ids) for row in branches for ids in row)
        ids = torch.tensor(
            [[b + [words.pad] * (longest - len(b)) for b in row] for row in branches]
        ).to(device)
        prefix = layout.ids.expand(count, -1).clone()
        prefix[:, layout.clocks] = torch.tensor(
            [[i for second in row for i in words.timestamp(float(second))] for row in seconds]
        ).to(device)
        # in a frozen model, no gradient reaches positions before the memory tokens
        learning = torch.is_grad_enabled() and table.requires_grad
        kept = DynamicCache()
        mask = self._mask(prefix.shape[1], many, longest).to(device)
        with torch.set_grad_enabled(learning):
            x = table[prefix].index_copy(1, layout.vision, merged)
            spread = torch.zeros_like(x)
            cos_sin = model.rotary_emb(x, layout.positions[:, None])
            for index, layer in enumerate(model.layers):
                x = self._layer(layer, x, cos_sin, mask[..., : x.shape[1], : x.shape[1]], kept)
                if index < len(deep):
                    x = x + spread.index_copy(1, layout.vision, deep[index])
            visual = model.norm(x[:, layout.vision])
        x = table[ids.view(count, -1).clamp(min=0)]
        slots = ids == MEMORY_ID
        if self.memory is not None and slots.any():
            order = (slots.cumsum(-1) - 1).view(count, -1).clamp(min=0)
            x = torch.where(slots.view(count, -1, 1), self.memory[0][order], x)
        within = torch.arange(longest, device=device).repeat(many) + layout.following
        cos_sin = model.rotary_emb(x, within.expand(3, -1)[:, None])
        for layer in model.layers:
            x = self._layer(layer, x, cos_sin, mask[..., prefix.shape[1] :, :], kept)
        return BranchedOutput(model.norm(x).view(count, many, longest, -1), ids, visual)

    @staticmethod
    def _layer(
        layer: nn.Module, x: Tensor, cos_sin: tuple[Tensor, Tensor], mask: Tensor, kept: Cache
    ) -> Tensor:
        """Run one layer, which also attends to its cached keys and values."""
        out: Tensor = layer(
            x, attention_mask=mask, position_embeddings=cos_sin, **cache_argument(kept)
        )
        return out

    def _mask(self, prefix: int, many: int, longest: int) -> Tensor:
        """Return the causal mask [1, 1, position, position], without attention between branches."""
        group = torch.cat([torch.zeros(prefix), torch.arange(many).repeat_interleave(longest) + 1])
        causal = torch.ones(len(group), len(group), dtype=torch.bool).tril()
        same = (group[:, None] == group[None]) | (group[None] == 0)
        return (causal & same)[None, None]


def segment_seconds(index: int, rng: np.random.Generator) -> np.ndarray:
    """Return the seconds [4] before a segment's temporal patches; some are off the usual 0.25."""
    shift = 0.25 if rng.random() < 0.8 else float(rng.uniform(0, 0.9))
    return SEGMENT_SECONDS * index + np.arange(PATCHES) + shift
