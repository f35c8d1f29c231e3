"""Runs jobs, one video each, in worker processes; what is finished is never repeated."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import traceback
from collections.abc import Collection, Mapping, Sequence
from multiprocessing.context import SpawnProcess
from typing import Any

from tqdm.auto import tqdm

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.arm_runner import Key, Row, answer_video, key_of, keys_of
from tempo_lab.evaluation.store import Store
from tempo_lab.nano.claims.plan import Job
from tempo_lab.session.tempo import Tempo, load

POLL_SECONDS = 1.0
"""How often it is looked whether workers are still alive."""


def run(
    jobs: Sequence[Job], models: Mapping[str, str], store: Store, *, workers: int = 1
) -> list[Row]:
    """Answer what has not been answered yet; called again after Ctrl-C or a kill, it goes on.

    Args:
        jobs: videos with their questions.
        models: names for `tempo_lab.load`, by role.
        store: where rows are kept.
        workers: processes; with 1, everything happens in this one.

    Returns:
        the rows of these jobs, in the order of the jobs.
    """
    wanted = [key for job in jobs for key in keys_of(job, models)]
    rows = {key_of(row): row for row in store}
    done = {key for key in wanted if key in rows}
    with tqdm(total=len(wanted), initial=len(done), unit="answer", smoothing=0.05) as bar:

        def write(fresh: list[Row]) -> None:
            store.append(fresh)
            rows.update((key_of(row), row) for row in fresh)
            bar.update(len(fresh))

        left = [job for job in jobs if not done.issuperset(keys_of(job, models))]
        if not left:
            pass
        elif workers == 1:
            loaded = {role: load(name) for role, name in models.items()}
            for job in left:
                answer_video(job, loaded, done, write)
        else:
            _run_in_processes(left, models, done, write, min(workers, len(left)))
    return [rows[key] for key in wanted]


def _run_in_processes(
    jobs: Sequence[Job],
    models: Mapping[str, str],
    done: Collection[Key],
    write: Any,
    workers: int,
) -> None:
    context = multiprocessing.get_context("spawn")
    waiting: Any = context.Queue()
    results: Any = context.Queue()
    for job in jobs:
        keys = keys_of(job, models)
        waiting.put((job, [key for key in keys if key in done]))
    for _ in range(workers):
        waiting.put(None)
    processes = [
        context.Process(target=_work, args=(dict(models), waiting, results)) for _ in range(workers)
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
            process.join()  # what is stopped while it ends leaves semaphores behind
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
                fix="run the command again: it goes on; with less memory, --workers 1",
            )


def _work(models: dict[str, str], waiting: Any, results: Any) -> None:
    """One worker: jobs in, rows out, until there are no more or nobody waits for them."""
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()

    def stop_if_alone() -> None:
        if parent is not None and not parent.is_alive():
            raise SystemExit

    def write(rows: list[Row]) -> None:
        stop_if_alone()
        results.put(rows)

    def next_job() -> Any:
        while True:
            stop_if_alone()
            try:
                return waiting.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue

    try:
        loaded: dict[str, Tempo] = {role: load(name) for role, name in models.items()}
        while (job := next_job()) is not None:
            answer_video(job[0], loaded, frozenset(job[1]), write)
        results.put(None)
    except TempoLabError as error:
        results.put(TempoLabError(str(error)))
    except Exception:
        results.put(traceback.format_exc())
