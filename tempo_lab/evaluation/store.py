"""Rows on disk, one line of JSON each. Rows are only appended, so a killed run loses nothing.

Each row has its own checksum. A damaged row is set aside, and its question is asked again.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.files import write_atomic
from tempo_lab.common.text import one_line

ROWS, DAMAGED, STALE = "answers.jsonl", "answers.damaged", "answers.stale"
SETTINGS = "settings.json"
CHECK = "check"
"""Name of a row's checksum in its line."""

ROLE = "role"
"""Column of a row whose column `model` is a name: the role of that model, as in the keys of rows.
Where it is missing, `model` is the role."""
FAILED = "failed"
"""Column of a row without an answer: why there is none."""

Row = dict[str, Any]
Key = tuple[str, int | str, str, str]


def key_of(row: Row) -> Key:
    """What a row is the result of: video, number or id of the question, role of the model, arm."""
    return row["video"], row["item"], row[ROLE if ROLE in row else "model"], row["arm"]


class Store:
    """The rows of one run, in a folder that is created if needed.

    Args:
        folder: of the run.
        settings: what the rows depend on, as plain JSON values. A folder with rows of other
            settings is refused.
        name: of the file with the settings.

    Raises:
        TempoLabError: another run is in the folder, or it cannot be written to.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any], name: str = SETTINGS) -> None:
        self.folder, self._settings = Path(folder), name
        self.path = self.folder / ROWS
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._claim(settings)
            self._set_damage_aside()
        except OSError as error:
            raise _not_writable(self.folder, error) from error

    def _claim(self, settings: dict[str, Any]) -> None:
        path = self.folder / self._settings
        if not path.exists():
            write_atomic(path, json.dumps(settings, indent=1).encode())
            return
        stored = read_settings(path)
        if stored == settings:
            return
        differences = f"another {self._settings}"
        if isinstance(stored, dict):
            names = sorted(settings.keys() | stored.keys())
            differences = ", ".join(
                f"{name} {stored.get(name)!r} instead of {settings.get(name)!r}"
                for name in names
                if stored.get(name) != settings.get(name)
            )
        raise TempoLabError(
            "another evaluation is in this folder",
            asked=self.folder,
            found=differences,
            fix="choose another folder with --out, or delete this one",
        )

    def _set_damage_aside(self) -> None:
        """Move damaged lines to a file of their own, with a warning.

        The rest of a last line that a killed run did not finish is dropped.
        """
        if not self.path.exists():
            return
        damaged, lines = self._set_aside(lambda row: row is None, DAMAGED)
        if damaged:
            warnings.warn(
                f"{damaged} of {lines} lines of {self.path} are damaged. They were moved to "
                f"{DAMAGED}; their questions are asked again.",
                TempoLabWarning,
                stacklevel=3,
            )

    def set_aside(self, is_stale: Callable[[Row], bool]) -> None:
        """Move rows that are not part of the run any more to `answers.stale`, with a warning.

        Raises:
            TempoLabError: a file cannot be written.
        """
        if not self.path.exists():
            return
        try:
            stale, lines = self._set_aside(lambda row: row is not None and is_stale(row), STALE)
        except OSError as error:
            raise _not_writable(self.folder, error) from error
        if stale:
            warnings.warn(
                f"{stale} of {lines} rows of {self.path} are about questions that have another id "
                f"or other words in the dataset now. They were moved to {STALE}.",
                TempoLabWarning,
                stacklevel=3,
            )

    def _set_aside(self, moves: Callable[[Row | None], bool], name: str) -> tuple[int, int]:
        """Move lines to another file; returns how many, and of how many."""
        lines = self.path.read_bytes().split(b"\n")
        torn = lines.pop()
        moved = [line for line in lines if moves(_row(line))]
        if moved:
            with open(self.folder / name, "ab") as file:
                file.write(b"".join(line + b"\n" for line in moved))
        if moved or torn:
            left = [line for line in lines if not moves(_row(line))]
            write_atomic(self.path, b"".join(line + b"\n" for line in left))
        return len(moved), len(lines)

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows, so that they outlive the process.

        Raises:
            TempoLabError: they cannot be written.
        """
        lines = "".join(json.dumps({**row, CHECK: _check(row)}) + "\n" for row in rows)
        try:
            with open(self.path, "ab") as file:
                file.write(lines.encode())
        except OSError as error:
            raise TempoLabError(
                "answers of the evaluation cannot be written; earlier answers are kept",
                asked=self.path,
                found=error.strerror or type(error).__name__,
                fix="free some space, then run the command again: it continues",
            ) from error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            with open(self.path, "rb") as file:
                yield from filter(None, map(_row, file))


def read_settings(path: Path) -> Any:
    """Return the settings of a run, as they were written.

    Raises:
        TempoLabError: they are damaged.
        OSError: the file cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise TempoLabError(
            "the settings of the evaluation are damaged",
            asked=path,
            found=f"no JSON; the file may be cut off: {one_line(str(error), 120)}",
            fix=f"restore the file from a copy, or use another folder; {ROWS} is not changed",
        ) from error


def read_intact(path: Path) -> tuple[list[Row], int]:
    """Return the intact rows of a file, and how many lines are damaged. Nothing is changed.

    A last line without an end is no damage: it is being written, or its process was killed.

    Raises:
        OSError: the file cannot be read.
    """
    *lines, _ = path.read_bytes().split(b"\n")
    rows = [row for row in map(_row, lines) if row is not None]
    return rows, len(lines) - len(rows)


def _not_writable(folder: Path, error: OSError) -> TempoLabError:
    return TempoLabError(
        "the folder of the evaluation cannot be written to",
        asked=folder,
        found=error.strerror or type(error).__name__,
        fix="free some space, or choose another folder with --out",
    )


def _check(row: dict[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(row).encode()):08x}"


def _row(line: bytes) -> dict[str, Any] | None:
    """The row of a line, or None if the line is damaged."""
    try:
        row = json.loads(line)
        check = row.pop(CHECK)
    except (ValueError, AttributeError, TypeError, KeyError):
        return None
    return row if check == _check(row) else None
