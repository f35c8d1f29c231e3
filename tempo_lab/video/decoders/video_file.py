"""Readers of video files: PyAV, which "auto" uses, and decord."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import Heartbeat, TimedFrame, register_decoder
from tempo_lab.video.decoders.container import (
    THREADS,
    damaged_file,
    decode,
    open_container,
    packets,
    packets_from,
    upright,
)
from tempo_lab.video.decoders.packet_index import read_index

SEEK_GAP = 16
"""PyAV seeks to a key frame only if that saves decoding more frames than this."""

HELD_BACK = 4
"""Frames that PyAV's reader holds back until the frames after them are known to be undamaged."""


@register_decoder("auto")
@register_decoder("pyav")
class AvReader:
    """PyAV: reads forward through the file and seeks to a key frame where that skips enough.

    "auto" is this reader because the stamp of each frame says which frame it is, and because damage
    is detected before a frame is returned. It was not slower than decord on any file measured.
    """

    def __init__(self, path: str, heartbeat: Heartbeat, stream: int | None = None) -> None:
        self._path, self._heartbeat = path, heartbeat
        self._index = read_index(path, heartbeat, stream)
        self.info, self.times = self._index.info, self._index.times

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]:
        with ExitStack() as stack:
            container = stack.enter_context(open_container(self._path))
            frames, did_seek = self._numbered(container), False
            at, frame = -1, None  # of the last decoded frame
            for index in indices:
                coded, keys = int(self._index.coded[index]), self._keys_before(index)
                if keys and self._number(keys[-1]) - at > SEEK_GAP:
                    frames, did_seek = self._numbered(container, keys), True
                at, frame = _advance(frames, at, frame, coded)
                if did_seek and (at != coded or frame is None):
                    # With intra refresh a picture is not complete soon after a key frame.
                    container = stack.enter_context(open_container(self._path))
                    frames, did_seek = self._numbered(container), False
                    at, frame = _advance(frames, -1, None, coded)
                if at != coded or frame is None:
                    raise self._missing(index)
                yield float(self._index.times[index]), upright(frame, self._index.turn)

    def _keys_before(self, index: int) -> list[int]:
        """Return the stamps, up to the one of frame `index`, at which decoding can start."""
        pts, keys = self._index.pts, self._index.keys
        return [] if pts is None else keys[: bisect_right(keys, pts[index])].tolist()

    def _number(self, stamp: int) -> int:
        """Return the number of the first frame at or after this stamp."""
        assert self._index.pts is not None
        return int(np.searchsorted(self._index.pts, stamp))

    def _numbered(self, container: Any, keys: Sequence[int] = ()) -> Iterator[tuple[int, Any]]:
        """Return (number, frame) from a key frame on, as `mark_damage` yields them.

        Args:
            container: an open container.
            keys: ascending stamps of key frames; reading begins at the last one. By default it
                begins at the start of the file.
        """
        index, stream = self._index, container.streams[self._index.stream]
        if keys:
            source = packets_from(container, stream, self._heartbeat, keys)
        else:
            every = (packet for packet, _ in packets(container, [stream], self._heartbeat))
            source = islice(every, index.begin, None)
        if index.pts is not None:
            least = keys[-1] if keys else min([index.pts[0], *index.keys[:1]])
            source = (packet for packet in source if packet.pts >= least)
        decoded = decode(stream, source, strict=index.strict, counted=index.pts is None)
        first = self._number(keys[-1]) if keys else 0
        return mark_damage(decoded, first, self._number_of)

    def _number_of(self, frame: Any, expected: int) -> int:
        """Return the number of a decoded frame."""
        if self._index.pts is not None:
            return self._number(frame.pts)
        # Frames may have been lost before a key frame.
        return max(expected, frame.pts) if frame.key_frame else expected

    def _missing(self, index: int) -> VideoError:
        time = self._index.times[index]
        return damaged_file(
            self._path,
            f"frame {index} of {self.info.frames}, at {time:.2f} s",
            "it cannot be decoded",
        )


def mark_damage(
    decoded: Iterable[Any], expected: int, number_of: Callable[[Any, int], int]
) -> Iterator[tuple[int, Any]]:
    """Yield (number, frame) of decoded frames; the frame is None where it is damaged.

    A frame depends on frames before it, so damage lasts until the next key frame. Damage also
    reaches back: a few frames displayed before a damaged frame may depend on it.

    Args:
        decoded: frames in display order; None stands for damage (see `decode`).
        expected: number of the first frame.
        number_of: returns the number of a frame, given the frame and the expected number.
    """
    damaged = False
    pending: deque[tuple[int, Any]] = deque()
    for frame in decoded:
        number = expected if frame is None else number_of(frame, expected)
        # A frame that is missing was damaged, too.
        if frame is None or frame.is_corrupt or number > expected:
            pending = deque((number, None) for number, _ in pending)
            damaged = True
        if frame is not None:
            damaged = damaged and (frame.is_corrupt or not frame.key_frame)
            pending.append((number, None if damaged else frame))
            expected = number + 1
        if len(pending) > HELD_BACK:
            yield pending.popleft()
    yield from pending


def _advance(
    frames: Iterator[tuple[int, Any]], at: int, frame: Any, wanted: int
) -> tuple[int, Any]:
    """Return the first of the numbered frames from number `wanted` on, or the last one."""
    while at < wanted:
        try:
            at, frame = next(frames)
        except StopIteration:
            return at, None
    return at, frame


@register_decoder("decord")
class DecordReader:
    """decord. Its error messages and the packet index decide whether its frames are correct."""

    def __init__(self, path: str, heartbeat: Heartbeat, stream: int | None = None) -> None:
        try:
            import decord
        except ImportError as error:
            raise VideoError(
                "decord cannot be imported here",
                asked='decoder="decord"',
                found=error,
                fix='pip install decord (eva-decord on macOS), or decoder="pyav"',
            ) from error
        self._index = read_index(path, heartbeat, stream)
        info, self.times = self._index.info, self._index.times
        if info.reason:
            raise self._refused(info.reason)
        decord.logging.set_level(decord.logging.ERROR)
        # decord decodes ahead: a message may come long before the frame that it is about.
        self._messages_start = _messages_end()
        try:
            self._reader = decord.VideoReader(path, num_threads=THREADS)
        except UnicodeEncodeError:
            raise self._refused("decord cannot open a file whose name is not UTF-8") from None
        except (decord.DECORDError, RuntimeError) as error:
            raise damaged_file(path, "a video that decord opens", _brief(error)) from error
        if len(self._reader) != info.frames:
            raise self._refused(f"it counts {len(self._reader)} frames, the file has {info.frames}")
        self._failure: type[Exception] = decord.DECORDError
        self.info = replace(info, decoder="decord", fps=self._reader.get_avg_fps() or info.fps)

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]:
        for index in indices:
            try:
                frame = self._reader[index].asnumpy()
            except (self._failure, RuntimeError, IndexError) as error:
                raise self._damaged(index, _brief(error)) from error
            if message := _message_since(self._messages_start):
                raise self._damaged(index, message)
            if frame.shape != (self.info.height, self.info.width, 3):
                raise self._damaged(index, f"a frame of shape {frame.shape}")
            yield float(self._index.times[index]), frame

    def _refused(self, why: str) -> VideoError:
        return VideoError(
            f"decord must not read {self._index.info.path}",
            asked='decoder="decord"',
            found=why,
            fix='decoder="auto" or "pyav"',
        )

    def _damaged(self, index: int, found: str) -> VideoError:
        return damaged_file(self.info.path, f"frame {index} without damage", found)


def _messages_end() -> int:
    return os.fstat(2).st_size


def _message_since(start: int) -> str:
    """Return the first line that a C library has written to standard error since `start`.

    The child's standard error is a file. If it is none, the result is always empty.
    """
    if os.fstat(2).st_size <= start:
        return ""
    if not hasattr(os, "pread"):  # Windows
        return "decord wrote an error message"
    return os.pread(2, 200, start).decode(errors="replace").strip().split("\n")[0]


def _brief(error: Exception) -> str:
    """Return the first line of decord's message, without source line and stack trace."""
    return re.sub(r"^\[[\d:]+\] \S+ ", "", str(error).strip().split("\n")[0])[:200]
