"""Shares with counts, and means, both with confidence intervals."""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

import numpy.typing as npt

from tempo_lab.common.statistics import bootstrap_mean

TAIL = 0.025
"""Probability on each side of a 95 % interval."""


def share(right: Iterable[bool]) -> str:
    """Return count, share and exact 95 % interval, as "15 of 16: 0.94 [0.70, 1.00]".

    The interval is the binomial one of Clopper and Pearson. It treats the questions as
    independent, and it stays wide for a few questions even if all answers are right.

    Args:
        right: for each question, whether the answer was right; at least one.
    """
    flags = [bool(each) for each in right]
    hits, n = sum(flags), len(flags)
    low, high = share_interval(flags)
    return f"{hits} of {n}: {hits / n:.2f} [{low:.2f}, {high:.2f}]"


def share_interval(right: Iterable[bool]) -> tuple[float, float]:
    """Return the ends of the exact 95 % interval of `share`, for figures."""
    flags = [bool(each) for each in right]
    hits, n = sum(flags), len(flags)
    low = _rate(hits, n, TAIL) if hits else 0.0
    high = _rate(hits + 1, n, 1 - TAIL) if hits < n else 1.0
    return low, high


def mean(values: npt.ArrayLike, groups: npt.ArrayLike) -> str:
    """Return mean and 95 % interval of measurements, as "0.31 [0.21, 0.42]".

    The bootstrap resamples whole groups: measurements of one video or segment stay together.

    Args:
        values: [measurement].
        groups: [measurement], the name of the group of each.
    """
    estimate = bootstrap_mean(values, groups)
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def _rate(hits: int, n: int, chance: float) -> float:
    """Return the rate of right answers at which P(at least `hits` of n) = chance, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        rate = (low + high) / 2
        more = sum(comb(n, k) * rate**k * (1 - rate) ** (n - k) for k in range(hits, n + 1))
        low, high = (rate, high) if more < chance else (low, rate)
    return low
