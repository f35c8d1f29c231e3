"""Ask a video of your own: upload, ask, watch, read, look at the seconds that counted."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Checkbox, Dropdown, FileUpload, HBox, Layout

from tempo_lab.errors import TempoLabError, VideoError
from tempo_lab.files import shipped
from tempo_lab.text import one_line
from tempo_lab.widgets.background import Background, Stage
from tempo_lab.widgets.base import Explorer, escaped
from tempo_lab.widgets.player import Player, film
from tempo_lab.widgets.question import Question, check_question, stacked

if TYPE_CHECKING:
    from tempo_lab.session import Session
    from tempo_lab.tempo import Tempo
    from tempo_lab.trace import Trace

CLIPS = ("data/clips/voyage.mp4", "data/clips/expedition.mp4")
"""What the panel offers where nothing else is named."""
UPLOAD_VARIABLE, UPLOAD_BYTES = "TEMPO_LAB_UPLOAD_BYTES", 8 << 20
"""The largest upload: what the environment says, or what a Jupyter server lets through (its
messages may have 10 MiB)."""
OFTEN = 0.05
"""Seconds between two looks at an answer that is being written."""


class AskPanel(Explorer):
    """Choose or upload a video, ask about it, and see where the tokens went.

    A question runs beside the page, which stays alive: it can be stopped, and says where it is.
    Uploads lie in a private temporary folder, which goes away with the panel. What the player
    shows are the frames that the model was given, on the clock that it was told.

    Args:
        tempo: the model.
        clips: paths of videos to choose from; by default those that come with the library.
        budget: memory tokens for the whole video.
        upload_bytes: largest file that may be uploaded; by default TEMPO_LAB_UPLOAD_BYTES of the
            environment, or 8 MiB, which any Jupyter server lets through.

    Attributes:
        questions: the two of them, side by side; the second is hidden until it is wanted.
        session: the video that is open.

    Raises:
        VideoError: the first clip cannot be read.
    """

    def __init__(
        self,
        tempo: Tempo,
        clips: Sequence[str | os.PathLike[str]] | None = None,
        *,
        budget: int = 8192,
        upload_bytes: int | None = None,
    ) -> None:
        limit = os.environ.get(UPLOAD_VARIABLE, UPLOAD_BYTES)
        self.tempo, self.upload_bytes = tempo, int(limit if upload_bytes is None else upload_bytes)
        self.session: Session | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="tempo-lab-", ignore_cleanup_errors=True)
        self._background = Background()
        self._places = {Path(each).name: Path(each) for each in clips or map(shipped, CLIPS)}
        self._shown = next(iter(self._places))
        self.player, self.facts = Player(), HTML(layout=Layout(width="100%"))
        self.clip = Dropdown(options=list(self._places), description="Video")
        self.upload = FileUpload(accept="video/*,image/*,.npy", description="Upload a video")
        self.upload.tooltip = f"At most {_mebibytes(self.upload_bytes)}"
        self.second = Checkbox(description="A second question beside it", indent=False)
        make = partial(Question, ask=self._asked, stop=self._background.stop, seek=self.player.seek)
        self.questions = [make(number, budget=budget) for number in (1, 2)]
        self.questions[1].panel.layout.display = "none"
        beside = Layout(flex_flow="row wrap", flex="1 1 480px", min_width="0")
        self._both = HBox([each.panel for each in self.questions], layout=beside)
        self._body = HBox([self.player.widget, self._both], layout=Layout(flex_flow="row wrap"))
        super().__init__([self.clip, self.upload, self.second])
        self.picture.layout.display = "none"  # each question shows its own
        row, picture, line = self.panel.children
        self.panel.children = (row, line, self.facts, self._body, picture)
        for control, action in (
            (self.clip, self._chosen),
            (self.upload, self._uploaded),
            (self.second, self._beside),
        ):
            control.observe(action, names="value")
            self.finally_(partial(control.unobserve, action, names="value"))
        try:
            self._use(*self._open(self._places[self._shown], self._shown))
        except BaseException:
            self.close()
            raise

    def ask(self, text: str, *, budget: int | None = None, beside: bool = False) -> Trace:
        """Ask now, and wait for the answer, as a notebook does.

        Args:
            text: the question.
            budget: memory tokens for the whole video; by default what the panel says.
            beside: ask it as the second of the two.

        Raises:
            TempoLabError: what `Session.ask` refuses, or that another question still runs.
        """
        if self._background.running:
            raise TempoLabError("a question still runs", asked=text, fix="wait for it, or stop it")
        question = self.questions[beside]
        self.second.value = self.second.value or beside
        question.text.value, question.budget.value = text, budget or question.budget.value
        try:
            trace = self._answered(question)
        finally:
            self._busy(None)
        self._answer(question, trace)
        return trace

    # What the controls do

    def _asked(self, question: Question) -> None:
        work = partial(self._answered, question)
        self._start(question, work, partial(self._answer, question))

    def _chosen(self, change: Any) -> None:
        if change["new"] != self._shown:
            work = partial(self._open, self._places[change["new"]], change["new"])
            self._start(self, work, lambda opened: self._use(*opened))

    def _uploaded(self, change: Any) -> None:
        if not change["new"]:
            return
        (file,) = change["new"][:1]
        self.upload.value = ()  # the same file may be sent again
        self._start(self, partial(self._received, file), lambda opened: self._use(*opened))

    def _beside(self, change: Any) -> None:
        self.questions[1].panel.layout.display = "" if change["new"] else "none"

    # What runs beside the page

    def _start(
        self, place: Explorer, work: Callable[[], Any], done: Callable[[Any], object]
    ) -> None:
        if self._background.running:
            self.say("Something else still runs. Wait for it, or stop it.")
            return
        place.say()
        self._busy(place)
        self._background.start(place, work, done, self._ended)

    def _ended(self) -> None:
        self._busy(None)
        self.clip.value = self._shown  # what was refused is not what is open

    def _busy(self, place: Explorer | None) -> None:
        self.clip.disabled = self.upload.disabled = place is not None
        for question in self.questions:
            question.busy(place in (question, self), place is not None)

    def _stage(self, question: Question, name: str, total: int) -> Stage:
        return Stage(question.progress, self._background.check, name, total)

    def _received(self, file: Any) -> tuple[Session, bytes, list[str], str]:
        """An upload as an open video."""
        name = one_line(str(file["name"]), 80) or "a video without a name"
        if (size := len(file["content"])) > self.upload_bytes:
            raise VideoError(
                "the file is too large to be uploaded",
                asked=f"{name}, {_mebibytes(size)}",
                found=f"room for {_mebibytes(self.upload_bytes)}",
                fix="cut it, or name its path: AskPanel(tempo, [path])",
            )
        names = [name, *(f"{name} ({number})" for number in range(2, len(self._places) + 3))]
        name = next(each for each in names if each not in self._places)
        # Its own name stays off the disk; what it is, its content says.
        path = Path(self._folder.name) / f"upload-{len(self._places)}"
        path.write_bytes(file["content"])
        try:
            opened = self._open(path, name)
        except BaseException:
            path.unlink()
            raise
        self._places[name] = path
        return opened

    def _open(self, path: Path, name: str) -> tuple[Session, bytes, list[str], str]:
        first = self.questions[0]
        with _called(name, path):
            session = self.tempo.open(path)
            try:
                with self._stage(first, "reading the film", len(session)) as stage:
                    return session, *film(session.video, stage.update), name
            except BaseException:
                session.close()
                raise

    def _answered(self, question: Question) -> Trace:
        assert self.session is not None
        text, written, last = check_question(question.text.value), "", 0.0

        def piece(more: str) -> None:
            nonlocal written, last
            written += more
            self._background.check()
            if time.monotonic() - last > OFTEN:
                last = time.monotonic()
                question.written(written)

        self.session.progress = partial(self._stage, question)
        with _called(self._shown, Path(self.session.video.info.path)):
            return self.session.ask(text, budget=question.budget.value, stream=piece)

    # What is shown of it

    def _use(self, session: Session, film: bytes, stills: list[str], name: str) -> None:
        """Another video is open from now on; answers about the last one go."""
        if self.session is not None:
            self.session.close()
        self.session, self._shown = session, name
        self.clip.options, self.clip.value = list(self._places), name
        info = session.video.info
        self.facts.value = '<p style="line-height: 1.4; margin: 4px 0">' + escaped(
            f"{name}: {info.duration:.1f} s, {info.width}x{info.height}, {len(session)} segments "
            f"of {session.video.window} frames. The player shows the frames that the model sees, "
            f"{session.video.plan.fps:.2g} a second."
        )
        self.player.show(film, stills)
        for question in self.questions:
            question.forget()

    def _answer(self, question: Question, trace: Trace) -> None:
        question.show(trace, self.player.stills)
        self.redraw()

    def describe(self) -> str:
        """What was asked of which video, and what was answered."""
        asked = [each.describe() for each in self.questions if each.trace is not None]
        return f"{self._shown}: " + ("; ".join(asked) or "nothing was asked yet")

    def _drawn(self) -> bytes:
        return stacked([each.static().data for each in self.questions if each.trace is not None])

    def close(self) -> None:
        """Stop what runs, close the video, delete the uploads."""
        self._background.end()
        for question in self.questions:
            question.close()
        self._both.children = ()
        super().close()
        if self.session is not None:
            self.session.close()
        self._folder.cleanup()


@contextmanager
def _called(name: str, path: Path) -> Iterator[None]:
    """Errors call the video by its own name, not by where it lies."""
    try:
        yield
    except VideoError as error:
        message = str(error).splitlines()[0].replace(str(path), name)
        found = str(error.found or "").replace(str(path), name)
        raise VideoError(message, asked=name, found=found or None, fix=error.fix) from error


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.3g} MiB"
