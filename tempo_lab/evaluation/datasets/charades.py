"""Charades-STA: sentences about indoor activities, with the span that each describes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_lines
from tempo_lab.evaluation.datasets.prompts import plain_prompt
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import DatasetError, Row
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Gao et al. (2017), TALL: Temporal Activity Localization via Language Query; "
    "see its owners for the licence"
)


@register_dataset("charades")
def charades(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return Charades-STA's test split. It has sentences and evidence, but no answers.

    Args:
        data: `charades_sta_test.txt`, or a folder that it is in.
        videos: folder of the videos, named by their id; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    path = find_file(data, ("charades_sta_test.txt", "*test*.txt"))
    rows, skipped = collect(_records(path), _row, Videos(videos), damaged)
    return Dataset("charades", rows, plain_prompt, skipped, citation=CITATION)


def _records(path: Path) -> Iterator[Record | DatasetError]:
    for number, line in read_lines(path):
        head, separator, sentence = line.partition("##")
        fields = head.split()
        record = Record(
            path, f"line {number}",
            dict(zip(("video", "start", "end"), fields, strict=False)) | {"sentence": sentence},
        )  # fmt: skip
        if separator and len(fields) == 3:
            yield record
        else:
            yield record.error("(line)", 'a line must be "VIDEO START END##SENTENCE"', line)


def _row(record: Record) -> Row:
    video = record.text("video")
    return Row(
        id=f"{video}-{record.place.rpartition(' ')[2]}",
        video=Path(video),
        question=record.text("sentence").strip(),
        evidence=(record.span("start, end", (record.get("start"), record.get("end"))),),
    )
