"""Checks of notebook 02."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers, words
from tempo_lab.model.pixels import patchify

_PROMPT = SimpleNamespace(decision=105)


@check(
    right=[(105, _PROMPT), (np.int64(105), _PROMPT), (105.0, _PROMPT), ([105], _PROMPT)],
    wrong=[(106, _PROMPT), (104, _PROMPT), (-1, _PROMPT), (121, _PROMPT), ("last", _PROMPT)],
)
def check_decision(answer: Any, prompt: Any) -> str | None:
    """The position of the decision token in a prompt."""
    value = number(answer)
    if value == prompt.decision:
        return None
    if value > prompt.decision:
        return "That is a memory slot: the decision comes before the first of them."
    return "There are other tokens between that one and the first memory slot."


@check(
    right=[(512,), (np.int64(512),), (512.0,), ("512",)],
    wrong=[(2048,), (128,), (1024,), (64,), (256,)],
)
def check_visual_tokens(answer: Any) -> str | None:
    """Visual tokens of a segment of eight frames of 512 x 256 pixels."""
    value = number(answer)
    if value == 512:
        return None
    if value in (2048, 1024):
        return "Two frames make one patch, and four patches are merged into one token."
    if value == 128:
        return "That is one frame pair. How many pairs has a segment?"
    return "Count the squares of 32 pixels in one frame, then the frame pairs."


_BEFORE = ("system", "timestamp", "vision_mark", "vision")


@check(
    right=[(set(_BEFORE),), (list(_BEFORE),), (("vision", "System", *_BEFORE[1:3]),)],
    wrong=[
        ({*_BEFORE, "query"},),
        (["system", "vision"],),
        ({"memory"},),
        ("vision",),
        ([1, 2],),
    ],
)
def check_reused(answer: Any) -> str | None:
    """Roles of a prompt whose keys and values a second question can use again."""
    chosen = set(words(answer))
    if chosen == set(_BEFORE):
        return None
    if chosen - set(_BEFORE):
        return "One of these comes after the question, or is the question: it must be read again."
    return "These can be reused, but they are not all: what else comes before the question?"


def _order(rows: int, columns: int) -> np.ndarray:
    """Numbers of patches (row by row) in the order in which they are read, blocks of 2 x 2."""
    frame = np.arange(rows * columns, dtype=np.uint8).reshape(1, rows, columns, 1)
    patches, _ = patchify(frame, patch=1, merge=2, temporal=1)
    return patches[:, 0].astype(int)


def _by_loops(rows: int, columns: int) -> list[int]:
    order = []
    for top in range(0, rows, 2):
        for left in range(0, columns, 2):
            for row in (top, top + 1):
                order += [row * columns + left, row * columns + left + 1]
    return order


@check(
    right=[(_by_loops,), (_order,), (lambda rows, columns: tuple(_by_loops(rows, columns)),)],
    wrong=[
        (lambda rows, columns: list(range(rows * columns)),),
        (lambda rows, columns: _by_loops(columns, rows),),
        (lambda rows, columns: _by_loops(4, 4),),
        ([0, 1, 4, 5],),
    ],
)
def check_order(answer: Callable[[int, int], Any]) -> str | None:
    """A function: the order in which the patches of a frame are read."""
    if not callable(answer):
        return "Give a function of rows and columns."
    for rows, columns in ((2, 2), (4, 4), (2, 6), (6, 2), (8, 4)):
        values = numbers(answer(rows, columns))
        if len(values) != rows * columns:
            return f"With {rows} x {columns} patches it names {len(values)} of them."
        if values != _order(rows, columns).tolist():
            return f"With {rows} x {columns} patches the order differs."
    return None
