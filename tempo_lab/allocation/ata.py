"""Adaptive Token Allocation (ATA): how many memory tokens each segment may keep, and which.

`allocate` turns one relevance score a segment and a budget into an `Allocation`; `keep_tokens`
applies it to a segment's memory tokens. numpy only.

The formula, with n segments, scores s, budget B, k_min = 4 and K memory tokens, in float32:

    z     = (s - min s) / (max s - min s)
    want  = k_min + floor(z * (K - k_min))
    given = want                                             if sum(want) <= B, else
            k_min + floor((B - n * k_min) * z / sum z),      the remainder 1 each to the largest z

Two modes share it. "strict" (the default) is never over budget, breaks ties towards the earlier
segment, and refuses input for which the formula has no meaning. "faithful" is the released
allocator with its faults: it exceeds the budget when there are more segments than tokens, lets
NaN through, and keeps the head whatever the strategy when all scores are equal.

What stays of a segment, and the baselines of this formula: `strategies.py`; what fixes its
faults: `absolute.py`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tempo_lab.allocation.absolute import Abstain, Floor, Temperature, Threshold
from tempo_lab.allocation.strategies import (
    STRATEGIES,
    Floats,
    Ints,
    Mode,
    Strategy,
    equal,
    find_strategy,
    register_strategy,
)
from tempo_lab.allocation.strategy_checks import check_share, check_slots
from tempo_lab.common.errors import BudgetError, did_you_mean
from tempo_lab.common.text import one_line

__all__ = [
    "STRATEGIES", "Abstain", "Allocation", "Floor", "Strategy", "Temperature", "Threshold",
    "allocate", "keep_tokens", "register_strategy",
]  # fmt: skip

# beyond these, sums over segments would not fit 64 bits
MOST_BUDGET, MOST_SLOTS = 2**62, 2**31


@dataclass(frozen=True, eq=False)
class Allocation:
    """How many memory tokens each segment wanted and was given, and which slots it keeps.

    Attributes:
        scores: float32 [segment], the relevance that decided.
        wanted: int [segment], tokens before the budget spoke.
        tokens: int [segment], tokens given.
        budget: tokens, for all segments together.
        strategy: name in `STRATEGIES`.
        mode: "strict" or "faithful".
        min_tokens: tokens a segment at least, after the budget lowered it.
        max_tokens: K, the memory slots of a segment.
        seed: of the strategies that draw.
        chosen: slots of each segment, int [kept] ascending, where they were chosen by hand and
            not by the strategy.
    """

    scores: Floats
    wanted: Ints
    tokens: Ints
    budget: int
    strategy: str = "head"
    mode: Mode = "strict"
    min_tokens: int = 4
    max_tokens: int = 128
    seed: int = 0
    chosen: tuple[Ints, ...] | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("scores", np.float32), ("wanted", np.int64), ("tokens", np.int64)):
            array = np.array(getattr(self, name), dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if not self.scores.shape == self.wanted.shape == self.tokens.shape:
            raise BudgetError(
                "scores, wanted and tokens must name the same segments",
                found=f"shapes {self.scores.shape}, {self.wanted.shape}, {self.tokens.shape}",
            )
        if self.chosen is not None:
            check_slots(self.chosen, self.tokens, self.max_tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def used(self) -> int:
        """Tokens given to all segments together."""
        return int(self.tokens.sum())

    @cached_property
    def rule(self) -> Strategy:
        """The strategy that chooses slots; the released code keeps the head of equal scores."""
        strategy = find_strategy(self.strategy)
        unranked = self.mode == "faithful" and strategy.uses_scores and equal(self.scores)
        return STRATEGIES["head"] if unranked else strategy

    @property
    def merged(self) -> bool:
        """Whether kept tokens are mixtures, so that no slot can be called kept."""
        return self.chosen is None and self.rule.merges

    def slots(self, segment: int) -> Ints | None:
        """The slots that a segment keeps, int [kept] ascending; None where they are merged."""
        if self.chosen is not None:
            return self.chosen[segment]
        k = int(self.tokens[segment])
        return self.rule.slots(k, self.max_tokens, (self.seed, segment % len(self)))

    @cached_property
    def needed(self) -> Ints:
        """int [segment]: how many memory tokens must be computed, from the first on."""
        if self.chosen is None and self.rule.prefix_only:
            return self.tokens
        every = (self.slots(segment) for segment in range(len(self)))
        return np.array(
            [self.max_tokens if s is None else 0 if len(s) == 0 else s[-1] + 1 for s in every],
            dtype=np.int64,
        )

    @property
    def kept(self) -> NDArray[np.bool_]:
        """bool [segment, slot]: the slots kept; all False for a segment whose slots are merged."""
        kept = np.zeros((len(self), self.max_tokens), dtype=bool)
        for segment in range(len(self)):
            if (slots := self.slots(segment)) is not None:
                kept[segment, slots] = True
        return kept


def allocate(
    scores: ArrayLike,
    budget: int,
    *,
    strategy: str = "head",
    mode: Mode = "strict",
    min_tokens: int = 4,
    max_tokens: int = 128,
    seed: int = 0,
) -> Allocation:
    """Share `budget` tokens among segments by their relevance.

    Args:
        scores: relevance, float [segment]; computed with in float32.
        budget: memory tokens for the whole video.
        strategy: name in `STRATEGIES`.
        mode: "strict" never exceeds the budget; "faithful" repeats the released allocator.
        min_tokens: tokens a segment at least; lowered where the budget cannot pay them. With 0,
            the least relevant segments may get nothing.
        max_tokens: K, the memory slots of a segment.
        seed: of the strategies that draw.

    Raises:
        BudgetError: unknown strategy or mode, no segments, a budget or seed that is no whole
            number or has no meaning; and in strict mode a score that is not finite, fewer tokens
            than segments, or a strategy that breaks the rules of `Strategy.allocate`.

    >>> allocate([0.1, 0.9, 0.4], 60, max_tokens=48).tokens.tolist()
    [4, 39, 17]
    """
    rule = find_strategy(strategy)
    if mode not in ("strict", "faithful"):
        raise BudgetError(
            "no such allocation mode",
            asked=repr(mode),
            found="strict, faithful",
            fix=did_you_mean(mode, ("strict", "faithful"), "use one of these"),
        )
    array = as_scores(scores)
    if array.ndim != 1 or array.size == 0:
        raise BudgetError(
            "allocation needs one score a segment", found=f"scores of shape {array.shape}"
        )
    budget = _whole("budget", budget, MOST_BUDGET)
    low, high = (
        _whole(name, value, MOST_SLOTS)
        for name, value in (("min_tokens", min_tokens), ("max_tokens", max_tokens))
    )
    seed = _whole("seed", seed, MOST_BUDGET)
    if seed < 0:
        raise BudgetError("seed must not be negative", asked=seed, fix="a seed of 0 or more")
    if mode == "strict":
        if low < 0 or high < 1:
            raise BudgetError(
                "a segment keeps 0 tokens at least, and has 1 memory slot at least",
                asked=f"min_tokens {low}, max_tokens {high}",
            )
        low = min(low, high)
        _refuse_meaningless(array, budget, low, rule)
    if len(array) * low > budget:
        low = max(1, budget // len(array))
    wanted, tokens = rule.allocate(array, budget, low, high, mode)
    if mode == "strict":
        check_share(np.asarray(tokens), budget, high, strategy)
    return Allocation(array, wanted, tokens, budget, strategy, mode, low, high, seed)


def as_scores(scores: ArrayLike) -> Floats:
    """Relevance scores as float32, in their shape; text is no number, whatever it spells.

    Raises:
        BudgetError: they are not numbers.
    """
    try:
        array = np.asarray(scores)
    except (TypeError, ValueError) as error:
        found = str(error)
    else:
        if array.dtype.kind in "biuf":
            with np.errstate(over="ignore"):  # infinite, which strict refuses by name
                return array.astype(np.float32)
        found = f"{type(scores).__name__} of {array.dtype}"
    raise BudgetError(
        "scores are numbers",
        asked=one_line(repr(scores), 120),
        found=found,
        fix="one number per segment, as in [0.1, 0.9, 0.4]",
    )


def _whole(name: str, value: Any, most: int) -> int:
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise BudgetError(
            f"{name} must be a whole number",
            asked=one_line(repr(value), 120),
            found=type(value).__name__,
        ) from None
    if abs(number) > most:
        raise BudgetError(
            f"{name} is too large to count with",
            asked=f"a {name} of about 2**{number.bit_length() - 1}",
            fix=f"{most} at most",
        )
    return number


def _refuse_meaningless(scores: Floats, budget: int, low: int, rule: Strategy) -> None:
    n = len(scores)
    if not np.isfinite(scores).all():
        bad = np.flatnonzero(~np.isfinite(scores))
        raise BudgetError(
            "a relevance score is not a finite number",
            found=f"{scores[bad[0]]} in segment {bad[0]} ({len(bad)} of {n} segments)",
            fix="look at the frames and the weights of the model; no tokens can be shared by this",
        )
    # With min_tokens 0 a ranking may leave segments out; equal scores rank nothing.
    fewest = 1 if low == 0 and rule.uses_scores and not equal(scores) else rule.min_budget(n)
    if budget < fewest:
        raise BudgetError(
            "the budget is below one token a segment",
            asked=f"budget {budget} for {n} segments",
            found=f"the smallest budget that works is {fewest}; {max(budget, 0)} tokens "
            f"hold {max(budget, 0)} segments",
            fix=f"a budget of {fewest} or more, or fewer segments (a lower fps or max_frames)",
        )


def keep_tokens(features: Any, allocation: Allocation, segment: int) -> Any:
    """The memory tokens that one segment keeps.

    Args:
        features: [slot, hidden], numpy or torch: the first `allocation.needed[segment]` slots
            at least, of any float type.
        allocation: from `allocate`.
        segment: which segment the features belong to.

    Returns:
        [kept, hidden], of the kind, type and device of `features`.

    Raises:
        BudgetError: fewer slots than needed, or no such segment.
    """
    segment = _whole("segment", segment, MOST_SLOTS)
    if not -len(allocation) <= segment < len(allocation):
        raise BudgetError(
            "no such segment", asked=f"segment {segment}", found=f"{len(allocation)} segments"
        )
    needed = int(allocation.needed[segment])
    if len(features) < needed:
        raise BudgetError(
            "too few memory tokens to keep from",
            asked=f"{needed} tokens of segment {segment}",
            found=f"features of {len(features)} tokens",
        )
    slots = allocation.slots(segment)
    if slots is not None:
        return features[slots]
    k = int(allocation.tokens[segment])
    if isinstance(features, np.ndarray):
        tokens = features.astype(np.float32)
        return (allocation.rule.merge_weights(tokens, k) @ tokens).astype(features.dtype)
    tokens = features.detach().float()  # torch, known by what it can do: nothing is imported
    mixing = tokens.new_tensor(allocation.rule.merge_weights(tokens.cpu().numpy(), k))
    return (mixing @ tokens).to(features.dtype)
