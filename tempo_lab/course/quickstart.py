"""Checks of notebook 00."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention

_LEDGER = {"used": 38, "timestamps": 36, "text": 21, "prompt": 95}


@check(
    right=[(5,), (np.int64(5),), (5.0,), (np.array([5]),), ("5",)],
    wrong=[(6,), (4,), (21,), (5.25,), (None,), ([5, 6],)],
)
def check_segment_at(answer: Any) -> str | None:
    """The segment that shows second 21, of segments of four seconds."""
    if number(answer) == 5:
        return None
    return "Segments are counted from 0. Segment 0 ends at 4 s, where segment 1 begins."


@check(
    right=[(57, _LEDGER), (np.int64(57), _LEDGER), (57.0, _LEDGER)],
    wrong=[(38, _LEDGER), (95, _LEDGER), (36, _LEDGER), (21, _LEDGER), ("many", _LEDGER)],
)
def check_words(answer: Any, totals: Mapping[str, int]) -> str | None:
    """Tokens of the prompt that are words: neither budget nor picture."""
    if number(answer) == totals["prompt"] - totals["used"]:
        return None
    return "Two entries of the totals are tokens of the prompt, but not memory. Add both."


@check(
    right=[(12, 12), (np.int64(12), 12), ([12], 12)],
    wrong=[(11, 12), (24, 12), (48, 12), (0, 12), (True, 12)],
)
def check_smallest_budget(answer: Any, segments: int) -> str | None:
    """The smallest budget that the strict mode accepts: one memory token per segment."""
    value = number(answer)
    if value == segments:
        return None
    if value < segments:
        return "`ask` rejects this budget. What does the error message say?"
    return "`ask` accepts a smaller budget, too. What is the minimum number of tokens per segment?"


_DROP = Intervention.drop(STAR_AT)


def _drop_right() -> list[tuple[Any, ...]]:
    run = example_run(STAR, _DROP)
    return [(run.totals["used"], run), (float(run.totals["used"]), run)]


def _drop_wrong() -> list[tuple[Any, ...]]:
    run, plain = example_run(STAR, _DROP), example_run(STAR)
    used = plain.totals["used"]
    return [(used, run), (run.totals["used"], plain), (run.totals["used"], ...), (used, used)]


@check(right=_drop_right, wrong=_drop_wrong)
def check_used_after_drop(predicted: Any, run: Any) -> str | None:
    """Memory tokens that are used if the segment with the star is dropped."""
    return judge_number(predicted, run, STAR, _DROP, lambda trace: trace.totals["used"])
