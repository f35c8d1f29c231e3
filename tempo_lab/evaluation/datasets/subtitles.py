"""Read subtitles (SubRip, WebVTT, LongVideoBench's JSON) and choose lines by time."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_number, check_whole
from tempo_lab.evaluation.datasets.files import read_json_list, read_lines
from tempo_lab.evaluation.datasets.records import Record, seconds
from tempo_lab.evaluation.datasets.rows import DatasetError, Subtitle

_ARROW = re.compile(r"\s*(\S+)\s*-->\s*(\S+)(?:\s.*)?")
_TAG = re.compile(r"<[^<>]*>")


def read_subtitles(
    path: str | Path, offset: float = 0.0, duration: float | None = None
) -> tuple[Subtitle, ...]:
    """Return (start, end, text) of each line of a subtitle file, in the order of the file.

    Markup like <font> and <i> is removed, and a text of several lines becomes one. Lines without
    text are left out.

    Args:
        path: a file .srt, .vtt or .json.
        offset: seconds that are subtracted from all times, as LongVideoBench's
            `starting_timestamp_for_subtitles`.
        duration: of the video in seconds; the end of a line that has none in JSON.

    Raises:
        DatasetError: the file cannot be read, or a time in it.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        lines = _from_json(path, offset, duration)
    elif suffix in (".srt", ".vtt"):
        lines = _from_cues(path, suffix == ".vtt")
    else:
        raise DatasetError(
            "this subtitle format is not supported", asked=path, found=suffix or "no suffix",
            fix="use .srt, .vtt or LongVideoBench's .json",
        )  # fmt: skip
    return tuple((start - offset, end - offset, text) for start, end, text in lines if text)


def _from_cues(path: Path, vtt: bool) -> list[Subtitle]:
    cues: list[tuple[float, float, list[str]]] = []
    last = 0
    for number, line in read_lines(path):
        if "-->" in line:
            if cues and number == last + 1 and cues[-1][2] and cues[-1][2][-1].strip().isdigit():
                cues[-1][2].pop()  # no blank line came before the number of this cue
            cues.append((*_times(path, number, line), []))
            last = number
        elif cues and number == last + 1:  # a blank line ends a cue: then comes the next number
            cues[-1][2].append(line)
            last = number
    if not cues:
        raise DatasetError(
            "the file has no subtitles", asked=path, found="no line with -->",
            fix="check that it is a .srt or .vtt file",
        )  # fmt: skip
    return [(start, end, _plain(" ".join(lines), vtt)) for start, end, lines in cues]


def _plain(text: str, entities: bool) -> str:
    text = _TAG.sub("", text)
    return " ".join((html.unescape(text) if entities else text).split())


def _times(path: Path, number: int, line: str) -> tuple[float, float]:
    match = _ARROW.fullmatch(line)
    start, end = (seconds(match[1]), seconds(match[2])) if match else (None, None)
    if start is None or end is None or end < start:
        raise DatasetError(
            "the times of a subtitle cannot be read",
            asked=f"{path}, line {number}",
            found=one_line(line, 80),
            fix="a start and a later end, as 00:01:02,500 --> 00:01:04,000",
        )
    return start, end


def _from_json(path: Path, offset: float, duration: float | None) -> list[Subtitle]:
    lines = []
    for record in read_json_list(path):
        if isinstance(record, DatasetError):
            raise record
        if "timestamp" in record:
            start, end = _timestamp(record, offset, duration)
            text = record.get("text")
        else:
            start, end = (_clock(record, field) for field in ("start", "end"))
            text = record.get("line")
        if not isinstance(text, str):
            raise record.error("text or line", "a subtitle must be text", repr(text))
        if end < start:
            raise record.error("end", "a subtitle ends before it begins", f"{start:g} to {end:g} s")
        lines.append((start, end, " ".join(text.split())))
    return lines


def _timestamp(record: Record, offset: float, duration: float | None) -> tuple[float, float]:
    pair = record.items("timestamp")
    if len(pair) == 2 and pair[1] is None:  # the last line of some files
        end = float("inf") if duration is None else duration + offset
        pair = [pair[0], max(end, pair[0]) if isinstance(pair[0], (int, float)) else end]
    if len(pair) == 2 and pair[1] == float("inf"):
        return record.span("timestamp", [pair[0], pair[0]])[0], pair[1]
    return record.span("timestamp", pair)


def _clock(record: Record, field: str) -> float:
    value = seconds(record.text(field))
    if value is None:
        raise record.error(field, "this must be a time like 00:01:02.500", record.get(field))
    return value


def subtitles_between(
    subtitles: Sequence[Subtitle], start: float, end: float
) -> tuple[Subtitle, ...]:
    """Return the lines that overlap a span of time; lines and the span are half-open.

    >>> subtitles_between([(0, 2, "a"), (2, 4, "b"), (4, 6, "c")], 2, 4)
    ((2, 4, 'b'),)
    """
    return tuple(line for line in subtitles if line[0] < end and line[1] > start)


def subtitles_at_frames(
    subtitles: Sequence[Subtitle], frames: int, fps: float, samples: int = 32
) -> tuple[Subtitle, ...]:
    """Return the lines shown at one of the uniformly sampled frames: Video-MME's rule.

    Frames are sampled from the first to the last. Times become frame numbers by rounding down, and
    a line covers the frames from its start to just before its end.

    Args:
        frames: number of frames of the video.
        fps: their rate.
        samples: number of frames that are sampled, as the released evaluation does.
    """
    check_whole("frames", frames, 1, error=DatasetError)
    check_number("fps", fps, above=0, error=DatasetError)
    check_whole("samples", samples, 1, error=DatasetError)
    sampled = np.linspace(0, frames - 1, samples, dtype=int).tolist()
    return tuple(
        line
        for line in subtitles
        if any(int(line[0] * fps) <= frame < int(line[1] * fps) for frame in sampled)
    )
