"""Subtitles in a prompt: the lines that are shown at uniformly sampled frames of a video."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.errors import SubtitleError
from tempo_lab.common.text import escape_control_chars
from tempo_lab.common.validation import check_whole
from tempo_lab.video.subtitle_files import read_subtitles
from tempo_lab.video.subtitles import (
    SAMPLED_FRAMES,
    Subtitle,
    check_subtitles,
    subtitle_prompt,
    subtitles_at_frames,
    subtitles_between,
)
from tempo_lab.video.video import Video

if TYPE_CHECKING:
    from tempo_lab.model.prompts import Prompts

Subtitles = str | os.PathLike[str] | Iterable[Subtitle]
"""A subtitle file, or lines of (start, end, text) in seconds of the video's file."""


@dataclass(frozen=True)
class ListedSubtitles:
    """The subtitles that a prompt lists before its question.

    Attributes:
        lines: (start, end, text) of each, in seconds of the video's file.
        text: what comes before the question.
        total: number of lines of the file.
        frames: number of uniformly sampled frames at which they are shown.
        path: of the file; None for lines that were given.
    """

    lines: tuple[Subtitle, ...]
    text: str
    total: int
    frames: int
    path: str | None

    def per_segment(self, times: np.ndarray) -> np.ndarray:
        """Return the number of listed lines that overlap each segment, int64 [segment].

        Args:
            times: float [segment, 2], start and end of each segment in seconds of the file.
        """
        counts = [len(subtitles_between(self.lines, start, end)) for start, end in times.tolist()]
        return np.array(counts, dtype=np.int64)

    @property
    def provenance(self) -> dict[str, Any]:
        """What a trace records of them, as plain JSON values."""
        path = {} if self.path is None else {"path": escape_control_chars(self.path)}
        return {
            **path,
            "lines": len(self.lines),
            "total": self.total,
            "frames": self.frames,
            "characters": len(self.text),
        }


def list_subtitles(
    subtitles: Subtitles | None, video: Video, frames: int = SAMPLED_FRAMES
) -> ListedSubtitles | None:
    """Choose the subtitles that a prompt lists: those shown at uniformly sampled frames.

    Only the part of the video that was opened counts, as if it were a file of its own.

    Args:
        subtitles: a file, or lines; no lines at all for a video that is known to have none; None
            for a prompt that does not mention subtitles.
        video: the opened video.
        frames: number of sampled frames; 32 in the released evaluation.

    Raises:
        SubtitleError: the file or the lines cannot be read, or `frames` is not a whole number
            from 1.
    """
    frames = check_whole("subtitle_frames", frames, 1, error=SubtitleError)
    if subtitles is None:
        return None
    path = None
    if isinstance(subtitles, (str, os.PathLike)):
        path = os.fspath(subtitles)
        lines = read_subtitles(Path(path))
    else:
        lines = check_subtitles(subtitles)
    count, fps, offset = video.source_clock
    listed = subtitles_at_frames(lines, count, fps, frames, offset=offset)
    text = subtitle_prompt(listed if lines else None)
    return ListedSubtitles(listed, text, len(lines), frames, path)


def subtitle_length(
    prompts: Prompts,
    listed: ListedSubtitles | None,
    question: str,
    history: tuple[tuple[str, str], ...] = (),
) -> int:
    """Return the number of tokens by which subtitles make the LLM's prompt longer.

    Args:
        prompts: of the model.
        listed: the subtitles; None for a prompt without any.
        question: the question without them.
        history: earlier turns.
    """
    if listed is None:
        return 0
    longer = prompts.closing(listed.text + question, history)
    return len(longer) - len(prompts.closing(question, history))
