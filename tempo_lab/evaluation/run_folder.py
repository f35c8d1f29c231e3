"""The folder of an evaluation: one process at a time writes to it, and what a run returns.

`run_files` says what its files are.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import write_atomic
from tempo_lab.evaluation.compare import Comparison, compare
from tempo_lab.evaluation.datasets.base import Dataset, Skipped
from tempo_lab.evaluation.jobs import MODEL, with_model_name
from tempo_lab.evaluation.run_files import (
    CONFIG,
    LOCK,
    SKIPPED,
    SUMMARY,
    latest,
    read_config,
    read_rows,
    read_skipped,
)
from tempo_lab.evaluation.samples import write_samples
from tempo_lab.evaluation.store import FAILED, Row, Store, key_of
from tempo_lab.evaluation.summary import COLUMNS, Measure, measure_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class EvaluationRun:
    """What is in the folder of an evaluation.

    Attributes:
        folder: of the run.
        config: what the answers depend on.
        rows: one for each question and arm, in the order of their videos, questions and arms.
        skipped: rows of the dataset that were not asked.
        summary: the measures, as in `summary.csv`.
    """

    folder: Path
    config: dict[str, Any]
    rows: list[Row]
    skipped: list[Skipped]
    summary: list[Measure]

    def __repr__(self) -> str:
        return (
            f"EvaluationRun({str(self.folder)!r}, {len(self.rows)} rows, "
            f"{len(self.failed)} failed, {len(self.skipped)} skipped)"
        )

    @classmethod
    def open(cls, folder: str | os.PathLike[str], dataset: Dataset | None = None) -> EvaluationRun:
        """Return a finished, stopped or running evaluation, without a model and without writing.

        Args:
            folder: of the run.
            dataset: score by the rules of this dataset; by default by those that the run names.

        Raises:
            TempoLabError: there is no run in the folder, it cannot be read, or its rules are not
                part of this package.
        """
        folder = Path(folder)
        config = read_config(folder)
        rows = with_model_name(read_rows(folder), str(config.get("model", MODEL)))
        return cls._of(folder, config, rows, dataset)

    @classmethod
    def _of(
        cls, folder: Path, config: dict[str, Any], rows: Sequence[Row], dataset: Dataset | None
    ) -> EvaluationRun:
        skipped = read_skipped(folder)
        summary = measure_rows(rows, config, dataset, len(skipped))
        ordered = sorted(rows, key=lambda row: tuple(map(str, key_of(row))))
        return cls(folder, config, ordered, skipped, summary)

    @property
    def failed(self) -> list[Row]:
        """Rows without an answer; the column `failed` says why."""
        return [row for row in self.rows if FAILED in row]

    def to_pandas(self) -> pd.DataFrame:
        """Return the summary as a DataFrame.

        The columns are arm, budget (memory tokens of the whole video; NaN for arms without one),
        group, measure, value, low, high (95 % interval), questions and videos.
        """
        import pandas as pd

        return pd.DataFrame([asdict(measure) for measure in self.summary], columns=list(COLUMNS))

    def compare(self, other: EvaluationRun | str | os.PathLike[str]) -> Comparison:
        """Return the paired differences of this run and another one: this one minus the other.

        Args:
            other: a run on the same dataset, or its folder.

        Raises:
            TempoLabError: the runs cannot be compared (see `compare.compare`).
        """
        return compare(self, other)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder of a run. The system frees it when the process ends, however it ends.

    Raises:
        TempoLabError: another process holds it, or it cannot be written to.
    """
    with _disk(folder, "the folder of the evaluation cannot be written to"):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise TempoLabError(
                "another process is writing to this folder",
                asked=folder,
                fix="wait until it has ended, or choose another folder with out=",
            ) from None
    try:
        yield
    finally:
        lock.release()


def open_store(folder: Path, config: dict[str, Any]) -> Store:
    """Return the store of a run. The folder must be locked: damaged lines are moved.

    Raises:
        TempoLabError: another run is in the folder, or it cannot be written to.
    """
    return Store(folder, config, CONFIG)


def write_skipped(folder: Path, skipped: Sequence[Skipped]) -> None:
    """Write the rows of the dataset that were not asked."""
    content = json.dumps([asdict(one) for one in skipped], indent=1).encode()
    with _disk(folder, "the skipped rows of the evaluation cannot be written"):
        write_atomic(folder / SKIPPED, content)


def summarize(
    folder: Path, store: Store, config: dict[str, Any], dataset: Dataset | None
) -> EvaluationRun:
    """Measure everything in the folder, write `summary.csv` and `samples.parquet`; return the run.

    Args:
        dataset: its rules score the answers; None for the rules that the configuration names.

    Raises:
        TempoLabError: the configuration names rules that are not part of this package, or the
            files cannot be written.
    """
    rows = latest(store) if store.path.exists() else read_rows(folder)
    rows = with_model_name(rows, str(config.get("model", MODEL)))
    run = EvaluationRun._of(folder, config, rows, dataset)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for measure in run.summary:
        values = asdict(measure).values()
        writer.writerow("" if value is None or value != value else value for value in values)
    with _disk(folder, "the summary of the evaluation cannot be written; the answers are kept"):
        write_atomic(folder / SUMMARY, text.getvalue().encode())
    with _disk(folder, "the samples of the evaluation cannot be written; the answers are kept"):
        write_samples(folder, rows)
    return run


def rescore(out: str | os.PathLike[str], dataset: Dataset | None = None) -> EvaluationRun:
    """Measure a run again, without a model, and write its `summary.csv` and `samples.parquet`.

    Where `answers.jsonl` is missing, `samples.parquet` is read.

    Args:
        out: the folder of the run.
        dataset: score by the rules of this dataset; by default by those that the run names.

    Raises:
        TempoLabError: there is no run in the folder, another process is writing to it, or its
            rules are not part of this package.
    """
    folder = Path(out)
    config = read_config(folder)
    with locked(folder):
        return summarize(folder, open_store(folder, config), config, dataset)


@contextmanager
def _disk(folder: Path, message: str) -> Iterator[None]:
    """Turn an error of the disk into one of ours."""
    try:
        yield
    except OSError as error:
        raise TempoLabError(
            message,
            asked=folder,
            found=error.strerror or type(error).__name__,
            fix="free some space, then run the same command again: it continues",
        ) from error
