"""An open video file: which of its streams is read, its packets, and its frames upright."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import av
import av.logging
import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import Tick, check_size

THREADS = 4
"""Decoding threads. The same number everywhere: which frames a damaged packet makes doubtful
depends on how many packets are decoded at once. Each holds frames of its own."""

JPEG_MAGIC = b"\xff\xd8\xff"
"""The first bytes of a JPEG. A video file that begins with them is a raw Motion JPEG stream."""

STEPS_BACK = 8
"""Key frames before the wanted one that are sought, if need be, before the start of the file is."""

JUMP_BACK, JUMP_AHEAD = 0.1, 10.0
"""Seconds by which decoding stamps jump where one recording ends and the next begins."""


def open_container(path: str) -> Any:
    """A PyAV container with at least one video stream that is no cover picture.

    Raises:
        VideoError: not a video, or none in it.
    """
    try:
        with open(path, "rb") as file:
            # FFmpeg would read one picture of a raw stream that is called .jpg.
            raw = "mjpeg" if file.read(len(JPEG_MAGIC)) == JPEG_MAGIC else None
        options = {"protocol_whitelist": "file"}
        container = av.open(path, format=raw, options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "this is not a video that can be read",
            asked=path,
            found=av_words(error),
            fix="check that it plays elsewhere; a file cut short may have lost its index",
        ) from error
    if not film_streams(container):
        kinds = sorted({_kind(stream) for stream in container.streams})
        container.close()
        raise VideoError(
            "there is no video in this file", asked=path, found=", ".join(kinds) or "no streams"
        )
    return container


def film_streams(container: Any) -> list[Any]:
    """The video streams that can be decoded and are not a cover picture."""
    return [
        stream
        for stream in container.streams.video
        if stream.codec_context and not _is_cover(stream)
    ]


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _kind(stream: Any) -> str:
    return "a cover picture" if stream.type == "video" and _is_cover(stream) else stream.type


def named(stream: Any) -> str:
    """A video stream in words: its number in the file, codec and size."""
    context = stream.codec_context
    form = f"{context.name}, {context.width}x{context.height}" if context else "unknown codec"
    return f"{stream.index} ({form}{', a cover picture' if _is_cover(stream) else ''})"


def packets(container: Any, streams: list[Any], tick: Tick) -> Iterator[tuple[Any, int]]:
    """(packet with data, by how much its stamps were moved) of a freshly opened file, in its order.

    Where a second recording was joined to the first, the stamps start again. They are
    moved, so that they go on instead.
    """
    restarts = bool(container.format.flags & av.format.Flags.ts_discont.value)
    clocks = {stream.index: _Clock(stream, restarts) for stream in streams}
    for packet in container.demux(streams):
        tick()
        if packet.size:
            yield packet, clocks[packet.stream_index].move(packet)


class _Clock:
    """Moves the stamps of one stream where they jump.

    Args:
        stream: a video stream.
        restarts: whether a jump ahead is a joint, too (in most formats it is a pause).
    """

    def __init__(self, stream: Any, restarts: bool) -> None:
        rate, base = stream.guessed_rate or 25, stream.time_base or 1
        self._shift, self._restarts = 0, restarts
        self._step, self._back, self._ahead = (
            round(seconds / base) for seconds in (1 / rate, JUMP_BACK, JUMP_AHEAD)
        )
        self._last: int | None = None

    def move(self, packet: Any) -> int:
        if packet.dts is not None:
            # FFmpeg takes a missing stamp from the next packet, which may be another recording's.
            if self._restarts and packet.pts is not None and self._jumps(packet.pts - packet.dts):
                packet.pts = packet.dts + self._step
            jump = 0 if self._last is None else packet.dts + self._shift - self._last
            if self._jumps(jump):
                self._shift += self._step - jump
            self._last = packet.dts = packet.dts + self._shift
        if packet.pts is not None:
            packet.pts += self._shift
        return self._shift

    def _jumps(self, ticks: int) -> bool:
        return ticks < -self._back or (self._restarts and ticks > self._ahead)


def packets_from(container: Any, stream: Any, tick: Tick, keys: Sequence[int]) -> Iterator[Any]:
    """The packets from the last of these key frames on.

    Args:
        container: open.
        stream: of it, with ascending stamps.
        keys: int [key] ascending stamps of key frames.
    """
    for stamp in reversed(keys[-STEPS_BACK:]):
        container.seek(int(stamp), stream=stream)
        source = container.demux(stream)
        first = next((packet for packet in source if packet.is_keyframe and packet.size), None)
        # A container without an index is searched by decoding stamps, which lie before those of
        # presentation: the search then ends behind the key frame.
        if first is not None and first.pts is not None and first.pts <= keys[-1]:
            break
    else:
        container.seek(0, unsupported_byte_offset=True)
        source, first = container.demux(stream), None
    for packet in source if first is None else chain([first], source):
        tick()
        if packet.size:
            yield packet


def decode(
    stream: Any, packets: Iterable[Any], *, strict: bool, counted: bool = False
) -> Iterator[Any]:
    """Frames in display order. None stands for damage, after which the next is a key frame.

    Args:
        stream: of a freshly opened or sought container.
        packets: of it.
        strict: report damage that the decoder would conceal.
        counted: stamp the packets with their number instead.
    """
    context = stream.codec_context
    check_size(stream.container.name, context.width, context.height)
    if not context.is_open:
        context.thread_type, context.thread_count = "AUTO", THREADS
        context.options = {"err_detect": "explode"} if strict else {}
    waiting, least = False, None
    try:
        for number, packet in enumerate(chain(packets, [None])):
            if packet is not None:
                if counted:
                    packet.pts = packet.dts = number
                if waiting and packet.is_keyframe:
                    waiting, least = False, packet.pts
                # Frames shown before that key frame may be drawn from lost ones.
                if waiting or (least is not None and packet.pts < least):
                    continue
            try:
                yield from context.decode(packet)
            except av.FFmpegError:
                context.flush_buffers()  # else it takes no further packet
                waiting = True
                yield None
    except av.FFmpegError:
        return  # who needs a frame that did not come says so


PLAIN = (1, 0, 0, 1)
"""The orientation of a frame that is displayed as it is stored."""


def orientation(frame: Any) -> tuple[int, int, int, int]:
    """(a, b, c, d) of the pixel at (x, y): it is displayed at x' = a x + c y, y' = b x + d y.

    Asked of one frame, not of all: a frame that was asked is in a cycle, and freed late.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return PLAIN
    a, b, _, c, d = (round(value / 65536) for value in np.frombuffer(matrix, np.int32)[:5].tolist())
    right_angles = sorted(((abs(a), abs(d)), (abs(b), abs(c)))) == [(0, 0), (1, 1)]
    return (a, b, c, d) if right_angles else PLAIN


def upright(frame: Any, turn: tuple[int, int, int, int]) -> np.ndarray:
    """uint8 [row, column, rgb], turned and flipped as it is to be displayed."""
    a, b, c, d = turn
    pixels: np.ndarray = frame.to_ndarray(format="rgb24")
    if b:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: b or d, :: a or c])


def damaged_file(path: str, asked: object, found: object) -> VideoError:
    """The error for a file that does not hold what it says."""
    return VideoError(
        f"the video {path} is damaged or cut short",
        asked=asked,
        found=found,
        fix="fetch it again, or keep what can be read with: ffmpeg -i FILE NEW.mp4",
    )


def av_words(error: Exception) -> str:
    """PyAV's error, without its number and the path but with what the library logged."""
    log = getattr(error, "log", None)
    words = getattr(error, "strerror", None) or str(error)
    return f"{words} ({log[2].strip()})" if log else words
