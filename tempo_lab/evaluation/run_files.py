"""The files of an evaluation's folder, read without changing them.

* `config.json`: what the answers depend on. A folder with another configuration is refused.
* `answers.jsonl`: one line for each finished question and arm (see `store`).
* `answers.damaged`: damaged lines that were set aside; their questions are asked again.
* `answers.stale`: rows of questions that have another id or other words in the dataset now.
* `skipped.json`: rows of the dataset that were not asked: damaged, or without a video.
* `samples.parquet`: the content of `answers.jsonl` in typed columns (see `samples`).
* `summary.csv`: the measures of everything in `answers.jsonl`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.datasets.base import Skipped
from tempo_lab.evaluation.samples import SAMPLES, read_samples
from tempo_lab.evaluation.store import ROWS, Row, key_of, read_intact, read_settings

CONFIG, SUMMARY, SKIPPED, LOCK = "config.json", "summary.csv", "skipped.json", ".lock"


def read_config(folder: Path) -> dict[str, Any]:
    """Return the configuration of a run.

    Raises:
        TempoLabError: there is no run in the folder, or its configuration is damaged.
    """
    path = folder / CONFIG
    try:
        config, found = read_settings(path), f"another {CONFIG}"
    except FileNotFoundError:
        config, found = None, f"no {CONFIG}"
    except OSError as error:
        raise _unreadable(path, error) from error
    if not isinstance(config, dict) or not {"kind", "rules", "dataset"} <= config.keys():
        raise TempoLabError(
            "this is not the folder of an evaluation",
            asked=folder,
            found=found,
            fix="give the folder that was --out of `tempo-lab evaluate` for a table or dataset",
        )
    return config


def read_rows(folder: Path) -> list[Row]:
    """Return the rows of a run in the order in which they were asked; nothing is changed.

    Damaged lines are left out, with a warning. Where `answers.jsonl` is missing, the rows are
    those of `samples.parquet`.

    Raises:
        TempoLabError: a file cannot be read.
    """
    path = folder / ROWS
    if not path.exists():
        return read_samples(folder) if (folder / SAMPLES).exists() else []
    try:
        rows, damaged = read_intact(path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if damaged:
        warnings.warn(
            f"{damaged} of {damaged + len(rows)} lines of {path} are damaged and were left out. "
            "The command of the evaluation asks their questions again.",
            TempoLabWarning,
            stacklevel=3,
        )
    return latest(rows)


def latest(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each question and arm, in the order in which they were first asked."""
    return list({key_of(row): row for row in rows}.values())


def read_skipped(folder: Path) -> list[Skipped]:
    """Return the rows of the dataset that were not asked; none if this is not known."""
    try:
        entries = json.loads((folder / SKIPPED).read_bytes())
        return [Skipped(**entry) for entry in entries]
    except (OSError, ValueError, TypeError):
        return []


def _unreadable(path: Path, error: OSError) -> TempoLabError:
    return TempoLabError(
        "a file of the evaluation cannot be read",
        asked=path,
        found=error.strerror or type(error).__name__,
        fix="check the folder, and the rights to read it",
    )
