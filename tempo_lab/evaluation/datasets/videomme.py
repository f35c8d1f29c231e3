"""Video-MME: 900 videos with three questions each, with or without subtitles in the prompt."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tempo_lab.evaluation.answer_scoring import Judged, Score, accuracy, accuracy_by
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_records
from tempo_lab.evaluation.datasets.prompts import lettered, without_letter
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import Row
from tempo_lab.evaluation.datasets.subtitles import SubtitleFolder
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Fu et al. (2024), Video-MME: The First-Ever Comprehensive Evaluation Benchmark of "
    "Multi-modal LLMs in Video Analysis; see its owners for the licence"
)
FILES = ("videomme/*.parquet", "*.parquet", "*.jsonl", "*.json", "*.csv")
CATEGORIES = ("duration", "domain", "sub_category", "task_type")
INSTRUCTION = (
    "Select the best answer to the following multiple-choice question based on the video and the "
    "subtitles. Respond with only the letter (A, B, C, or D) of the correct option."
)


@register_dataset("videomme")
def videomme(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    subtitles: str | os.PathLike[str] | None = None,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return Video-MME. The published "Long" column is the part of the plain run that is long.

    Args:
        data: the Parquet file of the test split, or a folder that it is in.
        videos: folder of the videos, named by their videoID; None checks no file.
        subtitles: folder of the .srt files, named by their videoID, to put their lines into the
            prompt; a video without a file is asked with "No subtitles available". None is the plain
            prompt.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file or folder is missing, or a row is damaged.
    """
    folder = None if subtitles is None else SubtitleFolder(subtitles)
    records = read_records(find_file(data, FILES))
    rows, skipped = collect(records, partial(_row, folder=folder), Videos(videos), damaged)
    make_prompt = prompt if folder is None else prompt_after_subtitles
    return Dataset(
        "videomme", rows, make_prompt, skipped,
        letters="ABCD", aggregate=aggregate, citation=CITATION, with_subtitles=folder is not None,
    )  # fmt: skip


def _row(record: Record, folder: SubtitleFolder | None) -> Row:
    lines = record.texts("options")
    options = tuple(without_letter(line, number) for number, line in enumerate(lines))
    name = record.name("videoID")
    return Row(
        id=record.name("question_id"),
        video=Path(name),
        question=record.text("question"),
        options=options,
        answer=record.letter("answer", options),
        subtitles=None if folder is None else folder.find(name),
        categories={field: record.text(field) for field in CATEGORIES},
        full_question="\n".join([record.text("question"), *lines]),
    )


def _question(row: Row) -> str:
    full = row.full_question or f"{row.question}\n{lettered(row.options or ())}"
    return f"{INSTRUCTION}\n{full}\n"


def prompt(row: Row) -> str:
    """Return the prompt of the released evaluation, which mentions subtitles without having any."""
    ending = "\nAnswer with the option's letter from the given choices directly."
    return _question(row) + ending


def prompt_after_subtitles(row: Row) -> str:
    """Return the prompt that follows the list of subtitles."""
    return f"{_question(row)}The best answer is:"


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the micro accuracy, and by duration, domain, sub-category and task."""
    parts = (accuracy_by(judged, category) for category in CATEGORIES)
    return [accuracy(judged), *(score for part in parts for score in part)]
