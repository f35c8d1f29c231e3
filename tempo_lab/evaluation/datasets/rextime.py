"""ReXTime: questions that reason across time, with the span that answers them."""

from __future__ import annotations

import os
from pathlib import Path

from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_records
from tempo_lab.evaluation.datasets.prompts import plain_prompt, without_letter
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import Row
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = "Chen et al. (2024), ReXTime: A Benchmark Suite for Reasoning-Across-Time in Videos; MIT"
FILES = ("rextime_val.json*", "*.jsonl", "*.parquet", "*.json")


@register_dataset("rextime")
def rextime(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return ReXTime's validation split.

    Args:
        data: `rextime_val.jsonl` (qid, query, vid, relevant_windows), whose letters of answers have
            no options to go with, so that it has evidence only; or the hub's file (qid, question,
            options, ans, span, vid), which has both.
        videos: folder of the videos, named by their vid; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    records = read_records(find_file(data, FILES))
    rows, skipped = collect(records, _row, Videos(videos), damaged)
    return Dataset("rextime", rows, plain_prompt, skipped, letters="ABCD", citation=CITATION)


def _row(record: Record) -> Row:
    windows = "relevant_windows" in record
    options = None
    if "options" in record:
        lines = record.texts("options")
        options = tuple(without_letter(line, number) for number, line in enumerate(lines))
    return Row(
        id=record.name("qid"),
        video=Path(record.text("vid")),
        question=record.text("query" if "query" in record else "question"),
        options=options,
        answer=record.letter("ans", options) if options else None,
        evidence=record.spans("relevant_windows")
        if windows
        else (record.span("span", record.get("span")),),
        categories={"category": record.text("category")} if "category" in record else {},
        duration=record.number("duration", 0) if "duration" in record else None,
    )
