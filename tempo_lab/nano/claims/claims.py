"""The registered claims, and their verdicts by the intervals of what was measured."""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tempo_lab.common.statistics import NOTHING, Estimate

REGISTERED = Path(__file__).with_name("registered.toml")
"""The claims and the rule of their verdicts, written down before the evaluation."""

ALLOCATION, RIVALS = "allocation_", "rivals_"
"""Beginnings of the names of claims about the arms that ATA is compared with, one per group of
questions (`measures.GROUPS`)."""

Verdict = Literal["shown", "undecided", "refuted", "not measured"]


@dataclass(frozen=True)
class Claim:
    """One claim of the file.

    Attributes:
        name: identifies it.
        statement: what is claimed.
        measure: what is computed, in words.
        control: the baseline or control that can make it fail.
        estimates: names in `claims.csv`; each must be on the claimed side of the threshold.
        at_least, at_most: the threshold; one of them is None.
    """

    name: str
    statement: str
    measure: str
    control: str
    estimates: tuple[str, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def threshold(self) -> str:
        """The threshold as text."""
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}"

    def verdict(self, estimate: Estimate) -> Verdict:
        """Return whether all of the interval, or none of it, is on the claimed side."""
        if math.isnan(estimate.value):
            return "not measured"
        low, high, aim = estimate.low, estimate.high, self.at_least
        if self.at_most is not None:  # the same from the other side
            low, high, aim = -high, -low, -self.at_most
        assert aim is not None
        return "shown" if low >= aim else "refuted" if high < aim else "undecided"


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim with what was measured.

    Attributes:
        claim: what was registered.
        decided_by: name of the estimate that is weakest, that is, furthest from the claimed side.
        estimate: that estimate.
        verdict: of the claim.
    """

    claim: Claim
    decided_by: str
    estimate: Estimate
    verdict: Verdict

    @property
    def measured(self) -> str:
        """The weakest estimate with its interval, as text; its name where there are several."""
        estimate = self.estimate
        if math.isnan(estimate.value):
            return "not measured"
        if math.isnan(estimate.low):
            return f"{estimate.value:.3f} (one video, no interval)"
        name = f"{self.decided_by}: " if len(self.claim.estimates) > 1 else ""
        numbers = f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
        return f"{name}{numbers} (n={estimate.n})"


@cache
def registered() -> tuple[Claim, ...]:
    """Return the claims of the file."""
    tables = tomllib.loads(REGISTERED.read_text(encoding="utf-8"))["claim"]
    return tuple(Claim(**{**table, "estimates": tuple(table["estimates"])}) for table in tables)


def digest() -> str:
    """Return a digest of the file; an evaluation with other claims is another evaluation."""
    return hashlib.sha256(REGISTERED.read_bytes()).hexdigest()[:16]


def verdicts(measured: dict[str, Estimate]) -> list[ClaimVerdict]:
    """Return the verdict of every registered claim.

    Args:
        measured: of `measures.measure`.
    """
    return [_verdict(claim, measured) for claim in registered()]


def _verdict(claim: Claim, measured: dict[str, Estimate]) -> ClaimVerdict:
    estimates = {name: measured.get(name, NOTHING) for name in claim.estimates}
    each = {name: claim.verdict(estimate) for name, estimate in estimates.items()}
    order: tuple[Verdict, ...] = ("refuted", "not measured", "undecided", "shown")
    verdict = min(each.values(), key=order.index)
    weakest = min(
        (name for name in estimates if each[name] == verdict),
        key=lambda name: _margin(claim, estimates[name]),
    )
    return ClaimVerdict(claim, weakest, estimates[weakest], verdict)


def _margin(claim: Claim, estimate: Estimate) -> float:
    """How far the end of the interval that decides is on the claimed side."""
    margin = estimate.low if claim.at_most is None else -estimate.high
    return math.inf if math.isnan(margin) else margin


def as_json(found: list[ClaimVerdict]) -> dict[str, dict[str, Any]]:
    """Return the claims as `claims.json` has them, by name; None where there is no number."""
    return {each.claim.name: _as_json(each) for each in found}


def _as_json(found: ClaimVerdict) -> dict[str, Any]:
    claim = {key: value for key, value in asdict(found.claim).items() if value is not None}
    numbers = {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(found.estimate).items()
    }
    rounded = {key: round(v, 4) if isinstance(v, float) else v for key, v in numbers.items()}
    return {
        **{key: value for key, value in claim.items() if key != "name"},
        "estimates": list(found.claim.estimates),
        "decided_by": found.decided_by,
        **rounded,
        "verdict": found.verdict,
    }
