"""What traces must have before they are analysed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import xarray as xr

from tempo_lab.errors import TraceError
from tempo_lab.text import one_line
from tempo_lab.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session import Session


def check_traces(given: Trace | Sequence[Trace]) -> list[Trace]:
    """One trace or several of one model, as a list.

    Raises:
        TraceError: none, something that is no trace, or traces of different models.
    """
    traces = [given] if isinstance(given, Trace) else list(given)
    if not traces:
        raise TraceError("there is no trace to analyse", asked="one trace or more", found="none")
    for trace in traces:
        if not isinstance(trace, Trace):
            raise TraceError(
                "an analysis is made of traces",
                asked=one_line(repr(trace), 120),
                found=type(trace).__name__,
                fix="give what `Session.ask` returned or `Trace.load` read",
            )
    digests = {str(trace.provenance.get("model_digest", "")) for trace in traces}
    if len(digests) > 1:
        raise TraceError(
            "traces of different models do not belong into one analysis",
            asked="one model",
            found=", ".join(sorted(digest[:12] or "unknown" for digest in digests)),
            fix="analyse the traces of each model alone, and subtract the results",
        )
    return traces


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
