"""Strategies that fix min-max: allocation by the scores themselves, not only by their order.

The formula of `ata.py` only compares scores: some segment always gets all K tokens, even if no
segment is relevant; one outlier starves the rest; and scores that hardly differ are spread over
the whole range of tokens. Each strategy here fixes part of that, and all of them keep the head:

* "abstain": if no segment is relevant, every segment gets the minimum. Otherwise the formula.
* "floor": a fraction of the budget is shared evenly; the formula shares out the rest.
* "threshold": below it the minimum; above it, tokens in proportion to relevance.
* "temperature": tokens in proportion to relevance, softened or sharpened.

`allocate` knows each by its name with the defaults below. For other parameters, pass an object:
`allocate(..., strategy=Abstain(threshold=0.8))`, or register it under a name:

    register_strategy("abstain-80")(Abstain(threshold=0.8))

Scores are read as probabilities, which relevance is. numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tempo_lab.allocation.strategies import (
    Floats,
    Ints,
    Mode,
    Strategy,
    register_strategy,
    share_by,
)
from tempo_lab.common.errors import BudgetError
from tempo_lab.common.validation import check_number

RELEVANT = 0.5
"""Relevance from which a segment counts as relevant: the model answers Yes rather than No."""


def _check_parameter(
    strategy: Strategy,
    name: str,
    minimum: float,
    maximum: float | None = None,
    fix: str | None = None,
) -> None:
    """Replace a parameter of a frozen strategy by the number that it is.

    Raises:
        BudgetError: it is not a number within its limits.
    """
    value = check_number(
        name, getattr(strategy, name), minimum, maximum, error=BudgetError, fix=fix
    )
    object.__setattr__(strategy, name, value)


def _check_probabilities(scores: Floats, mode: Mode, strategy: str) -> None:
    if mode == "strict" and not (scores.min() >= 0 and scores.max() <= 1):
        raise BudgetError(
            f"the strategy {strategy!r} needs scores that are probabilities",
            asked="0 to 1",
            found=f"{scores.min():g} to {scores.max():g}",
            fix='use the sigmoid of logits, or strategy "head", which only compares scores',
        )


@register_strategy("abstain")
@dataclass(frozen=True)
class Abstain(Strategy):
    """ATA if any segment is relevant; otherwise the minimum for every segment.

    Min-max normalisation cannot tell that nothing is relevant: some segment always has z = 1, and
    gets all its slots. With `min_tokens=0` abstaining keeps nothing.

    Attributes:
        threshold: probability from which a segment is relevant.
    """

    threshold: float = RELEVANT

    def __post_init__(self) -> None:
        _check_parameter(self, "threshold", 0, 1)

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        _check_probabilities(scores, mode, self.name)
        if scores.max() < self.threshold:
            lowest = np.full(len(scores), low, dtype=np.int64)
            return lowest, lowest
        return super().allocate(scores, budget, low, high, mode)


@register_strategy("floor")
@dataclass(frozen=True)
class Floor(Strategy):
    """ATA over the rest of the budget, after a fraction of it is shared evenly.

    Attributes:
        coverage: fraction of the budget that is shared evenly first, 0 (ATA) to 1 (uniform).
    """

    coverage: float = 0.5

    def __post_init__(self) -> None:
        _check_parameter(self, "coverage", 0, 1)

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        even = budget // len(scores)
        least = min(int(self.coverage * budget / len(scores)), even, high)
        return super().allocate(scores, budget, max(low, least), high, mode)


class Absolute(Strategy):
    """Tokens in proportion to weights of the scores, which subclasses define (`weigh`).

    It is the formula of `ata.py` with these weights in place of z.
    """

    scale_invariant = False

    def weigh(self, scores: Floats) -> Floats:
        """Return weights [segment], from 0 (the minimum) to 1 (all K tokens)."""
        raise NotImplementedError(f"strategy {self.name!r} defines no weights")

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        _check_probabilities(scores, mode, self.name)
        with np.errstate(all="ignore"):  # scores of 0 and 1 have infinite logits
            weights = self.weigh(scores)
        return share_by(weights, scores, budget, low, high, mode)


@register_strategy("threshold")
@dataclass(frozen=True)
class Threshold(Absolute):
    """The minimum for segments below a probability; tokens in proportion to it for the others.

    Attributes:
        threshold: probability from which a segment is relevant.
    """

    threshold: float = RELEVANT

    def __post_init__(self) -> None:
        _check_parameter(self, "threshold", 0, 1)

    def weigh(self, scores: Floats) -> Floats:
        return np.where(scores >= self.threshold, scores, np.float32(0))


@register_strategy("temperature")
@dataclass(frozen=True)
class Temperature(Absolute):
    """Weights sigmoid(logit / temperature), for each segment independently of the others.

    Attributes:
        temperature: 1 leaves relevance as it is; above 1 relevance is softened, so that segments
            that seem irrelevant keep some tokens; below 1 it is sharpened towards 0 and 1.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        fix = "use a temperature above 0; 1 leaves relevance as it is"
        _check_parameter(self, "temperature", np.nextafter(0, 1), fix=fix)

    def weigh(self, scores: Floats) -> Floats:
        p = scores.astype(np.float64)
        weights = 1 / (1 + np.exp((np.log1p(-p) - np.log(p)) / self.temperature))
        return weights.astype(np.float32)
