"""One question of an `AskPanel`: its controls, its answer, its figure and its segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, BoundedIntText, Button, HBox, IntProgress, Layout, Text, VBox

from tempo_lab.common.errors import TempoLabError
from tempo_lab.trace.tables import totals
from tempo_lab.widgets.base import Explorer, escaped
from tempo_lab.widgets.known_questions import MOST, Example
from tempo_lab.widgets.player import data_url

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace

SPANS = 4
"""Number of segments that are listed below an answer."""
WIDE = 5.4
"""Width of the figure in inches: still readable where two questions are side by side."""
WARNING = (
    "background: #fff4d6; color: #5c3d00; border-left: 4px solid #d55e00; padding: 4px 8px; "
    "margin: 4px 0; line-height: 1.35; overflow-wrap: anywhere"
)
"""Style of a warning, readable on light and dark pages."""
RELEASED_BUDGET = 8192
"""Memory tokens for a video by default in the released code."""


class QuestionPanel(Explorer):
    """A question, its answer, a figure of the allocation, and the segments with the most tokens.

    Args:
        number: number of the question in the panel, for its label.
        ask: called with this panel when the question is asked.
        stop: called when the question is stopped.
        seek: called with the start and end of a segment to play, in seconds.

    Attributes:
        trace: trace of the last answer; None before the first.
    """

    def __init__(
        self,
        number: int,
        ask: Callable[[QuestionPanel], object],
        stop: Callable[[], object],
        seek: Callable[[float, float], object],
    ) -> None:
        self.trace: Trace | None = None
        self._ask = ask
        wide = {"description_width": "initial"}
        self.text = Text(
            placeholder="Ask something about the video",
            description=f"Question {number}",
            layout=Layout(flex="1 1 140px", width="auto", min_width="0"),
            style=wide,
        )
        self.button = Button(description="Ask", button_style="primary", layout=_narrow())
        self.stopper = Button(description="Stop", disabled=True, layout=_narrow())
        self.budget = BoundedIntText(
            1, min=1, max=1, description="Budget", layout=Layout(width="150px"), style=wide,
            tooltip="Memory tokens for the whole video. With fewer than the maximum, segments that "
            "are relevant to the question get more of them than the others.",
        )  # fmt: skip
        self.maximum = HTML()
        self.bar = IntProgress(0, layout=Layout(width="120px", display="none"))
        self.stage = HTML()
        self.examples = [
            Button(layout=Layout(width="auto", max_width="100%", display="none"))
            for _ in range(MOST)
        ]
        self.answer, self.warnings = (HTML(layout=Layout(width="auto")) for _ in range(2))
        self.spans = [_Span(seek) for _ in range(SPANS)]
        self.download = HTML()
        spans = VBox([each.row for each in self.spans], layout=Layout(width="100%"))
        rows = [
            HBox(row, layout=Layout(flex_flow="row wrap", align_items="center"))
            for row in (
                [self.budget, self.maximum, self.bar, self.stage],
                [HTML("Examples"), *self.examples],
            )
        ]
        super().__init__([self.text, self.button, self.stopper], [*rows, spans, self.download])
        # errors stand between the question and the budget, because they are about one of them
        question, line, picture, *_ = self.panel.children
        above = (question, line, *rows, self.answer, self.warnings)
        self.panel.children = (*above, picture, spans, self.download)
        layout = self.panel.layout
        layout.flex, layout.min_width, layout.padding = "1 1 360px", "0", "0 8px 0 0"
        self.button.on_click(self._on_button)
        self.text.on_msg(self._on_message)
        self.finally_(lambda: self.button.on_click(self._on_button, remove=True))
        self.finally_(lambda: self.text.on_msg(self._on_message, remove=True))
        for example in self.examples:
            example.on_click(self._on_example)
            self.finally_(partial(example.on_click, self._on_example, remove=True))

        def on_stop(_: object) -> None:
            stop()

        self.stopper.on_click(on_stop)
        self.finally_(lambda: self.stopper.on_click(on_stop, remove=True))

    # What can be asked

    def set_budget(self, budget: int, session: Session) -> None:
        """Show a budget, at most all memory tokens of the video, and that maximum."""
        slots = session.checkpoint.model.config.num_compression_tokens
        self.budget.max = len(session) * slots
        self.budget.value = budget
        self.maximum.value = (
            f'<span title="{len(session)} segments with {slots} memory tokens each">'
            f"of {self.budget.max} tokens at most</span>"
        )

    def set_examples(self, examples: Sequence[Example]) -> None:
        """Offer these questions, at most `MOST`, to be asked with a click."""
        for number, button in enumerate(self.examples):
            shown = number < len(examples)
            button.layout.display = "" if shown else "none"
            if shown:
                button.description, answer = examples[number].text, examples[number].answer
                button.tooltip = f"Ask this. Ground truth: {answer}" if answer else "Ask this"

    def _on_example(self, button: Button) -> None:
        self.text.value = button.description
        self._ask(self)

    def _on_button(self, _: object) -> None:
        self._ask(self)

    def _on_message(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit" and not self.button.disabled:  # the Enter key
            self._ask(self)

    # While it runs

    def busy(self, mine: bool, any_: bool) -> None:
        """Enable and disable the controls.

        Args:
            mine: this question is running.
            any_: any task of the panel is running.
        """
        for each in (self.button, *self.examples):
            each.disabled = any_
        self.stopper.disabled = not mine
        self.bar.layout.display = "" if mine else "none"
        if mine:
            self.progress("starting", 0, 0)
        else:
            self.stage.value = ""

    def progress(self, stage: str, done: int, total: int) -> None:
        """Show how many segments of a stage are done."""
        self.bar.max, self.bar.value = max(1, total), done
        count = f": {done} of {total} segments" if total else ""
        self.stage.value = escaped(stage + count)

    def show_answer(self, text: str) -> None:
        """Show the answer generated so far, escaped."""
        self.answer.value = (
            f'<div role="status" style="font-size: 1.2em; font-weight: 600; line-height: 1.3; '
            f'white-space: pre-wrap; overflow-wrap: anywhere">{escaped(text)}</div>'
        )

    # When it is answered

    def show(self, trace: Trace, stills: list[str]) -> None:
        """Show the answer, its warnings, figure and segments, and a link to the trace's file.

        Args:
            trace: of the answer.
            stills: [segment], a `data:` URL of each segment's middle frame.
        """
        self.trace, self.download.value = trace, ""
        self.show_answer(trace.answer or "(an empty answer)")
        read = "" if trace.read_as is None else f"<div>Read as: {escaped(trace.read_as)}</div>"
        self.warnings.value = read + "".join(
            f'<div role="note" style="{WARNING}"><strong>Warning:</strong> {escaped(each)}</div>'
            for each in trace.warnings
        )
        table = trace.to_pandas()
        largest = table.sort_values(["tokens", "relevance"], ascending=False, kind="stable")
        rows = list(largest.head(SPANS).iterrows())
        for number, span in enumerate(self.spans):
            if number < len(rows):
                segment, row = rows[number]
                span.show(row, stills[segment] if segment < len(stills) else "")
            else:
                span.hide()
        self.redraw()
        self.download.value = _link(trace)

    def clear(self) -> None:
        """Remove the answer."""
        self.trace = None
        for each in (self.answer, self.warnings, self.stage, self.download):
            each.value = ""
        for span in self.spans:
            span.hide()
        self.redraw()

    def draw(self) -> Figure | None:
        """Draw the allocation of the last answer; None before the first."""
        from tempo_lab import plots

        return None if self.trace is None else plots.allocation(self.trace, width=WIDE)[0]

    def caption(self) -> str:
        """Return question, answer and token totals as a sentence."""
        if self.trace is None:
            return "a question that was not asked yet"
        return f"{self.trace.asked} {self.trace.answer}. {totals(self.trace)}"

    def close(self) -> None:
        """Remove all callbacks and widgets."""
        for span in self.spans:
            span.unbind()
        super().close()


class _Span:
    """A row for one segment: a still, a button that plays it, its tokens and its relevance."""

    def __init__(self, seek: Callable[[float, float], object]) -> None:
        self._seek, self._times = seek, (0.0, 0.0)
        self.still, self.fact = HTML(), HTML()
        self.button = Button(layout=Layout(width="120px"), icon="play")
        align = Layout(align_items="center", display="none")
        self.row = HBox([self.still, self.button, self.fact], layout=align)
        self.button.on_click(self._on_button)

    def _on_button(self, _: object) -> None:
        self._seek(*self._times)

    def show(self, row: Any, still: str) -> None:
        self._times = float(row["start"]), float(row["end"])
        first, last = (timestamp(each) for each in self._times)
        self.button.description = f"{first} – {last}"
        self.button.tooltip = f"Play the seconds from {first} to {last}"
        self.still.value = still and f'<img src="{still}" alt="" style="display: block">'
        fact = f"{int(row['tokens'])} tokens<br>relevance {row['relevance']:.3f}"
        self.fact.value = f'<div style="padding-left: 8px; line-height: 1.4">{fact}</div>'
        self.row.layout.display = ""

    def hide(self) -> None:
        self.row.layout.display = "none"

    def unbind(self) -> None:
        self.button.on_click(self._on_button, remove=True)


def timestamp(seconds: float) -> str:
    """Return seconds as minutes and seconds, as a player shows them.

    >>> timestamp(92.5)
    '1:32.5'
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes)}:{f'{rest:04.1f}'.removesuffix('.0').zfill(2)}"


def _link(trace: Trace) -> str:
    """Return a link that downloads the trace; the link contains the file."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        content = trace.save(Path(folder) / "trace.nc").read_bytes()
    wanted = int(trace.data["wanted"].sum())
    ledger = escaped(f"{totals(trace)}. The segments wanted {wanted} tokens")
    url = data_url(content, "application/x-netcdf")
    return (
        f'<p style="line-height: 1.3; margin: 4px 0">{ledger}.<br>'
        f'<a download="trace.nc" href="{url}" style="text-decoration: underline">Download the '
        f"trace</a> ({len(content) / 1024:.0f} KiB); it opens again with "
        "<code>tempo_lab.Trace.load</code>, without model or GPU.</p>"
    )


def check_question(text: str) -> str:
    """Return the question, if there is one.

    Raises:
        TempoLabError: it is empty.
    """
    if not text.strip():
        raise TempoLabError("there is no question yet", fix="type a question, and ask again")
    return text


def default_budget(session: Session) -> int:
    """Return a budget for a video that binds: its segments want more memory tokens.

    A model with a closed vocabulary scores most segments with about 0. Its default is half of what
    one segment can get above the minimum, in addition to the minimum of every segment: as one
    segment always wants all of its tokens, that is too little for any question. For other models
    it is half of all tokens, but no more than the released default of 8192. A single segment, and
    a model without ATA, get all tokens.
    """
    config, segments = session.checkpoint.model.config, len(session)
    slots, minimum = config.num_compression_tokens, config.min_tokens
    if segments == 1 or not config.dynamic_compress:
        return segments * slots
    if config.example_questions:
        return max(segments, segments * minimum + (slots - minimum) // 2)
    return min(RELEASED_BUDGET, segments * slots // 2)


def _narrow() -> Layout:
    return Layout(width="64px")


def stack_vertically(pngs: list[bytes]) -> bytes:
    """Return one PNG with the given ones below each other; no bytes for none."""
    if len(pngs) < 2:
        return pngs[0] if pngs else b""
    from PIL import Image

    images = [Image.open(BytesIO(each)) for each in pngs]
    size = max(each.width for each in images), sum(each.height for each in images)
    stack, top = Image.new("RGB", size, "white"), 0
    for each in images:
        stack.paste(each, (0, top))
        top += each.height
    file = BytesIO()
    stack.save(file, format="PNG")
    return file.getvalue()
