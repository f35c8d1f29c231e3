"""LongVideoBench (val): 1,337 questions about referred moments, with or without subtitles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tempo_lab.evaluation.answer_scoring import (
    Judged,
    Score,
    accuracy,
    accuracy_by,
    accuracy_with_guesses,
    first_letter,
)
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_records
from tempo_lab.evaluation.datasets.prompts import plain_prompt
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import Row
from tempo_lab.evaluation.datasets.subtitles import SubtitleFolder
from tempo_lab.evaluation.datasets.videos import Videos
from tempo_lab.video.subtitle_files import SubtitleFile

CITATION = (
    "Wu et al. (2024), LongVideoBench: A Benchmark for Long-context Interleaved Video-Language "
    "Understanding; see its owners for the licence"
)
CATEGORIES = ("duration_group", "question_category")
ABSENT = "N/A"


@register_dataset("longvideobench")
def longvideobench(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    subtitles: str | os.PathLike[str] | None = None,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return LongVideoBench's validation split.

    Args:
        data: `lvb_val.json`, or a folder that it is in.
        videos: folder of the videos; None checks no file.
        subtitles: folder of the JSON subtitles, to put their lines into the prompt in Video-MME's
            form: LongVideoBench's own form alternates them with single frames, which Tempo's
            segments are not. None is the plain prompt, which the published result has.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    records = read_records(find_file(data, ("lvb_val.json", "*.parquet")))
    folder = None if subtitles is None else SubtitleFolder(subtitles)
    rows, skipped = collect(records, partial(_row, folder=folder), Videos(videos), damaged)
    return Dataset(
        "longvideobench", rows, plain_prompt, skipped,
        max_new_tokens=32, extract=first_letter, letters="ABCDE", aggregate=aggregate,
        citation=CITATION, with_subtitles=folder is not None,
    )  # fmt: skip


def _row(record: Record, folder: SubtitleFolder | None) -> Row:
    options = _options(record)
    return Row(
        id=record.name("id"),
        video=Path(record.text("video_path")),
        question=record.text("question"),
        options=options,
        answer=record.whole("correct_choice", 0, len(options) - 1),
        subtitles=None if folder is None else _subtitles(record, folder),
        categories={
            field: record.name(field)
            for field in (*CATEGORIES, "level", "topic_category")
            if field in record or field in CATEGORIES
        },
        duration=record.number("duration", 0),
    )


def _options(record: Record) -> tuple[str, ...]:
    if "candidates" in record:
        return record.texts("candidates")
    fields = [f"option{number}" for number in range(5)]
    return tuple(
        record.text(field) for field in fields if record.values.get(field) not in (None, ABSENT)
    )


def _subtitles(record: Record, folder: SubtitleFolder) -> SubtitleFile | None:
    field = "starting_timestamp_for_subtitles"
    offset = record.number(field) if field in record else 0.0
    return folder.find(record.text("subtitle_path"), offset, record.number("duration", 0))


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the micro accuracy, and by duration group and question category.

    `accuracy_with_guesses` is what the released code gives on average: it draws a random letter
    for an answer without one.
    """
    parts = (accuracy_by(judged, category) for category in CATEGORIES)
    scores = [score for part in parts for score in part]
    return [accuracy(judged), accuracy_with_guesses(judged), *scores]
