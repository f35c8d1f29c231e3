"""The one place that knows how transformers' Qwen3-VL is called.

Everything here hands tensors to transformers' own modules. Three things are ours: all frames go
through the vision tower as one batch (its own loop runs them one after another), patches are
embedded by a matrix product, and a key-value cache can be continued many times without being
copied first.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, DynamicCache, Qwen3VLModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionPatchEmbed

from tempo_lab.model.pixels import PatchGrid, normalize

FRAMES_SDPA = "tempo_frames_sdpa"


def frames_sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    patches_per_frame: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """sdpa over all temporal patches at once: none attends to another (METHOD section 2).

    Args:
        query, key, value: [1, head, frame * patch, width].
        patches_per_frame: patches of one temporal patch; None for one long sequence.

    Returns:
        [1, frame * patch, head, width], None.
    """
    if patches_per_frame is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    _, heads, total, width = query.shape
    # [1, head, frame * patch, width] -> [frame, head, patch, width]
    query, key, value = (
        x.reshape(heads, -1, patches_per_frame, width).transpose(0, 1) for x in (query, key, value)
    )
    output, _ = sdpa_attention_forward(module, query, key, value, None, **kwargs)
    return output.reshape(1, total, heads, width), None


AttentionInterface.register(FRAMES_SDPA, frames_sdpa)


class LinearPatchEmbed(Qwen3VLVisionPatchEmbed):
    """The patch embedding as one matrix product: its convolution's stride is its kernel.

    Same parameters and keys; the convolution's own kernels are several times slower at this shape.
    """

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Patches [patch, rgb * temporal * patch * patch] -> [patch, hidden]."""
        weight = self.proj.weight.flatten(1)
        return nn.functional.linear(hidden_states.to(weight.dtype), weight, self.proj.bias)


def prepare(model: Qwen3VLModel) -> None:
    """Put our two shortcuts into transformers' vision tower; its parameters stay as they are."""
    model.visual.patch_embed = LinearPatchEmbed(model.visual.config)
    if model.visual.config._attn_implementation == "sdpa":
        model.visual.set_attn_implementation(FRAMES_SDPA)


@dataclass(frozen=True)
class VisualFeatures:
    """What the vision tower made of some segments of one shape.

    Attributes:
        merged: [segment, visual token, hidden].
        deepstack: one [segment, visual token, hidden] for each deepstack level.
    """

    merged: torch.Tensor
    deepstack: list[torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.merged.nbytes + sum(level.nbytes for level in self.deepstack)


def see(model: Qwen3VLModel, patches: torch.Tensor, grid: PatchGrid) -> VisualFeatures:
    """Run the vision tower on segments of one shape.

    Args:
        model: transformers' Qwen3VLModel.
        patches: uint8 [segment, patch, rgb * temporal * patch * patch].
        grid: patches of each segment.
    """
    segments = len(patches)
    visual = model.visual
    device = visual.patch_embed.proj.weight.device
    pixels = normalize(patches.to(device).flatten(0, 1), visual.patch_embed.proj.weight.dtype)
    # one row a temporal patch, so that position interpolation and rope see frames, not segments
    frames = torch.tensor([[1, grid.rows, grid.columns]], device=device)
    frames = frames.expand(segments * grid.pairs, 3)
    options: dict[str, Any] = {}
    if visual.config._attn_implementation == FRAMES_SDPA:
        options["patches_per_frame"] = grid.rows * grid.columns
        options["cu_seqlens"] = torch.tensor([0, len(pixels)], dtype=torch.int32, device=device)
    output = visual(pixels, grid_thw=frames, **options)
    shape = (segments, grid.pairs * grid.tokens_per_pair, -1)
    return VisualFeatures(
        output.pooler_output.reshape(shape),
        [level.reshape(shape) for level in output.deepstack_features],
    )


def read(
    model: Qwen3VLModel,
    embeddings: torch.Tensor,
    positions: torch.Tensor,
    cache: DynamicCache | None = None,
    features: VisualFeatures | None = None,
    visual: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the SVLM's text model on a continuation of `cache`, which grows in place.

    Args:
        model: transformers' Qwen3VLModel.
        embeddings: [segment, position, hidden].
        positions: int [3, position], the same for all segments.
        cache: keys and values of what came before; None to keep none.
        features: visual features of these positions, if there are any.
        visual: bool [position], which positions are visual.

    Returns:
        final-norm hidden states [segment, position, hidden].
    """
    segments = len(embeddings)
    deepstack = {}
    if features is not None and visual is not None:
        deepstack = {
            "visual_pos_masks": visual.expand(segments, -1),
            "deepstack_visual_embeds": [level.flatten(0, 1) for level in features.deepstack],
        }
    output = model.language_model(
        inputs_embeds=embeddings,
        position_ids=positions[:, None].expand(-1, segments, -1),
        past_key_values=cache,
        use_cache=cache is not None,
        **deepstack,
    )
    return output.last_hidden_state


def _with_tensors(
    cache: DynamicCache, change: Callable[[int, str, torch.Tensor], torch.Tensor]
) -> DynamicCache:
    changed = copy.copy(cache)
    changed.layers = [copy.copy(layer) for layer in cache.layers]
    for i, layer in enumerate(changed.layers):
        layer.keys = change(i, "keys", layer.keys)
        layer.values = change(i, "values", layer.values)
    return changed


def fork(cache: DynamicCache, *, repeat: int | None = None) -> DynamicCache:
    """A cache that can be continued while `cache` stays as it is.

    The tensors are shared, not copied: transformers grows a dynamic cache by concatenation, which
    makes new ones.

    Args:
        cache: the cache to continue.
        repeat: make this many rows of a cache with one.
    """
    return _with_tensors(
        cache, lambda i, name, x: x if repeat is None else x.expand(repeat, -1, -1, -1)
    )


def rows(cache: DynamicCache, first: int, stop: int) -> DynamicCache:
    """Some rows of a cache; the tensors are shared, not copied."""
    return _with_tensors(cache, lambda i, name, x: x[first:stop])


def tail(cache: DynamicCache, row: int, positions: int) -> DynamicCache:
    """The last positions of one row of a cache, copied so that the rest can be freed."""
    return _with_tensors(cache, lambda i, name, x: x[row : row + 1, :, -positions:].clone())


def join(rows: Sequence[Sequence[DynamicCache]]) -> DynamicCache:
    """One cache of several equally long rows, each given as parts of any lengths in order."""

    def every(i: int, name: str, x: torch.Tensor) -> torch.Tensor:
        whole = (torch.cat([getattr(part.layers[i], name) for part in row], dim=-2) for row in rows)
        return torch.cat(list(whole))

    return _with_tensors(rows[0][0], every)


def cache_bytes(cache: DynamicCache) -> int:
    """Bytes that the keys and values of a cache hold."""
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
