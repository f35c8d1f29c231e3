"""Runs jobs, one video each, in worker processes; what is finished is never repeated."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from multiprocessing.context import SpawnProcess
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tqdm.auto import tqdm

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.store import Key, Row, Store, key_of

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

POLL_SECONDS = 1.0
"""How often a process looks whether the other ones are still alive."""


class Job(Protocol):
    """Everything that is asked about one video."""

    def keys(self, models: Collection[str], /) -> list[Key]:
        """The keys of all rows that the job gives with these models (by role), in their order."""


J = TypeVar("J", bound=Job)
Answer = Callable[[J, Mapping[str, "Tempo"], Collection[Key]], Iterator[list[Row]]]
"""Answers a job: (job, models by role, keys of finished rows) -> the missing rows, a list for each
question as soon as it is finished. Worker processes get it by its name: a function of a module."""


def run(
    jobs: Sequence[J],
    answer: Answer[J],
    models: Mapping[str, str | Tempo],
    store: Store,
    *,
    workers: int = 1,
    progress: bool = True,
    finished: Callable[[Row], bool] = lambda row: True,
) -> list[Row]:
    """Answer what has not been answered yet. After Ctrl-C or a kill, the same call continues.

    Args:
        jobs: videos with their questions.
        answer: answers one of them.
        models: names for `tempo_lab.load`, by role; with one worker also loaded models.
        store: where rows are kept.
        workers: processes; with 1, everything happens in this one.
        progress: show a progress bar.
        finished: whether a stored row still counts; the others are asked again.

    Returns:
        the rows of these jobs, in the order of their keys.
    """
    wanted = [key for job in jobs for key in job.keys(models)]
    rows = {key_of(row): row for row in store if finished(row)}
    done = {key for key in wanted if key in rows}
    with tqdm(
        total=len(wanted), initial=len(done), unit="answer", smoothing=0.05, disable=not progress
    ) as bar:

        def write(new: list[Row]) -> None:
            store.append(new)
            rows.update((key_of(row), row) for row in new)
            bar.update(len(new))

        unfinished = [job for job in jobs if not done.issuperset(job.keys(models))]
        if not unfinished:
            pass
        elif workers == 1:
            loaded = _load(models)
            for job in unfinished:
                for new in answer(job, loaded, done):
                    write(new)
        else:
            names = {role: name for role, name in models.items() if isinstance(name, str)}
            if len(names) < len(models):
                raise TempoLabError(
                    "worker processes load their models by name",
                    found=f"loaded models and workers={workers}",
                    fix="give the names, or use workers=1",
                )
            count = min(workers, len(unfinished))
            _run_in_processes(unfinished, answer, names, done, write, count)
    return [rows[key] for key in wanted]


def _load(models: Mapping[str, str | Tempo]) -> dict[str, Tempo]:
    from tempo_lab.session.tempo import load

    return {role: load(x) if isinstance(x, str) else x for role, x in models.items()}


def _run_in_processes(
    jobs: Sequence[J],
    answer: Answer[J],
    models: Mapping[str, str],
    done: Collection[Key],
    write: Callable[[list[Row]], None],
    workers: int,
) -> None:
    context = multiprocessing.get_context("spawn")
    waiting: Any = context.Queue()
    results: Any = context.Queue()
    for job in jobs:
        waiting.put((job, [key for key in job.keys(models) if key in done]))
    for _ in range(workers):
        waiting.put(None)
    processes = [
        context.Process(target=_work, args=(answer, dict(models), waiting, results))
        for _ in range(workers)
    ]
    try:
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
                write(rows)
        for process in processes:
            process.join()  # a process that is stopped while it ends leaves semaphores behind
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()


def _check(processes: Sequence[SpawnProcess]) -> None:
    for process in processes:
        if process.exitcode not in (None, 0):
            raise TempoLabError(
                "a worker of the evaluation died",
                found=f"exit status {process.exitcode}",
                fix="run the command again, it continues; with less memory, use --workers 1",
            )


def _work(answer: Answer[Any], models: dict[str, str], waiting: Any, results: Any) -> None:
    """Run one worker: jobs in, rows out, until no job is left or the parent has ended."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def stop_if_alone() -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit

    def next_job() -> Any:
        while True:
            stop_if_alone()
            try:
                return waiting.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    try:
        loaded = _load(models)
        while (entry := next_job()) is not None:
            job, done = entry
            for rows in answer(job, loaded, frozenset(done)):
                stop_if_alone()
                results.put(rows)
        results.put(None)
    except TempoLabError as error:
        results.put(TempoLabError(str(error)))
    except Exception:
        results.put(traceback.format_exc())
