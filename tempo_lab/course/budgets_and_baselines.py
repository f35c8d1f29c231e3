"""Checks of notebook 09."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers
from tempo_lab.course.predictions import STAR, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace


@check(
    right=[(8,), (8.0,), ("8",), (np.int64(8),)],
    wrong=[(2,), (4,), (32,), (128,), (9,)],
)
def check_sparse_segments(answer: Any) -> str | None:
    """Whole segments that a budget of 4 tokens for each of 32 holds, at 16 tokens each."""
    value = number(answer)
    if value == 32 * 4 // 16:
        return None
    if value == 32 * 4:
        return "This is the number of tokens. Each segment takes sixteen of them."
    return "Divide the budget of the whole video by the tokens of a whole segment."


@check(
    right=[(3,), (3.0,), ("3",), (np.int64(3),)],
    wrong=[(2,), (4,), (2.4375,), (78,), (128,)],
)
def check_even_share(answer: Any) -> str | None:
    """The smallest whole number of tokens per segment that gives at least 78 for 32 of them."""
    value = number(answer)
    if value == 3:
        return None
    if value != int(value):
        return "A segment keeps a whole number of tokens."
    if value * 32 < 78:
        return f"{value:g} per segment are {value * 32:g} tokens, and ATA used more."
    if value > 32:
        return "Give the number per segment, not for all of them."
    return "That is enough, but a smaller number is enough, too."


def _permuted(scores: Any, rng: np.random.Generator) -> Any:
    return rng.permutation(scores)


def _by_index(scores: Any, rng: np.random.Generator) -> Any:
    order = np.argsort(rng.random(len(scores)))
    return [scores[i] for i in order]


def _in_place(scores: Any, rng: np.random.Generator) -> Any:
    rng.shuffle(scores)
    return scores


def _drawn_anew(scores: Any, rng: np.random.Generator) -> Any:
    return rng.choice(scores, len(scores))


@check(
    right=[(_permuted,), (_by_index,), (lambda scores, rng: rng.permutation(scores).tolist(),)],
    wrong=[
        (_in_place,),
        (_drawn_anew,),
        (lambda scores, rng: scores,),
        (lambda scores, rng: scores[::-1],),
        (lambda scores, rng: rng.random(len(scores)),),
        ([0.1, 0.9],),
    ],
)
def check_control(answer: Callable[[np.ndarray, np.random.Generator], Any]) -> str | None:
    """A function: scores and a generator to the same scores in another order."""
    if not callable(answer):
        return "Give the function, not its result."
    scores = np.array([0.9, 0.1, 0.3, 0.2, 0.7, 0.05, 0.6, 0.4])
    rng = np.random.default_rng(0)
    made = []
    for _ in range(4):
        before = scores.copy()
        made.append(numbers(answer(before, rng)))
        if not np.array_equal(before, scores):
            return "The function changed its argument: the next question needs the scores."
        if sorted(made[-1]) != sorted(scores.tolist()):
            return "Return the same numbers, each as often as before: only their order changes."
    if all(each == scores.tolist() for each in made):
        return "Each segment still has its own score."
    if all(each == made[0] for each in made):
        return "The order is the same each time; draw it with the generator."
    return None


_TABLES = (
    ([2, 16, 64, 128], [30, 60, 50, 70]),
    ([3, 3, 8, 640], [50, 55, 55, 54]),
    ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5]),
    ([1, 2, 3], [10, 20, 30]),
)


def _front(tokens: Any, scores: Any) -> list[bool]:
    points = list(zip(tokens, scores, strict=True))
    return [not any(t <= a and s >= b for t, s in points if (t, s) != (a, b)) for a, b in points]


def _by_array(tokens: Any, scores: Any) -> Any:
    tokens, scores = np.asarray(tokens), np.asarray(scores)
    return ((tokens <= tokens[:, None]) & (scores >= scores[:, None])).sum(1) == 1


def _only_fewer(tokens: Any, scores: Any) -> Any:
    tokens, scores = np.asarray(tokens), np.asarray(scores)
    return ((tokens < tokens[:, None]) & (scores > scores[:, None])).sum(1) == 0


@check(
    right=[(_front,), (_by_array,), (lambda t, s: _by_array(t, s).astype(int),)],
    wrong=[
        (_only_fewer,),
        (lambda t, s: np.asarray(s) == np.max(s),),
        (lambda t, s: ~_by_array(t, s),),
        (lambda t, s: np.ones(len(t), bool),),
        ([True, False],),
    ],
)
def check_front(answer: Callable[[np.ndarray, np.ndarray], Any]) -> str | None:
    """A function: tokens and scores of models to whether no other is as good in both."""
    if not callable(answer):
        return "Give the function, not its result."
    for tokens, scores in _TABLES:
        values = [bool(value) for value in np.asarray(answer(np.array(tokens), np.array(scores)))]
        if values != _front(tokens, scores):
            return f"For tokens {tokens} and scores {scores} it returns {[int(g) for g in values]}."
    return None


_HALF = Intervention.keep(range(6, 12))


def _half(*changes: Intervention, **options: Any) -> Trace:
    return example_run(STAR, *changes, budget=60, **options)


def _half_right() -> list[tuple[Any, ...]]:
    run = _half(_HALF, strategy="uniform")
    return [(run.totals["used"], run), (float(run.totals["used"]), run)]


def _half_wrong() -> list[tuple[Any, ...]]:
    run, topk = _half(_HALF, strategy="uniform"), _half(strategy="topk")
    return [(60, run), (topk.totals["used"], topk), (run.totals["used"], ...)]


@check(right=_half_right, wrong=_half_wrong)
def check_uniform_half(predicted: Any, run: Any) -> str | None:
    """Tokens used if an even share is made first and half of the segments are dropped then."""
    return judge_number(predicted, run, STAR, _HALF, lambda trace: trace.totals["used"])
