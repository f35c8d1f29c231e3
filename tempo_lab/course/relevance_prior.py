"""Checks of notebook 04."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tempo_lab.common.statistics import auc, ranks
from tempo_lab.course.checking import check, number
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace


@check(
    right=[(0.75,), ("0.75",), (np.float64(6 / 8),), ([0.75],)],
    wrong=[(0.8125,), (0.6875,), (0.875,), (6,), (0.25,), (0.5,)],
)
def check_counted_pairs(answer: Any) -> str | None:
    """The AUC of six scores with two ties, computed by hand."""
    value = number(answer)
    if abs(value - 0.75) < 1e-9:
        return None
    if value > 1:
        return "You counted pairs in the right order. Divide by the number of all pairs."
    if value in (0.875, 0.625):
        return "A tie counts as half. There are two ties."
    return "Compare each of the two relevant segments with each of the four others: eight pairs."


def _by_pairs(scores: Any, truth: Any) -> float:
    return auc(scores, truth)


def _by_ranks(scores: Any, truth: Any) -> float:
    rank, flags = ranks(scores), np.asarray(truth, bool)
    hits, n = flags.sum(), len(flags)
    return float((rank[flags].sum() - hits * (hits + 1) / 2) / (hits * (n - hits)))


def _no_ties(scores: Any, truth: Any) -> float:
    values, flags = np.asarray(scores), np.asarray(truth, bool)
    return float((values[flags][:, None] > values[~flags]).mean())


def _all_pairs(scores: Any, truth: Any) -> float:
    values, flags = np.asarray(scores), np.asarray(truth, bool)
    return float((values[flags][:, None] > values).mean())


def _upside_down(scores: Any, truth: Any) -> float:
    return 1 - auc(scores, truth)


_RANKED = (
    ([0.9, 0.1, 0.2], [True, False, False]),
    ([0.1, 0.9, 0.2, 0.3], [False, False, True, True]),
    ([0.5, 0.5, 0.5, 0.1], [True, False, False, True]),
    ([-4.0, 2.0, -1.0, -9.0, 2.0], [False, True, True, False, False]),
)


@check(
    right=[(_by_pairs,), (_by_ranks,), (lambda s, t: np.float64(_by_pairs(s, t)),)],
    wrong=[(_no_ties,), (_all_pairs,), (_upside_down,), (lambda s, t: 1.0,), (0.75,)],
)
def check_auc(answer: Callable[[np.ndarray, np.ndarray], Any]) -> str | None:
    """A function: scores and truth of segments to the area under the ROC curve."""
    if not callable(answer):
        return "Give the function, not its result."
    for scores, truth in _RANKED:
        value = number(answer(np.array(scores), np.array(truth)))
        if abs(value - auc(scores, truth)) > 1e-6:
            return f"For {scores} with truth {[int(t) for t in truth]} it returns {value:.3f}."
    return None


@check(
    right=[(0.15,), (0.15000001,), (np.float64(0.15),), ("0.15",)],
    wrong=[(0.3,), (0.35,), (0.1,), (0.0,), (0.5,)],
)
def check_calibration(answer: Any) -> str | None:
    """Expected calibration error of ten scores of 0.9, six of them right, and ten of 0.1, one."""
    value = number(answer)
    if abs(value - 0.15) < 1e-3:
        return None
    if abs(value - 0.3) < 1e-3:
        return "This is the error of the first bin. What share of all scores is in this bin?"
    return "Take |score - relevant share| for each bin, then the mean over all scores."


def _entropy(scores: Any) -> float:
    share = np.asarray(scores, float) / np.sum(scores)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum()))


def _squares(scores: Any) -> float:
    share = np.asarray(scores, float) / np.sum(scores)
    return float(1 / (share**2).sum())


def _in_bits(scores: Any) -> float:
    share = np.asarray(scores, float) / np.sum(scores)
    return float(np.exp(-(share * np.log2(share)).sum()))


def _not_shared(scores: Any) -> float:
    values = np.asarray(scores, float)
    return float(np.exp(-(values * np.log(values)).sum()))


_SHARED = ([0.8, 0.8, 0.8], [0.9, 0.3, 0.3], [0.99, 0.01, 0.02, 0.01], [0.2, 0.4, 0.1, 0.3, 0.6])


@check(
    right=[
        (_entropy,),
        (lambda scores: 2 ** (np.log(_entropy(scores)) / np.log(2)),),
        (lambda scores: np.array([_entropy(scores)]),),
    ],
    wrong=[(_squares,), (_in_bits,), (_not_shared,), (lambda scores: np.sum(scores),), (3,)],
)
def check_effective_segments(answer: Callable[[np.ndarray], Any]) -> str | None:
    """A function: relevance of segments to how many of them share it, exp(entropy)."""
    if not callable(answer):
        return "Give the function, not its result."
    for scores in _SHARED:
        value, wanted = number(answer(np.array(scores))), _entropy(scores)
        if abs(value - wanted) > 1e-3:
            return f"For {scores} it returns {value:.3f}, but the right value is {wanted:.3f}."
    return None


_OTHER = Intervention.question("Where is the circle?")


def _most_relevant(run: Trace) -> int:
    return int(run.data["relevance"].to_numpy().argmax())


def _other_right() -> list[tuple[Any, ...]]:
    run = example_run(STAR, _OTHER)
    return [(_most_relevant(run), run), (np.int64(_most_relevant(run)), run)]


def _other_wrong() -> list[tuple[Any, ...]]:
    run, plain = example_run(STAR, _OTHER), example_run("Where is the circle?")
    return [(STAR_AT, run), (_most_relevant(run), plain), (_most_relevant(run), ...)]


@check(right=_other_right, wrong=_other_wrong)
def check_other_question(predicted: Any, run: Any) -> str | None:
    """The most relevant segment if the video is compressed for another question."""
    return judge_number(predicted, run, STAR, _OTHER, _most_relevant)
