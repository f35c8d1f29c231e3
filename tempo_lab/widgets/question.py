"""One question of an `AskPanel`: asked, watched, answered, with the seconds to look at."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, BoundedIntText, Button, HBox, IntProgress, Layout, Text, VBox

from tempo_lab.common.errors import TempoLabError
from tempo_lab.trace.tables import totals
from tempo_lab.widgets.base import Explorer, escaped
from tempo_lab.widgets.player import data_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.trace.trace import Trace

SPANS = 4
"""Segments that an answer names to look at."""
WIDE = 5.4
"""Inches of the picture: where two stand side by side, its letters can still be read."""


class Question(Explorer):
    """A question, its answer, where the tokens went, and which seconds to look at.

    Args:
        number: of the question on the panel, for its labels.
        ask: called when it is to be asked.
        stop: called when it is to be stopped.
        seek: called with the start and end of a span to play, in seconds.
        budget: memory tokens for the whole video.

    Attributes:
        trace: what the last answer came with, None before.
    """

    def __init__(
        self,
        number: int,
        ask: Callable[[Question], object],
        stop: Callable[[], object],
        seek: Callable[[float, float], object],
        budget: int,
    ) -> None:
        self.trace: Trace | None = None
        self._ask, self._seek = ask, seek
        self.text = Text(
            placeholder="Ask something about the video",
            description=f"Question {number}",
            layout=Layout(width="100%"),
        )
        self.budget = BoundedIntText(
            budget, min=1, max=2**31 - 1, description="Budget", layout=Layout(width="180px"),
            tooltip="Memory tokens for the whole video",
        )  # fmt: skip
        self.button = Button(description="Ask", button_style="primary", layout=_narrow())
        self.stopper = Button(description="Stop", disabled=True, layout=_narrow())
        self.bar = IntProgress(0, layout=Layout(width="120px", visibility="hidden"))
        self.stage = HTML()
        self.answer, self.warnings = (HTML(layout=Layout(width="100%")) for _ in range(2))
        self.spans = [_Span(self._look) for _ in range(SPANS)]
        self.download = HTML()
        look = VBox([each.row for each in self.spans], layout=Layout(width="100%"))
        super().__init__(
            [self.text, self.budget, self.button, self.stopper, self.bar, self.stage],
            [self.answer, self.warnings, look, self.download],
        )
        row, picture, *below, line = self.panel.children
        # what is wrong stands first
        self.panel.children = (row, line, *below[:2], picture, *below[2:])
        room = self.panel.layout
        room.flex, room.min_width, room.padding = "1 1 360px", "0", "0 8px 0 0"
        self.button.on_click(self._pressed)
        self.text.on_msg(self._submitted)
        self.finally_(lambda: self.button.on_click(self._pressed, remove=True))
        self.finally_(lambda: self.text.on_msg(self._submitted, remove=True))

        def stopped(_: object) -> None:
            stop()

        self.stopper.on_click(stopped)
        self.finally_(lambda: self.stopper.on_click(stopped, remove=True))

    def _pressed(self, _: object) -> None:
        self._ask(self)

    def _submitted(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit" and not self.button.disabled:  # the Enter key
            self._ask(self)

    # While it runs

    def busy(self, mine: bool, any_: bool) -> None:
        """Say whether this question, or anything on the panel, runs."""
        self.button.disabled = any_
        self.stopper.disabled = not mine
        self.bar.layout.visibility = "visible" if mine else "hidden"
        if not mine:
            self.stage.value = ""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Where the work is."""
        self.bar.max, self.bar.value = max(1, total), done
        count = f": {done} of {total} segments" if total else ""
        self.stage.value = escaped(stage + count)

    def written(self, text: str) -> None:
        """The answer so far, as text whatever it is made of."""
        self.answer.value = (
            f'<div role="status" style="font-size: 1.2em; font-weight: 600; line-height: 1.3; '
            f'white-space: pre-wrap; overflow-wrap: anywhere">{escaped(text)}</div>'
        )

    # When it is answered

    def show(self, trace: Trace, stills: list[str]) -> None:
        """The answer, its warnings, its figure, its spans and its file."""
        self.trace, self.download.value = trace, ""
        self.written(trace.answer or "(an empty answer)")
        self.warnings.value = "".join(
            f'<div role="note" style="color: #9c2a00; line-height: 1.3; margin: 2px 0">'
            f"{escaped(each)}</div>"
            for each in trace.warnings
        )
        table = trace.to_pandas()
        most = table.sort_values(["tokens", "relevance"], ascending=False, kind="stable")
        rows = list(most.head(SPANS).iterrows())
        for number, span in enumerate(self.spans):
            if number < len(rows):
                segment, row = rows[number]
                span.show(row, stills[segment] if segment < len(stills) else "")
            else:
                span.hide()
        self.redraw()
        self.download.value = _file(trace)

    def forget(self) -> None:
        """No answer, as of another video."""
        self.trace = None
        for each in (self.answer, self.warnings, self.stage, self.download):
            each.value = ""
        for span in self.spans:
            span.hide()
        self.redraw()

    def draw(self) -> Figure | None:
        """Where the tokens of the last answer went."""
        from tempo_lab import plots

        return None if self.trace is None else plots.allocation(self.trace, width=WIDE)[0]

    def caption(self) -> str:
        """Question, answer and ledger in a sentence."""
        if self.trace is None:
            return "a question that was not asked yet"
        return f"{self.trace.question} {self.trace.answer}. {totals(self.trace)}"

    def _look(self, start: float, end: float) -> None:
        self._seek(start, end)

    def close(self) -> None:
        """Leave nothing behind."""
        for span in self.spans:
            span.unbind()
        super().close()


class _Span:
    """A row: a still, a button that plays these seconds, and what they were given."""

    def __init__(self, look: Callable[[float, float], object]) -> None:
        self._look, self._times = look, (0.0, 0.0)
        self.still, self.fact = HTML(), HTML()
        self.button = Button(layout=Layout(width="120px"), icon="play")
        align = Layout(align_items="center", display="none")
        self.row = HBox([self.still, self.button, self.fact], layout=align)
        self.button.on_click(self._pressed)

    def _pressed(self, _: object) -> None:
        self._look(*self._times)

    def show(self, row: Any, still: str) -> None:
        self._times = float(row["start"]), float(row["end"])
        first, last = (clock(each) for each in self._times)
        self.button.description = f"{first} – {last}"
        self.button.tooltip = f"Play the seconds from {first} to {last}"
        self.still.value = still and f'<img src="{still}" alt="" style="display: block">'
        fact = f"{int(row['tokens'])} tokens<br>relevance {row['relevance']:.3f}"
        self.fact.value = f'<div style="padding-left: 8px; line-height: 1.4">{fact}</div>'
        self.row.layout.display = ""

    def hide(self) -> None:
        self.row.layout.display = "none"

    def unbind(self) -> None:
        self.button.on_click(self._pressed, remove=True)


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, as a player shows them.

    >>> clock(92.5)
    '1:32.5'
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    whole = f"{rest:04.1f}".removesuffix(".0")
    return f"{int(minutes)}:{whole.zfill(2)}"


def _file(trace: Trace) -> str:
    """A link that saves the trace, made of the file itself."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        content = trace.save(Path(folder) / "trace.nc").read_bytes()
    ledger = escaped(totals(trace))
    url = data_url(content, "application/x-netcdf")
    return (
        f'<p style="line-height: 1.3; margin: 4px 0">{ledger}.<br>'
        f'<a download="trace.nc" href="{url}" style="text-decoration: underline">Download the '
        f"trace</a> ({len(content) / 1024:.0f} KiB); it opens again with "
        "<code>tempo_lab.Trace.load</code>, without model or GPU.</p>"
    )


def check_question(text: str) -> str:
    """The question, if there is one.

    Raises:
        TempoLabError: it is empty.
    """
    if not text.strip():
        raise TempoLabError("there is no question yet", fix="type one, and ask again")
    return text


def _narrow() -> Layout:
    return Layout(width="80px")


def stacked(pictures: list[bytes]) -> bytes:
    """PNG pictures below each other as one; none as nothing."""
    if len(pictures) < 2:
        return pictures[0] if pictures else b""
    from PIL import Image

    images = [Image.open(BytesIO(each)) for each in pictures]
    size = max(each.width for each in images), sum(each.height for each in images)
    whole, top = Image.new("RGB", size, "white"), 0
    for each in images:
        whole.paste(each, (0, top))
        top += each.height
    file = BytesIO()
    whole.save(file, format="PNG")
    return file.getvalue()
