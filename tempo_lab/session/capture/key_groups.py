"""Groups of a prompt's keys, and reductions of attention that run on the device.

A reduction maps probabilities [segment, head, row, key] to [segment, head, row, ...]. Its result
may share memory with the probabilities, which the next ones overwrite.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from tempo_lab.model.token_map import (
    ANSWER,
    MEMORY,
    QUERY,
    SYSTEM,
    TIMESTAMP,
    VISION,
    VISION_MARK,
    TokenMap,
)

SELF = "self"
"""Group of the row's own position."""


def visual_grid(prompt: TokenMap) -> tuple[int, int, int]:
    """Return the number of frame pairs, patch rows and patch columns of a segment's prompt."""
    patches = prompt.positions("vision")
    pairs, rows, columns = (
        int(axis[patches].max()) + 1 for axis in (prompt.index, prompt.row, prompt.column)
    )
    return pairs, rows, columns


def svlm_group_names(pairs: int) -> list[str]:
    """Return the names of the key groups of the SVLM's prompt.

    Frame pairs count from 0. "timestamps" includes the marks around a pair's patches; "text" is the
    marks of the turns and the decision token; "earlier memory" is the memory tokens before the row.
    """
    middle = [f"pair {pair}" for pair in range(pairs)]
    return ["system", "timestamps", *middle, "query", "text", "earlier memory", SELF]


def svlm_groups(prompt: TokenMap, names: list[str]) -> np.ndarray:
    """Return the group of each key of a segment's prompt, int [key], an index into `names`."""
    group = np.full(len(prompt), names.index("text"))
    group[prompt.role == SYSTEM] = names.index("system")
    group[(prompt.role == TIMESTAMP) | (prompt.role == VISION_MARK)] = names.index("timestamps")
    vision = prompt.role == VISION
    group[vision] = names.index("timestamps") + 1 + prompt.index[vision]
    group[prompt.role == QUERY] = names.index("query")
    group[prompt.role == MEMORY] = names.index("earlier memory")
    return group


def llm_groups(prompt: TokenMap, segments: int) -> tuple[list[str], np.ndarray]:
    """Return the names of the LLM's key groups, and the group of each key of a prompt, int [key].

    "memory 3" is the memory tokens of segment 3; "query" the questions of all turns; "earlier
    answer" the answers of earlier turns and the tokens of this answer so far.
    """
    middle = [f"memory {segment}" for segment in range(segments)]
    names = ["system", "timestamps", *middle, "query", "text", "earlier answer", SELF]
    group = np.full(len(prompt), names.index("text"))
    group[prompt.role == SYSTEM] = names.index("system")
    group[prompt.role == TIMESTAMP] = names.index("timestamps")
    memory = prompt.role == MEMORY
    group[memory] = names.index("timestamps") + 1 + prompt.segment[memory]
    group[prompt.role == QUERY] = names.index("query")
    group[prompt.role == ANSWER] = names.index("earlier answer")
    return names, group


class KeyGroupSum:
    """Sums probabilities by key group; the row's own position is a group of its own, the last.

    Args:
        groups: int [key] for each segment, the group of each key.
        count: number of groups.
        keys: largest number of keys.
        device: device of the probabilities.
        beyond: group of the keys after the end of a prompt.
    """

    def __init__(
        self, groups: Sequence[np.ndarray], count: int, keys: int, device: torch.device, beyond: int
    ) -> None:
        padded = np.full((len(groups), keys), beyond)
        for row, group in zip(padded, groups, strict=True):
            row[: len(group)] = group
        member = torch.zeros(len(groups), count, keys)  # [segment, group, key]
        self.member = member.scatter_(1, torch.from_numpy(padded)[:, None], 1.0).to(device)

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        """Return the sums, [segment, head, row, group].

        Args:
            p: float32 [segment, head, row, key]; changed in place.
            own: int [row], the key of the row's own position.
            first: index of the first segment among `groups`.
        """
        segments, heads, rows, keys = p.shape
        index = own[None, None, :, None].expand(segments, heads, rows, 1)
        own_p = p.gather(-1, index)
        p.scatter_(-1, index, 0.0)
        member = self.member[first : first + segments, :, :keys]
        # heads and rows as one axis: [segment, group, key] @ [segment, key, head * row], in this
        # order because kernels for few columns are several times slower than for few rows
        sums = torch.bmm(member, p.flatten(1, 2).mT).mT.reshape(segments, heads, rows, -1)
        sums[..., -1:] = own_p
        return sums


class AllKeys:
    """Keeps every key: [segment, head, row, key]."""

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        return p


class VisualKeys:
    """Keeps the visual tokens, in reading order: [segment, head, row, patch]."""

    def __init__(self, maps: Sequence[TokenMap], device: torch.device) -> None:
        positions = [m.positions("vision") for m in maps]
        padded = np.full((len(maps), max(map(len, positions))), -1)
        for row, own in zip(padded, positions, strict=True):
            row[: len(own)] = own
        self.positions = torch.from_numpy(padded).to(device)  # [segment, patch], -1 for no patch

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        positions = self.positions[first : first + len(p), None, None]
        index = positions.expand(*p.shape[:3], positions.shape[-1])
        return p.gather(-1, index.clamp_min(0)).masked_fill_(index < 0, float("nan"))


class TopKKeys:
    """Keeps the largest probabilities and their keys: [segment, head, row, rank, 2]."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        values, keys = p.topk(min(self.count, p.shape[-1]), dim=-1)
        # a float32 holds a key's number exactly up to 2 ** 24
        return torch.stack([values, keys.to(values.dtype)], dim=-1)


class HeadMean:
    """Averages the heads: [segment, 1, row, key]."""

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        return p.mean(dim=1, keepdim=True)


Reduction = KeyGroupSum | AllKeys | HeadMean | VisualKeys | TopKKeys
