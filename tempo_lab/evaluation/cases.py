"""Cases: questions about opened videos, with their right answers and evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.prior_measures.segments import overlapping
from tempo_lab.evaluation.scoring import same_answer
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


@dataclass(frozen=True, eq=False)
class Case:
    """One question about one opened video, with its right answer and evidence.

    Attributes:
        session: the video, opened with a model.
        question: plain text.
        answer: the right answer.
        evidence: bool [segment], which segments hold what is needed to answer.
        kind: of the question.
        video: a name; questions about one video are resampled together.
        score: how right an answer is, 0 to 1; by default 1 for the same answer (`same_answer`).
        group: of the question, for tables; by default its kind.

    Raises:
        TraceError: the evidence does not have one entry per segment.
        QueryError: the question is not text.
    """

    session: Session
    question: str
    answer: str
    evidence: np.ndarray
    kind: str = ""
    video: str = ""
    score: Callable[[str], float] | None = None
    group: str = ""

    def __post_init__(self) -> None:
        from tempo_lab.session.validation import check_texts

        check_texts(self.question, ())
        evidence = check_truth(self.evidence, len(self.session))
        object.__setattr__(self, "evidence", evidence)
        object.__setattr__(self, "group", self.group or self.kind)
        if not self.video:
            object.__setattr__(self, "video", str(self.session.video.info.path))

    def scored(self, answer: str) -> float:
        """Return how right an answer is, 0 to 1."""
        return (self.score or same_answer(self.answer))(answer)


def check_truth(truth: Sequence[bool] | np.ndarray, segments: int) -> np.ndarray:
    """Return the truth as bool [segment].

    Raises:
        TraceError: it does not have one entry per segment, or other values than true and false.
    """
    array = np.asarray(truth)
    if array.shape != (segments,) or not np.isin(array, (0, 1)).all():
        raise TraceError(
            "truth must say of each segment whether it holds evidence",
            asked=f"{segments} segments",
            found=f"{array.dtype} of shape {array.shape}",
            fix="give bool [segment]; numpy.isin(range(n), numbers) makes it from numbers, "
            "tempo_lab.analysis.within(trace, spans) from seconds",
        )
    return array.astype(bool)


def within(trace: Trace, spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """Return which segments overlap spans of time, bool [segment].

    Segments and spans are half-open: (8, 12) does not reach the segment that begins at 12. A moment
    (8, 8) is in the one segment that holds it (`prior_measures.segments.overlapping`).

    Args:
        trace: of the video.
        spans: (first, last) in seconds, on the clock of the trace's `start` and `end`.

    Raises:
        TraceError: the arguments are not a trace and such pairs, or a span ends before it begins
            or lies outside the video.
    """
    if not isinstance(trace, Trace):
        raise TraceError(
            "spans lie on the clock of one trace",
            asked=one_line(repr(trace), 120),
            found=type(trace).__name__,
            fix="give what `Session.ask` returned",
        )
    start, end = trace.data["start"].to_numpy(), trace.data["end"].to_numpy()
    try:
        pairs = np.asarray(spans, dtype=float)
    except (TypeError, ValueError):
        pairs = np.empty(0)
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise TraceError(
            "spans are pairs of seconds",
            asked=one_line(repr(spans), 120),
            fix="give a list of (first, last), such as [(32.0, 36.0)]",
        )
    truth = np.zeros(len(start), dtype=bool)
    for span in pairs:
        overlaps = overlapping(start, end, span, TraceError)
        if not overlaps.any():
            raise TraceError(
                "a span lies outside the video",
                asked=f"{span[0]:g} to {span[1]:g} s",
                found=f"a video from {start[0]:g} to {end[-1]:g} s",
                fix="count seconds from the beginning of the video",
            )
        truth |= overlaps
    return truth
