"""Read files of records, and their fields with checks: JSON Lines, JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.datasets.base import (
    Damaged,
    DatasetError,
    MissingVideo,
    Row,
    Skipped,
    Span,
    Videos,
)

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


# Files


def find_file(data: str | os.PathLike[str], patterns: Sequence[str]) -> Path:
    """Return the path of a file, or of the file in a folder that matches the first pattern.

    Raises:
        DatasetError: there is no such file, or several match.
    """
    path = Path(data).expanduser()
    if path.is_dir():
        for pattern in patterns:
            matches = sorted(path.glob(pattern))
            if len(matches) > 1:
                raise DatasetError(
                    "several files of this dataset are in the folder",
                    asked=path,
                    found=", ".join(match.name for match in matches[:5]),
                    fix="name the file instead of the folder",
                )
            if matches:
                return matches[0]
    elif path.is_file():
        return path
    raise DatasetError(
        "there is no file of this dataset",
        asked=path,
        found=", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "an empty folder"
        if path.is_dir()
        else None,
        fix=f"download the dataset from its owners; it has {' or '.join(patterns)}",
    )


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file that are not blank, with their numbers."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise DatasetError(
                        "the file is not UTF-8 text",
                        asked=f"{path}, line {number}",
                        found=f"byte {error.start + 1} of the line is {line[error.start]:#04x}",
                        fix="save it as UTF-8",
                    ) from None
                if text.strip():
                    yield number, text.rstrip("\r\n")
    except OSError as error:
        raise _unreadable(path, error) from error


def read_text(path: Path) -> str:
    """Return the content of a UTF-8 file."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            "the file is not UTF-8 text", asked=path, found=f"byte {error.start + 1}",
            fix="save it as UTF-8",
        ) from None  # fmt: skip
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> DatasetError:
    found = error.strerror or type(error).__name__
    return DatasetError("the file cannot be read", asked=path, found=found, fix="check the path")


def read_json_lines(path: Path) -> Iterator[Record | DatasetError]:
    """Yield the records of a JSON Lines file; a line that is not one is yielded as an error."""
    for number, line in read_lines(path):
        record = Record(path, f"line {number}", {})
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield _not_json(f"{path}, line {number}", error, line)
            continue
        if isinstance(value, dict):
            yield Record(path, record.place, value)
        else:
            yield record.error("(line)", "a line must be a JSON object", repr(value))


def read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    text = read_text(path)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _not_json(path, error, text) from None


def _not_json(where: object, error: Exception, text: str) -> DatasetError:
    found = str(error)
    if isinstance(error, json.JSONDecodeError) and error.pos >= len(text.rstrip()) - 1:
        found += "; it looks cut off"
    return DatasetError(
        "this is not JSON", asked=where, found=found, fix="download the file again; " + CORRECT
    )


def read_json_list(path: Path) -> Iterator[Record | DatasetError]:
    """Yield the records of a JSON file that is a list of objects."""
    value = read_json(path)
    if not isinstance(value, list):
        raise DatasetError(
            "the file must be a JSON list", asked=path, found=f"a JSON {type(value).__name__}",
            fix="use the file that the dataset's owners distribute",
        )  # fmt: skip
    for number, entry in enumerate(value, start=1):
        record = Record(path, f"entry {number}", {})
        if isinstance(entry, dict):
            yield Record(path, record.place, entry)
        else:
            yield record.error("(entry)", "an entry must be a JSON object", repr(entry))


def read_json_object(path: Path) -> Record:
    """Return the content of a JSON file that is an object."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise DatasetError(
            "the file must be a JSON object", asked=path, found=f"a JSON {type(value).__name__}",
            fix="use the file that the dataset's owners distribute",
        )  # fmt: skip
    return Record(path, "top level", value)


def read_csv(path: Path, needed: Sequence[str] = ()) -> Iterator[Record | DatasetError]:
    """Yield the records of a CSV file with a header; an empty cell is None.

    Raises:
        DatasetError: the header lacks a needed column, or has one twice.
    """
    text = read_text(path)
    if "\0" in text:
        raise DatasetError(
            "the file is not a CSV file", asked=path, found="a NUL character",
            fix="save it as CSV text in UTF-8",
        )  # fmt: skip
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header, needed)
        line = reader.line_num + 1
        for cells in reader:
            here, line = line, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            values = {
                name: cell if cell.strip() else None
                for name, cell in zip(header, cells, strict=False)
            }
            record = Record(path, f"line {here}", values)
            if len(cells) == len(header):
                yield record
            else:
                yield record.error(
                    "(line)", f"the line must have {len(header)} cells", f"{len(cells)} cells",
                    "put quotes around a cell that contains a comma; " + CORRECT,
                )  # fmt: skip
    except csv.Error as error:
        raise DatasetError(
            "this is not CSV", asked=f"{path}, line {reader.line_num}", found=error,
            fix="check the quotes; the file may be cut off",
        ) from None  # fmt: skip


def _check_header(path: Path, header: Sequence[str], needed: Sequence[str]) -> None:
    double = {name for name in header if header.count(name) > 1}
    missing = [name for name in needed if name not in header]
    if double or missing or not header:
        semicolons = len(header) == 1 and (";" in header[0] or "\t" in header[0])
        raise DatasetError(
            f"columns are missing: {', '.join(missing)}"
            if missing
            else f"columns are there twice: {', '.join(sorted(double))}"
            if double
            else "the file is empty",
            asked=f"{path}, line 1",
            found=", ".join(header),
            fix="separate the columns by commas"
            if semicolons
            else "the first line names the columns",
        )


def read_parquet(path: Path) -> Iterator[Record]:
    """Yield the records of a Parquet file, arrays as lists and missing values as None.

    Raises:
        DatasetError: pyarrow is not installed, or the file cannot be read.
    """
    import pandas as pd

    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise DatasetError(
            "reading Parquet needs pyarrow", asked=path, found="pyarrow is not installed",
            fix="pip install pyarrow",
        ) from None  # fmt: skip
    except Exception as error:  # pyarrow's errors have several bases
        raise DatasetError(
            "the Parquet file cannot be read", asked=path, found=one_line(str(error), 200),
            fix="download the file again",
        ) from error  # fmt: skip
    for number, values in enumerate(frame.to_dict("records"), start=1):
        plain = {str(name): _plain(value) for name, value in values.items()}
        yield Record(path, f"row {number}", plain)


def _plain(value: Any) -> Any:
    """NumPy's scalars and arrays as Python's, NaN as None."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    return None if type(value).__name__ in ("NaTType", "NAType") else value


def read_records(path: Path) -> Iterator[Record | DatasetError]:
    """Yield the records of a file of any of the four formats, chosen by its suffix.

    Raises:
        DatasetError: the suffix is none of them.
    """
    readers: dict[str, Callable[[Path], Iterator[Any]]] = {
        ".jsonl": read_json_lines,
        ".json": read_json_list,
        ".csv": read_csv,
        ".parquet": read_parquet,
    }
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise DatasetError(
            "this file format is not supported", asked=path, found=suffix or "no suffix",
            fix=f"use one of {', '.join(readers)}",
        )  # fmt: skip
    return readers[suffix](path)


# Times

_CLOCK = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


def seconds(text: str) -> float | None:
    """Return the seconds of a clock time like "12:04" or "1:02:03.5"; None if it is not one.

    >>> seconds("12:04"), seconds("1:02:03.5"), seconds("noon")
    (724.0, 3723.5, None)
    """
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        return None
    hours, minutes, rest = match.groups()
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))


# From records to rows


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
    """The error of a value, with its place in the file."""
    message = str(error).split("\n", 1)[0]
    found = error.found if error.found is not None else error.asked
    return DatasetError(message, asked=where, found=found, fix=error.fix or CORRECT)
