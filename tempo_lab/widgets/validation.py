"""Check the session and the trace that an explorer is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


def check_trace(session: Session | None, trace: Any) -> Trace:
    """Return the trace, if it is a trace of the session's video, with an answer.

    Raises:
        TraceError: it is something else, has another number of segments, or was only scored.
    """
    if not isinstance(trace, Trace):
        raise TraceError(
            "an explorer needs a trace",
            asked=one_line(repr(trace), 120),
            found=type(trace).__name__,
            fix="pass the result of `Session.ask`, or `tempo_lab.Trace.load(path)`",
        )
    trace.check_answered()
    if session is not None and len(session) != trace.data.sizes["segment"]:
        raise TraceError(
            "the trace belongs to another video",
            asked=f"a trace of {trace.data.sizes['segment']} segments",
            found=f"{len(session)} segments of {session.video.info.path}",
            fix="open the video of the trace, with its fps and max_frames",
        )
    return trace
