"""Measures of graded saliency, as QVHighlights defines them. numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.prior_measures.rankings import hits_by_score
from tempo_lab.evaluation.prior_measures.segments import one_per_segment

SALIENT = {"fair": 2, "good": 3, "very_good": 4}
"""Smallest score of a salient clip, by QVHighlights' names."""


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
    values, begins, ends = (
        one_per_segment("scores", scores),
        one_per_segment("start", start),
        one_per_segment("end", end),
    )
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
        hits, shown = hits_by_score(values, flags)
        better = np.maximum.accumulate((hits / shown)[::-1])[::-1]
        results.append(float(better[np.diff(hits, prepend=0) > 0].mean()))
    return float(np.mean(results))


def _rated(predicted: npt.ArrayLike, saliency: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    values, rated = one_per_segment("predicted", predicted), np.asarray(saliency, float)
    if rated.ndim != 2 or len(rated) != len(values) or not rated.size:
        raise TempoLabError(
            "saliency needs a score of each rater for each clip",
            asked=f"{len(values)} predicted clips",
            found=f"shape {rated.shape}",
        )
    return values, rated
