"""Readers of video files: PyAV, decord, and "auto", which takes decord wherever it is right.

Every reader starts from the file's own packet index, read by PyAV without decoding: it has the true
number of frames and their exact presentation times. Headers may lie about the first, and decord's
times are rounded, shifted to zero, and wrong after an edit list.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import av.logging
import numpy as np

from tempo_lab.decoders import Tick, Timed, VideoInfo, check_size, register_decoder
from tempo_lab.errors import VideoError

DECORD_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
"""Containers that decord reads right. From MPEG-TS it returns wrong frames without a word."""

THREADS = min(8, os.cpu_count() or 1)
"""Decoding threads: each holds frames of its own, so a large machine must not use all its cores."""

SEEK_GAP = 16
"""PyAV seeks to a key frame only when that saves decoding more frames than this."""

_CUT_SHORT = re.compile("partial file|ended prematurely")
_COMPLAINT = re.compile(rb"(?i)error|invalid|corrupt|missing|truncat")


@dataclass(frozen=True)
class PacketIndex:
    """Where the displayed frames of a video file are.

    Attributes:
        info: the file as PyAV reads it.
        pts: int64 [frame] ascending presentation stamps, in the stream's time base; None where
            the format stores none (frames are then counted).
        keys: int64 [key] the stamps among them at which decoding can start.
        times: float64 [frame] presentation seconds on the file's clock.
        unfit: why decord must not read this file; empty where it may.
    """

    info: VideoInfo
    pts: np.ndarray | None
    keys: np.ndarray
    times: np.ndarray
    unfit: str


def read_index(path: str, tick: Tick) -> PacketIndex:
    """Reads the packets of the first video stream, and decodes one frame.

    Raises:
        VideoError: not a video, no video stream, cut short, or nothing in it can be decoded.
    """
    with _open(path) as container:
        first = next((frame for frame in _decode(container, tick) if frame is not None), None)
        if first is None:
            raise _damaged(path, "one frame", "none that can be decoded")
        height, width = _oriented(first).shape[:2]
    packets: list[Any] = []
    av.logging.set_level(av.logging.ERROR)
    with _open(path) as container, av.logging.Capture() as log:
        stream = container.streams.video[0]
        try:
            for packet in container.demux(stream):
                if packet.size:
                    packets.append((packet.pts, packet.is_keyframe, packet.is_discard))
                    tick()
        except av.FFmpegError as error:
            raise _damaged(path, "the whole file", f"{len(packets)} frames, {error}") from error
        finally:
            av.logging.set_level(None)
        format_name, codec = container.format.name, stream.codec_context.name
        time_base = float(stream.time_base or 0)
        origin = max(0.0, (container.start_time or 0) / 1e6)
        rate = float(stream.average_rate or 0)
        declared_frames, declared_seconds = stream.frames, _declared_seconds(container, stream)

    shown = [packet for packet in _from_first_key(packets) if not packet[2]]
    stamped = all(pts is not None for pts, *_ in shown)
    if stamped and time_base:
        pts = np.unique(np.array([pts for pts, *_ in shown], dtype=np.int64))
        times = pts * time_base - origin
        seconds = float(times[-1] - times[0])
        rate = rate or (len(times) - 1) / (seconds or 1)
        seconds += 1 / (rate or 1)
    else:
        pts, rate = None, rate or 25.0
        times = np.arange(len(shown)) / rate
        seconds = len(shown) / rate
    complaints = [text.strip() for *_, text in log]
    cut = next((text for text in complaints if _CUT_SHORT.search(text)), None)
    # A header is trusted to 2 % or a second: some writers round, or count one frame more.
    if cut or declared_seconds > max(seconds + 1, seconds * 1.02):
        raise _damaged(
            path,
            f"{declared_frames or 'unknown'} frames, {declared_seconds:.1f} s by its header",
            f"{len(shown)} frames, {seconds:.1f} s{f' ({cut})' if cut else ''}",
        )
    unfit = ""
    if codec == "av1":
        unfit = "decord cannot read av1"
    elif format_name not in DECORD_FORMATS:
        unfit = f"decord returns wrong frames from {format_name}"
    elif len(shown) < len(packets) or (stamped and pts is not None and pts[0] < 0):
        unfit = "an edit list hides the first frames, which decord does not know"
    elif complaints:
        unfit = f"the file is damaged ({complaints[0]}), which decord may pass over in silence"
    info = VideoInfo(
        path, "video", width, height, len(times), rate, seconds, codec, "pyav", reason=unfit
    )
    keys = np.unique(np.array([p for p, key, _ in shown if key and p is not None], dtype=np.int64))
    return PacketIndex(info, pts, keys, times, unfit)


def _from_first_key(packets: list[Any]) -> list[Any]:
    """What comes before the first key frame (a recording begun in the middle) is not decodable."""
    first = next((at for at, (_, key, _) in enumerate(packets) if key), 0)
    return packets[first:]


def _declared_seconds(container: Any, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    match = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if match:
        hours, minutes, seconds = map(float, match.groups())
        return hours * 3600 + minutes * 60 + seconds
    # The container's duration is that of its longest stream, which may be the sound.
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else 0.0


def _open(path: str) -> Any:
    try:
        container = av.open(path, options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "this is not a video that can be read",
            asked=path,
            found=error,
            fix="check that it plays elsewhere; a file cut short may have lost its index",
        ) from error
    if not container.streams.video:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        container.close()
        raise VideoError("there is no video in this file", asked=path, found=kinds)
    video = container.streams.video[0].codec_context
    check_size(path, video.width, video.height)
    video.thread_type, video.thread_count = "AUTO", THREADS
    return container


def _damaged(path: str, asked: object, found: object) -> VideoError:
    return VideoError(
        f"the video {path} is damaged or cut short",
        asked=asked,
        found=found,
        fix="fetch it again, or keep what can be read with: ffmpeg -i FILE NEW.mp4",
    )


def _oriented(frame: Any) -> np.ndarray:
    """uint8 [row, column, rgb], turned as it is to be displayed."""
    pixels: np.ndarray = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _decode(container: Any, tick: Tick, start: int | None = None) -> Iterator[Any]:
    """Frames of an open file from its start, or from the key frame stamped `start`.

    None stands for a packet that could not be decoded.
    """
    stream = container.streams.video[0]
    if start is not None:
        container.seek(start, stream=stream, backward=True)
    try:
        for packet in container.demux(stream):
            tick()
            try:
                yield from packet.decode()
            except av.FFmpegError:
                yield None
    except av.FFmpegError:
        return  # who needs a frame that did not come says so


@register_decoder("pyav")
class AvReader:
    """PyAV: forward through the file, seeking to a key frame where that skips enough."""

    def __init__(self, path: str, tick: Tick, index: PacketIndex | None = None) -> None:
        self._path, self._tick = path, tick
        self._index = index or read_index(path, tick)
        self.info = self._index.info

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        at, frame = -1, None  # the frame that was decoded last
        with _open(self._path) as container:
            frames = self._numbered(container)
            for index in indices:
                key = self._key_before(index)
                if key - at > SEEK_GAP:
                    frames = self._numbered(container, key)
                for at, frame in frames:
                    if at >= index:
                        break
                if at != index or frame is None:
                    raise self._missing(index)
                yield float(self._index.times[index]), _oriented(frame)

    def _key_before(self, index: int) -> int:
        """The number of the last frame up to `index` at which decoding can start."""
        pts, keys = self._index.pts, self._index.keys
        if pts is None or not len(keys):
            return 0
        at = bisect_right(keys, pts[index]) - 1
        return int(np.searchsorted(pts, keys[max(at, 0)]))

    def _numbered(self, container: Any, key: int | None = None) -> Iterator[tuple[int, Any]]:
        """(number, frame) from a key frame on; the frame is None where it is damaged.

        A frame is drawn from those before it, so damage lasts until the next key frame.
        """
        pts = self._index.pts
        start = None if key is None or pts is None else int(pts[key])
        damaged, count = False, -1
        for frame in _decode(container, self._tick, start):
            if frame is None:
                damaged = True
                continue
            damaged = frame.is_corrupt or (damaged and not frame.key_frame)
            count += 1
            number = count if pts is None else int(np.searchsorted(pts, frame.pts))
            yield number, None if damaged else frame

    def _missing(self, index: int) -> VideoError:
        time = self._index.times[index]
        return _damaged(
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
            raise _damaged(path, "a video that decord opens", _brief(error)) from error
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
            raise _damaged(self.info.path, "frames without damage", doubt) from None

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
            yield index, frame


@register_decoder("auto")
class AutoReader:
    """decord where it reads the file right, else PyAV, with the reason in `info.reason`."""

    def __init__(self, path: str, tick: Tick) -> None:
        self._index = read_index(path, tick)
        self._tick = tick
        self._decord: DecordReader | None = None
        try:
            self._decord = DecordReader(path, tick, self._index)
            self.info = self._decord.info
        except VideoError as error:
            reason = self._index.unfit or f"{str(error).splitlines()[0]} ({error.found})"
            self.info = replace(self._index.info, reason=reason)

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


def _messages_end() -> int:
    return os.fstat(2).st_size


def _complaint_since(start: int) -> str:
    """What a C library wrote to the standard error since then, if it speaks of damage.

    The child's standard error is a file; elsewhere nothing is known and nothing is said.
    """
    if os.fstat(2).st_size <= start:
        return ""
    text = os.pread(2, 2000, start)
    return text.decode(errors="replace").strip() if _COMPLAINT.search(text) else ""


def _brief(error: Exception) -> str:
    """The first line of decord's message, without its source line and stack trace."""
    return re.sub(r"^\[[\d:]+\] \S+ ", "", str(error).strip().split("\n")[0])[:200]
