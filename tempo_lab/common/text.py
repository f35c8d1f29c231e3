"""Text from users, files and models, escaped for terminals and pages."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Any

_SHORT = reprlib.Repr()
_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,3}):(\d{1,2}(?:[.,]\d+)?)")
_SHORT.maxstring, _SHORT.maxlist, _SHORT.maxdict, _SHORT.maxlevel = 80, 8, 8, 1


def escape_control_chars(text: str, longest: int | None = None) -> str:
    r"""Return the text with control characters and lone surrogates escaped, as in \x1b.

    Line ends and tabs stay. " ..." replaces what exceeds `longest` characters.

    >>> escape_control_chars("red\x1b[31m", longest=6)
    'red\\x1b[3 ...'
    """
    cut = text if longest is None or len(text) <= longest else text[:longest] + " ..."
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in cut
    )


def one_line(text: str, longest: int | None = None) -> str:
    """Return the escaped text on one line; each run of white space becomes one space."""
    return " ".join(escape_control_chars(" ".join(text.split()), longest).split())


def format_call(name: str, arguments: Mapping[str, Any]) -> str:
    """Return a call as one line of text, with long strings and lists shortened.

    >>> format_call("drop", {"segments": list(range(100))})
    'drop(segments=[0, 1, 2, 3, 4, 5, 6, 7, ...])'
    """
    inside = ", ".join(f"{key}={_SHORT.repr(value)}" for key, value in arguments.items())
    return one_line(f"{name}({inside})")


def clock_seconds(text: str) -> float | None:
    """Return the seconds of a clock time like "12:04" or "1:02:03.5"; None if it is not one.

    With hours, the minutes are below 60; without hours, they can be more.

    >>> clock_seconds("12:04"), clock_seconds("1:02:03,5"), clock_seconds("0:75")
    (724.0, 3723.5, None)
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, rest = match[1], int(match[2]), float(match[3].replace(",", "."))
    if rest >= 60 or (hours is not None and minutes >= 60):
        return None
    return int(hours or 0) * 3600 + minutes * 60 + rest
