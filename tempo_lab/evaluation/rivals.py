"""Allocations that only an evaluation needs; importing this makes `allocate` know them.

Uniform sharing that keeps the tail, a random subset, or merged tokens; and an ATA that abstains.
"""

from __future__ import annotations

import numpy as np

from tempo_lab.strategies import (
    Floats,
    Ints,
    Mode,
    Random,
    Strategy,
    Tail,
    ToMe,
    Uniform,
    register_strategy,
)

RELEVANT = 0.5
"""Relevance from which a segment counts as relevant: where the model's own answer turns to Yes."""


@register_strategy("uniform-tail")
class UniformTail(Uniform, Tail):
    """The last k memory tokens of every segment."""


@register_strategy("uniform-random")
class UniformRandom(Uniform, Random):
    """k random memory tokens of every segment."""


@register_strategy("uniform-tome")
class UniformToMe(Uniform, ToMe):
    """Every segment's memory tokens merged down to k."""


@register_strategy("abstain")
class Abstain(Strategy):
    """ATA that looks at the scores themselves first: if none is relevant, all get the minimum.

    Min-max normalisation cannot know that nothing is relevant: some segment is always the most
    relevant one, and is given all its tokens.
    """

    def share(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        if scores.max() < RELEVANT:
            least = np.full(len(scores), low, dtype=np.int64)
            return least, least
        return super().share(scores, budget, low, high, mode)
