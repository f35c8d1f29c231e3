"""The video as a film strip; choose a segment and see what became of it."""

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
from tempo_lab.widgets.base import DOTS, WIDE, Explorer, escaped, sized
from tempo_lab.widgets.checks import check_trace
from tempo_lab.widgets.frames import Frames

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace

MOST_BUTTONS = 32
"""Segments that have a button each; more are chosen by the slider alone."""


class SegmentExplorer(Explorer):
    """Film strip, relevance, tokens and truth; of one segment its frames, prompt and slots.

    Choose with the buttons above the strip, each over its seconds, or with the slider, which the
    arrow keys move.

    Args:
        session: the video, opened.
        trace: a question about it.
        truth: bool [segment], which segments hold the evidence.

    Attributes:
        segment: the slider.
        buttons: one a segment.

    Raises:
        TraceError: the trace is of another video, or truth has not one entry a segment.
        VideoError: the video cannot be decoded.
    """

    def __init__(
        self, session: Session, trace: Trace, truth: Sequence[bool] | np.ndarray | None = None
    ) -> None:
        check_trace(trace, session)
        n = len(session)
        self.truth = None if truth is None else check_truth(truth, n)
        self.session, self.trace = session, trace
        self._frames = Frames(session)
        self._strip = self._frames.pictures()
        best = int(trace.data["relevance"].to_numpy().argmax())
        self.segment = ipw.IntSlider(
            best, 0, n - 1, description="segment", **sized(32),
            tooltip="which segment is shown below the strip",
        )  # fmt: skip
        self.buttons = self._buttons(n) if n <= MOST_BUTTONS else []
        self.prompt = ipw.HTML(layout=Layout(width="100%"))
        over = ipw.HBox(
            self.buttons,
            layout=Layout(
                width="100%", max_width=f"{WIDE * DOTS:.0f}px",
                padding=f"0 {100 * (1 - RIGHT):.1f}% 0 {100 * LEFT:.1f}%",
            ),
        )  # fmt: skip
        super().__init__([self.segment, over], [self.prompt])
        for number, button in enumerate(self.buttons):
            choose = partial(self._choose, number)
            button.on_click(choose)
            self.finally_(partial(button.on_click, choose, remove=True))
        self.watch(self.segment)
        self.redraw()

    def draw(self) -> Figure:
        from matplotlib import pyplot

        from tempo_lab import plots

        number = self.segment.value
        for each, button in enumerate(self.buttons):
            button.button_style = "primary" if each == number else ""
        frames, times = self._frames.of(number)
        prompt = self.session.prompt(self.trace.question, number)
        data = self.trace.data
        figure = pyplot.figure(figsize=(WIDE, 7.1))
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[3.6, 3.5])[:, 0]
        plots.filmstrip(
            self.trace, self._strip, truth=self.truth, chosen=number, width=WIDE, into=upper
        )
        plots.anatomy(
            frames, times, prompt, data["kept"].to_numpy()[number],
            heading=self.caption(), width=WIDE, into=lower,
        )  # fmt: skip
        self.prompt.value = self._readable(number)
        return figure

    def caption(self) -> str:
        number = self.segment.value
        one = self.trace.data.isel(segment=number)
        tokens = f"{int(one['tokens'])} of {one.sizes['slot']} tokens"
        merged = " (merged)" if self.trace.data.attrs["merged"] and not one["kept"].any() else ""
        evidence = ", holds the evidence" if self.truth is not None and self.truth[number] else ""
        return (
            f"Segment {number}, {float(one['start']):.1f} to {float(one['end']):.1f} s: "
            f"relevance {float(one['relevance']):.3f}, {tokens}{merged}{evidence}"
        )

    def _choose(self, number: int, _: object) -> None:
        self.segment.value = number

    def _buttons(self, n: int) -> list[ipw.Button]:
        """One a segment, as wide as its seconds."""
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

    def _readable(self, number: int) -> str:
        """The prompt as runs of roles, each named above its text."""
        prompt = self.session.prompt(self.trace.question, number)
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
