"""Baselines of ATA: strategies that share the budget by rank alone or without the scores."""

from __future__ import annotations

import numpy as np

from tempo_lab.allocation.strategies import (
    Floats,
    Ints,
    Mode,
    Random,
    Strategy,
    Tail,
    ToMe,
    register_strategy,
)
from tempo_lab.common.errors import BudgetError


@register_strategy("topk")
class TopK(Strategy):
    """Drop the lower-scoring half of the segments; the others share the budget evenly."""

    uses_scores = False

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        kept = np.argsort(-scores, kind="stable")[: self.min_budget(len(scores))]
        wanted = np.zeros(len(scores), dtype=np.int64)
        wanted[kept] = high
        return wanted, np.minimum(wanted, max(0, budget // len(kept)))

    def min_budget(self, segments: int) -> int:
        return segments - segments // 2


@register_strategy("router")
class Router(Strategy):
    """Keep all K tokens of the highest-scoring segments that the budget holds, none of the others.

    It is a hard router: budget // K segments, at least one.
    """

    uses_scores = False

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        kept = np.argsort(-scores, kind="stable")[: max(1, budget // high)]
        wanted = np.zeros(len(scores), dtype=np.int64)
        wanted[kept] = high
        return wanted, np.minimum(wanted, max(0, budget))

    def min_budget(self, segments: int) -> int:
        return 1


@register_strategy("uniform")
class Uniform(Strategy):
    """The same number of tokens for every segment, whatever its score."""

    uses_scores = False

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        wanted = np.full(len(scores), high, dtype=np.int64)
        return wanted, np.minimum(wanted, max(0, budget // len(scores)))


@register_strategy("none")
class Everything(Strategy):
    """No allocation: all K tokens of every segment, if the budget is large enough."""

    uses_scores = False

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        wanted = np.full(len(scores), high, dtype=np.int64)
        if mode == "strict" and wanted.sum() > budget:
            raise BudgetError(
                "the budget does not hold all tokens of every segment",
                asked=f'budget {budget}, strategy "none"',
                found=f"{len(scores)} segments x {high} tokens = {wanted.sum()}",
                fix=f'use a budget of {wanted.sum()}, or strategy "head", which shares out less',
            )
        return wanted, wanted


@register_strategy("uniform-tail")
class UniformTail(Uniform, Tail):
    """Keep the last k memory tokens of every segment."""


@register_strategy("uniform-random")
class UniformRandom(Uniform, Random):
    """Keep k random memory tokens of every segment."""


@register_strategy("uniform-tome")
class UniformToMe(Uniform, ToMe):
    """Merge the memory tokens of every segment down to k."""
