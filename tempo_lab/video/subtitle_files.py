"""Read subtitle files: SubRip, WebVTT and LongVideoBench's JSON."""

from __future__ import annotations

import codecs
import hashlib
import html
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import SubtitleError
from tempo_lab.common.text import clock_seconds, one_line
from tempo_lab.video.subtitles import Subtitle

FORMATS = (".srt", ".vtt", ".json")

_ARROW = re.compile(r"\s*(\S+)\s*-->\s*(\S+)(?:\s.*)?")
_CLOCK_START = re.compile(r"\s*\d+:\d{2}:\d{2}[,.]\d")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)
# Other text in angle brackets stays: "a < b", or a control token, which is read as characters.
_TAG = re.compile(
    r"</?(?:font|span|ruby|lang|strong|em|rt|[biucvsp])(?:[\s.][^<>]*)?/?>"
    r"|<\d+:[\d:.]+>|\{\\[^{}]*\}",
    re.IGNORECASE,
)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, with whose mark it begins
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WITH_ENCODING = 'subtitles=tempo_lab.video.read_subtitles(path, encoding="{}")'


def read_subtitles(
    path: str | os.PathLike[str],
    offset: float = 0.0,
    duration: float | None = None,
    *,
    encoding: str | None = None,
) -> tuple[Subtitle, ...]:
    """Return (start, end, text) of each line of a subtitle file, in the order of their starts.

    Markup like <font>, <i> and {\\an8} is removed, and a text of several lines becomes one. Lines
    without text are left out. Lines may overlap.

    Args:
        path: a file .srt, .vtt or .json.
        offset: seconds that are subtracted from all times, as LongVideoBench's
            `starting_timestamp_for_subtitles`.
        duration: of the video in seconds; the end of a line that has none in JSON, which is
            otherwise infinite.
        encoding: of the text; by default UTF-8, or what its byte order mark says.

    Raises:
        SubtitleError: the file cannot be read, has another encoding, or a time in it cannot be
            read; the message names the line.
    """
    path = Path(path).expanduser()
    _check_format(path)
    return _parse(path, _read(path), offset, duration, encoding)


@dataclass(frozen=True)
class SubtitleFile:
    """A subtitle file whose lines are read when they are needed. It is small to keep and to send.

    Attributes:
        path: of the file.
        offset, duration: see `read_subtitles`.
        digest: of the content: another content is another value.
    """

    path: Path
    offset: float
    duration: float | None
    digest: str

    @classmethod
    def open(cls, path: Path, offset: float = 0.0, duration: float | None = None) -> SubtitleFile:
        """Return the file; its lines are read once to check them.

        Raises:
            SubtitleError: see `read_subtitles`.
        """
        _check_format(path)
        data = _read(path)
        _parse(path, data, offset, duration)
        return cls(path, offset, duration, _digest(data))

    def read(self) -> tuple[Subtitle, ...]:
        """Return the lines, as `read_subtitles` does.

        Raises:
            SubtitleError: the file cannot be read, or changed since it was opened.
        """
        return _read_again(self)


@lru_cache(maxsize=4)  # several questions about one video follow each other
def _read_again(file: SubtitleFile) -> tuple[Subtitle, ...]:
    data = _read(file.path)
    if _digest(data) != file.digest:
        raise SubtitleError(
            "the subtitle file changed since it was opened", asked=file.path,
            fix="load the dataset again",
        )  # fmt: skip
    return _parse(file.path, data, file.offset, file.duration)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _check_format(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise SubtitleError(
            "this subtitle format is not supported", asked=path, found=suffix or "no suffix",
            fix="use .srt, .vtt or LongVideoBench's .json",
        )  # fmt: skip


def _parse(
    path: Path, data: bytes, offset: float, duration: float | None, encoding: str | None = None
) -> tuple[Subtitle, ...]:
    text, suffix = _decode(path, data, encoding), path.suffix.lower()
    if suffix == ".json":
        lines = _from_json(path, text, offset, duration)
    elif suffix == ".vtt" or text.startswith("WEBVTT"):
        lines = _from_vtt(path, text)
    else:
        lines = _from_srt(path, text)
    shown = ((start - offset, end - offset, text) for start, end, text in lines if text)
    return tuple(sorted(shown, key=lambda line: line[0]))


# Text


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SubtitleError(
            "the subtitle file cannot be read", asked=path,
            found=error.strerror or type(error).__name__, fix="check the path",
        ) from error  # fmt: skip


def _decode(path: Path, data: bytes, encoding: str | None) -> str:
    marked = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), None)
    name = encoding or marked or "utf-8"
    try:
        if encoding is None and marked is None and b"\0" in data:
            raise _no_mark(path, data)
        return data.decode(name).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise _undecodable(path, data, error) from None
    except LookupError:
        raise SubtitleError(
            "there is no such encoding", asked=f"encoding={encoding!r}", fix='encoding="cp1252"'
        ) from None


def _no_mark(path: Path, data: bytes) -> SubtitleError:
    """Return the error of UTF-16 text without a mark; its ASCII characters have a NUL byte."""
    order = "utf-16-le" if data[1::2].count(0) >= data[::2].count(0) else "utf-16-be"
    line = data[: data.index(0)].count(b"\n") + 1
    return SubtitleError(
        "the subtitle file is not UTF-8 text", asked=f"{path}, line {line}",
        found=f"a NUL byte; it may be {order.upper()} without a byte order mark",
        fix=f'save it as UTF-8, or {_WITH_ENCODING.format(order)}',
    )  # fmt: skip


def _undecodable(path: Path, data: bytes, error: UnicodeDecodeError) -> SubtitleError:
    byte = data[error.start : error.start + 1]
    found, fix = f"byte {byte.hex()} in {error.encoding}", "save it as UTF-8"
    if error.encoding.startswith("utf-8"):
        found = f"byte 0x{byte.hex()}"
        character = byte.decode("cp1252", "replace")
        if character != "\ufffd":
            found += f", which is {character} in cp1252 (Western Europe)"
            fix += ", or " + _WITH_ENCODING.format("cp1252")
    return SubtitleError(
        f"the subtitle file is not {error.encoding.upper()} text",
        asked=f"{path}, line {data[: error.start].count(10) + 1}", found=found, fix=fix,
    )  # fmt: skip


def _lines(text: str) -> list[str]:
    """Return the lines of a file; other characters that `str.splitlines` splits at are text."""
    return re.split(r"\r\n|\n|\r", text)


def _plain(text: str) -> str:
    return " ".join(_TAG.sub("", _BREAK.sub(" ", text)).split())


# SubRip and WebVTT


@dataclass
class _Cue:
    """A line of subtitles: its times, and its text with the number of its last line."""

    start: float
    end: float
    text: list[str]

    def line(self, vtt: bool) -> Subtitle:
        text = _plain(" ".join(self.text))
        return self.start, self.end, " ".join(html.unescape(text).split()) if vtt else text


def _from_srt(path: Path, text: str) -> list[Subtitle]:
    """Return the lines of SubRip. The next number ends the text of a cue; a blank line does not."""
    cues: list[_Cue] = []
    for number, line in enumerate(_lines(text), start=1):
        if "-->" in line:
            if cues and cues[-1].text and cues[-1].text[-1].strip().isdigit():
                cues[-1].text.pop()  # the number of this cue
            cues.append(_cue(path, number, line))
        elif _CLOCK_START.match(line):
            raise _bad_times(path, number, line)
        elif cues:
            cues[-1].text.append(line)
        elif line.strip() and not line.strip().isdigit():
            raise SubtitleError(
                "the first subtitle must begin with its number and its times",
                asked=f"{path}, line {number}", found=one_line(line, 80),
                fix="check that it is a .srt file",
            )  # fmt: skip
    _check_cues(path, cues)
    last = cues[-1].text
    while last and not last[-1].strip():
        last.pop()
    if len(last) > 1 and not last[-2].strip() and last[-1].strip() == str(len(cues) + 1):
        raise SubtitleError(
            "the subtitle file looks cut off", asked=path,
            found=f"the number {last[-1].strip()} at its end, without times and text",
            fix="download it again, or delete its last line",
        )  # fmt: skip
    return [cue.line(vtt=False) for cue in cues]


def _from_vtt(path: Path, text: str) -> list[Subtitle]:
    """Return the lines of WebVTT. A blank line ends a cue; text before its times is no subtitle."""
    cues: list[_Cue] = []
    inside = False
    for number, line in enumerate(_lines(text), start=1):
        if "-->" in line:
            cues.append(_cue(path, number, line))
            inside = True
        elif not line.strip():
            inside = False
        elif inside:
            cues[-1].text.append(line)
    _check_cues(path, cues)
    return [cue.line(vtt=True) for cue in cues]


def _check_cues(path: Path, cues: list[_Cue]) -> None:
    if not cues:
        raise SubtitleError(
            "the file has no subtitles", asked=path, found="no line with -->",
            fix="check that it is a .srt or .vtt file",
        )  # fmt: skip


def _cue(path: Path, number: int, line: str) -> _Cue:
    match = _ARROW.fullmatch(line)
    start, end = (clock_seconds(match[1]), clock_seconds(match[2])) if match else (None, None)
    if start is None or end is None or end < start:
        raise _bad_times(path, number, line)
    return _Cue(start, end, [])


def _bad_times(path: Path, number: int, line: str) -> SubtitleError:
    return SubtitleError(
        "the times of a subtitle cannot be read",
        asked=f"{path}, line {number}",
        found=one_line(line, 80),
        fix="a start and a later end, as 00:01:02,500 --> 00:01:04,000",
    )


# JSON


def _from_json(path: Path, text: str, offset: float, duration: float | None) -> list[Subtitle]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        place = f"{path}, line {error.lineno}" if isinstance(error, json.JSONDecodeError) else path
        raise SubtitleError(
            "this is not JSON", asked=place, found=error, fix="download the file again"
        ) from None
    if not isinstance(entries, list):
        raise SubtitleError(
            "the file must be a JSON list", asked=path, found=f"a JSON {type(entries).__name__}",
            fix='use the form [{"timestamp": [1.5, 4.0], "text": "Hello"}]',
        )  # fmt: skip
    last = math.inf if duration is None else duration + offset
    return [_entry(f"{path}, entry {n}", entry, last) for n, entry in enumerate(entries, start=1)]


def _entry(place: str, entry: Any, last: float) -> Subtitle:
    if not isinstance(entry, Mapping):
        raise _bad_field(place, "an entry must be a JSON object", entry)
    if "timestamp" in entry:
        pair, text, field = entry["timestamp"], entry.get("text"), "timestamp"
        if not isinstance(pair, list) or len(pair) != 2:
            raise _bad_field(f"{place}, field 'timestamp'", "this must be [start, end]", pair)
        start = _number(f"{place}, field 'timestamp'", pair[0])
        # the last line of some files has no end
        end = max(last, start) if pair[1] is None else _number(f"{place}, field {field!r}", pair[1])
    else:
        (start, end), text, field = (
            (_clock(place, entry, name) for name in ("start", "end")), entry.get("line"), "end"
        )  # fmt: skip
    if not isinstance(text, str):
        raise _bad_field(f"{place}, field 'text' or 'line'", "a subtitle must be text", text)
    if end < start:
        found = f"{start:g} to {end:g} s"
        raise _bad_field(f"{place}, field {field!r}", "a subtitle ends before it begins", found)
    return start, end, _plain(text)


def _number(place: str, value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise _bad_field(place, "a time must be a finite number of seconds, at least 0", value)
    return float(value)


def _clock(place: str, entry: Mapping[str, Any], field: str) -> float:
    value = entry.get(field)
    time = clock_seconds(value) if isinstance(value, str) else None
    if time is None:
        message = "this must be a time like 00:01:02.500"
        raise _bad_field(f"{place}, field {field!r}", message, value)
    return time


def _bad_field(place: str, message: str, value: Any) -> SubtitleError:
    found = value if isinstance(value, str) else repr(value)
    return SubtitleError(message, asked=place, found=one_line(found, 120), fix="correct the file")
