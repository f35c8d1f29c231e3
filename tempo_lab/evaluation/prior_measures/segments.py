"""Which segments hold the evidence. numpy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import one_line

Span = tuple[float, float]


def overlapping(
    start: np.ndarray,
    end: np.ndarray,
    span: Sequence[float],
    error: type[TempoLabError] = TempoLabError,
) -> np.ndarray:
    """Return which segments overlap a span, bool [segment].

    Segments and spans are half-open: a span that ends where a segment begins does not mark this
    segment. A moment (8, 8) marks the segment that contains it.

    Args:
        start, end: of the segments in seconds, float [segment].
        span: (first, last) in seconds.
        error: the class to raise.

    Raises:
        TempoLabError: the span ends before it begins.
    """
    first, last = span
    if not first <= last:
        raise error("a span ends before it begins", asked=f"{first:g} to {last:g} s")
    return (end > first) & ((start < last) | (start <= first))


def evidence_segments(
    start: npt.ArrayLike, end: npt.ArrayLike, evidence: Sequence[Span]
) -> np.ndarray:
    """Return which segments overlap the evidence, bool [segment], by the rule of `overlapping`.

    Args:
        start, end: of the segments in seconds [segment].
        evidence: spans in seconds; one that lies outside of the video marks no segment.

    Raises:
        TempoLabError: the segments or spans are not what they should be.

    >>> evidence_segments([0, 4, 8], [4, 8, 12], [(4, 8)])
    array([False,  True, False])
    """
    begins, ends = one_per_segment("start", start), one_per_segment("end", end)
    if begins.shape != ends.shape or (ends < begins).any():
        raise TempoLabError(
            "each segment needs a start and a later end",
            found=f"{len(begins)} starts and {len(ends)} ends",
        )
    truth = np.zeros(begins.shape, bool)
    for span in evidence:
        truth |= overlapping(begins, ends, span)
    return truth


def one_per_segment(name: str, values: npt.ArrayLike) -> np.ndarray:
    """Return values as float [segment].

    Raises:
        TempoLabError: they are not one finite number per segment; `name` says what they are.
    """
    array = np.asarray(values, float)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise TempoLabError(
            f"{name} must be one finite number per segment",
            asked=one_line(repr(values), 120),
            found=f"shape {array.shape}",
        )
    return array
