"""TokenMap: what each position of a prompt is.

A map is built together with its prompt, so no code has to search for a token.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

SYSTEM, TIMESTAMP, VISION_MARK, VISION, QUERY, DECISION, MEMORY, TEXT, ANSWER = range(9)
ROLES = (
    "system", "timestamp", "vision_mark", "vision", "query", "decision", "memory", "text", "answer"
)  # fmt: skip


@dataclass(frozen=True)
class TokenMap:
    """What each position of one prompt is. All arrays have one entry per position.

    Attributes:
        ids: token ids; -1 for memory slots and visual tokens of the LLM (they are embeddings).
        role: index into `ROLES`.
        index: number within its role: the temporal pair of a vision token or timestamp, the slot of
            a memory token; -1 elsewhere.
        segment: segment of an LLM position; -1 for text.
        row, column: position of a vision token in the merged grid; -1 elsewhere.
    """

    ids: np.ndarray
    role: np.ndarray
    index: np.ndarray
    segment: np.ndarray
    row: np.ndarray
    column: np.ndarray

    def __post_init__(self) -> None:
        lengths = {name: len(value) for name, value in vars(self).items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(f"the arrays of a token map have different lengths: {lengths}")

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, role: str, index: int | None = None) -> np.ndarray:
        """Return the positions of a role: `positions("vision", 3)` has those of frame pair 3."""
        matches = self.role == ROLES.index(role)
        if index is not None:
            matches &= self.index == index
        return np.flatnonzero(matches)

    def runs(self) -> list[tuple[str, int, int, int]]:
        """Return the runs of positions with one role and index: (role, index, first, end).

        All memory slots are one run, with index -1.
        """
        index = np.where(self.role == MEMORY, -1, self.index)
        changes = (np.diff(self.role) != 0) | (np.diff(index) != 0)
        edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(self)]
        return [
            (ROLES[self.role[first]], int(index[first]), first, last)
            for first, last in pairwise(edges)
            if first < last
        ]

    @property
    def decision(self) -> int:
        """Position of the last prompt token, whose hidden state gives the relevance."""
        return int(self.positions("decision")[0])

    def text(self, tokenizer: Any) -> str:
        """Return the prompt as readable text: `<0.2 seconds>...[9 vision tokens]...`."""
        pieces = []
        start = 0
        kinds = np.where(np.isin(self.role, (VISION, MEMORY)), self.role, -1)
        for end in [*(np.flatnonzero(np.diff(kinds)) + 1), len(self)]:
            if kinds[start] < 0:
                ids = self.ids[start:end].tolist()
                pieces.append(tokenizer.decode(ids, skip_special_tokens=False))
            else:
                pieces.append(f"[{end - start} {ROLES[kinds[start]]} tokens]")
            start = end
        return "".join(pieces)

    def names(self) -> list[str]:
        """Return a readable name for each position: `vision[pair 0, row 2, column 5]`."""
        return [self.name(i) for i in range(len(self))]

    def name(self, position: int) -> str:
        """Return a readable name for one position."""
        role, index = ROLES[self.role[position]], self.index[position]
        where = f"segment {self.segment[position]}, " if self.segment[position] >= 0 else ""
        if role == "vision" and self.row[position] >= 0:
            cell = f"row {self.row[position]}, column {self.column[position]}"
            return f"vision[{where}pair {index}, {cell}]"
        return f"{role}[{where}{index}]" if index >= 0 else role


class MapBuilder:
    """Collects the pieces of a prompt and of its token map, in order."""

    def __init__(self) -> None:
        self.pieces: list[tuple[np.ndarray, tuple[Any, ...]]] = []

    def add(
        self,
        ids: Any,
        role: int,
        index: Any = -1,
        segment: Any = -1,
        row: Any = -1,
        column: Any = -1,
    ) -> None:
        """Append a piece; each value is one number for the whole piece, or one per position."""
        ids = np.asarray(ids, dtype=np.int64)
        self.pieces.append((ids, (ids, role, index, segment, row, column)))

    def build(self) -> TokenMap:
        """Return the token map of all pieces."""
        columns = np.empty((6, sum(len(ids) for ids, _ in self.pieces)), dtype=np.int64)
        start = 0
        for ids, values in self.pieces:
            for column, value in zip(columns, values, strict=True):
                column[start : start + len(ids)] = value
            start += len(ids)
        return TokenMap(*columns)


def concatenate(parts: list[TokenMap]) -> TokenMap:
    """Return one token map of several that follow each other."""
    return TokenMap(
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("ids", "role", "index", "segment", "row", "column")
        )
    )


def rope_positions(part: TokenMap, start: int = 0) -> tuple[np.ndarray, int]:
    """Return the three-axis rotary positions of a part of the SVLM's prompt.

    Text counts up on all axes. The vision token at (row, column) of a frame pair that begins at s
    has (s, s + row, s + column), and the text after it starts at s + max(rows, columns).

    Args:
        part: any sequence of whole pieces of the prompt (`system`, `video`, `question`, ...).
        start: position of its first token.

    Returns:
        int [3, position], and the position of the next token.
    """
    positions = np.empty((3, len(part)), dtype=np.int64)
    vision = part.role == VISION
    i = 0
    while i < len(part):
        if not vision[i]:
            positions[:, i] = start
            start, i = start + 1, i + 1
            continue
        same = np.flatnonzero(vision & (part.index == part.index[i]))
        positions[:, same] = start + np.stack(
            [np.zeros_like(same), part.row[same], part.column[same]]
        )
        start += int(max(part.row[same].max(), part.column[same].max())) + 1
        i = int(same[-1]) + 1
    return positions, start
