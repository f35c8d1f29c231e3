"""Work beside a page: it runs in a thread, is watched, and can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tempo_lab.widgets.base import Explorer


class Background:
    """One piece of work at a time."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._over = False

    @property
    def running(self) -> bool:
        """Whether a piece of work has not ended yet."""
        return self._thread is not None

    def start(
        self,
        place: Explorer,
        work: Callable[[], Any],
        done: Callable[[Any], object],
        ended: Callable[[], object],
    ) -> None:
        """Work in a thread, so that the page stays alive.

        Where no event loop runs there is no page either, and the work is done at once.

        Args:
            place: shows what goes wrong.
            work: what is to be done, in the thread.
            done: what is shown of its result, where widgets are handled.
            ended: called there after it, whatever happened.
        """
        self._stop.clear()
        outcome: Future[Any] = Future()

        def run() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # shown by `finish`
                outcome.set_exception(error)

        def finish() -> None:
            if self._over:
                return
            self._thread = None
            self._stop.clear()
            with place.guarded():  # not in the thread: it changes Python's warnings for all threads
                done(outcome.result())
            ended()

        def beside() -> None:
            run()
            loop.call_soon_threadsafe(finish)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            run()
            finish()
        else:
            self._thread = threading.Thread(target=beside, name="tempo-lab panel", daemon=True)
            self._thread.start()

    def check(self) -> None:
        """Called by the work now and then.

        Raises:
            KeyboardInterrupt: it is to be stopped.
        """
        if self._stop.is_set():
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Stop what runs when it looks next."""
        self._stop.set()

    def end(self) -> None:
        """Stop what runs, wait for that, and show nothing of it."""
        self._over = True
        self.stop()
        if self._thread is not None:
            self._thread.join()


class Stage:
    """Tells how far one stage of the work is.

    Args:
        tell: called with the stage's name, how much is done, and of how much.
        check: called at each step (see `Background.check`).
        name: of the stage.
        total: how much there is, in segments.
    """

    def __init__(
        self,
        tell: Callable[[str, int, int], object],
        check: Callable[[], object],
        name: str,
        total: int,
    ) -> None:
        self._tell, self._check, self.name, self.total, self.done = tell, check, name, total, 0

    def update(self, segments: int) -> None:
        """So many more segments are done."""
        self._check()
        self.done += segments
        self._tell(self.name, self.done, self.total)

    def __enter__(self) -> Stage:
        self.update(0)
        return self

    def __exit__(self, *_: object) -> None:
        # after the last stage of a question comes its answer, which is as long as it is
        if self.name == "writing memory tokens":
            self._tell("answering", 0, 0)
