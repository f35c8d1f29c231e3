"""What every explorer is: controls, a picture, and a line that says what happened."""

from __future__ import annotations

import asyncio
import html
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING, Any, Self

from ipywidgets import HTML, Box, Button, DOMWidget, HBox, Layout, VBox, Widget

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.text import escape_control_chars

if TYPE_CHECKING:
    from IPython.display import Image
    from matplotlib.figure import Figure

PAUSE = 0.12
"""Seconds without a change after which an explorer draws; a slider on its way is not followed."""
WIDE = 9.0
"""Inches of a picture, at `DOTS` an inch; a narrower page shrinks it."""
DOTS = 100


class Explorer:
    """Controls and a picture of what they choose. Display it, or its `static()`.

    A subclass makes its controls, gives them to `watch`, and says how to `draw`. Where an event
    loop runs, as in a notebook, it draws `PAUSE` seconds after the last change, by a timer of that
    loop; elsewhere at once. Errors stand below the picture and in `error`.

    Args:
        controls: above the picture, in rows as wide as the page.
        below: more of them, under the picture.

    Attributes:
        panel: the widget that holds it all.
        error: what went wrong last, None if nothing did.
    """

    def __init__(self, controls: Sequence[Widget], below: Sequence[Widget] = ()) -> None:
        self.picture = HTML(layout=Layout(width="100%"))
        self.line = HTML(layout=Layout(width="100%"))
        self.error: BaseException | None = None
        self._png, self._described = b"", ""
        self._hidden: list[Widget] = []
        self._undo: list[Callable[[], object]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stale, self._closed = True, False
        row = HBox(list(controls), layout=Layout(flex_flow="row wrap", align_items="center"))
        self.panel = VBox([row, self.picture, *below, self.line], layout=Layout(width="100%"))

    # What a subclass says

    def draw(self) -> Figure | None:
        """The picture of what the controls say now; None for no picture. It is closed here."""
        raise NotImplementedError(f"{type(self).__name__} says no picture")

    def caption(self) -> str:
        """What `draw` shows in one sentence; asked for right after it."""
        return type(self).__name__

    # What a subclass uses

    def watch(self, *controls: Widget) -> None:
        """Draw when one of these has another value."""
        for control in controls:
            control.observe(self._changed, names="value")
            self._undo.append(partial(control.unobserve, self._changed, names="value"))

    def clicked(self, button: Button, action: Callable[[], object]) -> None:
        """Run an action when a button is pressed, with its errors shown; then draw.

        It runs where the kernel handles messages, so the kernel's interrupt stops it.
        """

        def pressed(_: object) -> None:
            button.disabled = True
            self.error = None
            self.say()
            try:
                with self.guarded():
                    action()
                    self.redraw()
            finally:
                button.disabled = False

        button.on_click(pressed)
        self._undo.append(lambda: button.on_click(pressed, remove=True))

    def holds(self, *widgets: Widget) -> None:
        """Close these too, though the panel does not show them."""
        self._hidden += widgets

    def finally_(self, undo: Callable[[], object]) -> None:
        """Call this when the explorer is closed; the last given first."""
        self._undo.append(undo)

    def say(self, text: str = "") -> None:
        """A line below the picture; whatever it is made of, it is text."""
        self.line.value = f'<div role="status">{escaped(text)}</div>' if text else ""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Show what goes wrong inside in the panel, as asked, found and fix; warnings too."""
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", TempoLabWarning)
            try:
                yield
            except KeyboardInterrupt as stopped:
                self._fail(stopped, "Interrupted; everything can be used again.")
            except TempoLabError as refused:
                self._fail(refused, str(refused))
            except Exception as fault:
                self._fail(fault, f"{type(fault).__name__}: {fault}\n  fix:   `.error` has it all")
        for each in told:
            if issubclass(each.category, TempoLabWarning):
                self.say(str(each.message))
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)

    def _fail(self, error: BaseException, text: str) -> None:
        self.error = error
        look = (
            "color: #9c2a00; white-space: pre-wrap; margin: 0; line-height: 1.3; "
            "word-break: normal; overflow-wrap: anywhere"  # JupyterLab breaks words anywhere
        )
        self.line.value = f'<pre role="alert" style="{look}">{escaped(text)}</pre>'

    # Drawing

    def _changed(self, _: object) -> None:
        self.say()
        self.later()

    def later(self) -> None:
        """Draw when no change has come for a while; at once where no event loop runs."""
        self._stale = True
        self._forget_timer()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.redraw()
        else:
            self._timer = loop.call_later(PAUSE, self.redraw)

    def redraw(self) -> None:
        """Draw now. After an error the last picture stays, paler, above what was wrong."""
        self._forget_timer()
        if self._closed:
            return
        if self.error is not None:
            self.error = None
            self.say()
        with self.guarded():
            self._png = self._drawn()
            self._described = self.caption()
            self._stale = False
        style = "max-width: 100%; opacity: 0.35" if self.error else "max-width: 100%"
        source = b64encode(self._png).decode()
        self.picture.value = self._png and (
            f'<img src="data:image/png;base64,{source}" style="{style}" '
            f'alt="{html.escape(self._described)}">'
        )

    def _drawn(self) -> bytes:
        from matplotlib import pyplot

        before = set(pyplot.get_fignums())
        file = BytesIO()
        try:
            figure = self.draw()
            if figure is not None:  # no version in the file: the same bytes wherever it is drawn
                figure.savefig(file, format="png", dpi=DOTS, metadata={"Software": None})
        finally:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)
        return file.getvalue()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Showing and leaving

    def describe(self) -> str:
        """The picture in one sentence, for those who do not see it.

        Where the controls say what cannot be drawn, the last picture stays, and its sentence.
        """
        if self._stale:
            self.redraw()
        return self._described

    def static(self) -> Image:
        """The picture as it is now, to be displayed where no kernel runs; PNG in `.data`.

        Raises:
            TempoLabError: what the controls say cannot be drawn.
        """
        from IPython.display import Image

        if self._stale:
            self.redraw()
        if self._stale and self.error is not None:
            raise self.error
        return Image(data=self._png, format="png", alt=self._described)

    def close(self) -> None:
        """Leave nothing behind: no timer, observer, or widget that a page could still reach."""
        self._forget_timer()
        self._closed = True
        while self._undo:
            self._undo.pop()()
        every = [each for root in (self.panel, *self._hidden) for each in every_widget(root)]
        for widget in {id(each): each for each in every}.values():
            widget.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        """The live panel; the picture where there is no kernel; a sentence where there is text."""
        bundle: dict[str, Any] = {"text/plain": escape_control_chars(repr(self))}
        if self._png:
            bundle["image/png"] = b64encode(self._png).decode()
        if not self._closed:
            live = self.panel._repr_mimebundle_()
            view = "application/vnd.jupyter.widget-view+json"
            bundle |= {view: live[view]} if view in live else {}
        return bundle


def sized(em: float) -> dict[str, Any]:
    """Arguments of a control: so many letters wide where there is room, and its whole name."""
    return {
        "layout": Layout(width=f"{em}em", max_width="100%", margin="2px 1em 2px 2px"),
        "style": {"description_width": "initial"},
    }


def escaped(text: str) -> str:
    """Text from users, files or models, safe inside HTML."""
    return html.escape(escape_control_chars(text, 4000))


def every_widget(root: Widget) -> Iterator[Widget]:
    """A widget, what it holds, and their layouts and styles, each of which has its own comm."""
    children = root.children if isinstance(root, Box) else ()
    for child in children:
        yield from every_widget(child)
    if isinstance(root, DOMWidget):
        yield root.layout
    if isinstance(getattr(root, "style", None), Widget):
        yield root.style
    yield root
