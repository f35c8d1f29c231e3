"""Measures of predicted spans: overlap with the evidence, precision over thresholds. numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.prior_measures.segments import Span, one_per_segment

ScoredSpan = tuple[float, float, float]
"""(start, end, score), start and end in seconds."""
SPAN_RULE = "mean + 1 sd"
"""The rule by which `spans_from_scores` turns a curve into spans; tables must name it."""
MAP_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
REC_IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
MAX_SPANS = 10
"""Number of predicted spans that count for mAP, as in QVHighlights' own evaluation."""


def spans_from_scores(
    scores: npt.ArrayLike, start: npt.ArrayLike, end: npt.ArrayLike
) -> list[ScoredSpan]:
    """Return the spans that a curve predicts, the best first: the rule is `SPAN_RULE`.

    A span is a run of neighboring segments that score at least the mean plus one (population)
    standard deviation of all segments, or the maximum where that is lower. Its score is the mean
    of its segments. Equal scores predict the whole video.

    Args:
        scores: [segment], in any unit that is linear.
        start, end: of the segments in seconds [segment].

    >>> spans_from_scores([0, 1, 0.75, 0, 0, 0], range(6), range(1, 7))
    [(1.0, 3.0, 0.875)]
    """
    values, begins, ends = (
        one_per_segment("scores", scores),
        one_per_segment("start", start),
        one_per_segment("end", end),
    )
    if not len(values) == len(begins) == len(ends):
        raise TempoLabError(
            "scores, start and end must be equally long",
            found=f"{len(values)}, {len(begins)} and {len(ends)}",
        )
    chosen = values >= min(values.mean() + values.std(), values.max())
    edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]])))
    runs = zip(edges[::2], edges[1::2], strict=True)
    spans = [
        (float(begins[first]), float(ends[last - 1]), float(values[first:last].mean()))
        for first, last in runs
    ]
    return sorted(spans, key=lambda span: (-span[2], span[0]))


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Return intersection over union of two spans; 0 where both are moments."""
    union = (one[1] - one[0]) + (other[1] - other[0]) - _overlap(one, other)
    return _overlap(one, other) / union if union > 0 else 0.0


def iop(predicted: Sequence[float], truth: Sequence[float]) -> float:
    """Return intersection over the predicted span; 0 where the prediction is a moment."""
    length = predicted[1] - predicted[0]
    return _overlap(predicted, truth) / length if length > 0 else 0.0


def _overlap(one: Sequence[float], other: Sequence[float]) -> float:
    return max(0.0, min(one[1], other[1]) - max(one[0], other[0]))


def best(measure: str, predicted: Sequence[Sequence[float]], evidence: Sequence[Span]) -> float:
    """Return the best "iou" or "iop" of the first predicted span with any span of the evidence.

    Returns:
        0 to 1; 0 without a prediction, NaN without evidence.
    """
    if not evidence:
        return math.nan
    pair = {"iou": iou, "iop": iop}[measure]
    return max((pair(predicted[0], span) for span in evidence), default=0.0) if predicted else 0.0


def set_iou(predicted: Sequence[Sequence[float]], evidence: Sequence[Span]) -> float:
    """Return intersection over union of all predicted spans with all evidence: CG-Bench's IoU.

    Returns:
        0 to 1; NaN without evidence.
    """
    if not evidence:
        return math.nan
    one, other = _merged(predicted), _merged(evidence)
    both = sum(_overlap(first, second) for first in one for second in other)
    union = sum(span[1] - span[0] for span in one + other) - both
    return both / union if union > 0 else 0.0


def _merged(spans: Sequence[Sequence[float]]) -> list[Span]:
    merged: list[Span] = []
    for first, last in sorted((span[0], span[1]) for span in spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def mean_recall(value: float, thresholds: Sequence[float] = REC_IOUS) -> float:
    """Return the share of IoU thresholds that one IoU reaches: `rec@IoU`; NaN stays NaN."""
    return math.nan if math.isnan(value) else float(np.mean([value >= t for t in thresholds]))


def moment_average_precision(
    predicted: Sequence[ScoredSpan],
    evidence: Sequence[Span],
    thresholds: Sequence[float] = MAP_IOUS,
    max_spans: int | None = MAX_SPANS,
) -> np.ndarray:
    """Return the interpolated average precision of predicted spans at each IoU threshold.

    The highest prediction takes the free span of the evidence with the largest IoU, if that
    reaches the threshold; all other predictions are false. This is the measure of QVHighlights.

    Args:
        predicted: (start, end, score); the first `max_spans` count.
        evidence: spans in seconds.

    Returns:
        [threshold], 0 to 1; 0 without a prediction, NaN without evidence.
    """
    if not evidence:
        return np.full(len(thresholds), np.nan)
    spans = sorted(list(predicted)[:max_spans], key=lambda span: -span[2])
    results = []
    for threshold in thresholds:
        free, hits = list(evidence), []
        for span in spans:
            overlaps = [iou(span, truth) for truth in free]
            overlap = max(overlaps, default=-1.0)
            hits.append(overlap >= threshold)
            if hits[-1]:  # of equal ones the last is taken, as the owners' code does
                del free[max(n for n, value in enumerate(overlaps) if value == overlap)]
        results.append(_interpolated(hits) * sum(hits) / len(evidence))
    return np.array(results)


def _interpolated(hits: Sequence[bool]) -> float:
    """Mean over the hits of the best precision at this or a later place; 0 without hits."""
    flags = np.asarray(hits, bool)
    if not flags.any():
        return 0.0
    precision = np.cumsum(flags) / np.arange(1, len(flags) + 1)
    return float(np.maximum.accumulate(precision[::-1])[::-1][flags].mean())


def correct_and_grounded(correct: float, overlap: float, threshold: float = 0.5) -> float:
    """Return 1 if an answer is right and its overlap with the evidence reaches the threshold.

    `Acc@GQA` of NExT-GQA takes the IoP at 0.5, ReXTime the IoU at 0.5. NaN without evidence.
    """
    return math.nan if math.isnan(overlap) else float(correct == 1 and overlap >= threshold)
