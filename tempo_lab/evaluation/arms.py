"""The arms of `tempo_lab.evaluate`, by name or as allocation strategies. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tempo_lab.allocation import STRATEGIES, Strategy, find_strategy
from tempo_lab.allocation.arms import Arm
from tempo_lab.common.errors import BudgetError, TempoLabError, did_you_mean
from tempo_lab.common.text import one_line

DEFAULT_ARMS = ("head", "uniform", "topk")
BLIND = "blind"
"""Name of the arm that sees no video."""
SPECIAL: Mapping[str, dict[str, Any]] = {
    "all": {"strategy": "none"},
    "sparse": {"strategy": "none", "sparse": True},
    "shuffled": {"strategy": "head", "scores": "shuffled"},
    "oracle": {"strategy": "head", "scores": "oracle"},
    BLIND: {"strategy": "none", "blind": True},
}
"""Arms that are more than a strategy, by name: what they set of an `Arm`."""
WITHOUT_BUDGET = ("all", "none", BLIND)


def find_arms(arms: Sequence[str | Strategy], *, blind: bool = False) -> tuple[Arm, ...]:
    """Return the arms asked for, each once and without its budget.

    Args:
        arms: names of arms or strategies, or strategies, which need not be registered.
        blind: whether to add the arm "blind".

    Raises:
        BudgetError: no arm or strategy has such a name, or two different ones have the same name.
        TempoLabError: there is no arm.
    """
    if isinstance(arms, (str, Strategy)) or not arms:
        raise TempoLabError(
            "arms must be a list of names or strategies",
            asked=one_line(repr(arms), 120),
            fix='arms=["head", "uniform"]',
        )
    found: dict[str, Arm] = {}
    for asked in [*arms, BLIND] if blind else arms:
        if isinstance(asked, str) and asked in SPECIAL:
            arm = Arm(asked, budget=None, whole_video=True, **SPECIAL[asked])
        else:  # the strategy itself: a worker process may not have it registered
            _check_name(asked)
            strategy = find_strategy(asked)
            arm = Arm(strategy.name, strategy, None, whole_video=True)
        known = found.setdefault(arm.family, arm)
        if not _same(known, arm) or (arm.family in SPECIAL and arm.family != asked):
            raise BudgetError(
                "two arms have the same name",
                asked=one_line(repr(asked), 200),
                found=f"another arm named {arm.family!r}",
                fix='give one of them another name: strategy.named("my-name")',
            )
    return tuple(found.values())


def at_budgets(arms: Sequence[Arm], budgets: Sequence[int]) -> tuple[Arm, ...]:
    """Return each arm at each budget; arms with all tokens, or without any, have none.

    Args:
        arms: without budgets.
        budgets: memory tokens for the whole video.
    """
    return tuple(
        replace(arm, budget=budget)
        for arm in arms
        for budget in ((None,) if arm.family in WITHOUT_BUDGET else budgets)
    )


def _check_name(name: str | Strategy) -> None:
    known = sorted({*STRATEGIES, *SPECIAL})
    if isinstance(name, str) and name not in known:
        raise BudgetError(
            "no arm or allocation strategy has this name",
            asked=one_line(repr(name), 120),
            found=", ".join(known),
            fix=did_you_mean(name, known, "use one of these, a Strategy, or register yours"),
        )


def _same(one: Arm, other: Arm) -> bool:
    """Whether two arms of one name do the same."""
    first, second = one.strategy, other.strategy
    if isinstance(first, str) or isinstance(second, str):
        return first == second
    return type(first) is type(second) and first.parameters == second.parameters


def tuned_parameters(arm: Arm) -> dict[str, Any]:
    """Return the parameters of an arm's strategy that are not the defaults of its class."""
    if isinstance(arm.strategy, str):
        return {}
    kind = type(arm.strategy)
    return {
        name: value
        for name, value in arm.strategy.parameters.items()
        if not hasattr(kind, name) or repr(getattr(kind, name)) != repr(value)
    }
