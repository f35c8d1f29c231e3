"""NExT-GQA: questions about everyday videos, with the spans that ground their answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from tempo_lab.evaluation.answer_scoring import Judged, Score, accuracy, accuracy_by
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import read_csv, read_json_object
from tempo_lab.evaluation.datasets.prompts import plain_prompt
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import DatasetError, Row
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = "Xiao et al. (2024), Can I Trust Your Answer? Visually Grounded Video QA; MIT"
OPTIONS = ("a0", "a1", "a2", "a3", "a4")
COLUMNS = ("video_id", "qid", "question", *OPTIONS, "answer", "type")
SLACK = 1.0
"""Some spans start a little before 0, by rounding; up to this many seconds count as 0."""


@register_dataset("nextgqa")
def nextgqa(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    split: Literal["val", "test"] = "test",
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return NExT-GQA. A question that is not grounded has no evidence.

    Args:
        data: the folder of `test.csv` and `gsub_test.json`.
        videos: folder of the videos, named by their video_id; None checks no file.
        split: "test" or "val".
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    folder = Path(data).expanduser()
    files = folder / f"{split}.csv", folder / f"gsub_{split}.json"
    for file in files:
        if not file.is_file():
            raise DatasetError(
                "a file of the dataset is missing", asked=file,
                fix=f"data must be the folder of {files[0].name} and {files[1].name}",
            )  # fmt: skip
    row_of = partial(_row, grounding=read_json_object(files[1]))
    records = read_csv(files[0], COLUMNS)
    rows, skipped = collect(records, row_of, Videos(videos), damaged)
    return Dataset("nextgqa", rows, plain_prompt, skipped, aggregate=aggregate, citation=CITATION)


def _row(record: Record, grounding: Record) -> Row:
    video, number = record.name("video_id"), record.name("qid")
    options = tuple(record.text(field) for field in OPTIONS)
    evidence = duration = None
    if video in grounding:
        clip = grounding.below(grounding.get(video), video)
        duration = clip.number("duration", 0)
        spans = clip.below(clip.get("location"), "location")
        if number in spans:
            evidence = tuple(spans.span(number, pair, SLACK) for pair in spans.items(number))
    return Row(
        id=f"{video}-{number}",
        video=Path(video),
        question=record.text("question"),
        options=options,
        answer=record.option("answer", options),
        evidence=evidence,
        categories={"type": record.text("type")},
        duration=duration,
    )


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the micro accuracy, and by type of question."""
    return [accuracy(judged), *accuracy_by(judged, "type")]
