"""The video as a film strip; select a segment to see its frames, prompt and memory slots."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import ipywidgets as ipw
import numpy as np
from ipywidgets import Layout

from tempo_lab.evaluation.cases import check_truth
from tempo_lab.plots.anatomy import ROLE_COLORS
from tempo_lab.plots.filmstrip import LEFT, RIGHT
from tempo_lab.widgets.base import DPI, WIDE, Explorer, escaped, sized
from tempo_lab.widgets.frames import FrameCache
from tempo_lab.widgets.validation import check_trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace

MAX_BUTTONS = 32
"""With more segments, there are no buttons; the slider selects."""


class SegmentExplorer(Explorer):
    """Film strip, relevance, tokens and truth; for one segment its frames, prompt and slots.

    Select a segment with the buttons above the strip, or with the slider, which the arrow keys
    move.

    Args:
        session: the video, opened.
        trace: a question about it.
        truth: bool [segment], True for segments that hold the evidence.

    Attributes:
        segment: the slider.
        buttons: one button per segment.

    Raises:
        TraceError: the trace is of another video, or truth does not have one entry per segment.
        VideoError: the video cannot be decoded.
    """

    def __init__(
        self, session: Session, trace: Trace, truth: Sequence[bool] | np.ndarray | None = None
    ) -> None:
        check_trace(session, trace)
        n = len(session)
        self.truth = None if truth is None else check_truth(truth, n)
        self.session, self.trace = session, trace
        self._frames = FrameCache(session)
        self._strip = self._frames.middle_frames()
        best = int(trace.data["relevance"].to_numpy().argmax())
        self.segment = ipw.IntSlider(
            best, 0, n - 1, description="segment", **sized(32),
            tooltip="segment to show below the strip",
        )  # fmt: skip
        self.buttons = self._make_buttons(n) if n <= MAX_BUTTONS else []
        self.prompt = ipw.HTML(layout=Layout(width="100%"))
        row = ipw.HBox(
            self.buttons,
            layout=Layout(
                width="100%", max_width=f"{WIDE * DPI:.0f}px",
                padding=f"0 {100 * (1 - RIGHT):.1f}% 0 {100 * LEFT:.1f}%",
            ),
        )  # fmt: skip
        super().__init__([self.segment, row], [self.prompt])
        for segment, button in enumerate(self.buttons):
            on_click = partial(self._on_button, segment)
            button.on_click(on_click)
            self.finally_(partial(button.on_click, on_click, remove=True))
        self.watch(self.segment)
        self.redraw()

    def draw(self) -> Figure:
        from matplotlib import pyplot

        from tempo_lab import plots

        segment = self.segment.value
        for each, button in enumerate(self.buttons):
            button.button_style = "primary" if each == segment else ""
        frames, times = self._frames.of(segment)
        prompt = self.session.prompt(self.trace.question, segment)
        kept = self.trace.data["kept"].to_numpy()[segment]
        figure = pyplot.figure(figsize=(WIDE, 7.1))
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.6, 3.5])[:, 0]
        plots.filmstrip(self.trace, self._strip, truth=self.truth, segment=segment, figure=upper)
        plots.anatomy(frames, times, prompt, kept, heading=self.caption(), figure=lower)
        self.prompt.value = self._prompt_html(segment)
        return figure

    def caption(self) -> str:
        segment = self.segment.value
        one = self.trace.data.isel(segment=segment)
        tokens = f"{int(one['tokens'])} of {one.sizes['slot']} tokens"
        merged = " (merged)" if self.trace.data.attrs["merged"] and not one["kept"].any() else ""
        evidence = ", holds the evidence" if self.truth is not None and self.truth[segment] else ""
        return (
            f"Segment {segment}, {float(one['start']):.1f} to {float(one['end']):.1f} s: "
            f"relevance {float(one['relevance']):.3f}, {tokens}{merged}{evidence}"
        )

    def _on_button(self, segment: int, _: object) -> None:
        self.segment.value = segment

    def _make_buttons(self, n: int) -> list[ipw.Button]:
        """Return one button per segment, its width in proportion to the segment's duration."""
        data = self.trace.data
        start, end = data["start"].to_numpy(), data["end"].to_numpy()
        share = 100 * np.maximum(end - start, 1e-9) / max(end[-1] - start[0], n * 1e-9)
        return [
            ipw.Button(
                description=str(number), layout=Layout(
                    width=f"{share[number]:.3f}%", min_width="0", padding="0", margin="0 1px"
                ),
                tooltip=f"segment {number}, {start[number]:.1f} to {end[number]:.1f} s",
            )
            for number in range(n)
        ]  # fmt: skip

    def _prompt_html(self, segment: int) -> str:
        """Return the prompt as HTML: runs of positions with one role, its name above the text."""
        prompt = self.session.prompt(self.trace.question, segment)
        tokenizer = self.session.checkpoint.prompts.svlm
        pieces = []
        for role, index, first, last in prompt.runs():
            name = role.replace("_", " ") + (f" {index}" if index >= 0 else "")
            text = f"[{last - first} tokens]"
            if role not in ("vision", "memory"):
                ids = prompt.ids[first:last].tolist()
                text = tokenizer.decode(ids, skip_special_tokens=False)
            pieces.append(
                '<span style="display: inline-block; vertical-align: top; margin: 0 2px 4px 0; '
                f'white-space: pre-wrap; border-top: 4px solid {ROLE_COLORS[role]}">'
                f'<small style="display: block">{escaped(name)}</small>{escaped(text)}</span>'
            )
        return f'<div style="line-height: 1.3; padding: 0 3px">{"".join(pieces)}</div>'
