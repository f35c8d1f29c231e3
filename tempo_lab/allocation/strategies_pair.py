"""Two halves of strategies put together: how the budget is shared, and which memory tokens stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tempo_lab.allocation.strategies import (
    STRATEGIES,
    Floats,
    Ints,
    Mode,
    Strategy,
    register_strategy,
)


class Pair(Strategy):
    """Shares the budget as one strategy does, and keeps the slots that another one would.

    Args:
        shares: whose `allocate` is used.
        keeps: whose `slots` or `merge_weights` is used.
    """

    def __init__(self, shares: Strategy, keeps: Strategy) -> None:
        self.shares, self.keeps = shares, keeps
        self.uses_scores, self.scale_invariant = shares.uses_scores, shares.scale_invariant
        self.prefix_only, self.merges = keeps.prefix_only, keeps.merges

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        return self.shares.allocate(scores, budget, low, high, mode)

    def min_budget(self, segments: int) -> int:
        return self.shares.min_budget(segments)

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints | None:
        return self.keeps.slots(k, total, seed)

    def merge_weights(self, features: Floats, k: int) -> Floats:
        return self.keeps.merge_weights(features, k)

    @property
    def parameters(self) -> dict[str, Any]:
        return {**self.shares.parameters, **self.keeps.parameters}


@contextmanager
def known_as(name: str, strategy: Strategy) -> Iterator[str]:
    """Make a strategy known to `allocate` by this name meanwhile; what had the name gets it back.

    Yields:
        the name.
    """
    before = STRATEGIES.get(name)
    register_strategy(name)(strategy)
    try:
        yield name
    finally:
        if before is None:
            del STRATEGIES[name]
        else:
            STRATEGIES[name] = before
