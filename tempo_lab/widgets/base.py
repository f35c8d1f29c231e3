"""The base class of explorers: controls, a figure, and a line for messages."""

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
"""Seconds without a change before an explorer draws, so that a moving slider draws once."""
WIDE = 9.0
"""Width of a figure in inches, at `DPI`; a narrower page shrinks the picture."""
DPI = 100


class Explorer:
    """Controls and a figure of what they select. Display it, or its `static()`.

    A subclass creates its controls, passes them to `watch`, and implements `draw`. If an event
    loop runs, as in a notebook, the explorer draws `PAUSE` seconds after the last change, by a
    timer of that loop; otherwise immediately. Errors are shown right below the controls and kept in
    `error`.

    Args:
        controls: widgets above the figure, in rows as wide as the page.
        below: widgets below the figure.

    Attributes:
        panel: the widget that contains all others.
        error: the last error; None if the last drawing had none.
    """

    def __init__(self, controls: Sequence[Widget], below: Sequence[Widget] = ()) -> None:
        self.picture = HTML(layout=Layout(width="auto"))
        self.line = HTML(layout=Layout(width="auto"))
        self.error: BaseException | None = None
        self._png, self._described = b"", ""
        self._hidden: list[Widget] = []
        self._undo: list[Callable[[], object]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stale, self._closed = True, False
        row = HBox(list(controls), layout=Layout(flex_flow="row wrap", align_items="center"))
        self.panel = VBox([row, self.line, self.picture, *below], layout=Layout(width="100%"))

    # To be implemented by a subclass

    def draw(self) -> Figure | None:
        """Return a figure of what the controls select; None for none. The base class closes it."""
        raise NotImplementedError(f"{type(self).__name__} does not implement draw()")

    def caption(self) -> str:
        """Return one sentence about the figure; called right after `draw`."""
        return type(self).__name__

    # To be used by a subclass

    def watch(self, *controls: Widget) -> None:
        """Draw when the value of one of these controls changes."""
        for control in controls:
            control.observe(self._on_value, names="value")
            self._undo.append(partial(control.unobserve, self._on_value, names="value"))

    def clicked(self, button: Button, action: Callable[[], object]) -> None:
        """Run an action when a button is pressed, show its errors, then draw.

        The action runs where the kernel handles messages, so the kernel's interrupt stops it.
        """

        def on_click(_: object) -> None:
            button.disabled = True
            self.error = None
            self.say()
            try:
                with self.guarded():
                    action()
                    self.redraw()
            finally:
                button.disabled = False

        button.on_click(on_click)
        self._undo.append(lambda: button.on_click(on_click, remove=True))

    def holds(self, *widgets: Widget) -> None:
        """Close these widgets with the explorer, even if its panel does not contain them."""
        self._hidden += widgets

    def finally_(self, undo: Callable[[], object]) -> None:
        """Call this function when the explorer is closed; the last one added is called first."""
        self._undo.append(undo)

    def say(self, text: str = "") -> None:
        """Show a line of text, escaped, below the controls."""
        self.line.value = f'<div role="status">{escaped(text)}</div>' if text else ""

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Show errors and warnings of the block in the panel instead of raising them."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TempoLabWarning)
            try:
                yield
            except KeyboardInterrupt as interrupt:
                self._fail(interrupt, "Interrupted; everything can be used again.")
            except TempoLabError as error:
                self._fail(error, str(error))
            except Exception as error:
                name = type(error).__name__
                self._fail(error, f"{name}: {error}\n  fix:   `.error` has the traceback")
        for each in caught:
            if issubclass(each.category, TempoLabWarning):
                self.say(str(each.message))
            else:
                warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)

    def _fail(self, error: BaseException, text: str) -> None:
        self.error = error
        style = (
            "color: #9c2a00; white-space: pre-wrap; margin: 0; line-height: 1.3; "
            "word-break: normal; overflow-wrap: anywhere"  # JupyterLab breaks words anywhere
        )
        self.line.value = f'<pre role="alert" style="{style}">{escaped(text)}</pre>'

    # Drawing

    def _on_value(self, _: object) -> None:
        self.say()
        self.later()

    def later(self) -> None:
        """Draw after a pause without changes; immediately if no event loop runs."""
        self._stale = True
        self._cancel_timer()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.redraw()
        else:
            self._timer = loop.call_later(PAUSE, self.redraw)

    def redraw(self) -> None:
        """Draw now. After an error the last picture stays, paler, below the message."""
        self._cancel_timer()
        if self._closed:
            return
        if self.error is not None:
            self.error = None
            self.say()
        with self.guarded():
            self._png = self._render()
            self._described = self.caption()
            self._stale = False
        style = "max-width: 100%; opacity: 0.35" if self.error else "max-width: 100%"
        source = b64encode(self._png).decode()
        self.picture.value = self._png and (
            f'<img src="data:image/png;base64,{source}" style="{style}" '
            f'alt="{html.escape(self._described)}">'
        )

    def _render(self) -> bytes:
        from matplotlib import pyplot

        before = set(pyplot.get_fignums())
        file = BytesIO()
        try:
            figure = self.draw()
            if figure is not None:  # without matplotlib's version: the same bytes everywhere
                figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
        finally:
            for number in set(pyplot.get_fignums()) - before:
                pyplot.close(number)
        return file.getvalue()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Display and closing

    def describe(self) -> str:
        """Return one sentence that describes the picture.

        If what the controls select cannot be drawn, the last picture and its sentence stay.
        """
        if self._stale:
            self.redraw()
        return self._described

    def static(self) -> Image:
        """Return the current picture, which needs no kernel; its PNG is in `.data`.

        Raises:
            TempoLabError: what the controls select cannot be drawn.
        """
        from IPython.display import Image

        if self._stale:
            self.redraw()
        if self._stale and self.error is not None:
            raise self.error
        return Image(data=self._png, format="png", alt=self._described)

    def close(self) -> None:
        """Remove the timer, all callbacks and all widgets."""
        self._cancel_timer()
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
        """Return the live panel, with the picture and a sentence as alternatives."""
        bundle: dict[str, Any] = {"text/plain": escape_control_chars(repr(self))}
        if self._png:
            bundle["image/png"] = b64encode(self._png).decode()
        if not self._closed:
            live = self.panel._repr_mimebundle_()
            view = "application/vnd.jupyter.widget-view+json"
            bundle |= {view: live[view]} if view in live else {}
        return bundle


def sized(em: float) -> dict[str, Any]:
    """Return arguments of a control: its width in em, and space for its whole description."""
    return {
        "layout": Layout(width=f"{em}em", max_width="100%", margin="2px 1em 2px 2px"),
        "style": {"description_width": "initial"},
    }


def escaped(text: str) -> str:
    """Return text from users, files or models, escaped for HTML."""
    return html.escape(escape_control_chars(text, 4000))


def every_widget(root: Widget) -> Iterator[Widget]:
    """Yield a widget, its children, and their layouts and styles, which have comms of their own."""
    children = root.children if isinstance(root, Box) else ()
    for child in children:
        yield from every_widget(child)
    if isinstance(root, DOMWidget):
        yield root.layout
    if isinstance(getattr(root, "style", None), Widget):
        yield root.style
    yield root
