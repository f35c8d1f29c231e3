"""Rank statistics, calibration, and means with bootstrap intervals. numpy only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt

BINS = 10
RESAMPLES = 10_000
COVERAGE = 0.95


def auc(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> float:
    """Return the chance that a relevant segment scores above an irrelevant one; ties count half.

    Args:
        scores: [segment], in any unit.
        relevant: bool [segment].

    Returns:
        0 to 1; NaN unless there are both kinds.

    >>> auc([0.9, 0.1, 0.2], [True, False, False])
    1.0
    """
    values, flags = np.asarray(scores, float), np.asarray(relevant, bool)
    if flags.all() or not flags.any():
        return float("nan")
    above = values[flags][:, None] - values[~flags][None]
    return float(np.mean((above > 0) + 0.5 * (above == 0)))


def roc_curve(scores: npt.ArrayLike, relevant: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return the ROC curve: rates at each threshold, from none above it to all.

    Equal scores are one threshold, so that the area under straight lines is `auc`.

    Args:
        scores: [segment], in any unit.
        relevant: bool [segment], with both kinds.

    Returns:
        false positive rates [threshold], true positive rates [threshold]; both from 0 to 1.

    >>> roc_curve([0.9, 0.1, 0.2], [True, False, False])
    (array([0. , 0. , 0.5, 1. ]), array([0., 1., 1., 1.]))
    """
    values, flags = np.asarray(scores, float), np.asarray(relevant, bool)
    thresholds = np.concatenate([[np.inf], np.unique(values)[::-1]])
    above = values >= thresholds[:, None]
    return above[:, ~flags].mean(axis=1), above[:, flags].mean(axis=1)


def recall_at(scores: npt.ArrayLike, relevant: npt.ArrayLike, top_k: int) -> np.ndarray:
    """Return the share of relevant segments among the k highest scores, for k = 1 to `top_k`.

    Of tied segments, the mean over all their orders counts.

    Args:
        scores: [segment], in any unit.
        relevant: bool [segment].
        top_k: largest k.

    Returns:
        float [k]; NaN where none is relevant.

    >>> recall_at([0.9, 0.2, 0.2], [True, True, False], 3)
    array([0.5 , 0.75, 1.  ])
    """
    values, flags = np.asarray(scores, float), np.asarray(relevant, bool)
    if not flags.any():
        return np.full(top_k, np.nan)
    each = values[flags][:, None]
    above, equal = (values > each).sum(axis=1), (values == each).sum(axis=1)
    places = np.arange(1, top_k + 1)[:, None] - above
    return np.clip(places / equal, 0, 1).mean(axis=1)


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float | np.ndarray:
    """Return Spearman's rank correlation along the last axis; equal values share their mean rank.

    Returns:
        -1 to 1, without the last axis; NaN where all values of one are equal.

    >>> float(spearman([1, 2, 3], [10, 100, 1000]))
    1.0
    """
    return correlation(ranks(first), ranks(second))


def ranks(values: npt.ArrayLike) -> np.ndarray:
    """Return the ranks along the last axis, the lowest 1; equal values share their mean rank.

    >>> ranks([5, 7, 5])
    array([1.5, 3. , 1.5])
    """
    array = np.asarray(values, float)
    order = array.argsort(axis=-1)
    ascending = np.take_along_axis(array, order, axis=-1)
    starts = np.ones(array.shape, bool)  # of each run of equal values
    starts[..., 1:] = ascending[..., 1:] != ascending[..., :-1]
    ends = np.ones(array.shape, bool)
    ends[..., :-1] = starts[..., 1:]
    place, last = np.arange(1, array.shape[-1] + 1), array.shape[-1]
    lowest = np.maximum.accumulate(np.where(starts, place, 0), axis=-1)
    highest = np.minimum.accumulate(np.where(ends, place, last)[..., ::-1], axis=-1)[..., ::-1]
    result = np.empty(array.shape)
    np.put_along_axis(result, order, (lowest + highest) / 2, axis=-1)
    return result


def correlation(first: npt.ArrayLike, second: npt.ArrayLike) -> float | np.ndarray:
    """Return Pearson's correlation along the last axis; NaN where all values of one are equal."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    constant = (a.min(-1) == a.max(-1)) | (b.min(-1) == b.max(-1))
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = (a * b).sum(-1) / np.sqrt((a**2).sum(-1) * (b**2).sum(-1))
    return np.where(constant, np.nan, r.clip(-1, 1))[()]


@dataclass(frozen=True)
class Reliability:
    """How often predictions are true, by bins of their predicted probability.

    Attributes:
        edges: [bin + 1], from 0 to 1.
        predicted: mean probability [bin], NaN in an empty bin.
        observed: share that was true [bin], NaN in an empty bin.
        count: predictions [bin].
    """

    edges: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray
    count: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: |observed - predicted|, weighted by counts."""
        if not self.count.sum():
            return float("nan")
        gaps = np.nan_to_num(np.abs(self.observed - self.predicted))
        return float((gaps * self.count).sum() / self.count.sum())


def reliability(probability: npt.ArrayLike, true: npt.ArrayLike, bins: int = BINS) -> Reliability:
    """Return the calibration of predictions in bins of equal width.

    Args:
        probability: [prediction], 0 to 1.
        true: bool [prediction].
        bins: number of bins.
    """
    p, outcome = np.asarray(probability, float), np.asarray(true, float)
    edges = np.linspace(0, 1, bins + 1)
    where = np.clip(np.digitize(p, edges[1:-1]), 0, bins - 1)
    count = np.bincount(where, minlength=bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(where, p, minlength=bins) / count
        observed = np.bincount(where, outcome, minlength=bins) / count
    return Reliability(edges, predicted, observed, count)


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval.

    Attributes:
        value: the mean; NaN if there is no value.
        low, high: ends of the interval; NaN for fewer than two videos.
        n: questions.
        videos: groups that were resampled.
    """

    value: float
    low: float
    high: float
    n: int
    videos: int


SHARE, DIFFERENCE = (0.0, 1.0), (-1.0, 1.0)
"""Bounds of scores and rankings, and of the difference of two of them."""

NOTHING = Estimate(float("nan"), float("nan"), float("nan"), 0, 0)


def bootstrap_mean(
    values: npt.ArrayLike,
    videos: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    coverage: float = COVERAGE,
    seed: int = 0,
    bounds: tuple[float, float] | None = None,
    exact_over: Literal["questions", "videos"] = "questions",
) -> Estimate:
    """Return the mean of values, with a percentile interval that resamples whole videos.

    Questions about one video are not independent, so they are drawn together. On the differences
    of two arms on the same questions, this is the paired bootstrap.

    If all answers are right, or all wrong, every resample is the same. Where the bounds of scores
    are known, the interval is then the exact binomial one (Clopper-Pearson): n of n right answers
    give [(alpha / 2)**(1 / n), 1].

    Args:
        values: [question]; NaN are left out.
        videos: [question], identifies the video of each.
        bounds: smallest and largest possible value, if there are any.
        resamples: how many times videos are drawn with replacement.
        coverage: of the interval.
        seed: of the draws.
        exact_over: what n counts in the exact interval. Videos are right, and conservative, where
            the questions about one video are not independent.
    """
    array, labels = np.asarray(values, float), np.asarray(videos)
    present = ~np.isnan(array)
    array, labels = array[present], labels[present]
    if not len(array):
        return NOTHING
    names, group = np.unique(labels, return_inverse=True)
    total, count = np.bincount(group, array), np.bincount(group)
    mean, n = float(array.mean()), len(array)
    if len(names) < 2:
        return Estimate(mean, float("nan"), float("nan"), n, len(names))
    tail = (1 - coverage) / 2
    if bounds is not None and array.min() == array.max() and mean in (*bounds, 0, sum(bounds)):
        equal = n if exact_over == "questions" else len(names)
        others = 1 - tail ** (1 / equal)  # largest share of other values that equal ones allow
        low, high = (mean + others * (bound - mean) for bound in bounds)
        return Estimate(mean, low, high, n, len(names))
    sums = np.stack([total, count], axis=1)
    draws = _draws(len(names), resamples, seed)
    drawn = np.concatenate([part @ sums for part in map(np.float64, _parts(draws))])
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [tail, 1 - tail])
    return Estimate(mean, float(low), float(high), n, len(names))


@lru_cache(maxsize=4)
def _draws(videos: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each resample draws each video, [resample, video].

    Tables have many measures of the same videos, so it is kept, in the smallest whole numbers.
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, videos), np.uint16)
    for part in _parts(counts):
        drawn = rng.integers(videos, size=part.shape)
        rows = np.arange(len(part))[:, None] * videos
        part[:] = np.bincount((rows + drawn).ravel(), minlength=part.size).reshape(part.shape)
    return counts.astype(np.min_scalar_type(int(counts.max())))


def _parts(draws: np.ndarray) -> list[np.ndarray]:
    """Return views of 1,000 resamples each; floats or indices of all would need much memory."""
    return [draws[first : first + 1000] for first in range(0, len(draws), 1000)]
