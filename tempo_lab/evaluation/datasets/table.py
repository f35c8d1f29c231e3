"""Your own table: CSV, JSON Lines or Parquet with a row for each question."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import did_you_mean
from tempo_lab.common.text import clock_seconds
from tempo_lab.evaluation.answer_scoring import LETTERS, Judged, Score, accuracy, accuracy_by
from tempo_lab.evaluation.datasets.base import Damaged, Dataset, register_dataset
from tempo_lab.evaluation.datasets.files import find_file, read_csv, read_records
from tempo_lab.evaluation.datasets.prompts import plain_prompt, without_letter
from tempo_lab.evaluation.datasets.records import Record, collect
from tempo_lab.evaluation.datasets.rows import DatasetError, Row, Span
from tempo_lab.evaluation.datasets.videos import Videos

NEEDED = ("video", "question")
COLUMNS = (*NEEDED, "answer", "options", "start", "end", "kind", "id")
SEPARATOR = "|"


@register_dataset("table")
def table(
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    *,
    damaged: Damaged = "refuse",
) -> Dataset:
    """Return the questions of a table of your own.

    The columns are `video` (a file in `videos`) and `question` and, as far as you have them:

    * `answer`: the text of the answer, or for options the letter or the text of the right one.
    * `options`: a list, or in CSV texts separated by "|".
    * `start`, `end`: when the answer is seen, in seconds or as "1:02:03"; lists for several spans.
    * `kind`: of the question, to tabulate by.
    * `id`: unique; by default the number of the row.

    Args:
        data: a file .csv, .jsonl, .json or .parquet.
        videos: folder of the videos; by default the folder of the table.
        damaged: "refuse" raises an error for a damaged row, "skip" leaves it out.

    Raises:
        DatasetError: the table cannot be read, a column is unknown or missing, or a row is damaged.
    """
    path = find_file(data, ("*.csv", "*.jsonl", "*.parquet"))
    records = read_csv(path, NEEDED) if path.suffix.lower() == ".csv" else read_records(path)
    rows, skipped = collect(
        _numbered(_with_known_columns(path, records)),
        _row,
        Videos(path.parent if videos is None else videos),
        damaged,
    )
    return Dataset("table", rows, plain_prompt, skipped, max_new_tokens=32, aggregate=aggregate)


def _with_known_columns(
    path: Path, records: Iterable[Record | DatasetError]
) -> Iterator[Record | DatasetError]:
    """Yield the records; an unknown column is an error of the table, whatever `damaged` says."""
    records = iter(records)
    first = next(records, None)
    for record in chain(() if first is None else (first,), records):
        if isinstance(record, Record):
            unknown = [name for name in record.values if name not in COLUMNS]
            if unknown:
                raise DatasetError(
                    f"the column {unknown[0]!r} is unknown",
                    asked=f"{path}, {'line 1' if path.suffix == '.csv' else record.place}",
                    found=", ".join(record.values),
                    fix=did_you_mean(unknown[0], COLUMNS, f"use {', '.join(COLUMNS)}"),
                )
        yield record


def _numbered(records: Iterable[Record | DatasetError]) -> Iterator[Record | DatasetError]:
    """Yield the records, each with an id."""
    for number, record in enumerate(records, start=1):
        if isinstance(record, Record) and "id" not in record:
            record = Record(record.file, record.place, {**record.values, "id": str(number)})
        yield record


def _row(record: Record) -> Row:
    options = _options(record)
    return Row(
        id=record.name("id"),
        video=Path(record.text("video")),
        question=record.text("question"),
        options=options,
        answer=_answer(record, options),
        evidence=_evidence(record),
        categories={"kind": record.name("kind")} if "kind" in record else {},
    )


def _options(record: Record) -> tuple[str, ...] | None:
    if "options" not in record:
        return None
    values = _list(record, "options")
    if not all(isinstance(value, str) and value.strip() for value in values) or len(values) < 2:
        raise record.error(
            "options", "options must be at least two texts", repr(record.get("options")),
            f'separate them by "{SEPARATOR}": red|blue',
        )  # fmt: skip
    return tuple(without_letter(value.strip(), number) for number, value in enumerate(values))


def _answer(record: Record, options: Sequence[str] | None) -> int | str | None:
    """Return the index of the option with the answer's text or letter, or else the answer."""
    if "answer" not in record:
        return None
    value = record.get("answer")
    text = value.strip() if isinstance(value, str) else str(value)
    if options is None:
        return record.name("answer") if not isinstance(value, float) else text
    places = {number for number, option in enumerate(options) if option == text}
    if len(text) == 1 and text.upper() in LETTERS[: len(options)]:
        places.add(LETTERS.index(text.upper()))
    if len(places) != 1:
        raise record.error(
            "answer",
            "the answer must be the letter or the text of one option",
            f"{text!r}, which fits {len(places)} of {', '.join(options)}",
        )
    return places.pop()


def _evidence(record: Record) -> tuple[Span, ...] | None:
    if "start" not in record and "end" not in record:
        return None
    starts, ends = _list(record, "start"), _list(record, "end")
    if len(starts) != len(ends):
        raise record.error(
            "end", "each start needs one end", f"{len(starts)} starts and {len(ends)} ends"
        )
    pairs = zip(starts, ends, strict=True)
    return tuple(record.span("start, end", (_time(start), _time(end))) for start, end in pairs)


def _time(value: Any) -> Any:
    """Return the seconds of a clock time; anything else as it is."""
    clock = clock_seconds(value) if isinstance(value, str) else None
    return value if clock is None else clock


def _list(record: Record, field: str) -> list[Any]:
    """Return a list, or the parts of a text: of a JSON list, or between separators."""
    value = record.get(field)
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        return [value]
    if value.strip().startswith("["):
        try:
            parts = json.loads(value)
        except ValueError:
            parts = None
        if not isinstance(parts, list):
            raise record.error(field, "this is not a JSON list", value)
        return parts
    return value.split(SEPARATOR)


def aggregate(judged: Sequence[Judged]) -> list[Score]:
    """Return the accuracy, and by kind of question where the table has kinds."""
    kinds = any("kind" in one.categories for one in judged)
    return [accuracy(judged), *(accuracy_by(judged, "kind") if kinds else [])]
