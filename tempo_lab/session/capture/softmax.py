"""The softmax of some query rows, beside a kernel that hands out none."""

from __future__ import annotations

import math

import torch


def hidden_keys(
    mask: torch.Tensor | None, rows: torch.Tensor, own: torch.Tensor, keys: int
) -> torch.Tensor:
    """What is added to the scores of some rows, so that they do not see what they must not.

    Args:
        mask: [segment, head or 1, row, key] of all rows, bool or additive; None for causality.
        rows: int [row], those that are wanted.
        own: int [row], each one's own key.
        keys: how many there are.

    Returns:
        float32 [segment or 1, head or 1, row, last keys]: without the first keys, as far as every
        row sees them; of one segment where all have the same.
    """
    if mask is None:
        hidden = (torch.arange(keys, device=own.device) > own[:, None])[None, None]
    else:
        mask = mask[..., rows, :keys]
        hidden = ~mask if mask.dtype == torch.bool else mask
    touched = hidden.ne(0).flatten(0, -2).any(dim=0)
    first = int(touched.int().argmax()) if touched.any() else keys
    hidden = hidden[..., first:]
    if hidden.dtype == torch.bool:
        zeros = torch.zeros_like(hidden, dtype=torch.float32)
        hidden = zeros.masked_fill_(hidden, float("-inf"))
    alike = len(hidden) > 1 and bool((hidden == hidden[:1]).all())
    return (hidden[:1] if alike else hidden).float()


def probabilities(
    query: torch.Tensor,
    key: torch.Tensor,
    hidden: torch.Tensor,
    scaling: float,
    room: torch.Tensor | None = None,
) -> torch.Tensor:
    """Softmax of some query rows over all keys, in float32.

    Args:
        query: [segment, head, row, width], the chosen rows.
        key: [segment, key head, key, width].
        hidden: [segment or 1, head or 1, row, last keys], see `hidden_keys`.
        scaling: of the scores.
        room: float32 [number], to compute in: on a CPU, memory that is new each time costs as much
            as the product. What is returned lies in it.

    Returns:
        [segment, head, row, key].
    """
    segments, heads, rows, width = query.shape
    key_heads, keys = key.shape[1:3]
    shape = (segments, heads, rows, keys)
    if room is None:
        room = torch.empty(math.prod(shape), device=query.device, dtype=torch.float32)
    scores = room[: math.prod(shape)].view(shape)
    # heads that share a key head become rows of it: [segment * key head, head * row, width]
    grouped = (query.float() * scaling).reshape(segments * key_heads, -1, width)
    product = scores.view(segments * key_heads, -1, keys)
    torch.bmm(grouped, key.float().flatten(0, 1).mT, out=product)
    scores[..., keys - hidden.shape[-1] :] += hidden
    return torch.softmax(scores, dim=-1, out=scores)
