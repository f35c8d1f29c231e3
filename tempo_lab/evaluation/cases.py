"""Cases: questions about opened videos, with what is known to be true."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.scoring import same_answer
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


@dataclass(frozen=True, eq=False)
class Case:
    """One question about one opened video, and the truth.

    Attributes:
        session: the video, opened with a model.
        question: its words.
        answer: the right one.
        evidence: bool [segment], which segments hold what is needed to answer.
        kind: of question.
        video: a name; what is asked about one video is resampled together.
        score: how right an answer is, 0 to 1; by default 1 for the same answer (`same_answer`).
        group: of questions, for tables; by default their kind.

    Raises:
        TraceError: evidence that has not one entry a segment.
        QueryError: a question that is no text.
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

    def scored(self, given: str) -> float:
        """How right an answer is, 0 to 1."""
        return (self.score or same_answer(self.answer))(given)


def check_truth(truth: Sequence[bool] | np.ndarray, segments: int) -> np.ndarray:
    """The truth as bool [segment].

    Raises:
        TraceError: not one entry a segment, or not true and false.
    """
    array = np.asarray(truth)
    if array.shape != (segments,) or not np.isin(array, (0, 1)).all():
        raise TraceError(
            "truth says of each segment whether it holds the evidence",
            asked=f"{segments} segments",
            found=f"{array.dtype} of shape {array.shape}",
            fix="bool [segment]; numpy.isin(range(n), numbers) makes it from numbers, "
            "tempo_lab.analysis.within(trace, spans) from seconds",
        )
    return array.astype(bool)


def within(trace: Trace, spans: Sequence[tuple[float, float]]) -> np.ndarray:
    """Which segments overlap spans of time, bool [segment]: LVBench's time references, say.

    Segments and spans are half-open: (8, 12) does not reach the segment that begins at 12. A moment
    (8, 8) is in the one segment that holds it.

    Args:
        trace: of the video.
        spans: (first, last) in seconds, on the clock of the trace's `start` and `end`.

    Raises:
        TraceError: something else than a trace or such pairs, an end before its beginning, or a
            span outside of the video.
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
            fix="a list of (first, last), as [(32.0, 36.0)]",
        )
    truth = np.zeros(len(start), dtype=bool)
    for first, last in pairs:
        if not first <= last:
            raise TraceError("a span ends before it begins", asked=f"{first:g} to {last:g} s")
        here = (end > first) & ((start < last) | (start <= first))
        if not here.any():
            raise TraceError(
                "a span lies outside of the video",
                asked=f"{first:g} to {last:g} s",
                found=f"a video from {start[0]:g} to {end[-1]:g} s",
                fix="seconds from the beginning of the video",
            )
        truth |= here
    return truth
