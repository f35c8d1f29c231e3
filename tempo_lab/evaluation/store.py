"""Rows on disk, a line of JSON each: only ever appended, so that a killed run loses nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tempo_lab.errors import TempoLabError
from tempo_lab.files import write_whole

ROWS, SETTINGS = "answers.jsonl", "settings.json"


class Store:
    """The rows of one run in its folder, which is made if need be.

    Args:
        folder: of the run.
        settings: what the rows depend on, as plain JSON values; a folder with rows of other
            settings is refused.

    Raises:
        TempoLabError: another run is in the folder, or it cannot be written to.
    """

    def __init__(self, folder: str | Path, settings: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self.path = self.folder / ROWS
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._claim(settings)
            self._cut_torn_line()
        except OSError as error:
            raise TempoLabError(
                "the folder of the evaluation cannot be written to",
                asked=self.folder,
                found=error.strerror or type(error).__name__,
                fix="name another with --out",
            ) from error

    def _claim(self, settings: dict[str, Any]) -> None:
        path = self.folder / SETTINGS
        if not path.exists():
            write_whole(path, json.dumps(settings, indent=1).encode())
            return
        try:
            found = json.loads(path.read_bytes())
        except ValueError:
            found = "something else"
        if found == settings:
            return
        differ = "settings that cannot be read"
        if isinstance(found, dict):
            names = sorted(settings.keys() | found.keys())
            differ = ", ".join(
                f"{name} {found.get(name)!r} instead of {settings.get(name)!r}"
                for name in names
                if found.get(name) != settings.get(name)
            )
        raise TempoLabError(
            "another evaluation is in this folder",
            asked=self.folder,
            found=differ,
            fix="name another folder with --out, or delete this one",
        )

    def _cut_torn_line(self) -> None:
        """Drop a last line that a killed run did not finish."""
        if not self.path.exists():
            return
        with open(self.path, "rb+") as file:
            file.seek(0, os.SEEK_END)
            end = file.tell()
            while end and self._byte(file, end - 1) != b"\n":
                end -= 1
            file.truncate(end)

    @staticmethod
    def _byte(file: Any, position: int) -> bytes:
        file.seek(position)
        return bytes(file.read(1))

    def append(self, rows: Iterable[dict[str, Any]]) -> None:
        """Write rows so that they outlive the process."""
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        with open(self.path, "ab") as file:
            file.write(lines.encode("utf-8", "backslashreplace"))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        if self.path.exists():
            with open(self.path, encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)
