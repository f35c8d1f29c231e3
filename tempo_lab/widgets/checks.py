"""What explorers ask of a trace and a session, and of a session's progress bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.errors import BudgetError, TraceError
from tempo_lab.common.text import one_line
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


def check_trace(trace: Any, session: Session | None = None) -> Trace:
    """The trace, if it is one, of the session's video.

    Raises:
        TraceError: it is something else, or has another number of segments.
    """
    if not isinstance(trace, Trace):
        raise TraceError(
            "an explorer shows a trace",
            asked=one_line(repr(trace), 120),
            found=type(trace).__name__,
            fix="give what `Session.ask` returned, or `tempo_lab.Trace.load(path)`",
        )
    if session is not None and len(session) != trace.data.sizes["segment"]:
        raise TraceError(
            "the trace is of another video",
            asked=f"a trace of {trace.data.sizes['segment']} segments",
            found=f"{len(session)} segments of {session.video.info.path}",
            fix="open the video of the trace, with its fps and max_frames",
        )
    return trace


def check_whole(name: str, value: Any, least: int = 1) -> int:
    """The number, if it is a whole one.

    Raises:
        BudgetError: it is something else, or below `least`.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise BudgetError(
            f"{name} must be a whole number of at least {least}",
            asked=f"{name}={one_line(repr(value), 120)}",
            found=type(value).__name__,
        )
    return int(value)


@contextmanager
def quiet(session: Session) -> Iterator[None]:
    """Without progress bars, for which a panel has no place."""
    before, session.progress = session.progress, False
    try:
        yield
    finally:
        session.progress = before
