"""Checks of notebook 08."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from math import factorial
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_run
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace

Value = Callable[[set[int]], float]
Gradient = Callable[[np.ndarray], np.ndarray]


@check(
    right=[(1 / 3,), (0.3333,), ("0.333",), (np.float64(1 / 3),)],
    wrong=[(0.0,), (1.0,), (0.5,), (3,), (1 / 6,)],
)
def check_three_witnesses(answer: Any) -> str | None:
    """Shapley value of each of three segments of which one is enough."""
    value = number(answer)
    if abs(value - 1 / 3) < 1e-3:
        return None
    if value == 0:
        return "That is the loss if one alone is missing. Add them one after another instead."
    return "The three are equal, and their values sum to the whole, which is one."


def _by_orders(value: Value, n: int) -> list[float]:
    shapley, orders = [0.0] * n, list(permutations(range(n)))
    for order in orders:
        for place, unit in enumerate(order):
            before = set(order[:place])
            shapley[unit] += (value(before | {unit}) - value(before)) / len(orders)
    return shapley


def _by_subsets(value: Value, n: int) -> np.ndarray:
    shapley = np.zeros(n)
    for unit in range(n):
        others = [other for other in range(n) if other != unit]
        for size in range(n):
            weight = factorial(size) * factorial(n - 1 - size) / factorial(n)
            for some in combinations(others, size):
                shapley[unit] += weight * (value({*some, unit}) - value(set(some)))
    return shapley


def _ablation(value: Value, n: int) -> list[float]:
    every = set(range(n))
    return [value(every) - value(every - {unit}) for unit in range(n)]


def _alone(value: Value, n: int) -> list[float]:
    return [value({unit}) - value(set()) for unit in range(n)]


def _one_order(value: Value, n: int) -> list[float]:
    return [value(set(range(unit + 1))) - value(set(range(unit))) for unit in range(n)]


_GAMES: list[tuple[str, int, Value]] = [
    ("one of two is enough", 2, lambda present: float(bool(present))),
    ("both of two are needed", 2, lambda present: float(len(present) == 2)),
    ("0 is needed, and 1 or 2", 3, lambda present: float(0 in present and len(present) > 1)),
    ("each adds its number", 4, lambda present: float(sum(present))),
]


@check(
    right=[(_by_orders,), (_by_subsets,), (lambda value, n: tuple(_by_orders(value, n)),)],
    wrong=[(_ablation,), (_alone,), (_one_order,), (lambda value, n: [1 / n] * n,), (0.5,)],
)
def check_shapley(answer: Callable[[Value, int], Any]) -> str | None:
    """A function: value of a set of units, and their number, to their Shapley values."""
    if not callable(answer):
        return "Give the function, not its result."
    for words, n, value in _GAMES:
        wanted, values = _by_orders(value, n), numbers(answer(value, n))
        if len(values) != n:
            return f"{n} units have {n} values, not {len(values)}."
        if np.abs(np.subtract(values, wanted)).max() > 1e-6:
            returned = ", ".join(f"{each:.2f}" for each in values)
            return f"Where {words} it returns {returned}. Take the mean over all orders."
    return None


def _middle(gradient: Gradient, x: Any, base: Any, steps: int) -> np.ndarray:
    shares = (np.arange(steps) + 0.5) / steps
    slopes = [gradient(base + share * (x - base)) for share in shares]
    return np.asarray((x - base) * np.mean(slopes, axis=0))


def _right_end(gradient: Gradient, x: Any, base: Any, steps: int) -> list[float]:
    total = np.zeros(len(x))
    for step in range(1, steps + 1):
        total += gradient(base + step / steps * (x - base)) / steps
    return list((x - base) * total)


def _slopes_only(gradient: Gradient, x: Any, base: Any, steps: int) -> np.ndarray:
    shares = (np.arange(steps) + 0.5) / steps
    return np.mean([gradient(base + share * (x - base)) for share in shares], axis=0)


def _at_the_end(gradient: Gradient, x: Any, base: Any, steps: int) -> np.ndarray:
    return np.asarray((x - base) * gradient(x))


def _from_zero(gradient: Gradient, x: Any, base: Any, steps: int) -> np.ndarray:
    return _middle(gradient, x, 0 * base, steps)


def _sure(x: np.ndarray) -> np.ndarray:
    """Gradient of the logistic function of a sum."""
    p = 1 / (1 + np.exp(-x.sum()))
    return np.full(len(x), p * (1 - p))


_PATHS: list[tuple[Gradient, list[float], list[float]]] = [
    (lambda x: 2 * x, [3.0, -1.0], [1.0, 1.0]),
    (_sure, [4.0, 4.0], [-2.0, -1.0]),
    (lambda x: x[::-1].copy(), [2.0, 3.0], [0.0, 0.5]),
]


@check(
    right=[(_middle,), (_right_end,), (lambda *all_of_it: _middle(*all_of_it).tolist(),)],
    wrong=[(_slopes_only,), (_at_the_end,), (_from_zero,), (lambda g, x, b, n: x - b,), (1.0,)],
)
def check_integrated(answer: Callable[[Gradient, Any, Any, int], Any]) -> str | None:
    """A function: gradient, input, baseline and steps to Integrated Gradients."""
    if not callable(answer):
        return "Give the function, not its result."
    for gradient, x, base in _PATHS:
        values = numbers(answer(gradient, np.array(x), np.array(base), 2000))
        wanted = _middle(gradient, np.array(x), np.array(base), 2000)
        if len(values) != len(wanted):
            return f"{len(x)} inputs have {len(x)} values, not {len(values)}."
        if np.abs(np.subtract(values, wanted)).max() > 1e-2:
            returned = ", ".join(f"{each:.2f}" for each in values)
            return (
                f"From {base} to {x} it returns {returned}. The mean of the gradients on the way, "
                "times the way."
            )
    return None


@check(
    right=[(29,), (29.0,), ("29",), (np.int64(29),)],
    wrong=[(30,), (10,), (2,), (0.1,), (3,)],
)
def check_shared_first(answer: Any) -> str | None:
    """Segments with which one shared first place gives a rank correlation of 3 / (n + 1) = 0.1."""
    value = number(answer)
    if value == 29:
        return None
    if value == 30:
        return "Nearly: the denominator is the number of segments plus one."
    return "Which denominator makes 3 over it a tenth?"


def _dropped() -> list[Trace]:
    return [example_run(STAR, Intervention.drop(segment)) for segment in range(12)]


def _changed(runs: Sequence[Trace], plain: Trace) -> int:
    return sum(run.answer != plain.answer for run in runs)


def _runs_right() -> list[tuple[Any, ...]]:
    runs, plain = _dropped(), example_run(STAR)
    return [(_changed(runs, plain), runs, plain), (float(_changed(runs, plain)), runs, plain)]


def _runs_wrong() -> list[tuple[Any, ...]]:
    runs, plain = _dropped(), example_run(STAR)
    return [
        (12, runs, plain),
        (0, runs, plain),
        (1, runs[: STAR_AT + 1], plain),
        (1, [*runs[1:], runs[1]], plain),
        (1, ..., plain),
    ]


@check(right=_runs_right, wrong=_runs_wrong)
def check_dropped_one_by_one(predicted: Any, runs: Any, plain: Any) -> str | None:
    """How many of a video's segments change the answer if they are dropped, one at a time."""
    count = number(predicted)
    if runs is ...:
        return "The prediction is noted. Now make the runs, and give the list of their traces."
    segments = plain.data.sizes["segment"]
    if len(runs) != segments:
        return "Drop each segment of the video once, in order: a list with a trace for each."
    for segment, run in enumerate(runs):
        hint = judge_run(run, STAR, Intervention.drop(segment))
        if hint is not None:
            return hint
    if count == _changed(runs, plain):
        return None
    return "The runs are as asked, and they say otherwise: compare their answers."
