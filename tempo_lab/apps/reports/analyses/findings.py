"""Every number of the report as a row: analysis, quantity, value, interval, unit, n. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import pandas as pd

NAN = float("nan")
UNITS = ("nat", "tokens", "tokens a segment")
"""That are written behind numbers; probabilities and shares have none."""
FIRST_ALONE = "rank correlation that the same first segment alone gives"
NO_INTERVAL = "too little for an interval"


@dataclass(frozen=True)
class Finding:
    """One number.

    Attributes:
        analysis, quantity: what it is.
        value: NaN where there is none.
        low, high: ends of its 95 % interval, NaN where there is none.
        unit: of the three.
        n: questions that it was measured on.
    """

    analysis: str
    quantity: str
    value: float
    low: float = NAN
    high: float = NAN
    unit: str = "1"
    n: int = 0

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "no number"
        digits = 3 if abs(self.value) < 0.1 else 2
        value, low, high = (
            f"{round(number, digits) + 0.0:.{digits}f}"  # + 0.0: no minus before a zero
            for number in (self.value, self.low, self.high)
        )
        unit = f" {self.unit}" if self.unit in UNITS else ""
        return f"{value}{unit}" if math.isnan(self.low) else f"{value} [{low}, {high}]{unit}"

    def reading(self, more: str, less: str, neither: str) -> str:
        """Which of three sentences the interval allows: above 0, below 0, or 0 is inside."""
        if math.isnan(self.low):
            return NO_INTERVAL
        return more if self.low > 0 else less if self.high < 0 else neither


class Findings:
    """All findings, by analysis and quantity, in order.

    Args:
        rows: no two of one analysis and quantity.
        seed: of everything.
    """

    def __init__(self, rows: Iterable[Finding], seed: int) -> None:
        self.rows = {(row.analysis, row.quantity): row for row in rows}
        self.seed = seed

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.rows.values())

    def __call__(self, analysis: str, quantity: str) -> Finding:
        return self.rows[analysis, quantity]

    def to_pandas(self) -> pd.DataFrame:
        """The rows of the CSV."""
        return pd.DataFrame([asdict(row) for row in self]).assign(seed=self.seed)
