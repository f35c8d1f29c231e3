"""Readers of video files: PyAV, decord, and "auto", which takes decord wherever it is right."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tempo_lab.decoders import Tick, Timed, VideoInfo, register_decoder
from tempo_lab.decoders_index import (
    THREADS,
    PacketIndex,
    damaged_file,
    decode,
    open_container,
    oriented,
    read_index,
)
from tempo_lab.errors import VideoError

DECORD_PIXELS = 600_000
"""Largest frame that "auto" gives to decord, which reads ahead without a bound: measured 110 to 300
full frames held, 800 MB at 1280x720, where PyAV stays at 72 MB."""

DECORD_FRAMES = 20_000
"""Longest video that "auto" gives to decord: an hour took it 27 s and growing memory, PyAV 15 s."""

SEEK_GAP = 16
"""PyAV seeks to a key frame only when that saves decoding more frames than this."""

HELD_BACK = 4
"""Frames that PyAV's reader keeps until it is known that the ones after them are whole."""

_COMPLAINT = re.compile(rb"(?i)error|invalid|corrupt|missing|truncat")


@register_decoder("pyav")
class AvReader:
    """PyAV: forward through the file, seeking to a key frame where that skips enough."""

    def __init__(self, path: str, tick: Tick, index: PacketIndex | None = None) -> None:
        self._path, self._tick = path, tick
        self._index = index or read_index(path, tick)
        self.info = self._index.info

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        at, frame = -1, None  # the frame that was decoded last
        with open_container(self._path) as container:
            frames = self._numbered(container)
            for index in indices:
                key = self._key_before(index)
                if key - at > SEEK_GAP:
                    frames = self._numbered(container, key)
                for at, frame in frames:  # noqa: B007  (both are used after the loop)
                    if at >= index:
                        break
                if at != index or frame is None:
                    raise self._missing(index)
                yield float(self._index.times[index]), oriented(frame)

    def _key_before(self, index: int) -> int:
        """The number of the last frame up to `index` at which decoding can start."""
        pts, keys = self._index.pts, self._index.keys
        if pts is None or not len(keys):
            return 0
        at = bisect_right(keys, pts[index]) - 1
        return int(np.searchsorted(pts, keys[max(at, 0)]))

    def _numbered(self, container: Any, key: int | None = None) -> Iterator[tuple[int, Any]]:
        """(number, frame) from a key frame on; the frame is None where it is damaged.

        A frame is drawn from those before it, so damage lasts until the next key frame. It also
        reaches back: a few frames shown before a damaged one may have been drawn from it.
        """
        pts = self._index.pts
        start = None if key is None or pts is None else int(pts[key])
        damaged, count = False, -1
        held: deque[tuple[int, Any]] = deque()
        for frame in decode(container, self._tick, start):
            count += 1
            if frame is None or frame.is_corrupt:
                damaged = True
                held = deque((number, None) for number, _ in held)
            elif frame.key_frame:
                damaged = False
            if frame is not None:
                number = count if pts is None else int(np.searchsorted(pts, frame.pts))
                held.append((number, None if damaged else frame))
            if len(held) > HELD_BACK:
                yield held.popleft()
        yield from held

    def _missing(self, index: int) -> VideoError:
        time = self._index.times[index]
        return damaged_file(
            self._path,
            f"frame {index} of {self.info.frames}, at {time:.2f} s",
            "it cannot be decoded",
        )


class _Doubt(Exception):
    """decord complained while decoding: its frames may be wrong."""


@register_decoder("decord")
class DecordReader:
    """decord; its own complaints and the packet index say whether its frames can be trusted."""

    def __init__(self, path: str, tick: Tick, index: PacketIndex | None = None) -> None:
        try:
            import decord
        except ImportError as error:
            raise VideoError(
                "decord cannot be imported here",
                asked='decoder="decord"',
                found=error,
                fix='pip install decord (eva-decord on macOS), or decoder="pyav"',
            ) from error
        self._index = index or read_index(path, tick)
        if self._index.unfit:
            raise VideoError(
                f"decord must not read {path}",
                asked='decoder="decord"',
                found=self._index.unfit,
                fix='decoder="auto" or "pyav"',
            )
        decord.logging.set_level(decord.logging.ERROR)
        try:
            self._reader = decord.VideoReader(path, num_threads=THREADS)
        except (decord.DECORDError, RuntimeError) as error:
            raise damaged_file(path, "a video that decord opens", _brief(error)) from error
        info = self._index.info
        if len(self._reader) != info.frames:
            raise VideoError(
                f"decord miscounts the frames of {path}",
                asked=f"{info.frames} frames, as the file's packets have it",
                found=f"{len(self._reader)} frames",
                fix='decoder="auto" or "pyav"',
            )
        self._failure: type[Exception] = decord.DECORDError
        self.info = replace(info, decoder="decord", fps=self._reader.get_avg_fps() or info.fps)

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        try:
            for index, frame in self.trusted(indices):
                yield float(self._index.times[index]), frame
        except _Doubt as doubt:
            raise damaged_file(self.info.path, "frames without damage", doubt) from None

    def trusted(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Numbered frames, until decord complains (`_Doubt`)."""
        for index in indices:
            heard = _messages_end()
            try:
                frame = self._reader[index].asnumpy()
            except (self._failure, RuntimeError, IndexError) as error:
                raise _Doubt(f"frame {index}: {_brief(error)}") from error
            if complaint := _complaint_since(heard):
                raise _Doubt(f"near frame {index}: {complaint}")
            if frame.shape != (self.info.height, self.info.width, 3):
                raise _Doubt(f"frame {index} has the shape {frame.shape}")
            yield index, frame


@register_decoder("auto")
class AutoReader:
    """decord where it reads the file right, else PyAV, with the reason in `info.reason`."""

    def __init__(self, path: str, tick: Tick) -> None:
        self._index, self._tick = read_index(path, tick), tick
        self._decord: DecordReader | None = None
        reason = self._index.unfit or _costly(self._index.info)
        if not reason:
            try:
                self._decord = DecordReader(path, tick, self._index)
            except VideoError as error:
                reason = f"{str(error).splitlines()[0]}: {error.found}"
        info = self._index.info if self._decord is None else self._decord.info
        self.info = replace(info, reason=reason)

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        rest = list(indices)
        if self._decord is not None:
            try:
                for index, frame in self._decord.trusted(indices):
                    yield float(self._index.times[index]), frame
                    rest.pop(0)
            except _Doubt:
                pass  # PyAV knows which frames are damaged and refuses just those
        if rest:
            yield from AvReader(self.info.path, self._tick, self._index).read(rest)


def _costly(info: VideoInfo) -> str:
    if info.width * info.height > DECORD_PIXELS:
        return f"decord holds hundreds of frames, too much memory at {info.width}x{info.height}"
    if info.frames > DECORD_FRAMES:
        return f"decord is slow in files as long as {info.frames:,} frames"
    return ""


def _messages_end() -> int:
    return os.fstat(2).st_size


def _complaint_since(start: int) -> str:
    """What a C library wrote to the standard error since then, if it speaks of damage.

    The child's standard error is a file; elsewhere nothing is known and nothing is said.
    """
    if os.fstat(2).st_size <= start:
        return ""
    if not hasattr(os, "pread"):  # Windows
        return "decord wrote an error message"
    text = os.pread(2, 2000, start)
    return text.decode(errors="replace").strip() if _COMPLAINT.search(text) else ""


def _brief(error: Exception) -> str:
    """The first line of decord's message, without its source line and stack trace."""
    return re.sub(r"^\[[\d:]+\] \S+ ", "", str(error).strip().split("\n")[0])[:200]
