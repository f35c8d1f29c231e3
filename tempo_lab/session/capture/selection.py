"""Selections of layers, heads, memory slots and segments: "all" or whole numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from tempo_lab.common.errors import CaptureError
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole

Every = Literal["all"]


def check_numbers(
    values: Any, noun: str, *, minimum: int | None = None, unique: bool = True
) -> tuple[int, ...]:
    """Return one or several whole numbers as a tuple, in their order.

    Args:
        values: a number or an iterable of numbers.
        noun: what a number stands for, such as "segment".
        minimum: smallest number allowed.
        unique: refuse a number that is given twice; if False, drop it.

    Raises:
        CaptureError: there is no number, or one is not allowed.
    """
    try:
        items = [values] if isinstance(values, str) else list(values)
    except TypeError:
        items = [values]
    numbers = [check_whole(noun, item, minimum, error=CaptureError) for item in items]
    if not numbers:
        raise CaptureError(f"no {noun} is given", asked="none", fix=f"give at least one {noun}")
    distinct = tuple(dict.fromkeys(numbers))
    if unique and len(distinct) < len(numbers):
        twice = next(number for number in numbers if numbers.count(number) > 1)
        raise CaptureError(
            f"a {noun} is given twice",
            asked=one_line(str(numbers), 120),
            found=f"{noun} {twice}, {numbers.count(twice)} times",
            fix=f"give each {noun} once",
        )
    return distinct


def check_selection(
    values: Any, noun: str, *, minimum: int | None = None, unique: bool = True
) -> Every | tuple[int, ...]:
    """Return "all", or whole numbers as `check_numbers` does."""
    if isinstance(values, str):
        if values == "all":
            return "all"
        raise CaptureError(
            f'select each {noun} by its number, or "all"',
            asked=repr(values),
            fix='use "all" or [0]',
        )
    return check_numbers(values, noun, minimum=minimum, unique=unique)


def resolve(
    selection: Every | Sequence[int],
    count: int,
    noun: str,
    *,
    option: str | None = None,
    from_end: bool = False,
) -> tuple[int, ...]:
    """Return the selected numbers in ascending order.

    Args:
        selection: "all" or numbers.
        count: how many there are.
        noun: what a number stands for, such as "layer".
        option: the argument that made the selection, for messages.
        from_end: whether negative numbers count from the end.

    Raises:
        CaptureError: a number is out of range; the message names the nearest one.
    """
    if selection == "all":
        return tuple(range(count))
    first = -count if from_end else 0
    for number in selection:
        if not first <= int(number) < count:
            raise CaptureError(
                f"no such {noun}",
                asked=f"{noun} {number}" if option is None else f"{option}: {number}",
                found=f"{count} {noun}s, 0 to {count - 1}",
                fix=f"the nearest is {count - 1 if int(number) > 0 else 0}",
            )
    return tuple(sorted({int(number) % count for number in selection}))
