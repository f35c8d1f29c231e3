"""Arms by name and as strategies: which ones there are, and when two have the same name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tempo_lab.allocation import STRATEGIES, Abstain, Head, Strategy, register_strategy
from tempo_lab.common.errors import BudgetError, TempoLabError
from tempo_lab.evaluation.arms import at_budgets, find_arms, tuned_parameters


class First(Strategy):
    """Everything to the first segment."""

    def allocate(self, scores, budget, low, high, mode):
        tokens = np.zeros(len(scores), dtype=np.int64)
        tokens[0] = min(budget, high)
        return tokens, tokens


@dataclass(frozen=True)
class Fixed(Strategy):
    """The same few tokens for each segment."""

    tokens: int = 1


def test_arms_have_a_name_and_budgets():
    found = find_arms(["head", "all", First(), Abstain(0.8).named("strict"), "blind", "head"])
    arms = at_budgets(found, (4, 8))
    assert [arm.name for arm in arms] == [
        "head 4", "head 8", "all", "First 4", "First 8", "strict 4", "strict 8", "blind",
    ]  # fmt: skip
    assert [arm.family for arm in arms if arm.blind] == ["blind"]
    assert arms[5].strategy.parameters["threshold"] == 0.8


def test_a_registered_strategy_travels_with_its_arm():
    """A worker process has not registered it."""
    register_strategy("mine")(First)
    try:
        (arm,) = find_arms(["mine"])
    finally:
        del STRATEGIES["mine"]
    assert isinstance(arm.strategy, First)
    assert arm.family == "mine"


@pytest.mark.parametrize(
    "arms",
    [
        [First(), Head().named("First")],
        [Fixed(1).named("few"), Fixed(2).named("few")],
        [First().named("oracle")],
        ["all", First().named("all")],
    ],
)
def test_two_arms_of_one_name_are_refused(arms):
    with pytest.raises(BudgetError, match="same name"):
        find_arms(arms)


def test_the_same_arm_twice_is_one_arm():
    assert [arm.family for arm in find_arms(["blind", "head"], blind=True)] == ["blind", "head"]
    assert len(find_arms([First(), First(), Fixed(2), Fixed(2), Fixed(3)])) == 3


def test_what_is_no_arm_is_refused():
    for arms in ("head", First(), [], ()):
        with pytest.raises(TempoLabError, match="must be a list"):
            find_arms(arms, blind=True)
    for name in (First, 3):
        with pytest.raises(BudgetError, match="no such allocation strategy"):
            find_arms([name])
    for name, near in (("unifrom", "uniform"), ("orcale", "oracle")):
        with pytest.raises(BudgetError, match=f"(?s)found: .*oracle.*did you mean '{near}'"):
            find_arms([name])


def test_parameters_that_are_not_the_defaults_are_known():
    arms = find_arms(["abstain", "head", Abstain(0.8).named("high"), Fixed(2)])
    tuned = [tuned_parameters(arm) for arm in arms]
    assert tuned == [{}, {}, {"threshold": 0.8}, {"tokens": 2}]
