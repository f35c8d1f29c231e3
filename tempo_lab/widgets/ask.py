"""Ask a video of your own: upload, ask, watch, read, look at the seconds that counted."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Checkbox, Dropdown, FileUpload, HBox, Layout

from tempo_lab.common.errors import TempoLabError, VideoError
from tempo_lab.common.files import shipped
from tempo_lab.common.text import one_line
from tempo_lab.widgets.background import Background, Stage
from tempo_lab.widgets.base import Explorer, escaped
from tempo_lab.widgets.checks import check_whole
from tempo_lab.widgets.player import Player, film
from tempo_lab.widgets.question import Question, check_question, stacked

if TYPE_CHECKING:
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo
    from tempo_lab.trace.trace import Trace

    Opened = tuple[Session, bytes, list[str], str]

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
        session: the video that is open. The selector only shows which one that is.

    Raises:
        VideoError: the first clip cannot be read.
        BudgetError: the budget or `upload_bytes` is not a whole number of at least 1.
    """

    def __init__(
        self,
        tempo: Tempo,
        clips: Sequence[str | os.PathLike[str]] | None = None,
        *,
        budget: int = 8192,
        upload_bytes: int | None = None,
    ) -> None:
        check_whole("budget", budget)
        self.upload_bytes = upload_limit() if upload_bytes is None else upload_bytes
        check_whole("upload_bytes", self.upload_bytes)
        self.tempo = tempo
        self.session: Session | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="tempo-lab-", ignore_cleanup_errors=True)
        self._uploads = Path(self._folder.name).resolve()
        self._background = Background()
        self._places: dict[str, Path] = {}
        for clip in clips or map(shipped, CLIPS):
            self._places[self._unused(Path(clip).name)] = Path(clip).expanduser().resolve()
        self._shown = next(iter(self._places))
        self.player, self.facts = Player(), HTML(layout=Layout(width="100%"))
        self.clip = Dropdown(options=list(self._places), description="Video")
        self.upload = FileUpload(
            accept="video/*,image/*,.npy",
            description=f"Upload a video (up to {mebibytes(self.upload_bytes)})",
            tooltip=f"At most {mebibytes(self.upload_bytes)}",
            layout=Layout(width="max-content"),
        )
        self.second = Checkbox(description="Compare two questions", indent=False)
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
        for control, trait, action in (
            (self.clip, "value", self._chosen),
            (self.upload, "value", self._uploaded),
            (self.upload, "error", self._refused),
            (self.second, "value", self._beside),
        ):
            control.observe(action, names=trait)
            self.finally_(partial(control.unobserve, action, names=trait))
        try:
            self._use(self._open(self._shown))
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
            raise TempoLabError(
                "a task is still running", asked=text, fix="wait for it, or stop it"
            )
        question = self.questions[beside]
        self.second.value = self.second.value or beside
        question.text.value = text
        if budget is not None:
            question.budget.value = check_whole("budget", budget)
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
            self._start(self, partial(self._open, change["new"]), self._use)

    def _uploaded(self, change: Any) -> None:
        if not change["new"]:
            return
        (file,) = change["new"][:1]
        self.upload.value = ()  # the same file may be sent again
        self.say()
        with self.guarded():
            name = self._stored(file)
            if self._background.running:  # what runs now is about the video that is open
                self._offer()
                self.say(f"{name} was uploaded. Select it in the list of videos to open it.")
            else:
                self._start(self, partial(self._received, name), self._use)

    def _refused(self, change: Any) -> None:
        """The page of `tempo_lab.apps.page` did not read a file, because of its size."""
        if change["new"]:
            self.upload.error = ""
            with self.guarded():
                raise self._too_large(one_line(change["new"], 200))

    def _beside(self, change: Any) -> None:
        self.questions[1].panel.layout.display = "" if change["new"] else "none"

    # What runs beside the page

    def _start(
        self, place: Explorer, work: Callable[[], Any], done: Callable[[Any], object]
    ) -> None:
        if self._background.running:
            self.say("Another task is still running. Wait for it, or stop it.")
            self._offer()
            return
        place.say()
        self._busy(place)
        self._background.start(place, work, done, self._ended)

    def _ended(self) -> None:
        self._busy(None)
        self._offer()

    def _offer(self) -> None:
        """List the videos, with the open one selected; this is no choice of the user's."""
        self.clip.unobserve(self._chosen, names="value")
        with self.clip.hold_sync():  # the page never sees the first of the list selected in between
            self.clip.options, self.clip.value = list(self._places), self._shown
        self.clip.observe(self._chosen, names="value")

    def _busy(self, place: Explorer | None) -> None:
        self.clip.disabled = self.upload.disabled = place is not None
        for question in self.questions:
            question.busy(place in (question, self), place is not None)

    def _stage(self, question: Question, name: str, total: int) -> Stage:
        return Stage(question.progress, self._background.check, name, total)

    def _stored(self, file: Any) -> str:
        """Write an upload to the disk; returns the name under which it is offered."""
        name = one_line(str(file["name"]), 80) or "a video without a name"
        size = len(file["content"])
        if size > self.upload_bytes:
            raise self._too_large(f"{name}, {mebibytes(size)}")
        name = self._unused(name)
        # Its own name stays off the disk; what it is, its content says.
        path = self._uploads / f"upload-{secrets.token_hex(8)}"
        try:
            path.write_bytes(file["content"])
        except OSError as error:
            path.unlink(missing_ok=True)
            raise VideoError(
                "the upload could not be stored",
                asked=f"{name}, {mebibytes(size)}",
                found=error.strerror or type(error).__name__,
                fix="make room on the disk of the temporary files, and upload it again",
            ) from error
        self._places[name] = path
        return name

    def _unused(self, name: str) -> str:
        """The name, with a number behind it where another video has it."""
        names = [name, *(f"{name} ({number})" for number in range(2, len(self._places) + 3))]
        return next(each for each in names if each not in self._places)

    def _too_large(self, asked: str) -> VideoError:
        return VideoError(
            "the file is too large to be uploaded",
            asked=asked,
            found=f"room for {mebibytes(self.upload_bytes)}",
            fix="cut it, or name its path: AskPanel(tempo, [path]), `tempo-lab ask PATH QUESTION`",
        )

    def _received(self, name: str) -> Opened:
        """An upload as an open video; one that is none goes."""
        try:
            return self._open(name)
        except BaseException:
            self._places.pop(name).unlink()
            raise

    def _open(self, name: str) -> Opened:
        first, path, check = self.questions[0], self._places[name], self._background.check
        with _called(name, path):
            session = self.tempo.open(path, on_wait=check)
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
        path = self._places[self._shown]
        with _called(self._shown, path):
            trace = self.session.ask(text, budget=question.budget.value, stream=piece)
        if path.parent != self._uploads:
            return trace
        named = [each.replace(path.name, self._shown) for each in trace.warnings]
        own = {"video": self._shown, "warnings": named}
        return replace(trace, provenance={**trace.provenance, **own})

    # What is shown of it

    def _use(self, opened: Opened) -> None:
        """Another video is open from now on; answers about the last one go."""
        if self.session is not None:
            self.session.close()
        session, film, stills, name = opened
        self.session, self._shown = session, name
        self._offer()
        info = session.video.info
        self.facts.value = '<p style="line-height: 1.4; margin: 4px 0">' + escaped(
            f"{name}: {info.duration:.1f} s, {info.width}x{info.height}, {len(session)} segments "
            f"of {session.video.window} frames. The player shows the frames that the model sees, "
            f"{session.video.plan.fps:.2g} a second."
        )
        self.player.show(film, stills)
        for question in self.questions:
            question.forget()
        self.redraw()

    def _answer(self, question: Question, trace: Trace) -> None:
        question.show(trace, self.player.stills)
        self.redraw()

    def caption(self) -> str:
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


def upload_limit() -> int:
    """The largest upload in bytes: what the environment says, or 8 MiB.

    Raises:
        TempoLabError: what the environment says is not a whole number of bytes.
    """
    said = os.environ.get(UPLOAD_VARIABLE, str(UPLOAD_BYTES))
    if not said.isdecimal() or not int(said):
        raise TempoLabError(
            "the largest upload must be a whole number of bytes",
            asked=f"{UPLOAD_VARIABLE}={said}",
            fix=f"{UPLOAD_VARIABLE}={UPLOAD_BYTES} for {mebibytes(UPLOAD_BYTES)}",
        )
    return int(said)


def mebibytes(size: int) -> str:
    """A number of bytes in MiB, with three digits."""
    return f"{size / 2**20:.3g} MiB"
