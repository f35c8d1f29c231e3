"""Measure whether relevance scores find the evidence: rankings, predicted spans, saliency.

One function per measure, over one question; `measure_prior` returns all of them. A measure that is
not defined for a question is NaN; it is counted, and never replaced. numpy only.
"""

from tempo_lab.evaluation.prior_measures.measures import measure_prior
from tempo_lab.evaluation.prior_measures.rankings import (
    auroc,
    average_precision,
    evidence_recall,
    hit_at,
    recalls_at_equal_tokens,
)
from tempo_lab.evaluation.prior_measures.saliency import (
    saliency_average_precision,
    saliency_hit,
    scores_of_clips,
)
from tempo_lab.evaluation.prior_measures.segments import Span, evidence_segments
from tempo_lab.evaluation.prior_measures.spans import (
    SPAN_RULE,
    ScoredSpan,
    best,
    correct_and_grounded,
    iop,
    iou,
    mean_recall,
    moment_average_precision,
    set_iou,
    spans_from_scores,
)

__all__ = [
    "SPAN_RULE", "ScoredSpan", "Span", "auroc", "average_precision", "best",
    "correct_and_grounded", "evidence_recall", "evidence_segments", "hit_at", "iop", "iou",
    "mean_recall", "measure_prior", "moment_average_precision", "recalls_at_equal_tokens",
    "saliency_average_precision", "saliency_hit", "scores_of_clips", "set_iou", "spans_from_scores",
]  # fmt: skip
