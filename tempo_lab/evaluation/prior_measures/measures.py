"""All measures of one question's relevance scores. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.prior_measures.rankings import (
    auroc,
    average_precision,
    hit_at,
    recalls_at_equal_tokens,
)
from tempo_lab.evaluation.prior_measures.saliency import (
    SALIENT,
    saliency_average_precision,
    saliency_hit,
    scores_of_clips,
)
from tempo_lab.evaluation.prior_measures.segments import Span, evidence_segments
from tempo_lab.evaluation.prior_measures.spans import (
    MAP_IOUS,
    best,
    mean_recall,
    moment_average_precision,
    set_iou,
    spans_from_scores,
)

HITS = (1, 5)
R1_IOUS = (0.3, 0.5, 0.7)
IOPS = (0.3, 0.5)
"""Thresholds of the IoP, as NExT-GQA reports them."""


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
    overlap, inside = best("iou", spans, evidence), best("iop", spans, evidence)
    united = set_iou(spans, evidence)
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
        "mIoP": inside,
        **{f"IoP@{limit}": mean_recall(inside, [limit]) for limit in IOPS},
        "set_mIoU": united,
        "rec@IoU": mean_recall(united),
    }
    if tokens is not None:
        if slots is None:
            raise TempoLabError(
                "the recall of evidence needs the number of slots", asked="tokens without slots",
                fix="pass slots=",
            )  # fmt: skip
        measures |= recalls_at_equal_tokens(tokens, truth, slots)
    if saliency is not None:
        predicted = scores_of_clips(scores, start, end, len(np.asarray(saliency)), clip)
        for name, minimum in SALIENT.items():
            measures[f"HIT@1_{name}"] = saliency_hit(predicted, saliency, minimum)
            measures[f"saliency_mAP_{name}"] = saliency_average_precision(
                predicted, saliency, minimum
            )
    return measures
