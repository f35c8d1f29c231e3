"""Find the subtitles of a row in a folder, and count them in its prompt."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tempo_lab.evaluation.datasets.rows import DatasetError, Row
from tempo_lab.video.subtitle_files import FORMATS, SubtitleFile

if TYPE_CHECKING:
    from tempo_lab.evaluation.datasets.base import Dataset
    from tempo_lab.session.session import Session


class SubtitleFolder:
    """Finds the subtitle files of videos in a folder.

    Args:
        folder: of the files .srt, .vtt or .json.

    Raises:
        DatasetError: there is no such folder, or no subtitle file in it.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise DatasetError(
                "there is no such folder of subtitles", asked=self.folder,
                found="a file" if self.folder.exists() else None,
                fix="name the folder that the subtitle files are in",
            )  # fmt: skip
        names = sorted(path.name for path in self.folder.iterdir())
        if not any(name.lower().endswith(FORMATS) for name in names):
            raise DatasetError(
                "no subtitle file is in this folder", asked=self.folder,
                found=", ".join(names[:8]) or "an empty folder",
                fix=f"name the folder of the unpacked files ({', '.join(FORMATS)})",
            )  # fmt: skip
        self._open = lru_cache(maxsize=8)(SubtitleFile.open)  # rows of one video follow each other

    def find(
        self, name: str, offset: float = 0.0, duration: float | None = None
    ) -> SubtitleFile | None:
        """Return the subtitle file of a video; None if it has none.

        Args:
            name: of the file; the suffix may be left out.
            offset, duration: see `read_subtitles`.

        Raises:
            SubtitleError: the file cannot be read.
        """
        for suffix in ("", *FORMATS):
            path = self.folder / f"{name}{suffix}"
            if path.suffix.lower() in FORMATS and path.is_file():
                return self._open(path, offset, duration)
        return None


def subtitle_columns(dataset: Dataset, row: Row, session: Session) -> dict[str, int]:
    """Return the columns of a result row about subtitles, as a trace counts them.

    Returns:
        `subtitle_lines` that the prompt lists, and `subtitle_tokens` of the LLM's prompt that they
        are; nothing for a dataset whose prompts have no subtitles.
    """
    if not dataset.with_subtitles:
        return {}
    from tempo_lab.session.subtitles import list_subtitles, subtitle_length

    listed = list_subtitles(row.read_subtitles() or (), session.video)
    assert listed is not None
    tokens = subtitle_length(session.checkpoint.prompts, listed, dataset.make_prompt(row))
    return {"subtitle_lines": len(listed.lines), "subtitle_tokens": tokens}
