"""Checks of notebook 01."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers
from tempo_lab.course.predictions import STAR_AT, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace


@check(
    right=[(20,), (np.int64(20),), (20.0,), ("20",)],
    wrong=[(250,), (10,), (25,), (2,), ([20, 21],)],
)
def check_sampled_frames(answer: Any) -> str | None:
    """Frames sampled of ten seconds at 25 frames per second."""
    value = number(answer)
    if value == 20:
        return None
    if value == 250:
        return "This is the number of frames in the file. How many frames per second are sampled?"
    return "The frame rate of the file does not matter here: use the samples per second."


@check(
    right=[([13, 4],), ((13, 4),), (np.array([13, 4]),)],
    wrong=[([12, 4],), ([13, 8],), ([12.5, 4],), (13,), ([4, 13],)],
)
def check_last_segment(answer: Any) -> str | None:
    """Segments of 100 sampled frames, and frames in the last one."""
    values = numbers(answer)
    if len(values) != 2:
        return "Give two numbers: the number of segments and the number of frames in the last one."
    if values == [13, 4]:
        return None
    if values[0] == 13:
        return "The number of segments is right. How many frames are left for the last one?"
    return "No frame is dropped, and segments do not overlap: the rest is a short segment."


@check(
    right=[(512,), (512.0,), (np.float64(512),), (511.9,)],
    wrong=[(1024,), (2048,), (128,), (8192,), (0,)],
)
def check_longest(answer: Any) -> str | None:
    """Seconds of the longest video that is sampled at two frames per second throughout."""
    value = number(answer)
    if abs(value - 512) < 1:
        return None
    if value > 512:
        return "In a video of this length, samples are more than half a second apart."
    return "A longer video is still below the maximum number of sampled frames."


def _touched(start: float, end: float) -> list[int]:
    return list(range(int(start // 4), int(np.ceil(end / 4))))


def _nearest(start: float, end: float) -> list[int]:
    return list(range(round(start / 4), round(end / 4) + 1))


def _open_end(start: float, end: float) -> list[int]:
    return list(range(int(start // 4), int(end // 4)))


@check(
    right=[
        (_touched,),
        (lambda start, end: np.array(_touched(start, end)),),
        (lambda start, end: {segment for segment in range(99) if _overlap(segment, start, end)},),
    ],
    wrong=[(_nearest,), (_open_end,), (lambda start, end: [8],), ([8],), (lambda start: [8],)],
)
def check_touched(answer: Callable[[float, float], Any]) -> str | None:
    """A function: seconds of start and end to the segments that show some of that time."""
    if not callable(answer):
        return "Give the function, not its result."
    for start, end in ((32, 36), (33, 35), (30, 33), (0, 48), (3.5, 4.5), (4, 4.5), (7, 12.25)):
        values, wanted = numbers(answer(start, end)), _touched(start, end)
        if sorted(values) != wanted:
            how = "too many segments" if set(values) > set(wanted) else "wrong segments, or not all"
            return f"From {start} to {end} s it returns {how}."
    return None


def _overlap(segment: int, start: float, end: float) -> bool:
    return 4 * segment < end and start < 4 * segment + 4


_WHEN, _SWAP = "When does the star appear?", Intervention.swap(3, STAR_AT)


def _second(run: Trace) -> float:
    """The number in an answer like "at 34 seconds"; -1 if there is none."""
    return next((float(word) for word in run.answer.split() if word.isdecimal()), -1)


def _swap_right() -> list[tuple[Any, ...]]:
    run = example_run(_WHEN, _SWAP)
    return [(_second(run), run), (int(_second(run)), run)]


def _swap_wrong() -> list[tuple[Any, ...]]:
    run, plain = example_run(_WHEN, _SWAP), example_run(_WHEN)
    other = example_run(_WHEN, Intervention.swap(2, STAR_AT))
    return [(_second(plain), run), (_second(plain), plain), (_second(other), other)]


@check(right=_swap_right, wrong=_swap_wrong)
def check_second_after_swap(predicted: Any, run: Any) -> str | None:
    """The second that the model answers if the memory of two segments is exchanged."""
    return judge_number(predicted, run, _WHEN, _SWAP, _second)
