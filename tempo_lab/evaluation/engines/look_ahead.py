"""Opens the next video while questions about the current one are answered.

Opening a video starts its decoder process, which reads the file's index; then it decodes frames
ahead by a bounded amount (`tempo_lab.video.decoder_process.PREFETCH_BYTES`) until someone takes
them. A thread does that in advance. An error of the video waits until the video is asked for.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from tempo_lab.evaluation.engines.base import Answer, J, Job
from tempo_lab.evaluation.store import Key, Row
from tempo_lab.video.video import Video

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo


class LookAhead:
    """Opens the videos of jobs in advance; use it in a `with` statement.

    Args:
        models: loaded models, by role.

    Attributes:
        models: the same models, by role; their `open` takes what was opened in advance.
    """

    def __init__(self, models: Mapping[str, Tempo]) -> None:
        self._waiting: dict[str, Future[Video]] = {}
        self._stop = threading.Event()
        self._thread = ThreadPoolExecutor(1)
        self.models = {role: self._taking(model) for role, model in models.items()}

    def __enter__(self) -> LookAhead:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.shutdown(cancel_futures=True)
        for key in list(self._waiting):
            self._close(key)

    def prepare(self, job: Job) -> None:
        """Open what a job is going to open, if it says so; returns at once."""
        if (what := self._what(job)) is not None:
            model, source, options = what
            key = _key(source, options)
            if key not in self._waiting:
                self._waiting[key] = self._thread.submit(self._open, model, source, options)

    def answer(self, job: J, answer: Answer[J], done: Collection[Key]) -> Iterator[list[Row]]:
        """Yield the missing rows of a job, and close what was opened for it if it did not take it.

        Args:
            job: a video with its questions.
            answer: answers it.
            done: keys of finished rows.
        """
        yield from answer(job, self.models, done)
        if (what := self._what(job)) is not None:
            self._close(_key(*what[1:]))

    def _what(self, job: Job) -> tuple[Tempo, Any, dict[str, Any]] | None:
        opens = getattr(job, "opens", None)
        if opens is None:
            return None
        role, source, options = opens()
        model = self.models[role]
        return model, source, {**options, "window": model.config.segment_frames}

    def _taking(self, model: Tempo) -> Tempo:
        """Return a copy of a model whose `open` takes a video that was opened in advance."""

        def open_video(source: Any, **options: Any) -> Video:
            plain = {name: value for name, value in options.items() if name != "on_wait"}
            same = options.get("on_wait") is None
            future = self._waiting.pop(_key(source, plain), None) if same else None
            return Video(source, **options) if future is None else future.result()

        taking = copy.copy(model)
        taking._open_video = open_video  # type: ignore[method-assign]
        return taking

    def _open(self, model: Tempo, source: Any, options: dict[str, Any]) -> Video:
        from tempo_lab.session.micro_batches import decoder_resize

        video = Video(source, **{**options, "on_wait": self._end_if_stopped})
        try:
            video.read_ahead(decoder_resize(model.config, video))
        except BaseException:
            video.close()
            raise
        return video

    def _end_if_stopped(self) -> None:
        """Called several times per second while a decoder is waited for."""
        if self._stop.is_set():
            raise InterruptedError("the evaluation was stopped")

    def _close(self, key: str) -> None:
        future = self._waiting.pop(key, None)
        if future is not None and not future.cancel() and future.exception() is None:
            future.result().close()


def _key(source: Any, options: Mapping[str, Any]) -> str:
    """Return a text that is equal for the same video with the same options of `Video`."""
    bound = inspect.signature(Video).bind(source, **options)
    bound.apply_defaults()
    return repr(sorted(bound.arguments.items()))
