"""The attention of one layer and head of the SVLM, on the frames, over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
from traitlets import link

from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.widgets.base import WIDE, Explorer, sized
from tempo_lab.widgets.frames import FrameCache
from tempo_lab.widgets.validation import check_trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace

PATCHES, PAIRS, GROUPS = "patches", "frame pairs", "key groups"
MEAN = "mean"
INTERVAL = 1500
"""Milliseconds that a segment is shown for while the segments play."""


class AttentionExplorer(Explorer):
    """Select layer, head and row of the attention that a trace recorded; play the segments.

    What can be drawn depends on what was recorded: with reduce="patch_grid" or "none" patches on
    the frames, and the attention to each frame pair; with "key_group" the pairs and all key groups.

    Args:
        session: the video, opened.
        trace: of `session.ask(..., capture=Capture(attention=["decision", "memory"],
            reduce="patch_grid"))`.

    Attributes:
        segment, play, layer, head, row, reduction: the controls.

    Raises:
        TraceError: the trace recorded no attention of the SVLM, or is of another video.
    """

    def __init__(self, session: Session, trace: Trace) -> None:
        check_trace(session, trace)
        self.session, self.trace = session, trace
        self._results: dict[tuple[Any, Any], Attention] = {}
        mean = self._attention(MEAN, MEAN)
        self._frames = FrameCache(session)
        recorded = trace.data["attention"]
        variables = {PATCHES: "patch_mass", PAIRS: "pair_mass", GROUPS: "segment_mass"}
        reductions = [name for name, variable in variables.items() if variable in mean.data]
        n = len(session)
        best = int(trace.data["relevance"].to_numpy().argmax())
        self.segment = ipw.IntSlider(
            best, 0, n - 1, description="segment", **sized(27),
            tooltip="segment to show",
        )  # fmt: skip
        self.play = ipw.Play(
            value=best, min=0, max=n - 1, interval=INTERVAL, description="play through time",
            tooltip="show one segment after the other",
        )  # fmt: skip
        self.layer = self._menu("layer", [MEAN, *recorded["layer"].to_numpy().tolist()])
        self.head = self._menu("head", [MEAN, *recorded["head"].to_numpy().tolist()])
        self.row = self._menu("row", [str(row) for row in recorded["row"].to_numpy()])
        self.reduction = self._menu("reduction", reductions)
        super().__init__([self.segment, self.play, self.layer, self.head, self.row, self.reduction])
        self.finally_(link((self.play, "value"), (self.segment, "value")).unlink)
        self.watch(self.segment, self.layer, self.head, self.row, self.reduction)
        self.redraw()

    @property
    def result(self) -> Attention:
        """The attention of the chosen layer and head, or their mean."""
        return self._attention(self.layer.value, self.head.value)

    def draw(self) -> Figure:
        from tempo_lab import plots

        result, segment, row = self.result, self.segment.value, self.row.value
        if self.reduction.value == PATCHES:
            frames, _ = self._frames.of(segment)
            return plots.attention_overlay(
                result, self.session.video, segment=segment, rows=[row], frames=frames, width=WIDE
            )[0]
        if self.reduction.value == PAIRS:
            return plots.attention_time(result, row, segment=segment, width=WIDE)[0]
        return plots.attention_parts(result, row, segment, width=WIDE)[0]

    def caption(self) -> str:
        layer = "mean of layers" if self.layer.value == MEAN else f"layer {self.layer.value}"
        head = "mean of heads" if self.head.value == MEAN else f"head {self.head.value}"
        return (
            f"Attention of {self.row.value} to {self.reduction.value}, segment "
            f"{self.segment.value}, {layer}, {head}"
        )

    def _attention(self, layer: Any, head: Any) -> Attention:
        """Return the attention of one layer and head, or of their mean; computed once."""
        if (layer, head) not in self._results:
            self._results[layer, head] = attention(
                self.trace,
                layers=None if layer == MEAN else [layer],
                heads=None if head == MEAN else [head],
            )
        return self._results[layer, head]

    @staticmethod
    def _menu(name: str, options: list[Any]) -> ipw.Dropdown:
        tooltip = {
            "layer": "layer of the SVLM, or the mean of all recorded layers",
            "head": "head of the layer, or the mean of all recorded heads",
            "row": "the position that attends: the Yes/No decision, or a memory slot",
            "reduction": "how attention is summed: by patch, frame pair or key group",
        }[name]
        return ipw.Dropdown(options=options, description=name, tooltip=tooltip, **sized(17))
