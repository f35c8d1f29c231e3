"""Records: fields with checks, and the rows that they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.datasets.base import Damaged, Skipped
from tempo_lab.evaluation.datasets.rows import DatasetError, Row, Span
from tempo_lab.evaluation.datasets.videos import MissingVideo, Videos

CORRECT = 'correct the file, or leave such rows out with damaged="skip"'


@dataclass(frozen=True)
class Record:
    """One record of a file; reading a field checks it.

    Attributes:
        file: where it is from.
        place: where in the file: "line 3".
        values: by field.
    """

    file: Path
    place: str
    values: Mapping[str, Any]

    def error(self, field: str, message: str, found: object, fix: str = CORRECT) -> DatasetError:
        """Return an error about a field."""
        asked = f"{self.where}, field {field!r}"
        return DatasetError(message, asked=asked, found=one_line(str(found), 200), fix=fix)

    @property
    def where(self) -> str:
        """The file and the place in it."""
        return f"{self.file}, {self.place}"

    def __contains__(self, field: str) -> bool:
        return self.values.get(field) is not None

    def get(self, field: str) -> Any:
        """Return a field that must be there."""
        if field not in self:
            names = [str(name) for name, value in self.values.items() if value is not None]
            fix = did_you_mean(field, names, "")
            raise self.error(
                field,
                "a field is missing or empty",
                f"values for {', '.join(names) or 'no field'}",
                f"{fix} {CORRECT}".strip(),
            )
        return self.values[field]

    def text(self, field: str) -> str:
        """Return a text that is not empty."""
        value = self.get(field)
        if not isinstance(value, str) or not value.strip():
            raise self.error(field, "this must be text that is not empty", repr(value))
        return value

    def name(self, field: str) -> str:
        """Return an identifier; a whole number is one, too."""
        value = self.get(field)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(field).strip()

    def number(self, field: str, minimum: float | None = None) -> float:
        """Return a finite number."""
        return self._number(field, self.get(field), minimum)

    def whole(self, field: str, minimum: int, maximum: int) -> int:
        """Return a whole number within limits, both included."""
        number = self.number(field, minimum)
        if number != int(number) or number > maximum:
            raise self.error(
                field, f"this must be a whole number from {minimum} to {maximum}", f"{number:g}"
            )
        return int(number)

    def _number(self, field: str, value: Any, minimum: float | None = None) -> float:
        try:
            if isinstance(value, bool):
                raise TypeError
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise self.error(field, "this must be a number", repr(value)) from None
        if not math.isfinite(number) or (minimum is not None and number < minimum):
            least = "" if minimum is None else f" of at least {minimum:g}"
            raise self.error(field, f"this must be a finite number{least}", repr(value))
        return number

    def items(self, field: str) -> list[Any]:
        """Return a list."""
        value = self.get(field)
        if not isinstance(value, list):
            raise self.error(field, "this must be a list", repr(value))
        return value

    def texts(self, field: str) -> tuple[str, ...]:
        """Return a list of texts as a tuple."""
        values = self.items(field)
        if not all(isinstance(value, str) and value.strip() for value in values):
            raise self.error(field, "this must be a list of texts", repr(values))
        return tuple(values)

    def spans(self, field: str) -> tuple[Span, ...]:
        """Return a list of (start, end) in seconds."""
        return tuple(self.span(field, pair) for pair in self.items(field))

    def span(self, field: str, pair: Any, slack: float = 0.0) -> Span:
        """Return one (start, end); a start of at least -`slack` seconds counts as 0."""
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise self.error(field, "a span must be [start, end] in seconds", repr(pair))
        start, end = (self._number(field, value, -slack) for value in pair)
        if end < start:
            raise self.error(field, "a span ends before it begins", f"{start:g} to {end:g} s")
        return max(start, 0.0), max(end, 0.0)

    def letter(self, field: str, options: Sequence[str]) -> int:
        """Return the index of the option whose letter the field has."""
        value = self.name(field)
        index = ord(value.upper()) - ord("A") if len(value) == 1 else -1
        if not 0 <= index < len(options):
            last = chr(ord("A") + len(options) - 1)
            raise self.error(field, f"this must be a letter from A to {last}", repr(value))
        return index

    def option(self, field: str, options: Sequence[str]) -> int:
        """Return the index of the option whose text the field has."""
        value = self.text(field)
        places = [n for n, option in enumerate(options) if option == value] or [
            n for n, option in enumerate(options) if option.strip() == value.strip()
        ]
        if len(places) != 1:
            raise self.error(
                field,
                "this must be the text of one option",
                f"{value!r}, which {len(places)} of {list(options)} are",
            )
        return places[0]

    def below(self, value: Any, place: str) -> Record:
        """Return a record that is nested in this one."""
        if not isinstance(value, Mapping):
            raise self.error(place, "this must be an object with fields", repr(value))
        return Record(self.file, f"{self.place}, {place}", value)


def collect(
    records: Iterable[Record | DatasetError],
    row_of: Callable[[Record], Row | None],
    videos: Videos,
    damaged: Damaged,
) -> tuple[list[Row], list[Skipped]]:
    """Return the rows of all records, and those that were left out.

    Args:
        records: of the dataset's file, with an error in place of each damaged one.
        row_of: makes the row of a record, or None for a record that is no part of the dataset;
            `Row.video` is the name of the video as the dataset has it.
        videos: where videos are found; a missing one costs its own rows.
        damaged: "refuse" raises at the first damaged record, "skip" leaves it out.

    Raises:
        DatasetError: a record is damaged, an id is there twice, or there is no row at all.
    """
    if damaged not in ("refuse", "skip"):
        raise DatasetError(
            "damaged rows can be refused or skipped", asked=f"damaged={damaged!r}",
            fix='use damaged="refuse" or damaged="skip"',
        )  # fmt: skip
    rows: dict[str, Row] = {}
    skipped: list[Skipped] = []
    for record in records:
        where = str(record.asked) if isinstance(record, DatasetError) else record.where
        try:
            if isinstance(record, DatasetError):
                raise record
            row = row_of(record)
            if row is None:
                continue
            if row.id in rows:
                raise record.error("id", "two rows have the same id", row.id)
            rows[row.id] = replace(row, video=videos.find(str(row.video)))
        except MissingVideo as error:
            skipped.append(Skipped(where, "missing video", str(error)))
        except TempoLabError as error:
            problem = error if where in str(error.asked) else _at(where, error)
            if damaged == "refuse":
                raise problem from None
            skipped.append(Skipped(where, "damaged", str(problem)))
    if not rows:
        raise DatasetError(
            "no row can be used",
            found=skipped[0].message if skipped else "no row",
            fix="check the folder of the videos" if skipped else "check the file",
        )
    return list(rows.values()), skipped


def _at(where: str, error: TempoLabError) -> DatasetError:
    """Return the error of a value, with its place in the file."""
    message = str(error).split("\n", 1)[0]
    asked, found = where, error.found
    if found is None:
        found = error.asked
    elif error.asked is not None:
        asked = f"{where}: {error.asked}"
    return DatasetError(message, asked=asked, found=found, fix=error.fix or CORRECT)
