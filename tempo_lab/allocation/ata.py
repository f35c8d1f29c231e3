"""Adaptive Token Allocation (ATA): how many memory tokens each segment may keep, and which.

`allocate` turns one relevance score per segment and a budget into an `Allocation`; `keep_tokens`
applies it to the memory tokens of a segment. numpy only.

The formula, with n segments, scores s, budget B, k_min = 4 and K memory tokens, in float32:

    z      = (s - min s) / (max s - min s)
    wanted = k_min + floor(z * (K - k_min))
    tokens = wanted                                           if sum(wanted) <= B, else
             k_min + floor((B - n * k_min) * z / sum z),      the remainder 1 each to the largest z

Two modes share it. "strict" (the default) is never over budget, breaks ties towards the earlier
segment, and raises an error for input for which the formula has no meaning. "faithful" is the
released allocator with its faults: it exceeds the budget when there are more segments than tokens,
lets NaN through, and keeps the head whatever the strategy when all scores are equal.

Which tokens of a segment stay: `strategies.py`; the baselines of this formula: `baselines.py`;
what fixes its faults: `absolute.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tempo_lab.allocation.strategies import (
    STRATEGIES,
    Floats,
    Ints,
    Mode,
    Strategy,
    equal,
    find_strategy,
)
from tempo_lab.common.errors import BudgetError, StrategyError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole

# beyond these, sums over segments would not fit 64 bits
MAX_BUDGET, MAX_SLOTS = 2**62, 2**31


@dataclass(frozen=True, eq=False)
class Allocation:
    """How many memory tokens each segment wanted and was given, and which slots it keeps.

    Attributes:
        scores: float32 [segment], the relevance that was used.
        wanted: int [segment], tokens before the budget was applied.
        tokens: int [segment], tokens given.
        budget: tokens, for all segments together.
        strategy: its name.
        mode: "strict" or "faithful".
        min_tokens: smallest number of tokens per segment, as lowered for the budget.
        max_tokens: K, the memory slots of a segment.
        seed: of strategies that draw.
        chosen: slots of each segment, int [kept] ascending, if they were chosen by hand and not by
            the strategy.
        strategy_object: the strategy itself; None if only its name is recorded, which is then
            looked up in `STRATEGIES` when it is needed.
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
    strategy_object: Strategy | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, dtype in (("scores", np.float32), ("wanted", np.int64), ("tokens", np.int64)):
            array = np.array(getattr(self, name), dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if not self.scores.shape == self.wanted.shape == self.tokens.shape:
            raise BudgetError(
                "scores, wanted and tokens must have one value per segment each",
                found=f"shapes {self.scores.shape}, {self.wanted.shape}, {self.tokens.shape}",
            )
        if self.chosen is not None:
            _check_slots(self.chosen, self.tokens, self.max_tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def used(self) -> int:
        """Tokens given to all segments together."""
        return int(self.tokens.sum())

    @cached_property
    def rule(self) -> Strategy:
        """The strategy that chooses slots; the released code keeps the head of equal scores."""
        strategy = self.strategy_object or find_strategy(self.strategy)
        unranked = self.mode == "faithful" and strategy.uses_scores and equal(self.scores)
        return STRATEGIES["head"] if unranked else strategy

    @property
    def merged(self) -> bool:
        """Whether the kept tokens are mixtures of slots, so that no single slot is kept."""
        return self.chosen is None and self.rule.merges

    def slots(self, segment: int) -> Ints | None:
        """Return the slots that a segment keeps, int [kept] ascending; None if they are merged."""
        if self.chosen is not None:
            return self.chosen[segment]
        k = int(self.tokens[segment])
        return self.rule.slots(k, self.max_tokens, (self.seed, segment % len(self)))

    @cached_property
    def needed(self) -> Ints:
        """int [segment], how many memory tokens must be computed, counted from the first."""
        if self.chosen is None and self.rule.prefix_only:
            return self.tokens
        every = (self.slots(segment) for segment in range(len(self)))
        return np.array(
            [self.max_tokens if s is None else 0 if len(s) == 0 else s[-1] + 1 for s in every],
            dtype=np.int64,
        )

    @property
    def kept(self) -> NDArray[np.bool_]:
        """bool [segment, slot], the slots kept; all False for a segment whose slots are merged."""
        kept = np.zeros((len(self), self.max_tokens), dtype=bool)
        for segment in range(len(self)):
            if (slots := self.slots(segment)) is not None:
                kept[segment, slots] = True
        return kept


def allocate(
    scores: ArrayLike,
    budget: int,
    *,
    strategy: str | Strategy = "head",
    mode: Mode = "strict",
    min_tokens: int = 4,
    max_tokens: int = 128,
    seed: int = 0,
) -> Allocation:
    """Share `budget` tokens among segments by their relevance.

    Args:
        scores: relevance, float [segment]; computed with in float32.
        budget: memory tokens for the whole video.
        strategy: a name in `STRATEGIES`, or a `Strategy`.
        mode: "strict" never exceeds the budget; "faithful" repeats the released allocator.
        min_tokens: smallest number of tokens per segment; lowered if the budget is too small for
            it. With 0, the least relevant segments may get nothing.
        max_tokens: K, the memory slots of a segment.
        seed: of strategies that draw.

    Raises:
        BudgetError: unknown strategy or mode, no segments, a budget or seed that is not a whole
            number or has no meaning; and in strict mode a score that is not finite, or fewer
            tokens than segments.
        StrategyError: in strict mode, a strategy breaks the rules of `Strategy.allocate`.

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
            "allocation needs one score per segment",
            found=f"scores of shape {array.shape}",
            fix="one number per segment, as in [0.1, 0.9, 0.4]",
        )
    strict = mode == "strict"
    budget = check_whole(
        "budget", budget, -MAX_BUDGET, MAX_BUDGET, error=BudgetError,
        fix=f"use a whole number of tokens, {MAX_BUDGET} at most",
    )  # fmt: skip
    low = check_whole(
        "min_tokens", min_tokens, 0 if strict else -MAX_SLOTS, MAX_SLOTS, error=BudgetError
    )
    high = check_whole(
        "max_tokens", max_tokens, 1 if strict else -MAX_SLOTS, MAX_SLOTS, error=BudgetError
    )
    seed = check_whole("seed", seed, 0, MAX_BUDGET, error=BudgetError)
    if strict:
        low = min(low, high)
        _check_enough(array, budget, low, rule)
    if len(array) * low > budget:
        low = max(1, budget // len(array))
    wanted, tokens = rule.allocate(array, budget, low, high, mode)
    if strict:
        _check_tokens(np.asarray(tokens), budget, high, rule.name)
    return Allocation(
        array, wanted, tokens, budget, rule.name, mode, low, high, seed, strategy_object=rule
    )


def as_scores(scores: ArrayLike) -> Floats:
    """Return relevance scores as float32, in their shape; strings are refused.

    Raises:
        BudgetError: the scores are not numbers.
    """
    try:
        array = np.asarray(scores)
    except (TypeError, ValueError) as error:
        found = str(error)
    else:
        if array.dtype.kind in "biuf":
            with np.errstate(over="ignore"):  # becomes infinite, which strict mode refuses
                return array.astype(np.float32)
        found = f"{type(scores).__name__} of {array.dtype}"
    raise BudgetError(
        "scores must be numbers",
        asked=one_line(repr(scores), 120),
        found=found,
        fix="one number per segment, as in [0.1, 0.9, 0.4]",
    )


def _check_enough(scores: Floats, budget: int, low: int, rule: Strategy) -> None:
    n = len(scores)
    if not np.isfinite(scores).all():
        bad = np.flatnonzero(~np.isfinite(scores))
        raise BudgetError(
            "a relevance score is not a finite number",
            found=f"{scores[bad[0]]} in segment {bad[0]} ({len(bad)} of {n} segments)",
            fix="check the frames and the weights of the model",
        )
    # With min_tokens 0 a ranking may leave segments out; equal scores rank nothing.
    ranked = low == 0 and rule.uses_scores and not equal(scores)
    smallest = 1 if ranked else rule.min_budget(n)
    if budget < smallest:
        raise BudgetError(
            "the budget is below one token per segment",
            asked=f"budget {budget} for {n} segments",
            found=f"the smallest budget that works is {smallest}; {max(budget, 0)} tokens "
            f"hold {max(budget, 0)} segments",
            fix=f"use a budget of {smallest} or more, or fewer segments (a lower fps or "
            "max_frames)",
        )


def _check_tokens(tokens: NDArray[Any], budget: int, high: int, strategy: str) -> None:
    """Check what strict mode guarantees of every strategy, a user's too; tokens are [segment]."""
    found = None
    if not np.issubdtype(tokens.dtype, np.integer):
        found = f"tokens of type {tokens.dtype}"
    elif tokens.min(initial=0) < 0:
        found = f"{tokens.min()} tokens in segment {tokens.argmin()}"
    elif tokens.max(initial=0) > high:
        found = f"{tokens.max()} tokens in segment {tokens.argmax()}"
    elif (used := int(tokens.sum())) > budget:
        found = f"{used} tokens in all"
    if found is not None:
        raise StrategyError(
            f"the strategy {strategy!r} returned an invalid allocation",
            asked=f"a budget of {budget}, 0 to {high} whole tokens per segment",
            found=found,
            fix='correct its `allocate`, or use mode="faithful", which does not check',
        )


def _check_slots(chosen: Sequence[Ints], tokens: Ints, total: int) -> None:
    """Check that slots chosen by hand, of `total`, are ascending and as many as the tokens."""
    counts = [len(slots) for slots in chosen]
    valid = all((np.diff([-1, *slots, total]) > 0).all() for slots in chosen)
    if counts != tokens.tolist() or not valid:
        raise BudgetError(
            "the chosen slots do not match the tokens given",
            asked=f"slots {[slots.tolist() for slots in chosen]}",
            found=f"{tokens.tolist()} tokens, {total} slots per segment",
            fix="give as many slots per segment as it has tokens, ascending, without repeats, "
            f"each below {total}",
        )


def keep_tokens(features: Any, allocation: Allocation, segment: int) -> Any:
    """Return the memory tokens that one segment keeps.

    Args:
        features: [slot, hidden], numpy or torch, of any float type; at least the first
            `allocation.needed[segment]` slots.
        allocation: from `allocate`.
        segment: the segment that the features belong to.

    Returns:
        [kept, hidden], of the library, type and device of `features`.

    Raises:
        BudgetError: there are fewer slots than needed, or there is no such segment.
    """
    n = len(allocation)
    segment = check_whole("segment", segment, -n, n - 1, error=BudgetError)
    needed = int(allocation.needed[segment])
    if len(features) < needed:
        raise BudgetError(
            "there are fewer memory tokens than the allocation keeps",
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
    tokens = features.detach().float()  # a torch tensor; torch is not imported here
    weights = tokens.new_tensor(allocation.rule.merge_weights(tokens.cpu().numpy(), k))
    return (weights @ tokens).to(features.dtype)
