"""Checks of single numbers. The caller passes the error class that a check raises."""

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
    """Return `value` as an int. NumPy integers are whole numbers; True and 3.0 are not.

    Args:
        name: the argument's name, for the message.
        value: the argument's value.
        minimum, maximum: limits, both included.
        error: class of the error.
        fix: the fix in the message; by default the limits.

    Raises:
        TempoLabError: an `error`: the value is not a whole number, or it is out of range.
    """
    try:
        if type(value).__name__ in ("bool", "bool_"):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise error(
            f"{name} must be a whole number",
            asked=f"{name}={_shown(value)}",
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
    above: float | None = None,
    error: type[TempoLabError],
    fix: str | None = None,
) -> float:
    """Return `value` as a float. It must be finite; NumPy scalars are numbers, True is not.

    Args:
        above: lower limit that is not included itself.

    The other arguments and the errors are those of `check_whole`.
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
            asked=f"{name}={_shown(value)}",
            found=type(value).__name__,
            fix=fix or _limits(name, minimum, maximum, above),
        ) from None
    return _check_limits(name, number, minimum, maximum, error, fix, above)


def _check_limits(
    name: str,
    number: N,
    minimum: float | None,
    maximum: float | None,
    error: type[TempoLabError],
    fix: str | None,
    above: float | None = None,
) -> N:
    low = (minimum is not None and number < minimum) or (above is not None and number <= above)
    if not low and (maximum is None or number <= maximum):
        return number
    raise error(
        f"{name} is out of range",
        asked=f"{name}={_shown(number)}",
        fix=fix or _limits(name, minimum, maximum, above),
    )


def _limits(
    name: str, minimum: float | None, maximum: float | None, above: float | None = None
) -> str:
    lowest = f"{above} < " if above is not None else f"{minimum} <= " if minimum is not None else ""
    if lowest and maximum is not None:
        return f"use {lowest}{name} <= {maximum}"
    if lowest:
        return f"use {name} > {above}" if above is not None else f"use {name} >= {minimum}"
    return f"use {name} <= {maximum}" if maximum is not None else f"give {name} as a number"


def _shown(value: Any) -> str:
    """Return the value as text, at most 120 characters."""
    if isinstance(value, int) and value.bit_length() > 64:  # its digits would fill a page
        return f"about 2**{value.bit_length() - 1}"
    return one_line(repr(value), 120)
