"""Measures of single questions, their means, and paired differences, with 95 % intervals.

Intervals are clustered by video: questions about one video are resampled together. No torch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from tempo_lab.common.statistics import DIFFERENCE, SHARE, bootstrap_mean
from tempo_lab.evaluation.answer_scoring import Score

COSTS = ("tokens", "tokens_per_frame", "seconds", "memory_mib", "context_left")
"""Measures that are not shares: memory tokens, tokens per frame, seconds, MiB, free context."""
VARYING = ("seconds", "memory_mib")
"""Measures that depend on the machine and its load: the same run twice has other values."""


@dataclass(frozen=True)
class Measured:
    """The measures of one question under one arm.

    Attributes:
        id: of the question.
        video: name of its video; questions about one video are resampled together.
        measures: by name, 0 to 1 unless they are in `COSTS`; NaN where one is not defined.
        categories: what to group by; a question can have several values of one category.
    """

    id: str
    video: str
    measures: Mapping[str, float]
    categories: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


def groups(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    """Return the questions of each group: "all", then each category and value, as "kind=color"."""
    parts: dict[str, list[Measured]] = {}
    for one in measured:
        for name, value in one.categories.items():
            for each in dict.fromkeys((value,) if isinstance(value, str) else value):
                parts.setdefault(f"{name}={each}", []).append(one)
    return {"all": list(measured), **dict(sorted(parts.items()))} if measured else {}


def summarize(measured: Sequence[Measured], group: str = "all") -> list[Score]:
    """Return the mean of each measure with its interval, and how often it was not defined."""
    return [
        _score(group, name, [one.measures.get(name, math.nan) for one in measured], measured, SHARE)
        for name in _names(measured)
    ]


@dataclass(frozen=True)
class Paired:
    """A measure of two arms on the same questions.

    Attributes:
        first, second: the means.
        difference: the first minus the second, with the interval of the paired differences.
    """

    first: float
    second: float
    difference: Score


def paired_differences(
    first: Sequence[Measured],
    second: Sequence[Measured],
    measures: Collection[str] | None = None,
) -> list[Paired]:
    """Return the first minus the second, per group and measure, on the questions both have.

    A question counts for a measure if it is defined for both. The groups and videos are those of
    the first. Groups without such a question are left out.

    Args:
        first, second: of one arm each; an id is there once in each.
        measures: names of those that are wanted; by default all that both have.
    """
    others = {one.id: one for one in second}
    shared = [one for one in first if one.id in others]
    names = [
        name
        for name in _names(first)
        if name in _names(second) and (measures is None or name in measures)
    ]
    pairs = []
    for group, part in groups(shared).items():
        for name in names:
            one = np.array([each.measures.get(name, math.nan) for each in part])
            other = np.array([others[each.id].measures.get(name, math.nan) for each in part])
            both = ~np.isnan(one - other)
            if both.any():
                score = _score(group, name, one - other, part, DIFFERENCE)
                pairs.append(Paired(float(one[both].mean()), float(other[both].mean()), score))
    return pairs


def _names(measured: Sequence[Measured]) -> list[str]:
    return list(dict.fromkeys(name for one in measured for name in one.measures))


def _score(
    group: str,
    name: str,
    values: npt.ArrayLike,
    measured: Sequence[Measured],
    bounds: tuple[float, float],
) -> Score:
    mean = bootstrap_mean(
        values,
        [one.video for one in measured],
        bounds=None if name in COSTS else bounds,
        exact_over="videos",  # ten questions about one video are not ten observations
    )
    return Score.of(group, name, mean, undefined=int(np.isnan(values).sum()))
