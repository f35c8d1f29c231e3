"""Checks of notebook 05."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tempo_lab.allocation import STRATEGIES, allocate
from tempo_lab.course.checking import check, number, numbers, words
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_run
from tempo_lab.course.setup import truth
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace

_WANTED = [2, 9, 2, 16, 5, 2]


@check(
    right=[(_WANTED,), (tuple(_WANTED),), (np.array(_WANTED),), ([float(t) for t in _WANTED],)],
    wrong=[([0, 8, 0, 16, 4, 0],), ([2, 10, 2, 16, 6, 2],), ([16] * 6,), (_WANTED[:5],), (36,)],
)
def check_wanted(answer: Any) -> str | None:
    """Tokens wanted by 0.1 0.5 0.1 0.9 0.3 0.1, with at least 2 and at most 16."""
    values = numbers(answer)
    if len(values) != 6:
        return "Give six numbers, one per segment."
    if values == _WANTED:
        return None
    if min(values) < 2:
        return "No segment gets less than the minimum of 2."
    if max(values) > 16 or values[3] != 16:
        return "The most relevant segment wants all 16, and no segment can have more."
    return "Subtract the lowest score, divide by the range, multiply by 14, round down, add 2."


@check(
    right=[(0.25,), (0.2499999,), (np.float64(0.25),), ("0.25",)],
    wrong=[(0.8,), (0.2,), (1.0,), (0.0,), (3,)],
)
def check_outlier(answer: Any) -> str | None:
    """z of a score of 0.25 where the others go from 0.05 to 0.85 (with an outlier)."""
    value = number(answer)
    if abs(value - 0.25) < 1e-3:
        return None
    if abs(value - 0.8) < 1e-3:
        return "This is the value of z without the outlier."
    return "Subtract the lowest score, then divide by the range of the scores with the outlier."


@check(
    right=[("abstain",), ("threshold",), ("temperature",), ("Abstain ",), (["threshold"],)],
    wrong=[("head",), ("floor",), ("uniform",), ("topk",), (["abstain", "head"],), ("nothing",)],
)
def check_absence(answer: Any) -> str | None:
    """A strategy that uses fewer tokens than the formula where nothing is relevant."""
    scores = np.array([0.001, 0.0, 0.003, 0.001, 0.002, 0.0])
    for name in words(answer):
        if name not in STRATEGIES:
            return f"There is no strategy {name!r}. The table above lists five strategies."
        used = allocate(scores, 60, strategy=name, min_tokens=2, max_tokens=16).used
        if used > 12:
            return f"Strategy {name!r} uses {used} of 60 tokens although nothing is relevant."
    return None


def _by_softmax(scores: np.ndarray, budget: int) -> Any:
    weights = np.exp(scores * 4)
    return 1 + np.floor(weights / weights.sum() * (budget - len(scores))).astype(int)


def _by_relevance(scores: np.ndarray, budget: int) -> Any:
    share = scores / scores.sum()
    return [1 + int(part * (budget - len(scores))) for part in share]


@check(
    right=[(_by_softmax,), (_by_relevance,)],
    wrong=[
        (lambda scores, budget: np.full(len(scores), budget // len(scores)),),
        (lambda scores, budget: np.round(scores / scores.sum() * budget),),
        (lambda scores, budget: 1 + scores / scores.sum() * (budget - len(scores)),),
        (lambda scores, budget: 16 * np.ones(len(scores)),),
        ([4, 4, 4],),
    ],
)
def check_sharing(answer: Callable[[np.ndarray, int], Any]) -> str | None:
    """A function: scores and a budget to whole tokens, at least one per segment."""
    if not callable(answer):
        return "Give the function, not its result."
    for scores, budget in (
        ([0.9, 0.1, 0.3, 0.1, 0.7, 0.1], 24),
        ([0.05, 0.01, 0.9, 0.02], 12),
        ([0.2, 0.8, 0.4], 31),
    ):
        values = numbers(answer(np.array(scores), budget))
        about = f"For {scores} and a budget of {budget} it returns {[round(t, 2) for t in values]}"
        if len(values) != len(scores) or any(t != int(t) for t in values):
            return f"{about}: give whole numbers, one per segment."
        if min(values) < 1:
            return f"{about}: every segment needs at least one token."
        if sum(values) > budget:
            return f"{about}: the sum is more than the budget."
        order = np.argsort(scores)
        if any(np.diff(np.array(values)[order]) < 0) or values[order[-1]] == values[order[0]]:
            return f"{about}: a more relevant segment should get more, never fewer."
    return None


def _with_tokens(tokens: int) -> Trace:
    return example_run(STAR, Intervention.allocate({STAR_AT: tokens}))


def _fewest_right() -> list[tuple[Any, ...]]:
    right = example_run(STAR).answer
    fewest = next(k for k in range(1, 17) if _with_tokens(k).answer == right)
    runs = _with_tokens(fewest), _with_tokens(fewest - 1)
    return [(fewest, *runs), (float(fewest), *runs)]


def _fewest_wrong() -> list[tuple[Any, ...]]:
    few, more, all_of_it = (_with_tokens(k) for k in (1, 2, 16))
    return [(2, more, few), (16, all_of_it, few), (16, all_of_it, _with_tokens(15)), (16, ..., ...)]


@check(right=_fewest_right, wrong=_fewest_wrong)
def check_fewest_tokens(fewest: Any, enough: Any, short: Any) -> str | None:
    """The fewest tokens of a segment with which the answer is right, and two runs that show it."""
    count = int(number(fewest))
    for run, tokens in ((enough, count), (short, count - 1)):
        hint = judge_run(run, STAR, Intervention.allocate({STAR_AT: tokens}))
        if hint is not None:
            return hint
    right = _color_of_the_star()
    if enough.answer != right:
        return "With this number of tokens the answer is wrong: look at `enough.answer`."
    return None if short.answer != right else "With one token fewer, the answer is still right."


def _color_of_the_star() -> str:
    return next(q["answer"] for q in truth("voyage")["questions"] if q["text"] == STAR)
