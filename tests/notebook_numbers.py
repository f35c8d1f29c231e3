"""pytest plug-in: nbval compares floats as numbers (pytest --nbval -p tests.notebook_numbers).

The last digit of a float depends on the processor. A float in an output may therefore be one unit
of its last printed digit away from the stored one. Everything else is compared exactly: words,
lines, whole numbers, dates, versions of three parts, names with digits in them. Two runs of
two or more spaces are equal, and so are the spaces around a float, because a sign moves a column.

nbval compares streams and all text formats of results (text/plain, text/html); it skips pictures.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from nbval.plugin import IPyNbCell

FLOAT = re.compile(
    r"( *(?<![\w.])"  # not the end of a name or of a version
    r"[-+\u2212]?(?:\d*\.\d+|\d+(?=e))(?:e[-+]\d{2,3})?"
    r"(?!\.?\w) *)"  # nor their beginning
)


def near(one: str, other: str) -> bool:
    """Whether two floats differ by at most one unit of the last digit of the more exact one."""
    a, b = (Decimal(text.strip().replace("\u2212", "-")) for text in (one, other))
    return abs(a - b) <= Decimal(10) ** min(x.as_tuple().exponent for x in (a, b))


def same(one: str, other: str) -> bool:
    """Whether two outputs say the same, see the module."""
    parts, others = (FLOAT.split(re.sub(" {2,}", "  ", text)) for text in (one, other))
    return parts[::2] == others[::2] and all(map(near, parts[1::2], others[1::2]))


class Printed(str):
    """An output of a cell, equal to another one that says the same."""

    __slots__ = ()
    __hash__ = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and same(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let nbval compare what a cell says as :class:`Printed`."""
    if not isinstance(item, IPyNbCell):
        return
    item.output_timeout = 120  # seconds; nbval waits for 5, which a busy machine may need
    sanitize = item.sanitize

    def printed(output: Any) -> Any:
        clean = sanitize(output)
        return Printed(clean) if isinstance(clean, str) else clean

    item.sanitize = printed
