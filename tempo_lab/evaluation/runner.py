"""Runs jobs, one video each, on an engine; what is finished is never repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from tempo_lab.common.progress import progress_bar
from tempo_lab.evaluation.engines import Answer, Engine, Job, LocalEngine
from tempo_lab.evaluation.engines.base import J
from tempo_lab.evaluation.store import Row, Store, key_of

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

__all__ = ["Answer", "Job", "run", "run_on"]


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
    """Answer on this machine what has not been answered yet; see `run_on`.

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
    with LocalEngine(models, workers) as engine:
        return run_on(engine, jobs, answer, store, progress=progress, finished=finished)


def run_on(
    engine: Engine,
    jobs: Sequence[J],
    answer: Answer[J],
    store: Store,
    *,
    progress: bool = True,
    finished: Callable[[Row], bool] = lambda row: True,
) -> list[Row]:
    """Answer what has not been answered yet. After Ctrl-C or a kill, the same call continues.

    Only this process writes. Each row is in the store as soon as it arrives, so that another
    engine can continue, too.

    Args:
        engine: of `tempo_lab.evaluation.engines`, open.
        jobs: videos with their questions.
        answer: answers one of them.
        store: where rows are kept.
        progress: show a progress bar.
        finished: whether a stored row still counts; the others are asked again.

    Returns:
        the rows of these jobs, in the order of their keys.

    Raises:
        TempoLabError: an error that is not about one video, or the store cannot be written to.
            What was finished before is kept.
    """
    wanted = [key for job in jobs for key in job.keys(engine.models)]
    rows = {key_of(row): row for row in store if finished(row)}
    done = {key for key in wanted if key in rows}
    with progress_bar(
        total=len(wanted), initial=len(done), unit="answer", smoothing=0.05, disable=not progress
    ) as bar:
        unfinished = [job for job in jobs if not done.issuperset(job.keys(engine.models))]
        if unfinished:
            with closing(engine.rows(unfinished, answer, done)) as arriving:
                for new in arriving:
                    store.append(new)
                    rows.update((key_of(row), row) for row in new)
                    done.update(map(key_of, new))
                    bar.update(len(new))
    return [rows[key] for key in wanted]
