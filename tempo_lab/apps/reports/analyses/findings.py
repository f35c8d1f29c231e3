"""Every number of the report as a row: analysis, quantity, value, interval, unit, n. No torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass

import pandas as pd

NAN = float("nan")
UNITS = ("nat", "tokens")
"""First words of the units that follow their numbers; probabilities and shares show none."""
FIRST_ALONE = "rank correlation that the same first segment alone gives"
NO_INTERVAL = "too little for an interval"


@dataclass(frozen=True)
class Finding:
    """One number.

    Attributes:
        analysis, quantity: what was measured.
        value: NaN if there is none.
        low, high: ends of its 95 % interval, NaN if there is none.
        unit: unit of the three.
        n: number of questions that it was measured on.
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
        unit = f" {self.unit}" if self.unit.split()[0] in UNITS else ""
        return f"{value}{unit}" if math.isnan(self.low) else f"{value} [{low}, {high}]{unit}"

    def interpret(self, above: str, below: str, neither: str) -> str:
        """Return the text that the interval supports: above 0, below 0, or 0 is inside."""
        if math.isnan(self.low):
            return NO_INTERVAL
        return above if self.low > 0 else below if self.high < 0 else neither


class Findings:
    """All findings, by analysis and quantity, in order.

    Args:
        rows: no two of one analysis and quantity.
        seed: seed of all of them.
    """

    def __init__(self, rows: Iterable[Finding], seed: int) -> None:
        self.rows = {(row.analysis, row.quantity): row for row in rows}
        self.seed = seed

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.rows.values())

    def __call__(self, analysis: str, quantity: str) -> Finding:
        return self.rows[analysis, quantity]

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows of the CSV."""
        return pd.DataFrame([asdict(row) for row in self]).assign(seed=self.seed)
