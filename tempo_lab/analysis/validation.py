"""What traces must have before they are analysed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import xarray as xr

from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

T = TypeVar("T")


def check_traces(given: Trace | Sequence[Trace]) -> list[Trace]:
    """One trace or several of one model, as a list.

    Raises:
        TraceError: none, something that is no trace, or traces of different models.
    """
    traces = one_or_more(given, Trace, "traces", "give what `Session.ask` returned")
    if not traces:
        raise TraceError("there is no trace to analyse", asked="one trace or more", found="none")
    digests = {str(trace.provenance.get("model_digest", "")) for trace in traces}
    if len(digests) > 1:
        raise TraceError(
            "traces of different models do not belong into one analysis",
            asked="one model",
            found=", ".join(sorted(digest[:12] or "unknown" for digest in digests)),
            fix="analyse the traces of each model alone, and subtract the results",
        )
    return traces


def one_or_more(given: T | Sequence[T], kind: type[T], what: str, fix: str) -> list[T]:
    """One thing or several of a kind, as a list.

    Args:
        what: their name, for the message.
        fix: what to give.

    Raises:
        TraceError: something else.
    """
    many = isinstance(given, Iterable) and not isinstance(given, kind | str | PathLike)
    found: list[T] = list(given) if many else [given]  # type: ignore[list-item, arg-type]
    for one in found:
        if not isinstance(one, kind):
            raise TraceError(
                f"an analysis is made of {what}",
                asked=one_line(repr(one), 120),
                found=type(one).__name__,
                fix=fix,
            )
    return found


def check_count(name: str, value: object, least: int = 1) -> int:
    """A whole number, `least` or more: a `TraceError` otherwise."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or int(value) < least:  # type: ignore[call-overload]
        raise TraceError(
            f"{name} is a whole number, {least} or more",
            asked=f"{name}={one_line(repr(value), 80)}",
            found=type(value).__name__,
            fix=f"{name}={least}",
        )
    return int(value)  # type: ignore[call-overload, no-any-return]


def nearest(number: object, count: int) -> str:
    """Advice for a number that is not one of 0 to `count` - 1."""
    if isinstance(number, int | float | np.number):
        return f"the nearest is {min(max(round(float(number)), 0), count - 1)}"
    return f"a whole number, 0 to {count - 1}"


def question_read(trace: Trace) -> str:
    """What the SVLM read: the question, unless an intervention compressed for another one."""
    for one in trace.provenance.get("interventions", ()):
        if one["kind"] == "question":
            return str(one["other"])
    return trace.question


def by_place(trace: Trace, name: str) -> xr.DataArray:
    """A variable [segment] of the segments whose memory stands at each place in time.

    They are the places' own, unless an intervention swapped some.
    """
    values = trace.data[name]
    if "memory_from" not in trace.data:
        return values
    return values.copy(data=values.to_numpy()[trace.data["memory_from"].to_numpy()])


def check_session(session: Session) -> None:
    """Refuse what is no opened video, such as a trace.

    Raises:
        TraceError: it is something else.
    """
    from tempo_lab.session.session import Session

    if not isinstance(session, Session):
        raise TraceError(
            "this analysis runs the model on an opened video",
            asked=one_line(repr(session), 120),
            found=type(session).__name__,
            fix="with tempo.open(PATH) as video: give it the video",
        )


def check_model(trace: Trace, session: Session) -> None:
    """Refuse a session of another model, or another video, than the trace's.

    Raises:
        TraceError: they differ; both are named.
    """
    theirs, own = trace.provenance, session.checkpoint
    if theirs.get("model_digest") != own.digest:
        raise TraceError(
            "the trace is of another model version",
            asked=f"{own.name} {own.digest[:12]}",
            found=f"{theirs.get('model')} {str(theirs.get('model_digest'))[:12]}",
            fix="ask the question again with this model",
        )
    if (segments := trace.data.sizes["segment"]) != len(session):
        raise TraceError(
            "the trace is of another video",
            asked=f"{len(session)} segments",
            found=f"{segments} segments of {theirs.get('video')}",
            fix="open that video",
        )


def recorded(trace: Trace, name: str, capture: str, dims: Sequence[str] = ()) -> xr.DataArray:
    """A variable that only a capture records.

    Args:
        capture: the call that records it, for the message.
        dims: dimensions that it must have.

    Raises:
        TraceError: it was not recorded, or was reduced in another way.
    """
    if name not in trace.data:
        raise TraceError(
            "the trace lacks what this analysis reads",
            asked=name,
            found="not recorded",
            fix=f"session.ask(..., capture=tempo_lab.{capture})",
        )
    found = trace.data[name]
    if missing := [dim for dim in dims if dim not in found.dims]:
        raise TraceError(
            "what was recorded was reduced in another way",
            asked=f"{name} by {', '.join(missing)}",
            found=f"[{', '.join(map(str, found.dims))}]",
            fix=f"session.ask(..., capture=tempo_lab.{capture})",
        )
    return found
