"""What every reader has in common: the protocol, the registry of decoders, checks of a source.

A reader opens one source and yields the requested frames. Readers run only in the child process of
`tempo_lab.video.decoder_process`, so their failures cannot harm the caller.
"""

from __future__ import annotations

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
"""Largest frame that is decoded, in pixels: 134 million (16K video), 400 MB as RGB."""


@dataclass(frozen=True)
class VideoInfo:
    """Properties of a source. Sizes are in pixels as displayed (after rotation), times in seconds.

    Attributes:
        path: absolute path of the source.
        kind: "video", "frames" (a folder), "array", "gif" or "image".
        frames: number of frames, counted and not taken from the header.
        fps: average source frames per second; for folders and arrays the rate passed as `fps=`.
        duration: seconds from the first frame's start to the last frame's end.
        codec: name of the codec or file format.
        decoder: the reader that was chosen.
        reason: why decord must not read the file; empty if it may, or was not an option.
        notes: one sentence for each decision that a viewer should know about: other streams,
            transparency, a scaled bit depth. Traces repeat them in `warnings`.
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


TimedFrame = tuple[float, np.ndarray]
"""A frame's presentation time in seconds, and the frame, uint8 [row, column, rgb]."""

Heartbeat = Callable[[], None]
"""A reader calls it while it works without yielding a frame, to show that it makes progress."""


class FrameReader(Protocol):
    """An open source.

    `info.fps` and `info.duration` are 0 if the source has no clock of its own. `read` yields one
    frame for each of the ascending, distinct 0-based frame numbers (with the time nan if there is
    no clock). It raises `VideoError` if the source does not contain what `info` says.

    A reader may have `times`, float64 [frame], the ascending presentation times of all frames in
    seconds. They say which frames a part of the source contains; without them, frame number i is at
    i / `info.fps`.
    """

    info: VideoInfo

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]: ...


OpenReader = Callable[..., FrameReader]
"""Called with the path and a `Heartbeat`, and with `stream=` if the caller chose a stream."""

DECODERS: dict[str, OpenReader] = {}
"""The registered decoders by name. `registry.find_decoder` looks names up."""


def register_decoder(name: str) -> Callable[[OpenReader], OpenReader]:
    """Return a decorator: `Video(path, decoder=name)` then opens files with the decorated function.

    The child process must see the registration: put it into an importable module and name the
    decoder "module:name". The child imports the module.
    """

    def register(opener: OpenReader) -> OpenReader:
        DECODERS[name] = opener
        return opener

    return register


def check_source(source: object) -> Path:
    """Return the absolute path of a regular file or folder that exists and is readable.

    Raises:
        VideoError: it does not exist, is not readable, is empty, or is a pipe or device.
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
        near = get_close_matches(path.name, _sibling_names(path), n=1)
        raise VideoError(
            "there is no such file",
            asked=str(source),
            found=f"a similar name: {near[0]}" if near else None,
            fix="download it first" if "://" in str(source) else "check the path",
        ) from None
    except (OSError, RuntimeError, ValueError) as error:  # a symlink loop is one or the other
        raise VideoError("the file cannot be read", asked=str(source), found=error) from error
    return path


def _sibling_names(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def check_size(path: str, width: int, height: int) -> None:
    """Refuse frames that have no pixels, or too many to decode.

    Raises:
        VideoError: the frame has no pixels or more than `MAX_PIXELS`.
    """
    if width <= 0 or height <= 0:
        raise VideoError(
            f"the frames of {path} have no pixels",
            asked="a width and height of at least 1 pixel",
            found=f"{width}x{height}",
            fix="the file is damaged, or its stream contains no picture: download it again",
        )
    if width * height > MAX_PIXELS:
        raise VideoError(
            f"the frames of {path} are too large to decode",
            asked=f"at most {MAX_PIXELS:,} pixels per frame",
            found=f"{width}x{height} = {width * height:,} pixels",
            fix="scale it down first",
        )
