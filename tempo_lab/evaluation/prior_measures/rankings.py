"""Measures of a ranking: how high segments with evidence score. numpy only."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.statistics import auc
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.prior_measures.segments import one_per_segment


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
    hits, shown = hits_by_score(values, flags)
    recall = np.diff(hits, prepend=0) / hits[-1]
    return float((recall * hits / shown).sum())


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


def recalls_at_equal_tokens(
    tokens: npt.ArrayLike, truth: npt.ArrayLike, slots: int
) -> dict[str, float]:
    """Return `evidence_recall` of an allocation, and of as many tokens that are spread evenly.

    Returns:
        "evidence_recall" and "evidence_recall_uniform". The arguments are `evidence_recall`'s.
    """
    kept = np.asarray(tokens, float)
    even = np.full(kept.shape, kept.mean())
    return {
        "evidence_recall": evidence_recall(kept, truth, slots),
        "evidence_recall_uniform": evidence_recall(even, truth, slots),
    }


def hits_by_score(values: np.ndarray, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of relevant and of all segments down to each distinct score, best first."""
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0, True)  # of each run of equal scores
    return np.cumsum(flags[order])[last], np.arange(1, len(values) + 1)[last]


def _ranked(scores: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the scores, the truth, and whether it has both kinds of segments."""
    values, flags = one_per_segment("scores", scores), np.asarray(truth)
    if flags.shape != values.shape or flags.dtype != bool:
        raise TempoLabError(
            "truth must be bool, one per segment",
            asked=f"{len(values)} segments",
            found=f"{flags.dtype} of shape {flags.shape}",
        )
    return values, flags, bool(flags.any() and not flags.all())
