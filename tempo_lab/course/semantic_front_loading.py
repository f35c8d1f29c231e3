"""Checks of notebook 06."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tempo_lab.analysis.front_loading.result import knee as _knee
from tempo_lab.course.checking import check, number, numbers
from tempo_lab.course.predictions import STAR, example_run, judge_run
from tempo_lab.course.setup import truth
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace


@check(
    right=[
        ([11, 12, 13, 14, 15],),
        (range(11, 16),),
        ({15, 14, 13, 12, 11},),
        (np.arange(11, 16),),
    ],
    wrong=[
        ([0, 1, 2, 3, 4],),
        ([12, 13, 14, 15, 16],),
        ([10, 11, 12, 13, 14, 15],),
        ([3, 6, 9, 12, 15],),
        (11,),
    ],
)
def check_tail_slots(answer: Any) -> str | None:
    """The slots that a segment keeps of 16 if it keeps the last 5."""
    values = sorted(numbers(answer))
    if values == [11, 12, 13, 14, 15]:
        return None
    if len(values) != 5:
        return "Give as many slots as the segment keeps."
    if values[0] == 0:
        return "Those are the first slots."
    if values[-1] == 16:
        return "Slots are counted from 0, so there is no slot 16."
    return "The last slots are next to each other, at the end."


@check(
    right=[(0.25,), (np.float64(0.25),), ("0.25",), (0.2501,)],
    wrong=[(0.2,), (1.4,), (1.75,), (0.3125,), (-0.25,)],
)
def check_area(answer: Any) -> str | None:
    """The area between head and tail, by four points of each."""
    value = number(answer)
    if abs(value - 0.25) < 1e-3:
        return None
    if value < 0:
        return "The head leads here, so the area is positive: the sign is wrong."
    if value > 1:
        return "Give an average over k: divide by the range of k."
    if abs(value - 0.2) < 1e-3:
        return "Now divide by the gap between the tail and all tokens at the smallest k."
    if abs(value - 0.3125) < 1e-3:
        return "The points are not evenly spaced: the step from 4 to 8 counts more."
    return "Sum trapezoids of the differences; divide by the range of k and by the first gap."


_RISING = (
    ([1, 2, 4, 8, 16], [0.1, 0.5, 0.85, 0.9, 0.9]),
    ([1, 2, 4, 8, 16], [0.9, 0.9, 0.9, 0.9, 0.9]),
    ([1, 3, 5], [0.0, 0.1, 0.4]),
    ([1, 2, 4, 8], [0.2, 0.85, 0.7, 0.9]),
)


def _enough(ks: Sequence[int], right: Sequence[float]) -> int:
    return next(k for k, share in zip(ks, right, strict=True) if share >= 0.9 * right[-1])


@check(
    right=[
        (_enough,),
        (lambda ks, right: np.array(ks)[np.array(right) >= 0.9 * right[-1]].min(),),
        (lambda ks, right: [_enough(ks, right)],),
    ],
    wrong=[
        (lambda ks, right: ks[-1],),
        (lambda ks, right: next(k for k, s in zip(ks, right, strict=True) if s >= 0.9),),
        (lambda ks, right: next(i for i, s in enumerate(right) if s >= 0.9 * right[-1]),),
        (lambda ks, right: next(k for k, s in zip(ks, right, strict=True) if s >= right[-1]),),
        (4,),
    ],
)
def check_enough(answer: Callable[[Sequence[int], Sequence[float]], Any]) -> str | None:
    """A function: the smallest k with nine tenths of the accuracy of all tokens."""
    if not callable(answer):
        return "Give the function, not its result."
    for ks, right in _RISING:
        value = number(answer(ks, right))
        if value == _enough(ks, right):
            continue
        about = f"For ks = {ks} and right = {right} it returns {value:g}"
        if value not in ks:
            return f"{about}: return one of the values of k."
        if right[ks.index(int(value))] < 0.9 * right[-1]:
            return f"{about}: this k is too small."
        return f"{about}: a smaller k is enough."
    return None


def _by_rotation(ks: Sequence[int], curve: Sequence[float]) -> int:
    """The point furthest from the chord on its upper side, by the cross product."""
    x, y = np.array(ks, dtype=float), np.array(curve, dtype=float)
    above = (x[-1] - x[0]) * (y - y[0]) - (y[-1] - y[0]) * (x - x[0])
    return ks[int(above.argmax())]


@check(
    right=[([2, 3],), ([3, 2],), ({2, 3},), (np.array([2, 3]),)],
    wrong=[([0, 1],), ([1, 2],), ([3],), ([2, 3, 0],), (3,)],
)
def check_first_facts(answer: Any) -> str | None:
    """The two facts of four that come first if the frequencies are reversed."""
    values = sorted(numbers(answer))
    if values == [2, 3]:
        return None
    if len(values) != 2:
        return "Give two facts."
    if values == [0, 1]:
        return "That is the order before the frequencies were reversed."
    return "Compare how often each fact is asked for, now that the frequencies are reversed."


@check(
    right=[
        (lambda ks, curve: _knee(np.array(ks), np.array(curve)),),
        (_by_rotation,),
        (lambda ks, curve: [float(_by_rotation(ks, curve))],),
    ],
    wrong=[
        (lambda ks, curve: ks[int(np.argmax(curve))],),
        (lambda ks, curve: ks[int(np.argmax(np.diff(curve))) + 1],),
        (lambda ks, curve: ks[0],),
        (lambda ks, curve: np.argmax(curve),),
        (4,),
    ],
)
def check_knee(answer: Callable[[Sequence[int], Sequence[float]], Any]) -> str | None:
    """A function: where a rising curve is furthest above its chord."""
    if not callable(answer):
        return "Give the function, not its result."
    for ks, curve in (
        ([1, 2, 3, 4], [0.0, 0.9, 1.0, 1.0]),
        ([1, 2, 4, 8, 16], [0.1, 0.5, 0.85, 0.88, 0.9]),
        ([1, 2, 4, 8, 16], [-9.0, -8.5, -3.0, -1.0, -0.5]),
        ([1, 2, 4, 8, 16], [0.2, 0.3, 0.5, 0.9, 1.0]),
    ):
        value, wanted = number(answer(ks, curve)), _knee(np.array(ks), np.array(curve))
        if value != wanted:
            return f"For {curve} at k = {ks} it returns {value:g}: another point is further above."
    return None


def _only(slot: int) -> Trace:
    return example_run(STAR, Intervention.slots([slot]))


def _slot_right() -> list[tuple[Any, ...]]:
    right = example_run(STAR).answer
    slot = next(slot for slot in range(16) if _only(slot).answer == right)
    return [(slot, _only(slot)), (float(slot), _only(slot))]


def _slot_wrong() -> list[tuple[Any, ...]]:
    return [(0, _only(0)), (1, _only(1)), (0, _only(2)), (2, example_run(STAR)), (2, ...)]


@check(right=_slot_right, wrong=_slot_wrong)
def check_color_slot(slot: Any, run: Any) -> str | None:
    """A slot that alone is enough for the color, and the run that shows it."""
    place = int(number(slot))
    hint = judge_run(run, STAR, Intervention.slots([place]))
    if hint is not None:
        return hint
    questions = truth("voyage")["questions"]
    if run.answer == next(q["answer"] for q in questions if q["text"] == STAR):
        return None
    return "This token alone does not give the color. Look at `run.answer` and predict again."
