"""Read files of records: JSON Lines, JSON, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.datasets.records import CORRECT, Record
from tempo_lab.evaluation.datasets.rows import DatasetError


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
    else:
        there = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DatasetError(
            "there is no such regular file or folder",
            asked=path,
            fix=did_you_mean(path.name, there, f"check the path to {' or '.join(patterns)}"),
        )
    raise DatasetError(
        "there is no file of this dataset",
        asked=path,
        found=", ".join(sorted(entry.name for entry in path.iterdir())[:8]) or "an empty folder",
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
