"""The strategies of token allocation: how a budget is shared, and which memory tokens stay.

"head" (the first k; what Tempo does), "tail", "random" and "tome" (bipartite merging down to k)
share the budget by the formula of `ata.py`. The baselines "topk", "uniform" and "none"
keep the head and share the budget by other rules; `absolute.py` has those that
fix min-max. numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from tempo_lab.common.errors import BudgetError, did_you_mean
from tempo_lab.common.text import one_line

Mode = Literal["strict", "faithful"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

EQUAL_RANGE = 1e-8  # scores closer together than this are one score


def equal(scores: Floats) -> bool:
    """Whether the scores are so close together that they rank nothing."""
    with np.errstate(all="ignore"):  # a range beyond float32 is infinite, one of NaN is NaN
        return bool(scores.max() - scores.min() < EQUAL_RANGE)


class Strategy:
    """Shares a budget among segments (`allocate`) and chooses the slots each keeps (`slots`).

    Subclass it and decorate the class with `@register_strategy("name")` to add one of your own.
    One with parameters is a frozen dataclass, which has defaults for all of them.
    """

    name = ""
    prefix_only = True  # the kept slots are always the first k: later ones need not be computed
    merges = False  # the kept tokens are mixtures of all slots: see `merge_weights`
    uses_scores = True  # tokens follow the scores, so equal scores are a special case
    scale_invariant = True  # only differences between scores count, not their size

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        """Tokens (wanted, given), int [segment], between `low` and `high` where possible.

        In strict mode `allocate` refuses what is given beyond `budget`, above `high` or below 0.
        """
        return _adaptive(scores, budget, low, high, mode)

    def min_budget(self, segments: int) -> int:
        """The smallest budget, in tokens, that gives every segment it keeps one token."""
        return segments

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints | None:
        """The k kept slots out of `total`, ascending; None if the strategy merges instead."""
        return np.arange(k)

    def merge_weights(self, features: Floats, k: int) -> Floats:
        """Weights [k, slot] that turn features [slot, hidden] into the k kept tokens."""
        raise NotImplementedError(f"strategy {self.name!r} keeps slots and mixes nothing")

    @property
    def parameters(self) -> dict[str, Any]:
        """What it was made with, by name; a trace records it beside the strategy's name."""
        return asdict(self) if is_dataclass(self) else {}


STRATEGIES: dict[str, Strategy] = {}
S = TypeVar("S", bound="type[Strategy] | Strategy")


def register_strategy(name: str) -> Callable[[S], S]:
    """Make a strategy known to `allocate` under `name`.

    It decorates a class, which is made with its defaults, or takes one with other parameters:
    `register_strategy("abstain-80")(Abstain(threshold=0.8))`. A later one takes the name over.

    Raises:
        BudgetError: what is registered is no `Strategy`, or its name is no text.
    """
    if not isinstance(name, str):
        raise BudgetError(
            "the name of a strategy is text", asked=one_line(repr(name), 120),
            found=type(name).__name__, fix='register_strategy("my-name")',
        )  # fmt: skip

    def register(given: S) -> S:
        strategy = given() if isinstance(given, type) else copy(given)
        if not isinstance(strategy, Strategy):
            raise BudgetError(
                "only a Strategy can be registered",
                asked=f"{strategy!r} as {name!r}",
                found=type(strategy).__name__,
                fix="a subclass of tempo_lab.allocation.ata.Strategy, or one made of it",
            )
        object.__setattr__(strategy, "name", name)  # it may be frozen
        STRATEGIES[name] = strategy
        return given

    return register


def find_strategy(name: str) -> Strategy:
    """The registered strategy of that name; `BudgetError` with the nearest name if none is."""
    if isinstance(name, str) and name in STRATEGIES:
        return STRATEGIES[name]
    raise BudgetError(
        "no such allocation strategy",
        asked=one_line(repr(name), 120),
        found=", ".join(sorted(STRATEGIES)),
        fix=did_you_mean(name, STRATEGIES, "name one of these, or register yours"),
    )


@register_strategy("head")
class Head(Strategy):
    """The first k memory tokens: attention is causal, so they are complete without the others."""


@register_strategy("tail")
class Tail(Strategy):
    """The last k memory tokens."""

    prefix_only = False

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints:
        return np.arange(total - k, total)


@register_strategy("random")
class Random(Strategy):
    """k memory tokens drawn without replacement, in their order, for each (seed, segment) anew."""

    prefix_only = False

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints:
        drawn = np.random.default_rng(seed).choice(total, size=k, replace=False)
        return np.sort(drawn).astype(np.int64)


@register_strategy("tome")
class ToMe(Strategy):
    """Token merging: the most similar pairs are averaged until k are left (Bolya et al. 2023)."""

    prefix_only = False
    merges = True

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints | None:
        return np.arange(total) if k == total else np.arange(0) if k == 0 else None

    def merge_weights(self, features: Floats, k: int) -> Floats:
        mixing = np.eye(len(features), dtype=np.float32)
        tokens = features
        while len(tokens) > max(k, 1):
            step = _merge(tokens, min(len(tokens) // 2, len(tokens) - k))
            tokens, mixing = step @ tokens, step @ mixing
        return mixing[:k]


def _merge(tokens: Floats, merged: int) -> Floats:
    """One round of bipartite merging as weights [token - merged, token].

    The even tokens look for their most similar odd token; the `merged` best pairs become plain
    means, whatever went into them before. Even tokens left alone come first, then the odd ones.
    """
    unit = tokens / np.linalg.norm(tokens, axis=-1, keepdims=True).clip(1e-12)
    similarity = unit[::2] @ unit[1::2].T  # [even, odd]
    partner = similarity.argmax(axis=1)
    order = np.argsort(-similarity.max(axis=1), kind="stable")
    weights = np.eye(len(tokens), dtype=np.float32)
    alone, into = weights[::2], weights[1::2].copy()
    for even in order[:merged]:
        into[partner[even], 2 * even] = 1
    into /= into.sum(axis=1, keepdims=True)
    return np.concatenate([alone[np.sort(order[merged:])], into])


@register_strategy("topk")
class TopK(Strategy):
    """Drop the lower-scoring half of the segments; the others share the budget evenly."""

    uses_scores = False

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        stays = np.argsort(-scores, kind="stable")[: self.min_budget(len(scores))]
        wanted = np.zeros(len(scores), dtype=np.int64)
        wanted[stays] = high
        return wanted, np.minimum(wanted, max(0, budget // len(stays)))

    def min_budget(self, segments: int) -> int:
        return segments - segments // 2


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
    """No allocation: all K tokens of every segment, if the budget holds them."""

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
                fix=f'a budget of {wanted.sum()}, or strategy "head", which chooses',
            )
        return wanted, wanted


def _adaptive(scores: Floats, budget: int, low: int, high: int, mode: Mode) -> tuple[Ints, Ints]:
    """The formula of `tempo_lab.allocation.ata`: tokens (wanted, given), int [segment]."""
    with np.errstate(all="ignore"):  # faithful lets infinities and NaN through on purpose
        if equal(scores):
            wanted = np.full(len(scores), high, dtype=np.int64)
            return wanted, np.minimum(wanted, budget // len(scores))
        if mode == "strict" and not np.isfinite(scores.max() - scores.min()):
            scores = scores / np.float32(2)  # z does not change, and the range fits float32
        z = (scores - scores.min()) / (scores.max() - scores.min())
    return share_by(z, scores, budget, low, high, mode)


def share_by(
    z: Floats, scores: Floats, budget: int, low: int, high: int, mode: Mode
) -> tuple[Ints, Ints]:
    """Tokens (wanted, given), int [segment], in proportion to z beyond the minimum.

    Args:
        z: float32 [segment], 0 for `low` tokens to 1 for `high`; follows the scores.
        scores: they rank segments of equal z where tokens are left over.
        budget, low, high, mode: as in `Strategy.allocate`.
    """
    n, strict = len(scores), mode == "strict"
    with np.errstate(all="ignore"):
        wanted = low + _floor(z * np.float32(high - low))
        if wanted.sum() <= budget:
            return wanted.clip(low, high), wanted.clip(low, high)
        extra = budget - n * low
        # An exactly rounded sum does not depend on the order of the segments.
        total = np.float32(math.fsum(z.tolist())) if strict else z.sum(dtype=np.float32)
        given = low + _floor(z / total * np.float32(extra))
    # Scores that differ may share a z in float32; strict still ranks them.
    largest_first = np.argsort(-scores if strict else -z, kind="stable")
    given[largest_first[: max(0, budget - int(given.sum()))]] += 1
    if strict:
        _take_back(given, largest_first, budget, low)
    return wanted.clip(low, high), given.clip(low, high)


def _floor(values: Floats) -> Ints:
    return np.nan_to_num(np.floor(values), nan=0.0).astype(np.int64)


def _take_back(given: Ints, largest_first: Ints, budget: int, low: int) -> None:
    """Undo what float32 rounded up: one token each from the smallest z that has one to spare."""
    while (excess := int(given.sum()) - budget) > 0:
        spare = largest_first[::-1][given[largest_first[::-1]] > low]
        given[spare[:excess]] -= 1
