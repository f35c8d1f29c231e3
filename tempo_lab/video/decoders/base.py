"""What can be read frame by frame, and which reader reads it.

A reader opens one source and yields the frames that are asked for. Readers run in the child
process of `tempo_lab.video.decoder_process` only: what they do wrong cannot hurt the caller.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from os import PathLike
from pathlib import Path
from typing import Protocol

import numpy as np

from tempo_lab.common.errors import VideoError

MAX_PIXELS = 2**27
"""Largest frame that is decoded: 134 million pixels (16K video), 400 MB as RGB."""


@dataclass(frozen=True)
class VideoInfo:
    """What a source is. Sizes in pixels as displayed (after rotation), times in seconds.

    Attributes:
        path: the source, absolute.
        kind: "video", "frames" (a folder), "array", "gif" or "image".
        frames: how many frames the source holds, by count and not by its header.
        fps: average source frames a second; for frames and arrays the rate that they are taken at.
        duration: seconds from the first frame's start to the last frame's end.
        codec: name of the codec or file format.
        decoder: the reader that was chosen.
        reason: why decord must not read the file; empty where it may, or was not an option.
        notes: what was decided about the source that a viewer should know, a sentence each: other
            streams, transparency, a scaled depth. Traces carry them in `warnings`.
    """

    path: str
    kind: str
    width: int
    height: int
    frames: int
    fps: float
    duration: float
    codec: str
    decoder: str
    reason: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "notes", tuple(self.notes))  # JSON has no tuples


Timed = tuple[float, np.ndarray]
"""A frame's presentation time in seconds, and the frame, uint8 [row, column, rgb]."""

Tick = Callable[[], None]
"""Called while a reader works without yielding, to say that it still makes progress."""


class Reader(Protocol):
    """An open source.

    `info.fps` and `info.duration` are 0 where the source has no clock of its own. `read` yields one
    frame for each of the ascending, distinct 0-based frame numbers (with a time of nan where there
    is no clock), and raises `VideoError` where the source does not hold what `info` promised.
    """

    info: VideoInfo

    def read(self, indices: Sequence[int]) -> Iterator[Timed]: ...


OpenReader = Callable[..., Reader]
"""Called with the path and a `Tick`, and with `stream=` where the caller named one."""

_VIDEO_READERS: dict[str, OpenReader] = {}


def register_decoder(name: str) -> Callable[[OpenReader], OpenReader]:
    """Decorator: `Video(path, decoder=name)` opens video files with this function from now on.

    The registration must be visible in the child process: put it in an importable module and name
    the decoder "module:name", which imports the module there.
    """

    def register(opener: OpenReader) -> OpenReader:
        _VIDEO_READERS[name] = opener
        return opener

    return register


def open_source(path: str, decoder: str, tick: Tick, stream: int | None = None) -> Reader:
    """Opens a file or folder with the reader that its content (not its name) calls for.

    Args:
        stream: number of a video stream in the file; None for the one that players show.

    Raises:
        VideoError: nothing readable is there, the decoder is not known, or no such stream.
    """
    from tempo_lab.video.decoders import images

    try:
        still = images.open_still(path, tick)
        if still is None:
            options = {} if stream is None else {"stream": stream}
            return _find_decoder(decoder)(path, tick, **options)
    except OSError as error:
        raise VideoError("the file cannot be read", asked=path, found=error) from error
    if stream is not None:
        raise VideoError(
            "only a video file has streams",
            asked=f"stream={stream} of {path}",
            found=still.info.kind,
        )
    return still


def _find_decoder(name: str) -> OpenReader:
    from tempo_lab.video.decoders import video_file  # noqa: F401  (registers the built-in ones)

    module, separator, _ = name.partition(":")
    if separator and name not in _VIDEO_READERS:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise VideoError(
                "the decoder's module cannot be imported", asked=name, found=str(error)
            ) from error
    if name not in _VIDEO_READERS:
        known = sorted(_VIDEO_READERS)
        near = get_close_matches(name, known, n=1)
        raise VideoError(
            "no decoder has this name",
            asked=name,
            found=", ".join(known),
            fix=f"decoder={near[0]!r}" if near else 'decoder="auto"',
        )
    return _VIDEO_READERS[name]


def check_source(source: object) -> Path:
    """The absolute path of a regular file or folder that exists and may be read.

    Raises:
        VideoError: it does not exist, is a pipe or device, may not be read, or is empty.
    """
    name = os.fsdecode(source) if isinstance(source, str | PathLike) else ""
    if not name:
        kind = type(source).__name__
        raise VideoError(
            "a video is opened by its path",
            asked="an empty path" if isinstance(source, str) else f"an object of type {kind}",
            fix="give a path; save an array with numpy.save and give that file",
        )
    path = Path(name)
    try:
        path = path.expanduser().resolve(strict=True)
        if path.is_dir():
            next(path.iterdir(), None)
        elif not path.is_file():
            raise VideoError(
                "this is not a regular file",
                asked=str(source),
                found="a pipe, socket or device",
                fix="save it as a file first",
            )
        else:
            with path.open("rb") as file:
                if not file.read(1):
                    raise VideoError("the file is empty", asked=str(source), found="0 bytes")
    except FileNotFoundError:
        near = get_close_matches(path.name, _names_beside(path), n=1)
        raise VideoError(
            "there is no such file",
            asked=str(source),
            found=f"a near name: {near[0]}" if near else None,
            fix="download it first" if "://" in str(source) else "check the path",
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # a symlink loop is one or the other
        raise VideoError("the file cannot be read", asked=str(source), found=error) from error
    return path


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def check_size(path: str, width: int, height: int) -> None:
    """Refuses frames that have no pixels, or too many to decode.

    Raises:
        VideoError: the frame has no pixels or more than `MAX_PIXELS`.
    """
    if width <= 0 or height <= 0:
        raise VideoError(
            f"the frames of {path} have no pixels",
            asked="a width and height of at least 1 pixel",
            found=f"{width}x{height}",
            fix="the file is damaged, or its stream holds no picture: fetch it again",
        )
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"the frames of {path} are too large to decode",
            asked=f"at most {MAX_PIXELS:,} pixels a frame",
            found=f"{width}x{height} = {width * height:,} pixels",
            fix="scale it down first",
        )
