"""Allocation strategies: how a budget is shared, and which memory tokens of a segment stay.

"head" (the first k; what Tempo does), "tail", "random" and "tome" (bipartite merging down to k)
share the budget by the formula of `ata.py`. `baselines.py` has the strategies that the formula is
compared with, `absolute.py` those that fix its faults. numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import copy
from dataclasses import asdict, is_dataclass
from typing import Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from tempo_lab.common.deprecation import warn_renamed
from tempo_lab.common.errors import BudgetError, did_you_mean
from tempo_lab.common.text import one_line

Mode = Literal["strict", "faithful"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

EQUAL_RANGE = 1e-8  # scores closer together than this count as equal
RENAMED = {
    "share": "allocate",
    "fewest": "min_budget",
    "graded": "uses_scores",
    "relative": "scale_invariant",
    "mix": "merge_weights",
}
"""Old names of a strategy's methods and attributes, which work for one version."""


class Strategy:
    """Shares a budget among segments (`allocate`) and chooses the slots each keeps (`slots`).

    To add one, subclass it and decorate the class with `@register_strategy("name")`, or pass an
    object of it as `allocate(..., strategy=...)`. A strategy with parameters is a frozen dataclass
    that has defaults for all of them.
    """

    name = ""
    prefix_only = True  # the kept slots are always the first k: later ones need not be computed
    merges = False  # the kept tokens are mixtures of all slots: see `merge_weights`
    uses_scores = True  # tokens follow the scores, so equal scores are a special case
    scale_invariant = True  # scores are only compared, so nearly equal ones are spread as well

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        _support_old_names(cls)

    def allocate(
        self, scores: Floats, budget: int, low: int, high: int, mode: Mode
    ) -> tuple[Ints, Ints]:
        """Return tokens (wanted, given), int [segment], between `low` and `high` where possible.

        In strict mode `tempo_lab.allocate` raises an error if the tokens given sum to more than
        `budget`, or if a segment has more than `high` or less than 0.
        """
        return _min_max(scores, budget, low, high, mode)

    def min_budget(self, segments: int) -> int:
        """Return the smallest budget that gives one token to every segment that is kept."""
        return segments

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints | None:
        """Return the k kept slots out of `total`, ascending; None if the strategy merges."""
        return np.arange(k)

    def merge_weights(self, features: Floats, k: int) -> Floats:
        """Return weights [k, slot] that turn features [slot, hidden] into the k kept tokens."""
        raise NotImplementedError(f"strategy {self.name!r} keeps slots and merges nothing")

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters by name; a trace records them with the strategy's name."""
        return asdict(self) if is_dataclass(self) else {}

    def named(self, name: str) -> Self:
        """Return a copy under another name."""
        strategy = copy(self)
        object.__setattr__(strategy, "name", name)  # it may be frozen
        return strategy


class _OldName:
    """An old name of a method or an attribute of `Strategy`: it warns and leads to the new one."""

    def __init__(self, old: str, value: Any) -> None:
        self.old, self.value = old, value

    def __get__(self, strategy: Strategy | None, kind: type[Strategy]) -> Any:
        warn_renamed(f"Strategy.{self.old}", RENAMED[self.old])
        if callable(self.value):  # that of this class: `super().share` must not come back
            return self.value.__get__(strategy, kind)
        return getattr(kind if strategy is None else strategy, RENAMED[self.old])

    def __set__(self, strategy: Strategy, value: Any) -> None:
        warn_renamed(f"Strategy.{self.old}", RENAMED[self.old])
        setattr(strategy, RENAMED[self.old], value)


def _support_old_names(cls: type) -> None:
    """Use what a class defines under an old name, and keep the old names of the new ones."""
    for old, new in RENAMED.items():
        for names in map(vars, cls.__mro__):  # a mixin counts as well
            if new in names:
                break
            # a parameter may have the old name of a method
            same_kind = callable(names.get(old)) == callable(vars(Strategy)[new])
            if same_kind and old in names and not isinstance(names[old], _OldName):
                warn_renamed(f"{cls.__qualname__}.{old}", new, stacklevel=3)
                setattr(cls, new, names[old])
                break
        if new in vars(cls) and old not in vars(cls):
            setattr(cls, old, _OldName(old, vars(cls)[new]))


_support_old_names(Strategy)

STRATEGIES: dict[str, Strategy] = {}
"""Registered strategies by name."""
S = TypeVar("S", bound="type[Strategy] | Strategy")


def register_strategy(name: str) -> Callable[[S], S]:
    """Make a strategy available to `allocate` under `name`.

    It decorates a class, which is created with its defaults, or takes an object:
    `register_strategy("abstain-80")(Abstain(threshold=0.8))`. It replaces a strategy of that name.

    Raises:
        BudgetError: the object is not a `Strategy`, or the name is not a string.
    """
    if not isinstance(name, str):
        raise BudgetError(
            "the name of a strategy must be a string", asked=one_line(repr(name), 120),
            found=type(name).__name__, fix='register_strategy("my-name")',
        )  # fmt: skip

    def register(kind: S) -> S:
        strategy = kind() if isinstance(kind, type) else kind
        if not isinstance(strategy, Strategy):
            raise BudgetError(
                "only a Strategy can be registered",
                asked=f"{strategy!r} as {name!r}",
                found=type(strategy).__name__,
                fix="use a subclass of tempo_lab.allocation.Strategy, or an object of one",
            )
        STRATEGIES[name] = strategy.named(name)
        return kind

    return register


def find_strategy(strategy: str | Strategy) -> Strategy:
    """Return the strategy that is registered under a name, or a `Strategy` object as it is.

    An object without a name is named after its class and parameters.

    Raises:
        BudgetError: no strategy has that name, or the object has the name of another one.
    """
    if isinstance(strategy, Strategy):
        if not strategy.name:
            kind = type(strategy).__name__
            strategy = strategy.named(
                one_line(repr(strategy), 120) if strategy.parameters else kind
            )
        known = STRATEGIES.get(strategy.name, strategy)
        if type(known) is type(strategy) and known.parameters == strategy.parameters:
            return strategy
        raise BudgetError(
            "another strategy is registered under the name of this one",
            asked=one_line(f"{strategy!r} named {strategy.name!r}", 200),
            found=one_line(repr(known), 120),
            fix='use strategy.named("my-name"), or register it to replace the other one',
        )
    if isinstance(strategy, str) and strategy in STRATEGIES:
        return STRATEGIES[strategy]
    raise BudgetError(
        "no such allocation strategy",
        asked=one_line(repr(strategy), 120),
        found=", ".join(sorted(STRATEGIES)),
        fix=did_you_mean(strategy, STRATEGIES, "use one of these, a Strategy, or register yours"),
    )


@register_strategy("head")
class Head(Strategy):
    """Keep the first k memory tokens: by causal attention they do not depend on later ones."""


@register_strategy("tail")
class Tail(Strategy):
    """Keep the last k memory tokens."""

    prefix_only = False

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints:
        return np.arange(total - k, total)


@register_strategy("random")
class Random(Strategy):
    """Keep k memory tokens in order, drawn without replacement for each (seed, segment)."""

    prefix_only = False

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints:
        drawn = np.random.default_rng(seed).choice(total, size=k, replace=False)
        return np.sort(drawn).astype(np.int64)


@register_strategy("tome")
class ToMe(Strategy):
    """Merge tokens: average the most similar pairs until k are left (Bolya et al. 2023)."""

    prefix_only = False
    merges = True

    def slots(self, k: int, total: int, seed: tuple[int, int]) -> Ints | None:
        return np.arange(total) if k == total else np.arange(0) if k == 0 else None

    def merge_weights(self, features: Floats, k: int) -> Floats:
        weights = np.eye(len(features), dtype=np.float32)
        tokens = features
        while len(tokens) > max(k, 1):
            step = _merge(tokens, min(len(tokens) // 2, len(tokens) - k))
            tokens, weights = step @ tokens, step @ weights
        return weights[:k]


def _merge(tokens: Floats, merged: int) -> Floats:
    """Return one round of bipartite merging as weights [token - merged, token].

    Each even token is paired with its most similar odd token; the `merged` best pairs become plain
    means, whatever was merged into them before. The other even tokens come first, then the odd.
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


class Pair(Strategy):
    """Shares the budget as one strategy does, and keeps the slots that another one would.

    Args:
        shares: whose `allocate` is used.
        keeps: whose `slots` or `merge_weights` is used.
    """

    def __init__(self, shares: Strategy, keeps: Strategy) -> None:
        self.shares, self.keeps = shares, keeps
        self.name = f"{shares.name}, {keeps.name}"
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


def equal(scores: Floats) -> bool:
    """Return whether the scores are so close together that they rank nothing."""
    with np.errstate(all="ignore"):  # a range beyond float32 is infinite, one of NaN is NaN
        return bool(scores.max() - scores.min() < EQUAL_RANGE)


def _min_max(scores: Floats, budget: int, low: int, high: int, mode: Mode) -> tuple[Ints, Ints]:
    """Return tokens (wanted, given), int [segment], by the formula of `ata.py`."""
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
    """Return tokens (wanted, given), int [segment], in proportion to z beyond the minimum.

    Args:
        z: float32 [segment], 0 for `low` tokens to 1 for `high`; ordered like the scores.
        scores: rank segments of equal z when the remainder is given out.
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
        tokens = low + _floor(z / total * np.float32(extra))
    # Different scores may have equal z in float32; strict still ranks them.
    largest_first = np.argsort(-scores if strict else -z, kind="stable")
    tokens[largest_first[: max(0, budget - int(tokens.sum()))]] += 1
    if strict:
        _take_back(tokens, largest_first, budget, low)
    return wanted.clip(low, high), tokens.clip(low, high)


def _floor(values: Floats) -> Ints:
    return np.nan_to_num(np.floor(values), nan=0.0).astype(np.int64)


def _take_back(tokens: Ints, largest_first: Ints, budget: int, low: int) -> None:
    """Undo what float32 rounded up: one token each from the smallest z that are above `low`."""
    while (excess := int(tokens.sum()) - budget) > 0:
        spare = largest_first[::-1][tokens[largest_first[::-1]] > low]
        tokens[spare[:excess]] -= 1
