"""Checks of single numbers; each takes the error class of the room that asks."""

from __future__ import annotations

import math
import operator
from typing import Any, TypeVar

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import one_line

N = TypeVar("N", int, float)


def check_whole(
    name: str,
    value: Any,
    minimum: int | None = None,
    maximum: int | None = None,
    *,
    error: type[TempoLabError],
    fix: str | None = None,
) -> int:
    """Return a whole number within its limits; numpy's integers count, True and 3.0 do not.

    Args:
        name: the argument's name, for the message.
        value: what was given.
        minimum, maximum: limits, both included.
        error: the class that is raised.
        fix: what to do instead; None states the limits.

    Raises:
        TempoLabError: of class `error`, the value is not a whole number or is beyond a limit.
    """
    try:
        if type(value).__name__ in ("bool", "bool_"):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise error(
            f"{name} must be a whole number",
            asked=f"{name}={one_line(repr(value), 120)}",
            found=type(value).__name__,
            fix=fix or _limits(name, minimum, maximum),
        ) from None
    return _check_limits(name, number, minimum, maximum, error, fix)


def check_number(
    name: str,
    value: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    error: type[TempoLabError],
    fix: str | None = None,
) -> float:
    """Return a finite number within its limits; numpy's scalars count, True does not.

    Args and errors are those of `check_whole`.
    """
    try:
        if isinstance(value, str) or type(value).__name__ in ("bool", "bool_"):
            raise TypeError
        number = float(value)
        if not math.isfinite(number):
            raise TypeError
    except (TypeError, ValueError, OverflowError):
        raise error(
            f"{name} must be a finite number",
            asked=f"{name}={one_line(repr(value), 120)}",
            found=type(value).__name__,
            fix=fix or _limits(name, minimum, maximum),
        ) from None
    return _check_limits(name, number, minimum, maximum, error, fix)


def _check_limits(
    name: str,
    number: N,
    minimum: float | None,
    maximum: float | None,
    error: type[TempoLabError],
    fix: str | None,
) -> N:
    if (minimum is None or number >= minimum) and (maximum is None or number <= maximum):
        return number
    shown = str(number)
    if isinstance(number, int) and number.bit_length() > 64:  # its digits would fill a page
        shown = f"about 2**{number.bit_length() - 1}"
    raise error(
        f"{name} is out of range",
        asked=f"{name}={shown}",
        fix=fix or _limits(name, minimum, maximum),
    )


def _limits(name: str, minimum: float | None, maximum: float | None) -> str:
    if minimum is not None and maximum is not None:
        return f"use {minimum} <= {name} <= {maximum}"
    if minimum is not None:
        return f"use {name} >= {minimum}"
    return f"use {name} <= {maximum}" if maximum is not None else f"give {name} as a number"
