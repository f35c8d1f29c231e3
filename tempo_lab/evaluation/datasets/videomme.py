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
from tempo_lab.evaluation.datasets.rows import DatasetError, Row
from tempo_lab.evaluation.datasets.subtitles import read_subtitles, subtitles_at_frames
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
        subtitles: folder of the .srt files, to put their lines into the prompt; a video without
            a file is asked with "No subtitles available". None is the plain prompt.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file or folder is missing, or a row is damaged.
    """
    folder = None if subtitles is None else Path(subtitles).expanduser()
    if folder is not None and not folder.is_dir():
        raise DatasetError(
            "there is no such folder of subtitles", asked=folder,
            fix="name the folder that the .srt files are in",
        )  # fmt: skip
    records = read_records(find_file(data, FILES))
    rows, skipped = collect(records, partial(_row, folder=folder), Videos(videos), damaged)
    make_prompt = prompt if folder is None else prompt_with_subtitles
    return Dataset(
        "videomme", rows, make_prompt, skipped,
        letters="ABCD", aggregate=aggregate, citation=CITATION,
    )  # fmt: skip


def _row(record: Record, folder: Path | None) -> Row:
    lines = record.texts("options")
    options = tuple(without_letter(line, number) for number, line in enumerate(lines))
    name = record.name("videoID")
    file = None if folder is None else folder / f"{name}.srt"
    return Row(
        id=record.name("question_id"),
        video=Path(name),
        question=record.text("question"),
        options=options,
        answer=record.letter("answer", options),
        subtitles=file if file is not None and file.is_file() else None,
        categories={field: record.text(field) for field in CATEGORIES},
        full_question="\n".join([record.text("question"), *lines]),
    )


def _question(row: Row) -> str:
    full = row.full_question or f"{row.question}\n{lettered(row.options or ())}"
    return f"{INSTRUCTION}\n{full}\n"


def prompt(row: Row, frames: int | None = None, fps: float | None = None) -> str:
    """Return the prompt of the released evaluation, which mentions subtitles without having any."""
    ending = "\nAnswer with the option's letter from the given choices directly."
    return _question(row) + ending


def prompt_with_subtitles(row: Row, frames: int | None = None, fps: float | None = None) -> str:
    """Return the prompt with the subtitles that are shown at 32 uniformly sampled frames.

    Raises:
        DatasetError: the number of frames of the video or their rate is not given.
    """
    text = "No subtitles available"
    if row.subtitles is not None:
        if frames is None or fps is None:
            raise DatasetError(
                "subtitles are chosen by the frames of the video",
                asked=f"the prompt of {row.id} without frames= and fps=",
                fix="pass both: Video(path).info has them",
            )
        lines = row.subtitles
        if isinstance(lines, Path):
            lines = read_subtitles(lines)
        text = "\n".join(line for _, _, line in subtitles_at_frames(lines, frames, fps))
    return f"This video's subtitles are listed below: \n{text}\n{_question(row)}The best answer is:"


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the micro accuracy, and by duration, domain, sub-category and task."""
    parts = (accuracy_by(judged, category) for category in CATEGORIES)
    return [accuracy(judged), *(score for part in parts for score in part)]
