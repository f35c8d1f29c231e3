"""Arms: the allocations that an evaluation compares.

Budgets are fractions of K, the memory tokens of a segment. With the same few tokens for every
model, a model with a minimum as large would share evenly whatever its scores are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tempo_lab.allocation.facility_location import facility_location
from tempo_lab.allocation.strategies import Mode, Strategy

Scores = Literal["own", "shuffled", "oracle", "noisy", "facility"]

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
            segments (control), 1 for segments with evidence and 0 for the others (ceiling), the
            relevance after noise was added to its logits ("noisy"), or the rank of the segments
            by facility location, which does not read the question ("facility").
        noise: standard deviation of the noise, in logits.
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
    noise: float = 0.0
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
        self,
        relevance: np.ndarray,
        evidence: np.ndarray,
        draw: np.random.Generator,
        *,
        logit: np.ndarray | None = None,
        features: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Return the scores to allocate by instead of the model's own; None to use its own.

        Args:
            relevance: the model's own, [segment].
            evidence: whether a segment holds evidence, bool [segment]. If all or no segments do,
                an oracle uses the model's own scores.
            draw: the generator that shuffles and draws noise.
            logit: of the model's relevance, [segment]; noisy scores need it.
            features: visual features, [segment, hidden]; facility location needs them.
        """
        if self.scores == "shuffled":
            return draw.permutation(relevance)
        if self.scores == "noisy":
            assert logit is not None
            noisy = logit + self.noise * draw.standard_normal(len(logit))
            return (1 / (1 + np.exp(-noisy))).astype(np.float32)
        if self.scores == "facility":
            assert features is not None
            order = facility_location(features)
            ranks = np.empty(len(order), np.float32)
            ranks[order] = np.linspace(1, 0, len(order))
            return ranks
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
        *_family("hard router", "router", others),
        *_family("facility location", "router", others, scores="facility"),
        *_family("sparse frames", "none", others, sparse=True),
        *_family("shuffled scores", "head", others, scores="shuffled"),
        *_family("oracle routing", "head", others, scores="oracle"),
    )


def ata(slots: int) -> Arm:
    """Return the arm that the claims are about."""
    return Arm(ATA, "head", quarter(slots))


CONTROLS = (
    "uniform head", "uniform ToMe", "sparse frames", "facility location", "shuffled scores",
)  # fmt: skip
"""Families that allocate without the relevance of the question: where allocation by relevance
matters, each of them has fewer right answers than ATA."""
RIVALS = ("top-k", "hard router")
"""Families that allocate by relevance in another way than ATA."""


def control_arms(slots: int) -> tuple[Arm, ...]:
    """Return ATA, its controls and rivals at one budget, all tokens, and the oracle."""
    families = (ALL.family, ATA, *CONTROLS, *RIVALS, "oracle routing")
    arms = allocation_arms((quarter(slots),), (quarter(slots),))
    return tuple(arm for arm in arms if arm.family in families)


NOISY: dict[str, tuple[str, float]] = {
    f"{name}, noise {noise}": (strategy, noise)
    for noise in (6, 9, 14, 24)
    for name, strategy in (("ATA", "head"), ("top-k", "topk"))
}
"""Strategy and noise on the logits of relevance of the arms of the dose-response, by family."""


def noisy_arms(slots: int) -> tuple[Arm, ...]:
    """Return ATA and top-k at one budget, with noise on the logits of relevance."""
    return tuple(
        Arm(family, strategy, quarter(slots), scores="noisy", noise=noise)
        for family, (strategy, noise) in NOISY.items()
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
