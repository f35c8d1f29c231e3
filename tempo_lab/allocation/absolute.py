"""Strategies that mend min-max: allocation that looks at the scores themselves.

The formula of `allocation/ata.py` sees only how scores compare: some segment always gets all K
tokens, also where nothing is relevant; one outlier starves the rest; and scores that hardly differ
are spread over all numbers of tokens. Each strategy here mends some of that, and all keep the head:

* "abstain": nothing relevant, nothing spent: every segment gets the minimum. Else the formula.
* "floor": every segment is sure of a share of the budget; the formula shares out the rest.
* "threshold": below it the minimum; above it, tokens follow relevance itself instead of its rank.
* "temperature": tokens follow relevance itself, softened or sharpened.

`allocate` knows each by its name with the defaults below. Others are registered in one line:

    register_strategy("abstain-80")(Abstain(threshold=0.8))

Scores are read as probabilities, which is what relevance is. numpy only.
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
from tempo_lab.common.text import one_line

RELEVANT = 0.5
"""Relevance from which a segment counts as relevant: where the model's own answer turns to Yes."""


def _check_number(name: str, value: object, *, share: bool) -> None:
    """Refuse what is no number in its range: a share from 0 to 1, or anything above 0.

    Raises:
        BudgetError: it is not.
    """
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if number and (0 <= value <= 1 if share else 0 < value < np.inf):  # type: ignore[operator]
        return
    raise BudgetError(
        f"{name} is a share" if share else f"a {name} is a number above 0",
        asked=one_line(f"{name}={value!r}", 120),
        found=type(value).__name__,
        fix="a number from 0 to 1" if share else "1 leaves relevance as it is",
    )


def _check_probabilities(scores: Floats, mode: Mode, strategy: str) -> None:
    if mode == "strict" and not (scores.min() >= 0 and scores.max() <= 1):
        raise BudgetError(
            f"the strategy {strategy!r} reads scores as probabilities",
            asked="0 to 1",
            found=f"{scores.min():g} to {scores.max():g}",
            fix='the sigmoid of logits, or strategy "head", which only compares scores',
        )


@register_strategy("abstain")
@dataclass(frozen=True)
class Abstain(Strategy):
    """ATA that looks at the scores themselves first: if none is relevant, all get the minimum.

    Min-max normalisation cannot know that nothing is relevant: some segment is always the most
    relevant one, and is given all its tokens. With `min_tokens=0` abstaining keeps nothing.

    Attributes:
        threshold: probability from which a segment is relevant.
    """

    threshold: float = RELEVANT

    def __post_init__(self) -> None:
        _check_number("threshold", self.threshold, share=True)

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        _check_probabilities(scores, mode, self.name)
        if scores.max() < self.threshold:
            least = np.full(len(scores), low, dtype=np.int64)
            return least, least
        return super().allocate(scores, budget, low, high, mode)


@register_strategy("floor")
@dataclass(frozen=True)
class Floor(Strategy):
    """ATA over what is left when every segment has got its part of a share of the budget.

    Attributes:
        coverage: share of the budget that is dealt out evenly first, 0 (ATA) to 1 (uniform).
    """

    coverage: float = 0.5

    def __post_init__(self) -> None:
        _check_number("coverage", self.coverage, share=True)

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        even = budget // len(scores)
        least = min(int(self.coverage * budget / len(scores)), even, high)
        return super().allocate(scores, budget, max(low, least), high, mode)


class Absolute(Strategy):
    """Tokens that follow the scores themselves; subclasses say how far (`weigh`).

    As the formula of `tempo_lab.allocation.ata`, with these weights in place of min-max.
    """

    scale_invariant = False

    def weigh(self, scores: Floats) -> Floats:
        """Where between the minimum (0) and all K tokens (1) each segment stands, [segment]."""
        raise NotImplementedError(f"strategy {self.name!r} says no weights")

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        _check_probabilities(scores, mode, self.name)
        with np.errstate(all="ignore"):  # certain ones have an infinite logit
            weights = self.weigh(scores)
        return share_by(weights, scores, budget, low, high, mode)


@register_strategy("threshold")
@dataclass(frozen=True)
class Threshold(Absolute):
    """Segments below a probability get the minimum, the others in proportion to theirs.

    Attributes:
        threshold: probability from which a segment is relevant.
    """

    threshold: float = RELEVANT

    def __post_init__(self) -> None:
        _check_number("threshold", self.threshold, share=True)

    def weigh(self, scores: Floats) -> Floats:
        return np.where(scores >= self.threshold, scores, np.float32(0))


@register_strategy("temperature")
@dataclass(frozen=True)
class Temperature(Absolute):
    """Weights sigmoid(logit / temperature), of each segment whatever the others are.

    Attributes:
        temperature: 1 leaves relevance as it is; above 1 the model is believed less, so that
            what seems irrelevant keeps some tokens; below 1 it comes near to yes or no.
    """

    temperature: float = 2.0

    def __post_init__(self) -> None:
        _check_number("temperature", self.temperature, share=False)

    def weigh(self, scores: Floats) -> Floats:
        p = scores.astype(np.float64)
        weights = 1 / (1 + np.exp((np.log1p(-p) - np.log(p)) / self.temperature))
        return weights.astype(np.float32)
