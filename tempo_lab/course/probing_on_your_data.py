"""Checks of notebook 12."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace


@check(
    right=[([7, 8],), ((7, 8),), ({8, 7},), (np.array([7, 8]),), (range(7, 9),)],
    wrong=[([7, 8, 9],), ([7],), ([8, 9],), ([30, 36],), (7,), ([],)],
)
def check_marked_segments(answer: Any) -> str | None:
    """The segments of four seconds that evidence from 30 to 36 seconds marks."""
    values = sorted(numbers(answer))
    if values == [7, 8]:
        return None
    if 9 in values:
        return "The segment that begins when the evidence ends shows none of it."
    if any(value > 9 for value in values):
        return "Give numbers of segments, not seconds: the first segment is number 0."
    return "Segment n shows the seconds 4 n to 4 n + 4. Which segments overlap the evidence?"


def _recall(tokens: Any, truth: Any, slots: int) -> float:
    return float(np.asarray(tokens, float)[np.asarray(truth, bool)].mean() / slots)


_KEPT = (
    ([2, 14, 2, 6], [False, True, False, False], 16),
    ([2, 14, 2, 6], [False, True, False, True], 16),
    ([4, 4, 4, 4], [True, False, True, False], 16),
    ([1, 8, 8, 3, 0], [False, False, True, True, True], 8),
)


@check(
    right=[
        (_recall,),
        (lambda tokens, truth, slots: tokens[truth].sum() / (truth.sum() * slots),),
        (lambda tokens, truth, slots: np.array([_recall(tokens, truth, slots)]),),
    ],
    wrong=[
        (lambda tokens, truth, slots: tokens[truth].sum() / tokens.sum(),),
        (lambda tokens, truth, slots: tokens[truth].sum() / slots,),
        (lambda tokens, truth, slots: tokens.mean() / slots,),
        (lambda tokens, truth, slots: (tokens[truth] > 0).mean(),),
        (0.5,),
    ],
)
def check_evidence_recall(answer: Callable[[np.ndarray, np.ndarray, int], Any]) -> str | None:
    """A function: tokens and truth of segments, and slots, to the share of evidence kept."""
    if not callable(answer):
        return "Give the function, not its result."
    for tokens, truth, slots in _KEPT:
        value = number(answer(np.array(tokens), np.array(truth), slots))
        if abs(value - _recall(tokens, truth, slots)) > 1e-6:
            flags = [int(each) for each in truth]
            return f"For tokens {tokens}, truth {flags} and {slots} slots it returns {value:.3f}."
    return None


def _trim(start: float, end: float, seconds: float) -> tuple[float, float]:
    middle = (start + end) / 2
    return min(start + seconds, middle), max(end - seconds, middle)


_SPANS = ((8, 12, 1), (8, 12, 0), (30.5, 36, 2), (8, 9, 1), (4, 8, 2), (20, 20, 1))


@check(
    right=[
        (_trim,),
        (lambda start, end, seconds: list(_trim(start, end, seconds)),),
        (lambda start, end, seconds: np.array(_trim(start, end, seconds)),),
    ],
    wrong=[
        (lambda start, end, seconds: (start + seconds, end - seconds),),
        (lambda start, end, seconds: (start - seconds, end + seconds),),
        (lambda start, end, seconds: (start + seconds, end),),
        (lambda start, end, seconds: end - start - 2 * seconds,),
        ((9, 11),),
    ],
)
def check_trim(answer: Callable[[float, float, float], Any]) -> str | None:
    """A function: a span, and seconds to cut off at both ends, to the span that is left."""
    if not callable(answer):
        return "Give the function, not its result."
    for start, end, seconds in _SPANS:
        made, wanted = numbers(answer(start, end, seconds)), _trim(start, end, seconds)
        if len(made) != 2:
            return "Return two numbers: the new start and the new end."
        if made[0] > made[1]:
            return f"The span {start} to {end} ends before it begins: {made[0]:g} to {made[1]:g}."
        if not np.allclose(made, wanted):
            return f"For {start} to {end} and {seconds} s it returns {made[0]:g} to {made[1]:g}."
    return None


def _of_videos(videos: Any, rng: np.random.Generator) -> Any:
    drawn = rng.choice(np.unique(videos), len(np.unique(videos)))
    return np.concatenate([np.flatnonzero(videos == name) for name in drawn])


def _of_questions(videos: Any, rng: np.random.Generator) -> Any:
    return rng.choice(len(videos), len(videos))


def _of_each_video(videos: Any, rng: np.random.Generator) -> Any:
    return np.concatenate(
        [rng.choice(np.flatnonzero(videos == name), (videos == name).sum()) for name in set(videos)]
    )


def _without_replacement(videos: Any, rng: np.random.Generator) -> Any:
    order = rng.permutation(np.unique(videos))
    return np.concatenate([np.flatnonzero(videos == name) for name in order])


@check(
    right=[(_of_videos,), (lambda videos, rng: _of_videos(videos, rng).tolist(),)],
    wrong=[
        (_of_questions,),
        (_of_each_video,),
        (_without_replacement,),
        (lambda videos, rng: _of_videos(videos, np.random.default_rng(0)),),
        (lambda videos, rng: videos[_of_videos(videos, rng)],),
        ([0, 1, 2],),
    ],
)
def check_resample(answer: Callable[[np.ndarray, np.random.Generator], Any]) -> str | None:
    """A function: video of each question and a generator to the questions of drawn videos."""
    if not callable(answer):
        return "Give the function, not its result."
    videos = np.array(["a", "a", "a", "b", "c", "c", "d", "d", "d", "e"])
    names, rng = sorted(set(videos.tolist())), np.random.default_rng(0)
    draws = []
    for _ in range(8):
        count = Counter(numbers(answer(videos, rng)))
        if not set(count) <= set(range(len(videos))):
            return "Return the numbers of questions, from 0 on."
        times = {name: {count[int(n)] for n in np.flatnonzero(videos == name)} for name in names}
        if any(len(each) > 1 for each in times.values()):
            return "Some questions of a video were drawn more often than others of the same video."
        draws.append(tuple(times[name].pop() for name in names))
        if sum(draws[-1]) != len(names):
            return f"{sum(draws[-1])} videos were drawn; draw as many as there are, {len(names)}."
    if all(max(each) == 1 for each in draws):
        return "Each video was drawn once each time: draw with replacement."
    if len(set(draws)) == 1:
        return "The same videos were drawn each time; draw them with the generator."
    return None


_NO_EVIDENCE = Intervention.drop(STAR_AT)


def _change_right() -> list[tuple[Any, ...]]:
    run, plain = example_run(STAR, _NO_EVIDENCE), example_run(STAR)
    return [(0, run, plain), (0.0, run, plain)]


def _change_wrong() -> list[tuple[Any, ...]]:
    run, plain = example_run(STAR, _NO_EVIDENCE), example_run(STAR)
    return [(1, run, plain), (12, run, plain), (0, plain, plain), (0, ..., plain)]


@check(right=_change_right, wrong=_change_wrong)
def check_scores_after_drop(predicted: Any, run: Any, plain: Any) -> str | None:
    """How many scores change if the segment with the evidence is dropped."""

    def changed(trace: Trace) -> int:
        difference = trace.data["logit"].to_numpy() - plain.data["logit"].to_numpy()
        return int((abs(difference) > 0.001).sum())

    return judge_number(predicted, run, STAR, _NO_EVIDENCE, changed)
