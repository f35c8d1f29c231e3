"""Access to a video file through PyAV: its streams, packets and frames in display orientation."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import av
import av.logging
import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import Heartbeat, check_size

THREADS = 4
"""Decoding threads. The number is the same everywhere, because it decides how many packets are
decoded at once, and so which frames a damaged packet affects. Each thread holds its own frames."""

JPEG_MAGIC = b"\xff\xd8\xff"
"""First bytes of a JPEG. A video file that begins with them is a raw Motion JPEG stream."""

STEPS_BACK = 8
"""Number of earlier key frames that a seek tries before it goes to the start of the file."""

JUMP_BACK, JUMP_AHEAD = 0.1, 10.0
"""Seconds by which decoding stamps jump where one recording ends and the next begins."""

_HEADERS = {
    "matroska,webm": re.compile(rb"\x1a\x45\xdf\xa3.{1,60}?\x42\x82.(?:matroska|webm)", re.DOTALL),
    "flv": re.compile(rb"FLV\x01[\x01\x04\x05]\0\0\0\x09\0\0\0\0"),
    "mov,mp4,m4a,3gp,3g2,mj2": re.compile(
        rb"\0\0\0.ftyp(?:isom|iso[2-9]|mp4[12]|avc1|M4V |qt  )", re.DOTALL
    ),
    "asf": re.compile(re.escape(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"))),
}
"""Header by FFmpeg's name of the format. If a second header follows in a file of these formats,
FFmpeg silently stops there or loses frames."""

MAX_SEARCHED = 2**32
"""Maximum size in bytes of a file that is searched for a second header, which reads all of it."""

_BLOCK, _LONGEST_HEADER = 2**22, 128


def open_container(path: str) -> Any:
    """Open a file that has at least one video stream that is not a cover picture.

    Raises:
        VideoError: it is not a video, or it has no such stream.
    """
    try:
        with open(path, "rb") as file:
            # FFmpeg would read only one picture of a raw stream whose name ends with .jpg.
            raw = "mjpeg" if file.read(len(JPEG_MAGIC)) == JPEG_MAGIC else None
        options = {"protocol_whitelist": "file"}
        container = av.open(path, format=raw, options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "this is not a video that can be read",
            asked=path,
            found=av_message(error),
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
    """Return the video streams that can be decoded and are not a cover picture."""
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
    """Describe a video stream: its number in the file, codec and size."""
    context = stream.codec_context
    form = f"{context.name}, {context.width}x{context.height}" if context else "unknown codec"
    return f"{stream.index} ({form}{', a cover picture' if _is_cover(stream) else ''})"


def packets(container: Any, streams: list[Any], heartbeat: Heartbeat) -> Iterator[tuple[Any, int]]:
    """Yield (packet, shift of its stamps) for the packets with data of a freshly opened file.

    Where a second recording was appended to the first, the stamps start again. They are shifted so
    that they continue instead.
    """
    restarts = bool(container.format.flags & av.format.Flags.ts_discont.value)
    shifters = {stream.index: _StampShifter(stream, restarts) for stream in streams}
    for packet in container.demux(streams):
        heartbeat()
        if packet.size:
            yield packet, shifters[packet.stream_index].shift(packet)


class _StampShifter:
    """Shifts the stamps of one stream where they jump.

    Args:
        stream: a video stream.
        restarts: whether a jump ahead marks an appended recording, too (in most formats it is a
            pause).
    """

    def __init__(self, stream: Any, restarts: bool) -> None:
        rate, base = stream.guessed_rate or 25, stream.time_base or 1
        self._shift, self._restarts = 0, restarts
        self._step, self._back, self._ahead = (
            round(seconds / base) for seconds in (1 / rate, JUMP_BACK, JUMP_AHEAD)
        )
        self._last: int | None = None

    def shift(self, packet: Any) -> int:
        """Shift the stamps of the next packet in place; return the shift."""
        if packet.dts is not None:
            # FFmpeg copies a missing stamp from the next packet, perhaps of another recording.
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


def packets_from(
    container: Any, stream: Any, heartbeat: Heartbeat, keys: Sequence[int]
) -> Iterator[Any]:
    """Yield the packets from the last of these key frames on.

    Args:
        container: an open container.
        stream: a stream of the container, with ascending stamps.
        heartbeat: called for each packet.
        keys: int [key] ascending stamps of key frames.
    """
    for stamp in reversed(keys[-STEPS_BACK:]):
        container.seek(int(stamp), stream=stream)
        source = container.demux(stream)
        first = next((packet for packet in source if packet.is_keyframe and packet.size), None)
        # FFmpeg searches a container without an index by decoding stamps. They are lower than the
        # presentation stamps, so the search can end behind the key frame.
        if first is not None and first.pts is not None and first.pts <= keys[-1]:
            break
    else:
        container.seek(0, unsupported_byte_offset=True)
        source, first = container.demux(stream), None
    for packet in source if first is None else chain([first], source):
        heartbeat()
        if packet.size:
            yield packet


def decode(
    stream: Any, packets: Iterable[Any], *, strict: bool, counted: bool = False
) -> Iterator[Any]:
    """Yield frames in display order. None stands for damage; the frame after it is a key frame.

    Args:
        stream: a stream of a container that was just opened, or in which a seek has just ended.
        packets: packets of the stream.
        strict: report damage that the decoder would conceal.
        counted: replace the packets' stamps by their numbers.
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
                # Frames shown before that key frame may depend on lost ones.
                if waiting or (least is not None and packet.pts < least):
                    continue
            try:
                yield from context.decode(packet)
            except av.FFmpegError:
                context.flush_buffers()  # else it takes no further packet
                waiting = True
                yield None
    except av.FFmpegError:
        return  # the caller reports a missing frame


PLAIN = (1, 0, 0, 1)
"""Orientation of a frame that is displayed as it is stored."""


def orientation(frame: Any) -> tuple[int, int, int, int]:
    """Return (a, b, c, d): the pixel at (x, y) is displayed at x' = a x + c y, y' = b x + d y.

    Call it for one frame only: reading side data puts the frame into a reference cycle, so that it
    is freed late.
    """
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return PLAIN
    a, b, _, c, d = (round(value / 65536) for value in np.frombuffer(matrix, np.int32)[:5].tolist())
    right_angles = sorted(((abs(a), abs(d)), (abs(b), abs(c)))) == [(0, 0), (1, 1)]
    return (a, b, c, d) if right_angles else PLAIN


def upright(frame: Any, turn: tuple[int, int, int, int]) -> np.ndarray:
    """Return uint8 [row, column, rgb], rotated and flipped as players display it."""
    a, b, c, d = turn
    pixels: np.ndarray = frame.to_ndarray(format="rgb24")
    if b:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels[:: b or d, :: a or c])


def damaged_file(path: str, asked: object, found: object) -> VideoError:
    """Return the error for a file that does not contain what its header says."""
    return VideoError(
        f"the video {path} is damaged or cut short",
        asked=asked,
        found=found,
        fix="download it again, or keep the readable part: ffmpeg -i FILE NEW.mp4",
    )


def av_message(error: Exception) -> str:
    """Return the message of a PyAV error, with FFmpeg's log line, without number and path."""
    log = getattr(error, "log", None)
    message = getattr(error, "strerror", None) or str(error)
    return f"{message} ({log[2].strip()})" if log else message


def second_header(path: str, format_name: str, heartbeat: Heartbeat) -> int | None:
    """Return the byte at which a second header of this format begins inside the file, if any does.

    `cat a.mkv b.mkv` makes such a file. Formats of which FFmpeg reads the second recording without
    losing frames are not searched, and neither are files of more than `MAX_SEARCHED` bytes.
    """
    header = _HEADERS.get(format_name)
    if header is None or os.path.getsize(path) > MAX_SEARCHED:
        return None
    with open(path, "rb") as file:
        start = file.seek(16)  # behind the beginning of the first header
        tail = b""
        while block := file.read(_BLOCK):
            heartbeat()
            block = tail + block
            if match := header.search(block):
                return start + match.start()
            tail = block[-_LONGEST_HEADER:]
            start += len(block) - len(tail)
    return None
