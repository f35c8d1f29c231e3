"""The folder of an evaluation: one process at a time, its files, and what a run returns.

* `config.json`: what the answers depend on. A folder with another configuration is refused.
* `answers.jsonl`: one line for each finished question and arm (see `store`).
* `answers.damaged`: damaged lines that were set aside; their questions are asked again.
* `skipped.json`: rows of the dataset that were not asked: damaged, or without a video.
* `summary.csv`: the measures of everything in `answers.jsonl`.
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
from tempo_lab.evaluation.datasets.base import Dataset, Skipped
from tempo_lab.evaluation.store import Row, Store, key_of
from tempo_lab.evaluation.summary import COLUMNS, Measure, measure_rows

if TYPE_CHECKING:
    import pandas as pd

CONFIG, SUMMARY, SKIPPED, LOCK = "config.json", "summary.csv", "skipped.json", ".lock"
FAILED = "failed"
"""Column of a row without an answer: why there is none."""


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


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        TempoLabError: there is no run in the folder, or its configuration cannot be read.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError) as error:
        config = error
    if not isinstance(config, dict) or not {"kind", "rules"} <= config.keys():
        missing = isinstance(config, FileNotFoundError)
        raise TempoLabError(
            "this is not the folder of an evaluation",
            asked=folder,
            found=f"no {CONFIG}" if missing else f"a {CONFIG} that cannot be read",
            fix="give the folder that was --out of `tempo-lab evaluate` for a table or dataset",
        )
    return config


def write_skipped(folder: Path, skipped: Sequence[Skipped]) -> None:
    """Write the rows of the dataset that were not asked."""
    content = json.dumps([asdict(one) for one in skipped], indent=1).encode()
    with _disk(folder, "the skipped rows of the evaluation cannot be written"):
        write_atomic(folder / SKIPPED, content)


def summarize(
    folder: Path, store: Store, config: dict[str, Any], dataset: Dataset | None
) -> EvaluationRun:
    """Measure everything in the folder, write `summary.csv`, and return the run.

    Args:
        dataset: its rules score the answers; None for the rules that the configuration names.

    Raises:
        TempoLabError: the configuration names rules that are not part of this package, or the
            summary cannot be written.
    """
    latest = {key_of(row): row for row in store}  # a question that was asked again counts once
    rows = [latest[key] for key in sorted(latest, key=lambda key: tuple(map(str, key)))]
    try:
        entries = json.loads((folder / SKIPPED).read_bytes())
        skipped = [Skipped(**entry) for entry in entries]
    except (OSError, ValueError, TypeError):
        skipped = []
    summary = measure_rows(rows, config, dataset, len(skipped))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for measure in summary:
        values = asdict(measure).values()
        writer.writerow("" if value is None or value != value else value for value in values)
    with _disk(folder, "the summary of the evaluation cannot be written; the answers are kept"):
        write_atomic(folder / SUMMARY, text.getvalue().encode())
    return EvaluationRun(folder, config, rows, skipped, summary)


def rescore(out: str | os.PathLike[str], dataset: Dataset | None = None) -> EvaluationRun:
    """Measure the answers of a run again, without a model, and write its `summary.csv`.

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
