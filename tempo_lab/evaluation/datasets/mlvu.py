"""MLVU (dev): the seven multiple-choice tasks; their accuracies are averaged without weights."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tempo_lab.evaluation.answer_scoring import Judged, Score, accuracy, accuracy_by, mean_over
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_records
from tempo_lab.evaluation.datasets.prompts import lettered, split_options
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import Row
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Zhou et al. (2024), MLVU: A Comprehensive Benchmark for Multi-Task Long Video "
    "Understanding; see its owners for the licence"
)
OPEN_ENDED = ("subPlot", "summary")
"""Tasks of the dev set that have no options; they are no part of M-Avg."""


@register_dataset("mlvu")
def mlvu(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return the multiple-choice tasks of MLVU's dev set.

    Args:
        data: the folder of the JSON lists, one per task, or one file. The variant with one row
            per question (video_name, question, answer, task_type) is read, too.
        videos: folder of the videos, which can be in folders by task; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    records = (record for path in _files(Path(data).expanduser()) for record in read_records(path))
    rows, skipped = collect(records, _row, Videos(videos), damaged)
    return Dataset(
        "mlvu", rows, prompt, skipped,
        letters="ABCD", aggregate=aggregate, citation=CITATION,
    )  # fmt: skip


def _files(path: Path) -> Iterator[Path]:
    lists = [file for folder in (path, path / "json") for file in sorted(folder.glob("*.json"))]
    yield from lists or [find_file(path, ("*.parquet", "data/*.parquet", "*.json"))]


def _row(record: Record) -> Row | None:
    by_name = "video_name" in record
    task = record.text("task_type" if by_name else "question_type")
    if task in OPEN_ENDED:
        return None
    text = record.text("question")
    if "candidates" in record:
        options = record.texts("candidates")
        question, full, answer = text, None, record.option("answer", options)
    else:
        parts = split_options(text)
        if parts is None:
            raise record.error(
                "candidates", "neither this field nor the question has options", text
            )
        (question, options), full = parts, text
        answer = record.letter("answer", options)
    return Row(
        id=f"{task}-{record.place.rpartition(' ')[2]}",
        video=Path(record.text("video_name" if by_name else "video")),
        question=question,
        options=options,
        answer=answer,
        categories={"task": task},
        duration=record.number("duration", 0) or None if "duration" in record else None,
        full_question=full,
    )


def prompt(row: Row) -> str:
    """Return the prompt of the released evaluation."""
    question = row.full_question
    if question is None:
        question = f"{row.question}\n{lettered(row.options or (), '({letter}) {option}')}"
    return f"{question}\nOnly give the best option.\nBest option: ("


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return M-Avg (the unweighted mean over tasks), the micro accuracy, and each task's."""
    return [mean_over(judged, "task", "M-Avg"), accuracy(judged), *accuracy_by(judged, "task")]
