"""A part of a video, from `start` to `end` in seconds of the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.common.validation import check_number
from tempo_lab.video.decoders.base import VideoInfo

DIGITS = 6
"""Decimals to which times are compared: the times that decoders return are rounded to them."""


@dataclass(frozen=True)
class Part:
    """The frames of a video with `start <= time < end`.

    Attributes:
        start, end: in seconds of the file; `end` is at most the end of the video.
        first, stop: numbers of the first frame in the part, and of the first one after it.
        origin: second of the file at which the sampled clock begins.
        seconds: length of the part on the sampled clock.
        whole: whether the part contains the whole video.
        note: a sentence if `end` was beyond the end of the video; otherwise empty.
    """

    start: float
    end: float
    first: int
    stop: int
    origin: float
    seconds: float
    whole: bool
    note: str


def frames_between(times: np.ndarray, start: float, end: float | None) -> tuple[int, int, float]:
    """Return the numbers of the frames in a part, and when the video begins.

    Args:
        times: float [frame], ascending seconds.
        start, end: limits in seconds; without an end, all frames from `start` on.

    Returns:
        number of the first frame at or after `start`, number of the first frame at or after `end`,
        and the time of the first frame in seconds.
    """
    rounded = np.round(times, DIGITS)
    first = int(np.searchsorted(rounded, round(start, DIGITS)))
    stop = len(rounded) if end is None else int(np.searchsorted(rounded, round(end, DIGITS)))
    return first, stop, float(times[0])


def check_part(
    info: VideoInfo, start: float | None, end: float | None
) -> tuple[float, float | None]:
    """Return `start` and `end` as floats; a missing start is 0.

    Args:
        info: the opened source.
        start, end: as the caller passed them, at least one of them not None.

    Raises:
        VideoError: the source is a single image, or a value is not a finite number, is negative,
            or `end` is not after `start`. The message names the duration.
    """
    if info.kind == "image":
        raise VideoError(
            "a single image has no part",
            asked=f"start={start}, end={end} of {info.path}",
            found="an image, which has no duration",
            fix="leave out start= and end=",
        )
    first = 0.0 if start is None else _seconds("start", start, info)
    last = None if end is None else _seconds("end", end, info)
    if last is not None and round(last, DIGITS) <= round(first, DIGITS):
        raise VideoError(
            "a part ends after it starts",
            asked=f"start={first:g}, end={last:g}",
            found=_length(info),
            fix=f"use 0 <= start < end <= {info.duration:g}",
        )
    return first, last


def _seconds(name: str, value: float, info: VideoInfo) -> float:
    lowest = "0 <=" if name == "start" else "start <"
    fix = f"{_length(info)}: use {lowest} {name} <= {info.duration:g}"
    return check_number(name, value, 0, error=VideoError, fix=fix)


def _length(info: VideoInfo) -> str:
    return f"the video lasts {info.duration:g} s"


def make_part(
    info: VideoInfo,
    start: float,
    end: float | None,
    between: Sequence[float],
    *,
    frame_clock: bool,
) -> Part:
    """Return the part of an opened video.

    Args:
        info: the source, with its duration.
        start, end: what `check_part` returned.
        between: what `frames_between` returned.
        frame_clock: whether the sampled clock begins at the first frame of the part, as for frames
            that are all used, and not at `start`.

    Raises:
        VideoError: `start` is not before the end of the video, or no frame is in the part.
    """
    first, stop, begin = int(between[0]), int(between[1]), float(between[2])
    ending = round(begin + info.duration, DIGITS)
    asked = f"start={start:g}" if end is None else f"start={start:g}, end={end:g}"
    if round(start, DIGITS) >= ending:
        raise VideoError(
            "the part starts after the end of the video",
            asked=f"{asked} of {info.path}",
            found=f"{_length(info)} and ends at {ending:g} s",
            fix=f"use 0 <= start < {ending:g}",
        )
    note = ""
    if end is not None and round(end, DIGITS) > ending:
        note = f"The part was to end at {end:g} s. It ends with the video, at {ending:g} s."
    last = ending if end is None else min(end, ending)
    if first >= stop:
        raise VideoError(
            "no frame of the video is in this part",
            asked=f"{asked} of {info.path}",
            found=f"{_length(info)}, from {begin:g} s, with {info.frames} frames; frame {first}"
            " is the first one after the start" * (first < info.frames),
            fix="use an earlier start or a later end",
        )
    origin = first / info.fps if frame_clock else max(start, begin)
    return Part(
        start=start,
        end=last,
        first=first,
        stop=stop,
        origin=origin,
        seconds=round(last - origin, DIGITS),
        whole=first == 0 and round(last, DIGITS) >= ending,
        note=note,
    )
