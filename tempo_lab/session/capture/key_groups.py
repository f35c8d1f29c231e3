"""What the keys of a prompt are, and how attention to them is reduced on the device.

A reduction maps probabilities [segment, head, row, key] to [segment, head, row, ...]; what it gives
may be the probabilities themselves, which are overwritten by the next ones.
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
"""The group of the row's own position."""


def svlm_group_names(pairs: int) -> list[str]:
    """Key groups of the SVLM's prompt.

    Frame pairs count from 0; "timestamps" holds the marks around a pair's patches too; "text" the
    marks of the turns and the decision token; "earlier memory" the memory tokens before the row.
    """
    middle = [f"pair {pair}" for pair in range(pairs)]
    return ["system", "timestamps", *middle, "query", "text", "earlier memory", SELF]


def svlm_groups(prompt: TokenMap, names: list[str]) -> np.ndarray:
    """The group of each key of a segment's prompt, int [key], an index into `names`."""
    group = np.full(len(prompt), names.index("text"))
    group[prompt.role == SYSTEM] = names.index("system")
    group[(prompt.role == TIMESTAMP) | (prompt.role == VISION_MARK)] = names.index("timestamps")
    vision = prompt.role == VISION
    group[vision] = names.index("timestamps") + 1 + prompt.index[vision]
    group[prompt.role == QUERY] = names.index("query")
    group[prompt.role == MEMORY] = names.index("earlier memory")
    return group


def llm_groups(prompt: TokenMap, segments: int) -> tuple[list[str], np.ndarray]:
    """Key groups of the LLM's prompt and the answer after it: names, and int [key].

    "memory 3" holds the memory tokens of segment 3, "query" the questions of all turns,
    "earlier answer" what was answered in earlier turns and the tokens of this answer so far.
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
    """Sums of key groups; the row's own position is a group of its own, the last.

    Args:
        groups: the group of each key of each segment, int [key]; keys after the last belong to
            `beyond`.
        count: groups.
        keys: keys that there may be.
        beyond: group of keys after a map's end.
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
        """Reduce.

        Args:
            p: float32 [segment, head, row, key]; changed in place.
            own: int [row], the row's own key.
            first: number of the first segment among the maps.

        Returns:
            [segment, head, row, group].
        """
        segments, heads, rows, keys = p.shape
        where = own[None, None, :, None].expand(segments, heads, rows, 1)
        itself = p.gather(-1, where)
        p.scatter_(-1, where, 0.0)
        member = self.member[first : first + segments, :, :keys]
        # heads and rows as one axis: [segment, group, key] @ [segment, key, head * row], in this
        # order because kernels for few columns are several times slower than for few rows
        sums = torch.bmm(member, p.flatten(1, 2).mT).mT.reshape(segments, heads, rows, -1)
        sums[..., -1:] = itself
        return sums


class EveryKey:
    """No reduction: [segment, head, row, key]."""

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        return p


class Patches:
    """The visual tokens only, in reading order: [segment, head, row, patch]."""

    def __init__(self, maps: Sequence[TokenMap], device: torch.device) -> None:
        found = [m.positions("vision") for m in maps]
        where = np.full((len(maps), max(map(len, found))), -1)
        for row, positions in zip(where, found, strict=True):
            row[: len(positions)] = positions
        self.where = torch.from_numpy(where).to(device)  # [segment, patch], -1 where it has none

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        where = self.where[first : first + len(p), None, None]
        wanted = where.expand(*p.shape[:3], where.shape[-1])
        return p.gather(-1, wanted.clamp_min(0)).masked_fill_(wanted < 0, float("nan"))


class Top:
    """The largest probabilities and their keys: [segment, head, row, rank, 2]."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        values, keys = p.topk(min(self.count, p.shape[-1]), dim=-1)
        # a float32 holds a key's number exactly up to 2 ** 24
        return torch.stack([values, keys.to(values.dtype)], dim=-1)


class HeadMean:
    """The mean of the heads: [segment, 1, row, key]."""

    def __call__(self, p: torch.Tensor, own: torch.Tensor, first: int) -> torch.Tensor:
        return p.mean(dim=1, keepdim=True)


Reduction = KeyGroupSum | EveryKey | HeadMean | Patches | Top
