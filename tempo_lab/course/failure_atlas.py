"""Checks of notebook 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers, words
from tempo_lab.course.predictions import STAR, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace

_DIAGNOSED = (
    ([0.01, 0.02, 0.01], "absent"),
    ([0.40, 0.05, 0.30], "absent"),
    ([0.54, 0.55, 0.56], "flat"),
    ([0.97, 0.99, 0.95], "flat"),
    ([0.90, 0.10, 0.20], "fine"),
    ([0.60, 0.45, 0.40], "fine"),
)


def _detector(scores: Any) -> str:
    highest, lowest = max(scores), min(scores)
    if highest < 0.5:
        return "absent"
    return "flat" if highest - lowest < 0.1 else "fine"


@check(
    right=[(_detector,), (lambda s: _detector(s).upper(),), (lambda s: [_detector(s)],)],
    wrong=[
        (lambda s: "flat" if np.ptp(s) < 0.1 else "absent" if np.max(s) < 0.5 else "fine",),
        (lambda s: "absent" if np.mean(s) < 0.5 else "fine",),
        (lambda s: "fine",),
        (lambda s: None,),
        ("absent",),
    ],
)
def check_diagnosis(answer: Callable[[np.ndarray], Any]) -> str | None:
    """A function: scores to "absent", "flat" or "fine"."""
    if not callable(answer):
        return "Give the function, not its result."
    for scores, wanted in _DIAGNOSED:
        chosen = words(answer(np.array(scores)))
        if chosen != [wanted]:
            return f"For {scores} it returns {' '.join(chosen)}."
    return None


@check(
    right=[(8,), (8.0,), ("8",), (np.int64(8),)],
    wrong=[(16,), (2,), (96,), (12,), (0,)],
)
def check_equal_scores(answer: Any) -> str | None:
    """Tokens of each of 12 segments with equal scores, of a budget of 96, at 16 slots."""
    value = number(answer)
    if value == min(16, 96 // 12):
        return None
    if value * 12 > 96:
        return f"{value:g} per segment are {value * 12:g} in total, more than the budget."
    return "The budget has more tokens: share all of them evenly."


def _below(alike: Any) -> Any:
    return np.tril(alike, -1).max(axis=1) > 0.99


def _by_loop(alike: Any) -> Any:
    return [any(alike[n][m] > 0.99 for m in range(n)) for n in range(len(alike))]


_ALIKE = (
    [[1, 0.2, 0.999], [0.2, 1, 0.3], [0.999, 0.3, 1]],
    [[1, 0.95, 0.1, 0.1], [0.95, 1, 0.1, 0.995], [0.1, 0.1, 1, 0.2], [0.1, 0.995, 0.2, 1]],
    [[1, 0.5], [0.5, 1]],
)


@check(
    right=[(_below,), (_by_loop,), (lambda alike: _below(alike).astype(int),)],
    wrong=[
        (lambda alike: (alike > 0.99).any(axis=1),),
        (lambda alike: (alike - np.eye(len(alike))).max(axis=1) > 0.99,),
        (lambda alike: np.triu(alike, 1).max(axis=1) > 0.99,),
        (lambda alike: np.tril(alike, -1).max(axis=1) > 0.9,),
        ([False, True],),
    ],
)
def check_repeated(answer: Callable[[np.ndarray], Any]) -> str | None:
    """A function: cosines [segment, segment] to whether an earlier segment is the same."""
    if not callable(answer):
        return "Give the function, not its result."
    for alike in _ALIKE:
        made = np.asarray(answer(np.array(alike, float)))
        values, wanted = [bool(each) for each in made], _by_loop(alike)
        if len(values) != len(wanted):
            return "Return one answer per segment."
        for segment, (one, other) in enumerate(zip(values, wanted, strict=True)):
            if one and not other:
                return f"Segment {segment} of {alike} has no earlier segment that is so similar."
            if other and not one:
                return f"Segment {segment} of {alike} has an earlier segment that is as similar."
    return None


@check(
    right=[(300,), (300.0,), ("300",), ([300],)],
    wrong=[(256,), (1200,), (0,), (4,), (44,)],
)
def check_overspent(answer: Any) -> str | None:
    """Tokens that the released allocator uses on 300 segments of a budget of 256."""
    (value,) = numbers([number(answer)])
    if value == 300:
        return None
    if value == 256:
        return "That is the budget. Does the released allocator stay within it?"
    if value == 1200:
        return "The minimum of four is lowered if the budget is too small for it, but not to zero."
    return "Each segment gets its lowered minimum, whatever the total."


_UNDECIDED = Intervention.patch(-1, "decision", 0.0)


def _undecided() -> Trace:
    return example_run(STAR, _UNDECIDED, budget=100)


def _tokens(run: Trace) -> float:
    """Tokens of each segment; -1 if they differ."""
    tokens = run.data["tokens"].to_numpy()
    return float(tokens[0]) if np.all(tokens == tokens[0]) else -1


def _undecided_right() -> list[tuple[Any, ...]]:
    run = _undecided()
    return [(_tokens(run), run), (int(_tokens(run)), run)]


def _undecided_wrong() -> list[tuple[Any, ...]]:
    run, plain = _undecided(), example_run(STAR, budget=100)
    one = example_run(STAR, Intervention.patch(-1, "decision", 0.0, segments=8), budget=100)
    return [(16, run), (2, run), (_tokens(run), plain), (_tokens(run), one), (_tokens(run), ...)]


@check(right=_undecided_right, wrong=_undecided_wrong)
def check_undecided(predicted: Any, run: Any) -> str | None:
    """Tokens of each segment if the decision says Yes as much as No everywhere."""
    return judge_number(predicted, run, STAR, _UNDECIDED, _tokens)
