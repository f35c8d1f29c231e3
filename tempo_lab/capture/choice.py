"""Choices of layers and slots: "all" or numbers."""

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
    if layers == "all":
        return tuple(range(depth))
    for layer in layers:
        if not -depth <= int(layer) < depth:
            raise CaptureError(
                "no such layer",
                asked=f"{option}: {layer}",
                found=f"{depth} layers, 0 to {depth - 1}",
                fix=f"the nearest is {depth - 1 if int(layer) > 0 else 0}",
            )
    return tuple(sorted({int(layer) % depth for layer in layers}))


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
