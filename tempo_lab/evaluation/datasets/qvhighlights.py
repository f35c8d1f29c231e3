"""QVHighlights: queries about clips of 150 s, with relevant windows and graded saliency."""

from __future__ import annotations

import os
from pathlib import Path

from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_json_lines
from tempo_lab.evaluation.datasets.prompts import plain_prompt
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import Row, Saliency
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Lei et al. (2021), QVHighlights: Detecting Moments and Highlights in Videos via Natural "
    "Language Queries; annotations CC BY-NC-SA 4.0"
)
CLIP = 2.0
"""Length of a clip in seconds."""
RATERS = 3


@register_dataset("qvhighlights")
def qvhighlights(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return QVHighlights' validation split. It has queries and evidence, but no answers.

    Args:
        data: `highlight_val_release.jsonl`, or a folder that it is in.
        videos: folder of the videos, named by their vid; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    path = find_file(data, ("highlight_val_release.jsonl", "highlight_val*.jsonl"))
    rows, skipped = collect(read_json_lines(path), _row, Videos(videos), damaged)
    return Dataset("qvhighlights", rows, plain_prompt, skipped, citation=CITATION)


def _row(record: Record) -> Row:
    return Row(
        id=record.name("qid"),
        video=Path(record.text("vid")),
        question=record.text("query"),
        evidence=record.spans("relevant_windows"),
        saliency=_saliency(record),
        duration=record.number("duration", 0),
    )


def _saliency(record: Record) -> Saliency | None:
    """Return the scores of all clips of the video: 0 where a clip is not relevant."""
    if "saliency_scores" not in record:
        return None
    clips = int(record.number("duration", CLIP) / CLIP)
    numbers, scores = record.items("relevant_clip_ids"), record.items("saliency_scores")
    if len(numbers) != len(scores):
        raise record.error(
            "saliency_scores", "each relevant clip needs its scores",
            f"{len(numbers)} clips and {len(scores)} scores",
        )  # fmt: skip
    table = [(0.0,) * RATERS] * clips
    for number, rated in zip(numbers, scores, strict=True):
        if type(number) is not int or not 0 <= number < clips:
            raise record.error(
                "relevant_clip_ids", f"this must be a number from 0 to {clips - 1}", repr(number)
            )
        if not isinstance(rated, list) or len(rated) != RATERS:
            raise record.error("saliency_scores", f"a clip needs {RATERS} scores", repr(rated))
        if not all(type(score) is int and 0 <= score <= 4 for score in rated):
            raise record.error("saliency_scores", "scores must be 0 to 4", repr(rated))
        table[number] = tuple(float(score) for score in rated)
    return Saliency(CLIP, tuple(table))
