"""Tempo Lab: see inside query-aware video compression.

    import tempo_lab as tl

    tempo = tl.load("nano")
    with tempo.open("data/clips/voyage.mp4") as video:
        trace = video.ask("What color is the star?", budget=64)

Names are imported when they are first used, so that `import tempo_lab` needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tempo_lab.common.version import __version__

if TYPE_CHECKING:
    from tempo_lab import analysis, plots, widgets
    from tempo_lab.allocation.ata import Allocation, allocate
    from tempo_lab.common.errors import (
        BudgetError,
        CaptureError,
        CheckpointError,
        QueryError,
        TempoLabError,
        TraceError,
        VideoError,
    )
    from tempo_lab.session.capture.spec import Capture, Rows
    from tempo_lab.session.interventions.spec import Intervention
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo, load
    from tempo_lab.trace.trace import Trace
    from tempo_lab.video.video import Video, plan_sampling

_HOMES = {
    # video -> model -> session -> trace
    "Video": "video",
    "plan_sampling": "video",
    "load": "tempo",
    "Tempo": "tempo",
    "Session": "session",
    "Trace": "trace",
    # allocation
    "allocate": "allocation",
    "Allocation": "allocation",
    # look inside
    "Capture": "capture.spec",
    "Intervention": "capture.interventions",
    "Rows": "capture.spec",
    # errors
    "TempoLabError": "errors",
    "VideoError": "errors",
    "CheckpointError": "errors",
    "BudgetError": "errors",
    "QueryError": "errors",
    "CaptureError": "errors",
    "TraceError": "errors",
}

__all__ = [
    "Allocation",
    "BudgetError",
    "Capture",
    "CaptureError",
    "CheckpointError",
    "Intervention",
    "QueryError",
    "Rows",
    "Session",
    "Tempo",
    "TempoLabError",
    "Trace",
    "TraceError",
    "Video",
    "VideoError",
    "__version__",
    "allocate",
    "analysis",
    "load",
    "plan_sampling",
    "plots",
    "widgets",
]


def __getattr__(name: str) -> Any:
    if name in ("analysis", "plots", "widgets"):
        return import_module(f"tempo_lab.{name}")
    if name in _HOMES:
        return getattr(import_module(f"tempo_lab.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'tempo_lab' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
