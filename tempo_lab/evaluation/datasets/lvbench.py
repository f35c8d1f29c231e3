"""LVBench: 103 videos of an hour on average, with the times where the answers are seen."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tempo_lab.common.text import clock_seconds
from tempo_lab.evaluation.answer_scoring import (
    Judged,
    Score,
    accuracy,
    accuracy_by,
    accuracy_of_parsed,
)
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_json_lines, read_records
from tempo_lab.evaluation.datasets.prompts import lettered, split_options, without_letter
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import DatasetError, Row, Span
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Wang et al. (2024), LVBench: An Extreme Long Video Understanding Benchmark; "
    "see its owners for the licence"
)
FILES = ("video_info.meta.jsonl", "*.meta.jsonl", "*.jsonl", "*.parquet", "data/*.parquet")
_RANGE = re.compile(r"\s*([\d:.]+)\s*(?:[-–—~]\s*([\d:.]+)\s*)?")


@register_dataset("lvbench")
def lvbench(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return LVBench.

    Args:
        data: `video_info.meta.jsonl`, or the folder that it is in. The variant with one row per
            question (video_path, question, options, answer) is read, too; it has no evidence.
        videos: folder of the videos, named by their key; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    path = find_file(data, FILES)
    by_video = path.suffix == ".jsonl"
    records = _questions(path) if by_video else read_records(path)
    rows, skipped = collect(records, _row if by_video else _flat_row, Videos(videos), damaged)
    return Dataset(
        "lvbench", rows, prompt, skipped,
        letters="ABCD", aggregate=aggregate, citation=CITATION,
    )  # fmt: skip


def _questions(path: Path) -> Iterator[Record | DatasetError]:
    """Yield the questions of all videos; each has its video's key and type as well."""
    for video in read_json_lines(path):
        if isinstance(video, DatasetError):
            yield video
            continue
        try:
            common: dict[str, Any] = {"key": video.name("key"), "type": video.values.get("type")}
            for number, entry in enumerate(video.items("qa"), start=1):
                nested = video.below(entry, f"qa {number}")
                yield Record(path, nested.place, {**nested.values, **common})
        except DatasetError as error:
            yield error


def _row(record: Record) -> Row:
    text = record.text("question")
    parts = split_options(text)
    if parts is None:
        raise record.error("question", "the question must end with its options, one per line", text)
    categories: dict[str, str | tuple[str, ...]] = {"question_type": _types(record)}
    if "type" in record:
        categories["type"] = record.text("type")
    return Row(
        id=f"{record.name('key')}-{record.name('uid')}",
        video=Path(record.name("key")),
        question=parts[0],
        options=parts[1],
        answer=record.letter("answer", parts[1]),
        evidence=_time_reference(record),
        categories=categories,
        full_question=text,
    )


def _types(record: Record) -> tuple[str, ...]:
    if isinstance(record.values.get("question_type"), str):
        return (record.text("question_type"),)
    return record.texts("question_type")


def _time_reference(record: Record) -> tuple[Span, ...] | None:
    """Return the span of a text like "12:04-12:09" or "1:02:03-1:02:09"; one time is a moment."""
    value = record.values.get("time_reference")
    if value is None or not str(value).strip():
        return None
    match = _RANGE.fullmatch(record.text("time_reference"))
    start = clock_seconds(match[1]) if match else None
    end = clock_seconds(match[2]) if match and match[2] else start
    if start is None or end is None:
        raise record.error("time_reference", "this must be a time like 12:04-12:09", value)
    return (record.span("time_reference", (start, end)),)


def _flat_row(record: Record) -> Row:
    text, options = record.text("question"), None
    if "options" in record:
        options = record.texts("options")
        options = tuple(without_letter(option, n) for n, option in enumerate(options))
    parts = (text, options) if options else split_options(text)
    if parts is None:
        raise record.error("question", "neither the row nor the question has options", text)
    number = record.name("uid") if "uid" in record else record.place.rpartition(" ")[2]
    video = record.text("video_path")
    return Row(
        id=f"{Path(video).stem}-{number}",
        video=Path(video),
        question=parts[0],
        options=parts[1],
        answer=record.letter("answer", parts[1]),
        categories={"question_type": _types(record)} if "question_type" in record else {},
        full_question=None if options else text,
    )


def prompt(row: Row) -> str:
    """Return the prompt of the released evaluation."""
    question = row.full_question
    if question is None:
        question = f"{row.question}\n{lettered(row.options or (), '({letter}) {option}')}"
    return f"{question}\nAnswer the question with the option letter"


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the accuracy over all questions and by type; a question counts in each of its types.

    `accuracy_of_parsed` leaves unparsed answers out, as the owners' script does.
    """
    scores = [accuracy(judged), accuracy_of_parsed(judged)]
    for category in ("question_type", "type"):
        if any(category in one.categories for one in judged):
            scores += accuracy_by(judged, category)
    return scores
