"""Find the video of a row in a folder."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from tempo_lab.evaluation.datasets.rows import DatasetError

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".mpg", ".ts", ".gif", "")


class MissingVideo(DatasetError):
    """A row's video is not in the folder."""


class Videos:
    """Finds the video of a row in a folder, by its path or by its name in any folder below.

    Args:
        folder: of the videos; None leaves the names as they are and looks for nothing.

    Raises:
        DatasetError: there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        self._below: dict[str, set[Path]] | None = None
        if self.folder is not None and not self.folder.is_dir():
            raise DatasetError(
                "there is no such folder of videos",
                asked=self.folder,
                found="a file" if self.folder.exists() else None,
                fix="name the folder that the videos are in",
            )

    def find(self, name: str) -> Path:
        """Return the path of a video.

        Args:
            name: a path in the folder, or the name of a file in any folder below; the suffix may
                be left out.

        Raises:
            MissingVideo: no file has this name, or several have.
        """
        if self.folder is None:
            return Path(name)
        path = Path(name)
        for suffix in SUFFIXES:
            direct = self.folder / f"{name}{suffix}"
            if not path.is_absolute() and ".." not in path.parts and direct.is_file():
                return direct
        below = self._index()
        places = below.get(path.name) or below.get(path.stem) or set()
        if len(places) == 1:
            return next(iter(places))
        near = get_close_matches(path.name, below, n=1)
        raise MissingVideo(
            f"{len(places)} videos have this name" if places else "the video is missing",
            asked=name,
            found=f"a similar name: {near[0]}" if near and not places else None,
            fix=f"put it into {self.folder}",
        )

    def _index(self) -> dict[str, set[Path]]:
        if self._below is None:
            self._below = {}
            assert self.folder is not None
            for root, _, names in os.walk(self.folder):
                for name in names:
                    path = Path(root, name)
                    if path.suffix.lower() in SUFFIXES:
                        for key in {name, path.stem}:
                            self._below.setdefault(key, set()).add(path)
        return self._below
