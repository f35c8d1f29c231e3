"""Choices of layers, heads, slots and segments: "all" or numbers."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from tempo_lab.common.errors import CaptureError
from tempo_lab.common.text import one_line

Every = Literal["all"]


def pick_layers(layers: Every | Sequence[int], depth: int, option: str) -> tuple[int, ...]:
    """Numbers of the layers asked for, ascending.

    Raises:
        CaptureError: one is beyond the model's.
    """
    return _pick(layers, depth, option, "layer")


def pick_heads(heads: Every | Sequence[int], count: int) -> tuple[int, ...]:
    """Numbers of the attention heads asked for, ascending.

    Raises:
        CaptureError: one is beyond the model's.
    """
    return _pick(heads, count, "heads", "head")


def _pick(asked: Every | Sequence[int], count: int, option: str, noun: str) -> tuple[int, ...]:
    if asked == "all":
        return tuple(range(count))
    for number in asked:
        if not -count <= int(number) < count:
            raise CaptureError(
                f"no such {noun}",
                asked=f"{option}: {number}",
                found=f"{count} {noun}s, 0 to {count - 1}",
                fix=f"the nearest is {count - 1 if int(number) > 0 else 0}",
            )
    return tuple(sorted({int(number) % count for number in asked}))


def whole_numbers(
    values: Every | Iterable[object], option: str, least: int | None = None
) -> Every | tuple[int, ...]:
    """ "all", or whole numbers as a tuple."""
    if isinstance(values, str):
        if values != "all":
            raise CaptureError(
                f'{option} are "all" or whole numbers', asked=repr(values), fix=f"{option}=[0]"
            )
        return "all"
    try:
        found = tuple(values)
        plain = tuple(int(value) for value in found)  # type: ignore[call-overload]
        wrong = any(isinstance(v, bool) or n != v for v, n in zip(found, plain, strict=True))
    except (TypeError, ValueError):
        wrong = True
    if wrong or not plain or (least is not None and min(plain) < least):
        raise CaptureError(
            f'{option} are "all" or whole numbers'
            + ("" if least is None else f" from {least} on")
            + ", at least one",
            asked=f"{option}={values!r}",
            fix=f"{option}=[0]",
        )
    return tuple(dict.fromkeys(plain))


def whole(value: Any, what: str, *, text: bool = False) -> int:
    """A whole number; with `text` also one written in digits, as JSON writes keys.

    Raises:
        CaptureError: it is none.
    """
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return int(value) if text and isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError):
        raise CaptureError(
            f"{what} is a whole number",
            asked=one_line(repr(value), 120),
            found=type(value).__name__,
            fix="0, say",
        ) from None


def several(given: Any, what: str) -> list[int]:
    """One whole number or several, in their order.

    Raises:
        CaptureError: none, one twice, or something else.
    """
    try:
        values = list(given)
    except TypeError:
        values = [given]
    numbers = [whole(value, f"a {what}") for value in values]
    if not numbers:
        raise CaptureError(f"no {what} is named", found="none", fix=f"name one {what} or more")
    if len(set(numbers)) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise CaptureError(
            f"a {what} is named twice",
            asked=one_line(str(numbers), 120),
            found=f"{what} {twice}, {numbers.count(twice)} times",
            fix="name each once",
        )
    return numbers


def check_segments(asked: Iterable[int], segments: int) -> None:
    """Refuse segments that the video does not have, with the nearest one: a `CaptureError`."""
    for segment in asked:
        if not 0 <= segment < segments:
            raise CaptureError(
                "no such segment",
                asked=f"segment {segment}",
                found=f"{segments} segments, 0 to {segments - 1}",
                fix=f"the nearest is {segments - 1 if segment > 0 else 0}",
            )


def check_slots(asked: Iterable[int], slots: int) -> None:
    """Refuse memory slots that the model does not have, with the nearest: a `CaptureError`."""
    if (most := max(asked)) >= slots:
        raise CaptureError(
            "no such memory slot",
            asked=f"memory {most}",
            found=f"{slots} slots, 0 to {slots - 1}",
            fix=f"the nearest is {slots - 1}",
        )
