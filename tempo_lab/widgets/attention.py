"""Where one layer and head of the SVLM looks, on the frames, through time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as ipw
from traitlets import link

from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.widgets.base import WIDE, Explorer, sized
from tempo_lab.widgets.checks import check_trace
from tempo_lab.widgets.frames import Frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace

PATCHES, PAIRS, GROUPS = "patches", "frame pairs", "key groups"
MEAN = "mean"
EACH = 1500
"""Milliseconds of a segment while it plays."""


class AttentionExplorer(Explorer):
    """Layer, head and row of the attention that a trace recorded; segments play through time.

    What can be drawn depends on what was recorded: with reduce="patch_grid" or "none" patches on
    the frames, and what each frame pair gets; with "key_group" the pairs, and all key groups.

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
        check_trace(trace, session)
        self.session, self.trace = session, trace
        self._found: dict[tuple[Any, Any], Attention] = {}
        whole = self._attention(MEAN, MEAN)
        self._frames = Frames(session)
        recorded = trace.data["attention"]
        there = {PATCHES: "patch_mass", PAIRS: "pair_mass", GROUPS: "segment_mass"}
        ways = [name for name, part in there.items() if part in whole.data]
        n = len(session)
        best = int(trace.data["relevance"].to_numpy().argmax())
        self.segment = ipw.IntSlider(
            best, 0, n - 1, description="segment", **sized(27),
            tooltip="whose frames are shown",
        )  # fmt: skip
        self.play = ipw.Play(
            value=best, min=0, max=n - 1, interval=EACH, description="play through time",
            tooltip="show one segment after the other",
        )  # fmt: skip
        self.layer = self._choice("layer", [MEAN, *recorded["layer"].to_numpy().tolist()])
        self.head = self._choice("head", [MEAN, *recorded["head"].to_numpy().tolist()])
        self.row = self._choice("row", [str(row) for row in recorded["row"].to_numpy()])
        self.reduction = self._choice("reduction", ways)
        super().__init__([self.segment, self.play, self.layer, self.head, self.row, self.reduction])
        self.finally_(link((self.play, "value"), (self.segment, "value")).unlink)
        self.watch(self.segment, self.layer, self.head, self.row, self.reduction)
        self.redraw()

    def draw(self) -> Figure:
        from tempo_lab import plots

        result = self._attention(self.layer.value, self.head.value)
        number, row = self.segment.value, self.row.value
        if self.reduction.value == PATCHES:
            frames, _ = self._frames.of(number)
            return plots.attention_overlay(
                result, self.session.video, segment=number, rows=[row], frames=frames, width=WIDE
            )[0]
        if self.reduction.value == PAIRS:
            return plots.attention_time(result, row, chosen=number, width=WIDE)[0]
        return plots.attention_parts(result, row, number, width=WIDE)[0]

    def caption(self) -> str:
        part = "mean of layers" if self.layer.value == MEAN else f"layer {self.layer.value}"
        head = "mean of heads" if self.head.value == MEAN else f"head {self.head.value}"
        return (
            f"Attention of {self.row.value} to {self.reduction.value}, segment "
            f"{self.segment.value}, {part}, {head}"
        )

    def _attention(self, layer: Any, head: Any) -> Attention:
        """Of one layer and head, or of their mean; computed once."""
        if (layer, head) not in self._found:
            self._found[layer, head] = attention(
                self.trace,
                layers=None if layer == MEAN else [layer],
                heads=None if head == MEAN else [head],
            )
        return self._found[layer, head]

    @staticmethod
    def _choice(name: str, options: list[Any]) -> ipw.Dropdown:
        what = {
            "layer": "of the SVLM, or the mean of all recorded",
            "head": "of the layer, or the mean of all recorded",
            "row": "which position looks: the Yes/No decision, or a memory slot",
            "reduction": "what its attention is summed up over",
        }[name]
        return ipw.Dropdown(
            options=options, description=name, tooltip=what,
            **sized(17),
        )  # fmt: skip
