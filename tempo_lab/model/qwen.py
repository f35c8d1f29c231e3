"""The only module that calls transformers' Qwen3-VL, and knows its interface.

It passes tensors to transformers' own modules, with four changes: the vision tower encodes all
frames as one batch (its own loop runs them one after another), a matrix product embeds the patches,
a prefill after a short cache uses no mask, and a KV cache can be continued many times without a
copy.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import nn
from transformers import (
    AttentionInterface,
    AttentionMaskInterface,
    Cache,
    DynamicCache,
    Qwen3VLModel,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextDecoderLayer,
    Qwen3VLVisionPatchEmbed,
)

from tempo_lab.model.pixels import PatchGrid, normalize

FRAMES_SDPA = "tempo_frames_sdpa"
CONTINUED_SDPA = "tempo_continued_sdpa"
_CACHE_ARGUMENT = (
    "cache"
    if "cache" in signature(Qwen3VLTextDecoderLayer.forward).parameters
    else "past_key_values"
)
PATCHES_AT_ONCE = 512
"""Number of patches that are converted to float at a time: few enough for a CPU's cache."""


def frames_sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    patches_per_frame: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Compute sdpa over all temporal patches at once; none attends to another.

    The rule is that of docs/method.md section 2.

    Args:
        query, key, value: [1, head, frame * patch, width].
        patches_per_frame: patches per temporal patch; None for one long sequence.

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


def continued_sdpa(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Compute causal sdpa without a mask, after a cache that is not longer than the new positions.

    The kernels support causality without a mask only for square scores, of which they skip half.
    Queries of zeros for the cached positions make the scores square; their output is dropped.

    Args:
        query: [segment, head, new position, width].
        key, value: [segment, key head, position, width].

    Returns:
        [segment, new position, head, width], None.
    """
    new, past = query.shape[2], key.shape[2] - query.shape[2]
    if attention_mask is not None or past == 0 or new == 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)
    query = nn.functional.pad(query, (0, 0, past, 0))
    # not every kernel accepts fewer key heads than query heads
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    output = nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=kwargs["scaling"]
    )
    return output[:, :, past:].transpose(1, 2).contiguous(), None


def needs_mask(new: int, past: int) -> bool:
    """Whether the prefill of `new` positions after `past` cached ones needs a mask."""
    return past > new


def continued_mask(
    *, q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **kwargs: Any
) -> torch.Tensor | None:
    """Return the mask of `continued_sdpa`: sdpa's, or None if causality needs no mask."""
    masked = attention_mask is not None or needs_mask(q_length, kv_length - q_length)
    if kwargs["allow_is_causal_skip"] and not masked:
        return None
    return sdpa_mask(
        q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **kwargs
    )


AttentionInterface.register(FRAMES_SDPA, frames_sdpa)
AttentionInterface.register(CONTINUED_SDPA, continued_sdpa)
AttentionMaskInterface.register(CONTINUED_SDPA, continued_mask)


class LinearPatchEmbed(Qwen3VLVisionPatchEmbed):
    """The patch embedding as one matrix product, since the convolution's stride is its kernel size.

    Parameters and keys are the same. Convolution kernels are several times slower at this shape.
    """

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Embed uint8 patches [patch, rgb * temporal * patch * patch] as [patch, hidden]."""
        weight, bias = self.proj.weight.flatten(1), self.proj.bias
        parts = patches.split(PATCHES_AT_ONCE)  # all patches as floats: the largest tensor
        return torch.cat(
            [nn.functional.linear(normalize(part, weight.dtype), weight, bias) for part in parts]
        )


def prepare(model: Qwen3VLModel) -> None:
    """Replace parts of transformers' modules by the faster ones here; parameters do not change."""
    model.visual.patch_embed = LinearPatchEmbed(model.visual.config)
    for part, attention in ((model.visual, FRAMES_SDPA), (model.language_model, CONTINUED_SDPA)):
        if part.config._attn_implementation == "sdpa":
            part.set_attn_implementation(attention)


def cache_argument(cache: Cache | None) -> dict[str, Cache | None]:
    """Return the cache as keyword argument of the text model or a layer.

    transformers 5.24 renames `past_key_values` to `cache`.
    """
    return {_CACHE_ARGUMENT: cache}


@dataclass(frozen=True)
class VisualFeatures:
    """Output of the vision tower for segments of one shape.

    Attributes:
        merged: [segment, visual token, hidden].
        deepstack: one [segment, visual token, hidden] per deepstack level.
    """

    merged: torch.Tensor
    deepstack: list[torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of the features."""
        return self.merged.nbytes + sum(level.nbytes for level in self.deepstack)


def encode_vision(model: Qwen3VLModel, patches: torch.Tensor, grid: PatchGrid) -> VisualFeatures:
    """Run the vision tower on segments of one shape.

    Args:
        model: transformers' Qwen3VLModel.
        patches: uint8 [segment, patch, rgb * temporal * patch * patch].
        grid: patches of each segment.
    """
    segments = len(patches)
    visual = model.visual
    device = visual.patch_embed.proj.weight.device
    pixels = patches.to(device).flatten(0, 1)
    # one row per temporal patch: position interpolation and rope work per frame, not per segment
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


def prefill(
    model: Qwen3VLModel,
    embeddings: torch.Tensor,
    positions: torch.Tensor,
    cache: DynamicCache | None = None,
    features: VisualFeatures | None = None,
    visual: torch.Tensor | None = None,
) -> torch.Tensor:
    """Run the SVLM's text model on new positions after `cache`, which grows in place.

    Args:
        model: transformers' Qwen3VLModel.
        embeddings: [segment, position, hidden].
        positions: int [3, position], the same for all segments.
        cache: KV cache of the positions before; None to use and build none.
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
        use_cache=cache is not None,
        **cache_argument(cache),
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


def copy_cache(cache: DynamicCache, *, repeat: int | None = None) -> DynamicCache:
    """Return a cache that can be continued while `cache` does not change.

    The tensors are shared, not copied: transformers extends a dynamic cache by concatenation, which
    creates new tensors.

    Args:
        cache: the cache to continue.
        repeat: number of rows to make from a cache with one row.
    """
    return _with_tensors(
        cache, lambda i, name, x: x if repeat is None else x.expand(repeat, -1, -1, -1)
    )


def rows(cache: DynamicCache, first: int, stop: int) -> DynamicCache:
    """Return some rows of a cache; the tensors are shared, not copied."""
    return _with_tensors(cache, lambda i, name, x: x[first:stop])


def tail(cache: DynamicCache, row: int, positions: int) -> DynamicCache:
    """Return the last positions of one row of a cache, copied so that the rest can be freed."""
    return _with_tensors(cache, lambda i, name, x: x[row : row + 1, :, -positions:].clone())


def concat_caches(rows: Sequence[Sequence[DynamicCache]]) -> DynamicCache:
    """Return one cache of equally long rows; each row is a sequence of caches of any length."""

    def concatenate(i: int, name: str, x: torch.Tensor) -> torch.Tensor:
        whole = (torch.cat([getattr(part.layers[i], name) for part in row], dim=-2) for row in rows)
        return torch.cat(list(whole))

    return _with_tensors(rows[0][0], concatenate)


def cache_bytes(cache: DynamicCache) -> int:
    """Return the bytes of a cache's keys and values."""
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
