"""A panel that opens or uploads a video, asks about it, and shows what the answer was based on."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipywidgets import HTML, Checkbox, Dropdown, FileUpload, HBox, Layout

from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import BudgetError, TempoLabError
from tempo_lab.common.files import shipped
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.widgets.background import Background, Stage
from tempo_lab.widgets.base import Explorer, escaped
from tempo_lab.widgets.known_questions import example_questions
from tempo_lab.widgets.player import Player, encode_film
from tempo_lab.widgets.question import (
    QuestionPanel,
    check_question,
    default_budget,
    stack_vertically,
)
from tempo_lab.widgets.uploads import (
    errors_name,
    mebibytes,
    store_upload,
    too_large,
    upload_limit,
    warnings_name,
)

if TYPE_CHECKING:
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo
    from tempo_lab.trace.trace import Trace

    Opened = tuple[Session, bytes, list[str], str]

CLIPS = ("data/clips/voyage.mp4", "data/clips/expedition.mp4")
"""Videos to choose from by default."""
STREAM_INTERVAL = 0.05
"""Seconds between two updates of an answer while it is generated."""


class AskPanel(Explorer):
    """Choose or upload a video, ask about it, and see where the tokens went.

    A question runs in a thread, so the page stays responsive: it shows the progress and can stop
    the question. Uploads are stored in a private temporary folder that is deleted with the panel.
    The player shows the sampled frames at the times that the model reads in its prompt.

    Args:
        tempo: the model.
        clips: paths of videos to choose from; by default those that come with the library.
        budget: memory tokens for the whole video, at most all that it has; by default so few that
            the segments want more.
        upload_bytes: size of the largest file that may be uploaded; by default the environment
            variable TEMPO_LAB_UPLOAD_BYTES, or 8 MiB, which any Jupyter server accepts.

    Attributes:
        questions: two question panels; the second is hidden until two questions are compared.
        session: the open video. The selector only shows which one that is.
        paths: of the videos in the selector, by name.
        uploads: the folder of the uploaded ones.

    Raises:
        VideoError: the first clip cannot be read.
        BudgetError: the budget or `upload_bytes` is not a whole number of at least 1.
    """

    def __init__(
        self,
        tempo: Tempo,
        clips: Sequence[str | os.PathLike[str]] | None = None,
        *,
        budget: int | None = None,
        upload_bytes: int | None = None,
    ) -> None:
        if budget is not None:
            check_whole("budget", budget, 1, error=BudgetError)
        self._budget = budget
        self.upload_bytes = upload_limit() if upload_bytes is None else upload_bytes
        check_whole("upload_bytes", self.upload_bytes, 1, error=BudgetError)
        self.tempo = tempo
        self.session: Session | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="tempo-lab-", ignore_cleanup_errors=True)
        self.uploads = Path(self._folder.name).resolve()
        self._background = Background()
        self.paths: dict[str, Path] = {}
        for clip in clips or map(shipped, CLIPS):
            self.paths[self._unused(Path(clip).name)] = Path(clip).expanduser().resolve()
        self._shown = next(iter(self.paths))
        self.player, self.facts = Player(), HTML(layout=Layout(width="auto"))
        self.clip = Dropdown(options=list(self.paths), description="Video")
        self.upload = FileUpload(
            accept="video/*,image/*,.npy",
            description=f"Upload a video (up to {mebibytes(self.upload_bytes)})",
            tooltip=f"At most {mebibytes(self.upload_bytes)}",
            layout=Layout(width="max-content"),
        )
        self.second = Checkbox(description="Compare two questions", indent=False)
        make = partial(
            QuestionPanel, ask=self._on_ask, stop=self._background.stop, seek=self.player.seek
        )
        self.questions = [make(number) for number in (1, 2)]
        self.questions[1].panel.layout.display = "none"
        wrapped = Layout(flex_flow="row wrap", flex="1 1 400px", min_width="0")
        self._both = HBox([each.panel for each in self.questions], layout=wrapped)
        self._body = HBox([self.player.widget, self._both], layout=Layout(flex_flow="row wrap"))
        super().__init__([self.clip, self.upload, self.second])
        self.picture.layout.display = "none"  # each question shows its own
        row, line, picture = self.panel.children
        self.panel.children = (row, line, self.facts, self._body, picture)
        for control, trait, action in (
            (self.clip, "value", self._on_clip),
            (self.upload, "value", self._on_upload),
            (self.upload, "error", self._on_upload_error),
            (self.second, "value", self._on_second),
        ):
            control.observe(action, names=trait)
            self.finally_(partial(control.unobserve, action, names=trait))
        try:
            self._use(self._open(self._shown))
        except BaseException:
            self.close()
            raise

    @property
    def running(self) -> bool:
        """Whether a task runs in the background."""
        return self._background.running

    @renamed_keywords(beside="second")
    def ask(self, text: str, *, budget: int | None = None, second: bool = False) -> Trace:
        """Ask, wait for the answer, show it, and return its trace.

        Args:
            text: the question.
            budget: memory tokens for the whole video, at most all that it has; by default the
                number in the panel.
            second: ask it in the second question panel.

        Raises:
            TempoLabError: `Session.ask` rejects the question, or another task is still running.
        """
        if self.running:
            raise TempoLabError(
                "a task is still running", asked=text, fix="wait for it, or stop it"
            )
        question = self.questions[second]
        self.second.value = self.second.value or second
        question.text.value = text
        if budget is not None:
            question.budget.value = check_whole("budget", budget, 1, error=BudgetError)
        self._clear(question)
        try:
            trace = self._run(question)
        finally:
            self._busy(None)
        self._show(question, trace)
        return trace

    # Event handlers

    def _on_ask(self, question: QuestionPanel) -> None:
        if not self.running:
            self._clear(question)
        self._start(question, partial(self._run, question), partial(self._show, question))

    def _on_clip(self, change: Any) -> None:
        if change["new"] != self._shown:
            self._start(self, partial(self._open, change["new"]), self._use)

    def _on_upload(self, change: Any) -> None:
        if not change["new"]:
            return
        (file,) = change["new"][:1]
        self.upload.value = ()  # the same file may be sent again
        self.say()
        with self.guarded():
            name = self._store(file)
            if self.running:  # the running task is about the open video
                self._list_videos()
                self.say(f"{name} was uploaded. Select it in the list of videos to open it.")
            else:
                self._start(self, partial(self._open_upload, name), self._use)

    def _on_upload_error(self, change: Any) -> None:
        """Show that the page of `tempo_lab.apps.page` did not read a file because of its size."""
        if change["new"]:
            self.upload.error = ""
            with self.guarded():
                raise too_large(one_line(change["new"], 200), self.upload_bytes)

    def _on_second(self, change: Any) -> None:
        self.questions[1].panel.layout.display = "" if change["new"] else "none"

    # Background tasks

    def _start(
        self, owner: Explorer, work: Callable[[], Any], done: Callable[[Any], object]
    ) -> None:
        if self.running:
            self.say("Another task is still running. Wait for it, or stop it.")
            self._list_videos()
            return
        owner.say()
        self._busy(owner)
        self._background.start(owner, work, done, self._ended)

    def _ended(self) -> None:
        self._busy(None)
        self._list_videos()

    def _list_videos(self) -> None:
        """List the videos with the open one selected, without an event as of a user's choice."""
        self.clip.unobserve(self._on_clip, names="value")
        with self.clip.hold_sync():  # the page never sees the first of the list selected in between
            self.clip.options, self.clip.value = list(self.paths), self._shown
        self.clip.observe(self._on_clip, names="value")

    def _busy(self, owner: Explorer | None) -> None:
        self.clip.disabled = self.upload.disabled = owner is not None
        for question in self.questions:
            question.busy(owner in (question, self), owner is not None)

    def _stage(self, question: QuestionPanel, name: str, total: int) -> Stage:
        return Stage(question.progress, self._background.check, name, total)

    def _store(self, file: Any) -> str:
        """Write an upload to the disk and return the name under which it is listed."""
        name = one_line(str(file["name"]), 80) or "a video without a name"
        size = len(file["content"])
        if size > self.upload_bytes:
            raise too_large(f"{name}, {mebibytes(size)}", self.upload_bytes)
        name = self._unused(name)
        self.paths[name] = store_upload(self.uploads, name, file["content"])
        return name

    def _unused(self, name: str) -> str:
        """Return the name, with a number appended if another video has it."""
        names = [name, *(f"{name} ({number})" for number in range(2, len(self.paths) + 3))]
        return next(each for each in names if each not in self.paths)

    def _open_upload(self, name: str) -> Opened:
        """Open an upload; delete it if it is not a video."""
        try:
            return self._open(name)
        except BaseException:
            self.paths.pop(name).unlink()
            raise

    def _open(self, name: str) -> Opened:
        first, path, check = self.questions[0], self.paths[name], self._background.check
        with errors_name(name, path):
            session = self.tempo.open(path, on_wait=check)
            session.engine.ood_monitor.silent = True  # each answer shows its warnings
            try:
                with self._stage(first, "reading the film", len(session)) as stage:
                    return session, *encode_film(session.video, stage.update), name
            except BaseException:
                session.close()
                raise

    def _run(self, question: QuestionPanel) -> Trace:
        assert self.session is not None
        text, generated, last = check_question(question.text.value), "", 0.0

        def stream(piece: str) -> None:
            nonlocal generated, last
            generated += piece
            self._background.check()
            if time.monotonic() - last > STREAM_INTERVAL:
                last = time.monotonic()
                question.show_answer(generated)

        self.session.progress = partial(self._stage, question)
        path = self.paths[self._shown]
        with errors_name(self._shown, path):
            trace = self.session.ask(text, budget=question.budget.value, stream=stream)
        own: dict[str, Any] = {"warnings": warnings_name(self._shown, path, trace.warnings)}
        if path.parent == self.uploads:
            own["video"] = self._shown
        return replace(trace, provenance={**trace.provenance, **own})

    # Display

    def _use(self, opened: Opened) -> None:
        """Make another video the open one; clear the answers about the previous one."""
        if self.session is not None:
            self.session.close()
        session, film, stills, name = opened
        self.session, self._shown = session, name
        self._list_videos()
        info = session.video.info
        self.facts.value = '<p style="line-height: 1.4; margin: 4px 0">' + escaped(
            f"{name}: {info.duration:.1f} s, {info.width}x{info.height}, {len(session)} segments "
            f"of {session.video.window} frames. The player shows the frames that the model sees, "
            f"{session.video.plan.fps:.2g} per second."
        )
        self.player.show(film, stills)
        examples = example_questions(session.checkpoint, self.paths[name])
        for question in self.questions:
            question.set_budget(self._budget or default_budget(session), session)
            question.set_examples(examples)
            question.clear()
        self.redraw()

    def _clear(self, question: QuestionPanel) -> None:
        """Remove an old answer, so that none stands below a question that is refused."""
        question.clear()
        self._stale = True  # this panel's picture has the old answer until it is drawn again

    def _show(self, question: QuestionPanel, trace: Trace) -> None:
        question.show(trace, self.player.stills)
        self.redraw()

    def caption(self) -> str:
        """Return the video, its questions and their answers."""
        answered = [each.describe() for each in self.questions if each.trace is not None]
        return f"{self._shown}: " + ("; ".join(answered) or "nothing was asked yet")

    def _render(self) -> bytes:
        answered = [each for each in self.questions if each.trace is not None]
        return stack_vertically([each.static().data for each in answered])

    def close(self) -> None:
        """Stop the running task, close the video, delete the uploads."""
        self._background.end()
        for question in self.questions:
            question.close()
        self._both.children = ()
        super().close()
        if self.session is not None:
            self.session.close()
        self._folder.cleanup()
