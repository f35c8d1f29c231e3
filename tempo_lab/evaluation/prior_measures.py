"""Measure whether relevance scores find the evidence: rankings, predicted spans, saliency.

One function per measure, over one question. `measure_prior` returns all of them, and `summarize`
averages questions with intervals clustered by video. A measure that is not defined for a question
is NaN; it is counted, and never replaced. numpy only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.statistics import SHARE, auc, bootstrap_mean
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.answer_scoring import Score

Span = tuple[float, float]
ScoredSpan = tuple[float, float, float]
"""(start, end, score), start and end in seconds."""

SPAN_RULE = "mean + 1 sd"
"""The rule by which `spans_from_scores` turns a curve into spans; tables must name it."""
HITS = (1, 5)
R1_IOUS = (0.3, 0.5, 0.7)
MAP_IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
REC_IOUS = (0.1, 0.2, 0.3, 0.4, 0.5)
MAX_SPANS = 10
"""Number of predicted spans that count for mAP, as in QVHighlights' own evaluation."""
SALIENT = {"fair": 2, "good": 3, "very_good": 4}
"""Smallest score of a salient clip, by QVHighlights' names."""


# Segments and evidence


def evidence_segments(
    start: npt.ArrayLike, end: npt.ArrayLike, evidence: Sequence[Span]
) -> np.ndarray:
    """Return which segments overlap the evidence, bool [segment].

    Segments and spans are half-open: a span that ends where a segment begins does not mark this
    segment. A moment (8, 8) marks the segment that contains it.

    Args:
        start, end: of the segments in seconds [segment].
        evidence: spans in seconds.

    >>> evidence_segments([0, 4, 8], [4, 8, 12], [(4, 8)])
    array([False,  True, False])
    """
    begins, ends = _curve("start", start), _curve("end", end)
    if begins.shape != ends.shape or (ends < begins).any():
        raise TempoLabError(
            "each segment needs a start and a later end",
            found=f"{len(begins)} starts and {len(ends)} ends",
        )
    truth = np.zeros(begins.shape, bool)
    for first, last in evidence:
        if not first <= last:
            raise TempoLabError("a span ends before it begins", asked=f"{first:g} to {last:g} s")
        truth |= (ends > first) & ((begins < last) | (begins <= first))
    return truth


def _curve(name: str, values: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise TempoLabError(
            f"{name} must be one finite number per segment",
            asked=one_line(repr(values), 120),
            found=f"shape {array.shape}",
        )
    return array


def _ranked(scores: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, bool]:
    """The scores, the truth, and whether it has both kinds of segments."""
    values, flags = _curve("scores", scores), np.asarray(truth)
    if flags.shape != values.shape or flags.dtype != bool:
        raise TempoLabError(
            "truth must be bool, one per segment",
            asked=f"{len(values)} segments",
            found=f"{flags.dtype} of shape {flags.shape}",
        )
    return values, flags, bool(flags.any() and not flags.all())


# Rankings


def auroc(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the chance that a segment with evidence scores above one without; a tie counts half.

    Args:
        scores: [segment], in any unit that ranks.
        truth: bool [segment], which segments hold evidence.

    Returns:
        0 to 1; NaN if no segment or every segment holds evidence.
    """
    values, flags, _ = _ranked(scores, truth)
    return auc(values, flags)


def average_precision(scores: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Return the area under the precision-recall curve, by steps.

    Segments with equal scores are one step, so that their order does not matter: the value is the
    share of segments with evidence if all scores are equal.

    Returns:
        0 to 1; NaN if no segment or every segment holds evidence. The arguments are `auroc`'s.
    """
    values, flags, defined = _ranked(scores, truth)
    if not defined:
        return math.nan
    hits, shown = _steps(values, flags)
    recall = np.diff(hits, prepend=0) / hits[-1]
    return float((recall * hits / shown).sum())


def _steps(values: np.ndarray, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Relevant and all segments down to each distinct score, the highest first."""
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)  # of each run of equal scores
    return np.cumsum(flags[order])[last], np.arange(1, len(values) + 1)[last]


def hit_at(scores: npt.ArrayLike, truth: npt.ArrayLike, k: int) -> float:
    """Return the chance that one of the k highest segments holds evidence, ties in random order.

    Returns:
        0 to 1, and 0 or 1 without ties at the k-th place; NaN if no segment or every segment holds
        evidence. The arguments are `auroc`'s.

    >>> hit_at([0.9, 0.5, 0.5], [False, True, False], 2)
    0.5
    """
    check_whole("k", k, 1, error=TempoLabError)
    values, flags, defined = _ranked(scores, truth)
    if not defined:
        return math.nan
    if k >= len(values):
        return 1.0
    cut = np.sort(values)[-k]
    if flags[values > cut].any():
        return 1.0
    drawn = k - int((values > cut).sum())
    tied = values == cut
    misses, count = int((tied & ~flags).sum()), int(tied.sum())
    return 1 - math.comb(misses, drawn) / math.comb(count, drawn)


def evidence_recall(tokens: npt.ArrayLike, truth: npt.ArrayLike, slots: int) -> float:
    """Return the share of the memory tokens of segments with evidence that an allocation keeps.

    Compare it between allocations of equally many tokens: `tokens` of all segments together
    divided by all slots is what a uniform allocation keeps.

    Args:
        tokens: that are kept [segment].
        truth: bool [segment], which segments hold evidence.
        slots: memory tokens of a segment before any are dropped.

    Returns:
        0 to 1; NaN if no segment or every segment holds evidence.
    """
    check_whole("slots", slots, 1, error=TempoLabError)
    kept, flags, defined = _ranked(tokens, truth)
    if (kept < 0).any() or (kept > slots).any():
        raise TempoLabError(
            "a segment keeps 0 to all of its memory tokens",
            asked=f"{slots} slots per segment",
            found=f"{kept.min():g} to {kept.max():g} tokens",
        )
    return float(kept[flags].mean() / slots) if defined else math.nan


# Spans


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
    values, begins, ends = _curve("scores", scores), _curve("start", start), _curve("end", end)
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
    """Return the share of IoU thresholds that one IoU reaches: rec@IoU; NaN stays NaN."""
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

    Acc@GQA of NExT-GQA takes the IoP at 0.5, ReXTime the IoU at 0.5. NaN without evidence.
    """
    return math.nan if math.isnan(overlap) else float(correct == 1 and overlap >= threshold)


# Saliency


def scores_of_clips(
    scores: npt.ArrayLike, start: npt.ArrayLike, end: npt.ArrayLike, clips: int, clip: float
) -> np.ndarray:
    """Return the scores of equally long clips, [clip]: the mean of the segments each overlaps.

    A segment weighs as much as it overlaps. A clip without a segment has the score of the nearest.

    Args:
        scores: [segment].
        start, end: of the segments in seconds [segment].
        clips: how many.
        clip: length of each in seconds.
    """
    values, begins, ends = _curve("scores", scores), _curve("start", start), _curve("end", end)
    first = np.arange(clips)[:, None] * clip
    shared = (np.minimum(ends, first + clip) - np.maximum(begins, first)).clip(min=0)
    weight = shared.sum(axis=1)
    gap = np.maximum(begins - (first + clip), first - ends)
    nearest = values[gap.argmin(axis=1)]
    with np.errstate(invalid="ignore"):
        return np.where(weight > 0, (shared * values).sum(axis=1) / weight, nearest)


def saliency_hit(predicted: npt.ArrayLike, saliency: npt.ArrayLike, minimum: float) -> float:
    """Return whether any rater finds the highest clip salient: HIT@1 of QVHighlights.

    Clips that share the highest score are drawn from at random: the value is what is expected.

    Args:
        predicted: [clip].
        saliency: [clip, rater].
        minimum: smallest score of a salient clip; the published number has 4.
    """
    values, rated = _rated(predicted, saliency)
    return float((rated[values == values.max()] >= minimum).any(axis=1).mean())


def saliency_average_precision(
    predicted: npt.ArrayLike, saliency: npt.ArrayLike, minimum: float
) -> float:
    """Return the interpolated average precision of salient clips, mean over raters.

    As QVHighlights' owners define it, a rater counts 0 if no clip is salient, and 1 if all are;
    clips with equal scores are one step. The arguments are `saliency_hit`'s.
    """
    values, rated = _rated(predicted, saliency)
    results = []
    for flags in (rated >= minimum).T:
        if flags.all() or not flags.any():
            results.append(float(flags.all()))
            continue
        hits, shown = _steps(values, flags)
        better = np.maximum.accumulate((hits / shown)[::-1])[::-1]
        results.append(float(better[np.diff(hits, prepend=0) > 0].mean()))
    return float(np.mean(results))


def _rated(predicted: npt.ArrayLike, saliency: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, rated = _curve("predicted", predicted), np.asarray(saliency, float)
    if rated.ndim != 2 or len(rated) != len(values) or not rated.size:
        raise TempoLabError(
            "saliency needs a score of each rater for each clip",
            asked=f"{len(values)} predicted clips",
            found=f"shape {rated.shape}",
        )
    return values, rated


# All measures of one question, and of many


def measure_prior(
    scores: npt.ArrayLike,
    start: npt.ArrayLike,
    end: npt.ArrayLike,
    evidence: Sequence[Span],
    *,
    tokens: npt.ArrayLike | None = None,
    slots: int | None = None,
    saliency: npt.ArrayLike | None = None,
    clip: float = 2.0,
) -> dict[str, float]:
    """Return all measures of one question by name; those that are not defined are NaN.

    Args:
        scores: relevance [segment].
        start, end: of the segments in seconds [segment].
        evidence: spans in seconds; if they lie outside of the video, no measure is defined that
            needs them.
        tokens: memory tokens that an allocation keeps [segment], for `evidence_recall` and
            `evidence_recall_uniform`, which is what equally many tokens spread evenly keep.
        slots: memory tokens of a segment before any are dropped; `tokens` needs it.
        saliency: graded relevance [clip, rater], or None.
        clip: length of a clip in seconds.

    Raises:
        TempoLabError: arrays that do not fit each other.
    """
    truth = evidence_segments(start, end, evidence)
    evidence = evidence if truth.any() else ()  # behind the end of the video it cannot be found
    spans = spans_from_scores(scores, start, end)
    overlap, united = best("iou", spans, evidence), set_iou(spans, evidence)
    precision = moment_average_precision(spans, evidence)
    measures = {
        "auroc": auroc(scores, truth),
        "average_precision": average_precision(scores, truth),
        **{f"hit@{k}": hit_at(scores, truth, k) for k in HITS},
        **{f"R1@{limit}": mean_recall(overlap, [limit]) for limit in R1_IOUS},
        "mAP": float(precision.mean()),
        "mAP@0.5": float(precision[MAP_IOUS.index(0.5)]),
        "mAP@0.75": float(precision[MAP_IOUS.index(0.75)]),
        "mIoU": overlap,
        "mIoP": best("iop", spans, evidence),
        "set_mIoU": united,
        "rec@IoU": mean_recall(united),
    }
    if tokens is not None:
        if slots is None:
            raise TempoLabError(
                "the recall of evidence needs the number of slots", asked="tokens without slots",
                fix="pass slots=",
            )  # fmt: skip
        even = np.full(len(truth), np.mean(np.asarray(tokens, float)))
        measures["evidence_recall"] = evidence_recall(tokens, truth, slots)
        measures["evidence_recall_uniform"] = evidence_recall(even, truth, slots)
    if saliency is not None:
        predicted = scores_of_clips(scores, start, end, len(np.asarray(saliency)), clip)
        for name, minimum in SALIENT.items():
            measures[f"HIT@1_{name}"] = saliency_hit(predicted, saliency, minimum)
            measures[f"saliency_mAP_{name}"] = saliency_average_precision(
                predicted, saliency, minimum
            )
    return measures


@dataclass(frozen=True)
class Measured:
    """The measures of one question.

    Attributes:
        id: of the question.
        video: name of its video; questions about one video are resampled together.
        measures: by name; NaN where one is not defined.
    """

    id: str
    video: str
    measures: Mapping[str, float]


def summarize(measured: Sequence[Measured], group: str = "all") -> list[Score]:
    """Return the mean of each measure with its interval, and how often it was not defined."""
    names = dict.fromkeys(name for one in measured for name in one.measures)
    scores = []
    for name in names:
        values = [one.measures.get(name, math.nan) for one in measured]
        mean = bootstrap_mean(values, [one.video for one in measured], bounds=SHARE)
        undefined = int(np.isnan(values).sum())
        scores.append(Score.of(group, name, mean, undefined=undefined))
    return scores
