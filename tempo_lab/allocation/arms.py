"""Arms: the ways of giving tokens to segments that are compared with each other.

Budgets are shares of K, the memory tokens of a segment: with the same few tokens for every model,
a model whose minimum is as large would share evenly whatever its scores.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tempo_lab.allocation.strategies import Mode

Scores = Literal["own", "shuffled", "oracle"]

PRIOR = "prior"
"""Stands in an arm's place in rows that hold relevance instead of an answer."""


@dataclass(frozen=True)
class Arm:
    """One way of answering a question.

    Attributes:
        family: what it is called in tables and figures.
        strategy: of `tempo_lab.allocation.strategies`.
        budget: tokens a segment; None for all of them.
        scores: what decides: the model's own relevance, the same shuffled among the segments
            (control), or 1 where the evidence is and 0 elsewhere (ceiling).
        mode: of the allocation.
        sparse: all tokens of so few segments, sampled over the whole video, that they fit the
            budget.
        logprob: also measure the log-probability of the right answer.
    """

    family: str
    strategy: str
    budget: int | None
    scores: Scores = "own"
    mode: Mode = "strict"
    sparse: bool = False
    logprob: bool = False

    @property
    def name(self) -> str:
        """Unique among the arms of a question."""
        return self.family if self.budget is None else f"{self.family} {self.budget}"

    def forced(
        self, relevance: np.ndarray, evidence: np.ndarray, draw: np.random.Generator
    ) -> np.ndarray | None:
        """The scores that decide instead of the model's own; None where its own do.

        Args:
            relevance: the model's own, [segment].
            evidence: whether a segment holds some, bool [segment]. An oracle to whom all or
                nothing is evidence has nothing to tell.
            draw: shuffles.
        """
        if self.scores == "shuffled":
            return draw.permutation(relevance)
        if self.scores == "oracle" and 0 < evidence.sum() < len(evidence):
            return evidence.astype(np.float32)
        return None


ALL = Arm("all tokens", "none", None)
ATA = "ATA head"
"""The family that the claims are about."""
STRICT: dict[str, tuple[str, Mode]] = {
    "ATA, faithful": ("head", "faithful"),
    "ATA, abstaining": ("abstain", "strict"),
    "ATA, floor": ("floor", "strict"),
}
"""Strategy and mode of the strictness arms, by family."""


def quarter(slots: int) -> int:
    """A quarter of K, at least one token: the budget per segment that the claims are about."""
    return max(1, slots // 4)


def half(slots: int) -> int:
    """Half of K, at least one token: the budget per segment at which strictness is compared."""
    return max(1, slots // 2)


def budgets(slots: int) -> tuple[int, ...]:
    """Tokens per segment of the curves: an eighth, a quarter and a half of K."""
    return tuple(sorted({max(1, slots // 8), quarter(slots), half(slots)}))


def _family(family: str, strategy: str, budgets: Iterable[int], **more: object) -> tuple[Arm, ...]:
    return tuple(Arm(family, strategy, budget, **more) for budget in budgets)  # type: ignore[arg-type]


def allocation_arms(curves: Iterable[int], rivals: Iterable[int]) -> tuple[Arm, ...]:
    """The arms of the allocation claim.

    Args:
        curves: budgets of ATA head and the two uniform arms, whose curves are drawn.
        rivals: budgets of all others.
    """
    main, others = tuple(curves), tuple(rivals)
    return (
        ALL,
        *_family(ATA, "head", main),
        *_family("ATA tail", "tail", others),
        *_family("ATA random", "random", others),
        *_family("ATA ToMe", "tome", others),
        *_family("uniform head", "uniform", main),
        *_family("uniform ToMe", "uniform-tome", main),
        *_family("top-k", "topk", others),
        *_family("sparse frames", "none", others, sparse=True),
        *_family("shuffled scores", "head", others, scores="shuffled"),
        *_family("oracle routing", "head", others, scores="oracle"),
    )


def ata(slots: int) -> Arm:
    """The arm that the claims are about."""
    return Arm(ATA, "head", quarter(slots))


def brief_arms(slots: int) -> tuple[Arm, ...]:
    """The arms that tell most, at one budget: for kinds of questions whose curves are not drawn."""
    budget = (quarter(slots),)
    return (
        ALL,
        ata(slots),
        *_family("uniform head", "uniform", budget),
        *_family("uniform ToMe", "uniform-tome", budget),
        *_family("top-k", "topk", budget),
        *_family("shuffled scores", "head", budget, scores="shuffled"),
        *_family("oracle routing", "head", budget, scores="oracle"),
    )


def strictness_arms(slots: int) -> tuple[Arm, ...]:
    """The released rule and two stricter ones."""
    return tuple(
        Arm(family, strategy, half(slots), mode=mode) for family, (strategy, mode) in STRICT.items()
    )


def front_loading_arms(kept: Iterable[int]) -> tuple[Arm, ...]:
    """First, last and random k memory tokens of every segment, for each k."""
    ways = (("first", "uniform"), ("last", "uniform-tail"), ("random", "uniform-random"))
    return tuple(
        Arm(f"{way} tokens", strategy, k, logprob=True) for k in kept for way, strategy in ways
    )


def kept_lengths(slots: int, every: bool) -> tuple[int, ...]:
    """Numbers of tokens kept of K: all of 1..K, or only the powers of two and K itself.

    A quarter of K, at which head and tail are compared, is always among them.
    """
    if every:
        return tuple(range(1, slots + 1))
    powers = {2**n for n in range(slots.bit_length())} | {quarter(slots), slots}
    return tuple(sorted(k for k in powers if k <= slots))
