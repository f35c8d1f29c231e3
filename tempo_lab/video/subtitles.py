"""Subtitles: lines with times, which of them are shown when, and their text in a prompt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tempo_lab.common.errors import SubtitleError
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_number, check_whole

Subtitle = tuple[float, float, str]
"""Start and end in seconds, and the text."""
SAMPLED_FRAMES = 32
"""Frames at which the released evaluation of Video-MME looks for subtitles."""
NO_SUBTITLES = "No subtitles available"
"""What Video-MME's prompt lists of a video that has no subtitles at all."""


def check_subtitles(lines: Any) -> tuple[Subtitle, ...]:
    """Return lines as a tuple of (start, end, text), in the order of their starts.

    Raises:
        SubtitleError: a line has another form, a time is not a number, or an end is before its
            start. An end may be infinite.
    """
    if isinstance(lines, (str, bytes)) or not isinstance(lines, Iterable):
        raise _bad_line("the lines", "a list of (start, end, text)", lines)
    checked = []
    for number, line in enumerate(lines, start=1):
        try:
            start, end, text = line
            start, end = float(start), float(end)
        except (TypeError, ValueError):
            raise _bad_line(f"line {number}", "(start, end, text)", line) from None
        if not isinstance(text, str):
            raise _bad_line(f"line {number}", "text after its times", text)
        if not math.isfinite(start) or not end >= start:
            raise _bad_line(f"line {number}", "a start and a later end in seconds", line)
        checked.append((start, end, text))
    ordered = tuple(sorted(checked, key=lambda line: line[0]))
    return lines if lines == ordered else ordered  # what is right already is not copied


def _bad_line(place: str, wanted: str, found: object) -> SubtitleError:
    return SubtitleError(
        "subtitles are a file, or lines of (start, end, text)",
        asked=f"{place}: {wanted}",
        found=one_line(repr(found), 120),
        fix='subtitles="talk.srt", or subtitles=[(1.5, 4.0, "Hello there")]',
    )


def subtitles_between(
    subtitles: Sequence[Subtitle], start: float, end: float
) -> tuple[Subtitle, ...]:
    """Return the lines that overlap a span of time; lines and the span are half-open.

    >>> subtitles_between([(0, 2, "a"), (2, 4, "b"), (4, 6, "c")], 2, 4)
    ((2, 4, 'b'),)
    """
    return tuple(line for line in subtitles if line[0] < end and line[1] > start)


def subtitles_at_frames(
    subtitles: Sequence[Subtitle],
    frames: int,
    fps: float,
    samples: int = SAMPLED_FRAMES,
    *,
    offset: float = 0.0,
) -> tuple[Subtitle, ...]:
    """Return the lines shown at one of the uniformly sampled frames: Video-MME's rule.

    Frames are sampled from the first to the last. Times become frame numbers by rounding down, and
    a line covers the frames from its start to just before its end.

    Args:
        frames: number of frames of the video.
        fps: their rate.
        samples: number of frames that are sampled, as the released evaluation does.
        offset: seconds of the subtitles' clock at which the frames begin.

    Raises:
        SubtitleError: a number of frames or their rate is not possible.
    """
    check_whole("frames", frames, 1, error=SubtitleError)
    check_number("fps", fps, above=0, error=SubtitleError)
    check_whole("samples", samples, 1, error=SubtitleError)
    sampled = np.linspace(0, frames - 1, samples, dtype=int)
    shown = []
    for line in subtitles:
        first, stop = (_frame(time, offset, fps, frames) for time in line[:2])
        at = np.searchsorted(sampled, first)
        if at < samples and sampled[at] < stop:
            shown.append(line)
    return tuple(shown)


def _frame(time: float, offset: float, fps: float, frames: int) -> int:
    """Return the number of the frame at a time, at most `frames`; the time may be infinite."""
    number = min((time - offset) * fps, frames)
    return int(round(number, 6) if offset else number)  # 5.1 - 5 is less than 0.1


def subtitle_prompt(subtitles: Sequence[Subtitle] | None) -> str:
    r"""Return the part of a prompt before the question that lists subtitles, as in Video-MME.

    Args:
        subtitles: the lines to list; None for a video without subtitles.

    >>> subtitle_prompt([(1.5, 4.0, "Hello"), (4.0, 6.0, "there")])
    "This video's subtitles are listed below: \nHello\nthere\n"
    """
    lines = NO_SUBTITLES if subtitles is None else "\n".join(text for _, _, text in subtitles)
    return f"This video's subtitles are listed below: \n{lines}\n"
