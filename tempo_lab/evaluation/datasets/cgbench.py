"""CG-Bench: questions about long videos, with the short clues that answer them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from tempo_lab.evaluation.answer_scoring import Judged, Score, accuracy, accuracy_by
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_records
from tempo_lab.evaluation.datasets.prompts import lettered
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import Row
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Chen et al. (2024), CG-Bench: Clue-grounded Question Answering Benchmark for Long Video "
    "Understanding; gated, without a licence file"
)
CATEGORIES = ("domain", "sub_category")


@register_dataset("cgbench")
def cgbench(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return CG-Bench (mini).

    Args:
        data: `cgbench_mini.json`, or a folder that it is in.
        videos: folder of the videos, named by their video_uid; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    path = find_file(data, ("cgbench_mini.json", "cgbench.json", "*.parquet"))
    rows, skipped = collect(read_records(path), _row, Videos(videos), damaged)
    return Dataset(
        "cgbench", rows, prompt, skipped,
        letters="ABCDEFGHIJKLMN", aggregate=aggregate, citation=CITATION,
    )  # fmt: skip


def _row(record: Record) -> Row:
    options = record.texts("choices")
    return Row(
        id=record.name("qid"),
        video=Path(record.name("video_uid")),
        question=record.text("question"),
        options=options,
        answer=record.letter("right_answer", options),
        evidence=record.spans("clue_intervals"),
        categories={field: record.text(field) for field in CATEGORIES},
        duration=record.number("duration", 0),
    )


def prompt(row: Row) -> str:
    """Return the prompt that evaluation harnesses use for this dataset."""
    return (
        "Select the best answer to the following multiple-choice question based on the video.\n"
        f"{row.question}\n{lettered(row.options or ())}\nAnswer with the option letter only."
    )


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the micro accuracy, and by domain and sub-category."""
    parts = (accuracy_by(judged, category) for category in CATEGORIES)
    return [accuracy(judged), *(score for part in parts for score in part)]
