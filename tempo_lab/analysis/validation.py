"""Checks of traces, sessions and cases before they are analyzed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, TypeVar

import xarray as xr

from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

T = TypeVar("T")


def check_traces(traces: Trace | Sequence[Trace]) -> list[Trace]:
    """Return one trace, or several of one model, as a list.

    Raises:
        TraceError: there is no trace, an element is not a trace, or the models differ.
    """
    trace_list = one_or_more(traces, Trace, "traces", "pass the result of `Session.ask`")
    if not trace_list:
        raise TraceError("there is no trace to analyze", asked="one trace or more", found="none")
    digests = {str(trace.provenance.get("model_digest", "")) for trace in trace_list}
    if len(digests) > 1:
        raise TraceError(
            "traces of different models cannot be analyzed together",
            asked="one model",
            found=", ".join(sorted(digest[:12] or "unknown" for digest in digests)),
            fix="analyze the traces of each model separately, and subtract the results",
        )
    return trace_list


def one_or_more(values: T | Sequence[T], expected: type[T], plural: str, fix: str) -> list[T]:
    """Return one value, or several, of a class as a list.

    Args:
        values: one value or several.
        expected: their class.
        plural: the name of such values, for the message.
        fix: what to pass instead, for the message.

    Raises:
        TraceError: a value is of another class.
    """
    several = isinstance(values, Iterable) and not isinstance(values, expected | str | PathLike)
    value_list: list[T] = list(values) if several else [values]  # type: ignore[list-item, arg-type]
    for value in value_list:
        if not isinstance(value, expected):
            raise TraceError(
                f"this analysis takes {plural}",
                asked=one_line(repr(value), 120),
                found=type(value).__name__,
                fix=fix,
            )
    return value_list


def question_read(trace: Trace) -> str:
    """Return the question that the SVLM read, which an intervention may have changed."""
    for intervention in trace.provenance.get("interventions", ()):
        if intervention["kind"] == "question":
            return str(intervention["other"])
    return trace.question


def by_place(trace: Trace, name: str) -> xr.DataArray:
    """Return a variable [segment] of the segments whose memory is at each place in time.

    A place has its own memory unless an intervention swapped segments.
    """
    values = trace.data[name]
    if "memory_from" not in trace.data:
        return values
    return values.copy(data=values.to_numpy()[trace.data["memory_from"].to_numpy()])


def check_session(session: Session) -> None:
    """Refuse anything that is not an opened video, such as a trace.

    Raises:
        TraceError: it is not a session.
    """
    from tempo_lab.session.session import Session

    if not isinstance(session, Session):
        raise TraceError(
            "this analysis runs the model on an opened video",
            asked=one_line(repr(session), 120),
            found=type(session).__name__,
            fix="with tempo.open(PATH) as session: pass the session",
        )


def check_model(trace: Trace, session: Session) -> None:
    """Refuse a session of another model, video or part of a video than the trace.

    Raises:
        TraceError: they differ; the message names both.
    """
    provenance, checkpoint = trace.provenance, session.checkpoint
    if provenance.get("model_digest") != checkpoint.digest:
        raise TraceError(
            "the trace is of another model version",
            asked=f"{checkpoint.name} {checkpoint.digest[:12]}",
            found=f"{provenance.get('model')} {str(provenance.get('model_digest'))[:12]}",
            fix="ask the question again with this model",
        )
    if (segments := trace.data.sizes["segment"]) != len(session):
        raise TraceError(
            "the trace is of another video",
            asked=f"{len(session)} segments",
            found=f"{segments} segments of {provenance.get('video')}",
            fix="open that video",
        )
    found, opened = provenance.get("part"), session.video.part
    if (None if found is None else tuple(found)) != opened:
        raise TraceError(
            "the trace is of another part of the video",
            asked=_part_name(opened),
            found=f"{_part_name(found)} of {provenance.get('video')}",
            fix="open that part with start= and end=",
        )


def _part_name(part: Sequence[float] | None) -> str:
    return "the whole video" if part is None else "{:g} to {:g} s".format(*part)


def recorded(trace: Trace, name: str, capture: str, dims: Sequence[str] = ()) -> xr.DataArray:
    """Return a variable that only a capture records.

    Args:
        trace: the trace.
        name: the name of the variable.
        capture: the call that records it, for the message.
        dims: dimensions that it must have.

    Raises:
        TraceError: it was not recorded, or was reduced in another way.
    """
    if name not in trace.data:
        raise TraceError(
            "the trace does not have a variable that this analysis needs",
            asked=name,
            found="not recorded",
            fix=f"session.ask(..., capture=tempo_lab.{capture})",
        )
    variable = trace.data[name]
    if missing := [dim for dim in dims if dim not in variable.dims]:
        raise TraceError(
            "the recorded variable was reduced in another way",
            asked=f"{name} by {', '.join(missing)}",
            found=f"[{', '.join(map(str, variable.dims))}]",
            fix=f"session.ask(..., capture=tempo_lab.{capture})",
        )
    return variable
