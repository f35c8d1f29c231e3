"""Arms: the allocations that an evaluation compares.

Budgets are fractions of K, the memory tokens of a segment. With the same few tokens for every
model, a model with a minimum as large would share evenly whatever its scores are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tempo_lab.allocation.strategies import Mode, Strategy

Scores = Literal["own", "shuffled", "oracle"]

PRIOR = "prior"
"""The arm of rows that hold relevance instead of an answer."""


@dataclass(frozen=True)
class Arm:
    """One way of answering a question.

    Attributes:
        family: its name in tables and figures.
        strategy: a name in `tempo_lab.allocation.STRATEGIES`, or a strategy.
        budget: tokens per segment; None for all tokens.
        scores: what to allocate by: the model's own relevance, the same shuffled among the
            segments (control), or 1 for segments with evidence and 0 for the others (ceiling).
        mode: of the allocation.
        sparse: keep all tokens of fewer segments, sampled over the whole video, which fit the
            budget.
        logprob: whether to measure the log-probability of the right answer as well.
        whole_video: whether `budget` is of the whole video instead of each segment.
        blind: whether the LLM reads the question alone, without the video (baseline). Its budget
            is None.
    """

    family: str
    strategy: str | Strategy
    budget: int | None
    scores: Scores = "own"
    mode: Mode = "strict"
    sparse: bool = False
    logprob: bool = False
    whole_video: bool = False
    blind: bool = False

    def tokens(self, segments: int) -> int | None:
        """Return the budget of a video with this many segments; None for all tokens."""
        if self.budget is None or self.whole_video:
            return self.budget
        return self.budget * segments

    @property
    def name(self) -> str:
        """Name, unique among the arms of a question."""
        return self.family if self.budget is None else f"{self.family} {self.budget}"

    def forced(
        self, relevance: np.ndarray, evidence: np.ndarray, draw: np.random.Generator
    ) -> np.ndarray | None:
        """Return the scores to allocate by instead of the model's own; None to use its own.

        Args:
            relevance: the model's own, [segment].
            evidence: whether a segment holds evidence, bool [segment]. If all or no segments do,
                an oracle uses the model's own scores.
            draw: the generator that shuffles.
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
"""Strategy and mode of the arms that compare allocator variants, by family."""


def quarter(slots: int) -> int:
    """Return a quarter of K, at least one token: the budget per segment of the claims."""
    return max(1, slots // 4)


def half(slots: int) -> int:
    """Return half of K, at least one token: the budget per segment of allocator variants."""
    return max(1, slots // 2)


def budgets(slots: int) -> tuple[int, ...]:
    """Return the tokens per segment of the curves: an eighth, a quarter and a half of K."""
    return tuple(sorted({max(1, slots // 8), quarter(slots), half(slots)}))


def _family(family: str, strategy: str, budgets: Iterable[int], **more: object) -> tuple[Arm, ...]:
    return tuple(Arm(family, strategy, budget, **more) for budget in budgets)  # type: ignore[arg-type]


def allocation_arms(curves: Iterable[int], baselines: Iterable[int]) -> tuple[Arm, ...]:
    """Return the arms of the allocation claim.

    Args:
        curves: budgets of ATA head and the two uniform arms, whose curves are drawn.
        baselines: budgets of all others.
    """
    main, others = tuple(curves), tuple(baselines)
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
    """Return the arm that the claims are about."""
    return Arm(ATA, "head", quarter(slots))


def brief_arms(slots: int) -> tuple[Arm, ...]:
    """Return the main arms at one budget, for kinds of questions whose curves are not drawn."""
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
    """Return the released rule and two variants."""
    return tuple(
        Arm(family, strategy, half(slots), mode=mode) for family, (strategy, mode) in STRICT.items()
    )


def front_loading_arms(kept: Iterable[int]) -> tuple[Arm, ...]:
    """Return arms of the first, last and random k memory tokens of every segment, for each k."""
    ways = (("first", "uniform"), ("last", "uniform-tail"), ("random", "uniform-random"))
    return tuple(
        Arm(f"{way} tokens", strategy, k, logprob=True) for k in kept for way, strategy in ways
    )


def kept_lengths(slots: int, every: bool) -> tuple[int, ...]:
    """Return numbers of tokens to keep of K: 1 to K, or only the powers of two and K itself.

    A quarter of K, at which head and tail are compared, is always among them.
    """
    if every:
        return tuple(range(1, slots + 1))
    powers = {2**n for n in range(slots.bit_length())} | {quarter(slots), slots}
    return tuple(sorted(k for k in powers if k <= slots))
