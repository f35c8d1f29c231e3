"""Choices of layers, heads and slots: "all" or numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from tempo_lab.errors import CaptureError

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
