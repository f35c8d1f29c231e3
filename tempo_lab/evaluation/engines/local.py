"""The local engine: this process, or several processes on this machine."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import traceback
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import suppress
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.interrupts import children_ignore_interrupts
from tempo_lab.evaluation.engines.base import (
    Answer,
    J,
    Models,
    T,
    load_models,
    names_of,
    register_engine,
)
from tempo_lab.evaluation.store import Key, Row

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

POLL_SECONDS = 1.0
"""How often a process looks whether the other ones are still alive."""


@register_engine("local")
class LocalEngine:
    """Answers jobs on this machine.

    Args:
        models: names, or with one worker also loaded models, by role.
        workers: processes; with 1, everything happens in this one. Each opens and decodes its next
            video ahead while it answers questions about the current one.
        address: must be None.

    Raises:
        TempoLabError: loaded models with several workers, or an address.
    """

    def __init__(self, models: Models, workers: int = 1, address: str | None = None) -> None:
        if address is not None:
            raise TempoLabError(
                "the local engine joins no cluster", asked=f"ray_address={address!r}",
                fix='use engine="ray", or leave the address out',
            )  # fmt: skip
        self.models = models if workers == 1 else names_of(models)
        self.workers = workers
        self._loaded: dict[str, Tempo] | None = None

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(self, *error: object) -> None:
        self._loaded = None

    def call(self, function: Callable[[Models], T]) -> T:
        """Return what a function returns for the models: loaded for one worker, else their names.

        Raises:
            TempoLabError: the models cannot be loaded, or the function raised it.
        """
        return function(self._load() if self.workers == 1 else self.models)

    def rows(
        self, jobs: Sequence[J], answer: Answer[J], done: Collection[Key]
    ) -> Generator[list[Row]]:
        """Yield the missing rows of jobs, each list as soon as its question is finished.

        Raises:
            TempoLabError: a worker process failed or died.
        """
        if self.workers == 1:
            return self._in_this_process(jobs, answer, done)
        count = min(self.workers, len(jobs))
        return _in_processes(jobs, answer, names_of(self.models), done, count)

    def _load(self) -> dict[str, Tempo]:
        if self._loaded is None:
            self._loaded = load_models(self.models)
        return self._loaded

    def _in_this_process(
        self, jobs: Sequence[J], answer: Answer[J], done: Collection[Key]
    ) -> Generator[list[Row]]:
        from tempo_lab.evaluation.engines.look_ahead import LookAhead

        with LookAhead(self._load()) as ahead:
            for job, following in zip(jobs, [*jobs[1:], None], strict=True):
                if following is not None:
                    ahead.prepare(following)
                yield from ahead.answer(job, answer, done)


def _in_processes(
    jobs: Sequence[J],
    answer: Answer[J],
    models: Mapping[str, str],
    done: Collection[Key],
    workers: int,
) -> Generator[list[Row]]:
    context = multiprocessing.get_context("spawn")
    waiting: Any = context.Queue()
    results: Any = context.Queue()
    for job in jobs:
        waiting.put((job, [key for key in job.keys(models) if key in done]))
    left = context.Value("q", len(jobs))
    processes = [
        context.Process(target=_work, args=(answer, dict(models), waiting, left, workers, results))
        for _ in range(workers)
    ]
    try:
        with children_ignore_interrupts():
            for process in processes:
                process.start()
        finished = 0
        while finished < workers:
            try:
                rows = results.get(timeout=POLL_SECONDS)
            except queue.Empty:
                _check(processes)
                continue
            if isinstance(rows, Exception):
                raise rows
            if isinstance(rows, str):
                raise TempoLabError("a worker of the evaluation failed", found=rows)
            if rows is None:
                finished += 1
            else:
                yield rows
        for process in processes:
            process.join()  # a process that is stopped while it ends leaves semaphores behind
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()
        waiting.cancel_join_thread()  # nobody takes the other jobs; Python would wait for that


def _check(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        if process.exitcode not in (None, 0):
            raise _died(f"exit status {process.exitcode}")


def _died(found: str) -> TempoLabError:
    return TempoLabError(
        "a worker of the evaluation died",
        found=found,
        fix="run the command again, it continues; with less memory, use --workers 1",
    )


def _work(
    answer: Answer[Any],
    models: dict[str, str],
    waiting: Any,
    left: Any,
    workers: int,
    results: Any,
) -> None:
    """Run one worker: jobs in, rows out, until no job is left or the parent has ended.

    Args:
        answer: answers a job.
        models: names, by role.
        waiting: queue of jobs and the keys of their finished rows.
        left: how many jobs no worker has taken yet, shared by all workers.
        workers: how many there are.
        results: queue of lists of rows; None at the end, or an error.
    """
    import torch

    from tempo_lab.evaluation.engines.look_ahead import LookAhead

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it cannot be blocked
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def stop_if_alone() -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit

    def take(leave: int = 0) -> Any:
        """Take a job, or return None if fewer than `leave` jobs would be left."""
        with left.get_lock():
            if left.value <= leave:
                return None
            left.value -= 1
        while True:
            stop_if_alone()
            with suppress(queue.Empty):
                return waiting.get(timeout=POLL_SECONDS)

    try:
        with LookAhead(load_models(models)) as ahead:
            following = None
            while entry := following or take():
                # One for each other worker is left, which has nothing to do otherwise.
                following = take(leave=workers - 1)
                if following is not None:
                    ahead.prepare(following[0])
                job, done = entry
                for rows in ahead.answer(job, answer, frozenset(done)):
                    stop_if_alone()
                    results.put(rows)
        results.put(None)
    except TempoLabError as error:
        results.put(TempoLabError(str(error)))
    except Exception:
        results.put(traceback.format_exc())
