"""Background tasks of a page: they run in a thread, report progress, and can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from tempo_lab.widgets.base import Explorer


class Background:
    """Runs one task at a time."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._over = False

    @property
    def running(self) -> bool:
        """True until the task has ended."""
        return self._thread is not None

    def start(
        self,
        owner: Explorer,
        work: Callable[[], Any],
        done: Callable[[Any], object],
        ended: Callable[[], object],
    ) -> None:
        """Run a task in a thread, so that the page stays responsive.

        If no event loop runs, there is no page, and the task runs in the current thread.

        Args:
            owner: shows errors.
            work: the task, called in the thread.
            done: called with its result, in the thread that handles widgets.
            ended: called there afterwards, also after an error.
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
            with owner.guarded():  # not in the thread: it changes Python's warnings for all threads
                done(outcome.result())
            ended()

        def run_in_thread() -> None:
            run()
            loop.call_soon_threadsafe(finish)

        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            run()
            finish()
        else:
            self._thread = threading.Thread(
                target=run_in_thread, name="tempo-lab panel", daemon=True
            )
            self._thread.start()

    def check(self) -> None:
        """Return if the task may go on; the task calls this regularly.

        Raises:
            KeyboardInterrupt: the task is to stop.
        """
        if self._stop.is_set():
            raise KeyboardInterrupt

    def stop(self) -> None:
        """Stop the task at its next `check`."""
        self._stop.set()

    def end(self) -> None:
        """Stop the task, wait until it has ended, and do not show its result."""
        self._over = True
        self.stop()
        if self._thread is not None:
            self._thread.join()


class Stage:
    """Reports the progress of one stage of a task.

    Args:
        report: called with the stage's name, the segments done, and the total.
        check: called at each step (see `Background.check`).
        name: of the stage.
        total: number of segments.
    """

    def __init__(
        self,
        report: Callable[[str, int, int], object],
        check: Callable[[], object],
        name: str,
        total: int,
    ) -> None:
        self._report, self._check, self.name, self.total, self.done = report, check, name, total, 0

    def update(self, segments: int) -> None:
        """Add segments that are done."""
        self._check()
        self.done += segments
        self._report(self.name, self.done, self.total)

    def __enter__(self) -> Stage:
        self.update(0)
        return self

    def __exit__(self, *_: object) -> None:
        # the answer follows the last stage; its length is not known
        if self.name == "writing memory tokens":
            self._report("answering", 0, 0)
