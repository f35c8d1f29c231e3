"""ActivityNet Captions: sentences about events, with the span of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_json_object
from tempo_lab.evaluation.datasets.prompts import plain_prompt
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import DatasetError, Row
from tempo_lab.evaluation.datasets.videos import Videos

CITATION = (
    "Krishna et al. (2017), Dense-Captioning Events in Videos; see its owners for the licence"
)


@register_dataset("activitynet")
def activitynet(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return one split of ActivityNet Captions. It has sentences and evidence, but no answers.

    Args:
        data: `val_1.json` or `val_2.json`, or a folder, of which `val_1.json` is read.
        videos: folder of the videos, named by their id; None checks no file.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: a file is missing, or a row is damaged.
    """
    path = find_file(data, ("val_1.json", "val_2.json"))
    rows, skipped = collect(_records(path), _row, Videos(videos), damaged)
    return Dataset("activitynet", rows, plain_prompt, skipped, citation=CITATION)


def _records(path: Path) -> Iterator[Record | DatasetError]:
    """Yield one record for each sentence of each video."""
    content = read_json_object(path)
    for video in content.values:
        try:
            clip = content.below(content.get(video), video)
            sentences, spans = clip.items("sentences"), clip.items("timestamps")
            if len(sentences) != len(spans):
                raise clip.error(
                    "timestamps", "each sentence needs its span",
                    f"{len(sentences)} sentences and {len(spans)} spans",
                )  # fmt: skip
            for number, (sentence, span) in enumerate(zip(sentences, spans, strict=True)):
                values = {
                    "video": video, "number": number, "sentence": sentence, "timestamps": span,
                    "duration": clip.get("duration"),
                }  # fmt: skip
                yield Record(path, f"{video}, sentence {number + 1}", values)
        except DatasetError as error:
            yield error


def _row(record: Record) -> Row:
    return Row(
        id=f"{record.text('video')}-{record.name('number')}",
        video=Path(record.text("video")),
        question=record.text("sentence").strip(),
        evidence=(record.span("timestamps", record.get("timestamps")),),
        duration=record.number("duration", 0),
    )
