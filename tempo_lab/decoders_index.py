"""The index of a video file: how many frames it really has, and when each is shown.

Read by PyAV, without decoding more than one frame. Headers may lie about the first, and decord's
times are rounded, shifted to zero, and wrong after an edit list.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import av.logging
import numpy as np

from tempo_lab.decoders import Tick, VideoInfo, check_size
from tempo_lab.errors import VideoError

DECORD_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
"""Containers that decord reads right. From AVI and MPEG-TS it returns wrong frames silently."""

THREADS = min(8, os.cpu_count() or 1)
"""Decoding threads: each holds frames of its own, so a large machine must not use all its cores."""

_CUT_SHORT = re.compile("partial file|ended prematurely")


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
    with open_container(path) as container:
        first = next((frame for frame in decode(container, tick) if frame is not None), None)
        if first is None:
            raise damaged_file(path, "one frame", "none that can be decoded")
        rotation, (height, width) = first.rotation, oriented(first).shape[:2]
    packets: list[Any] = []
    av.logging.set_level(av.logging.ERROR)
    with open_container(path) as container, av.logging.Capture() as log:
        stream = container.streams.video[0]
        try:
            for packet in container.demux(stream):
                if packet.size:
                    packets.append((packet.pts, packet.is_keyframe, packet.is_discard))
                    tick()
        except av.FFmpegError as error:
            raise damaged_file(
                path, "the whole file", f"{len(packets)} frames, {_av_words(error)}"
            ) from error
        finally:
            av.logging.set_level(None)
        format_name, codec = container.format.name, stream.codec_context.codec.canonical_name
        time_base = float(stream.time_base or 0)
        origin = max(0.0, (container.start_time or 0) / 1e6)
        rate = float(stream.average_rate or 0)
        declared_frames, declared_seconds = stream.frames, _declared_seconds(container, stream)

    shown = [packet for packet in _from_first_key(packets) if not packet[2]]
    # AVI stores no presentation stamps, and what FFmpeg makes up is wrong with B-frames.
    stamped = format_name != "avi" and all(pts is not None for pts, *_ in shown)
    if stamped and time_base:
        pts = np.unique(np.array([pts for pts, *_ in shown], dtype=np.int64))
        times = np.round(pts * time_base - origin, 6) + 0.0
        span = float(pts[-1] - pts[0]) * time_base
        rate = rate or (len(times) - 1) / (span or 1) or 1.0
        seconds = round(span + 1 / rate, 6)
    else:
        pts, rate = None, rate or 25.0
        times = np.arange(len(shown)) / rate
        seconds = len(shown) / rate
    complaints = [text.strip() for *_, text in log]
    cut = next((text for text in complaints if _CUT_SHORT.search(text)), None)
    # Frames lost in the middle leave a hole in the stamps (but so does a variable frame rate).
    holes = bool(complaints) and len(shown) / rate < seconds * 0.98
    # A header is trusted to 2 % or a second: some writers round, or count one frame more.
    if cut or holes or declared_seconds > max(seconds + 1, seconds * 1.02):
        raise damaged_file(
            path,
            f"{declared_frames or round(declared_seconds * rate)} frames, {declared_seconds:.1f} s",
            "; ".join(
                [f"{len(shown)} frames in {seconds:.1f} s", *([cut] if cut else complaints[:1])]
            ),
        )
    unfit = ""
    if codec == "av1":
        unfit = "decord cannot read av1"
    elif format_name not in DECORD_FORMATS:
        unfit = f"decord returns wrong frames from {format_name}"
    elif rotation:
        unfit = "decord misreads the rows of rotated frames"
    elif _has_leading_frames(shown):
        unfit = "decord loses count when it seeks in a video with open groups of pictures"
    elif len(shown) < len(packets) or (stamped and pts is not None and pts[0] < 0):
        unfit = "an edit list hides the first frames, which decord does not know"
    elif complaints:
        unfit = f"the file is damaged ({complaints[0]}), which decord may pass over in silence"
    info = VideoInfo(path, "video", width, height, len(times), rate, seconds, codec, "pyav")
    keys = np.unique(np.array([p for p, key, _ in shown if key and p is not None], dtype=np.int64))
    return PacketIndex(info, pts, keys, times, unfit)


def _from_first_key(packets: list[Any]) -> list[Any]:
    """What comes before the first key frame (a recording begun in the middle) is not decodable."""
    first = next((at for at, (_, key, _) in enumerate(packets) if key), 0)
    return packets[first:]


def _has_leading_frames(packets: list[Any]) -> bool:
    """Whether frames that follow a key frame in the file are shown before it (an "open" group).

    Such a frame needs the group before; a decoder that starts at the key frame leaves it out.
    """
    key_pts = None
    for pts, key, _ in packets:
        if key:
            key_pts = pts
        elif pts is not None and key_pts is not None and pts < key_pts:
            return True
    return False


def _declared_seconds(container: Any, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    match = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if match:
        hours, minutes, seconds = map(float, match.groups())
        return hours * 3600 + minutes * 60 + seconds
    # The container's duration is that of its longest stream, which may be the sound.
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else 0.0


def open_container(path: str) -> Any:
    """A PyAV container with a video stream of bearable size.

    Raises:
        VideoError: not a video, or none in it.
    """
    try:
        container = av.open(path, options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(
            "this is not a video that can be read",
            asked=path,
            found=_av_words(error),
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


def damaged_file(path: str, asked: object, found: object) -> VideoError:
    """The error for a file that does not hold what it says."""
    return VideoError(
        f"the video {path} is damaged or cut short",
        asked=asked,
        found=found,
        fix="fetch it again, or keep what can be read with: ffmpeg -i FILE NEW.mp4",
    )


def _av_words(error: Exception) -> str:
    """PyAV's error, without its number and the path but with what the library logged."""
    log = getattr(error, "log", None)
    words = getattr(error, "strerror", None) or str(error)
    return f"{words} ({log[2].strip()})" if log else words


def oriented(frame: Any) -> np.ndarray:
    """uint8 [row, column, rgb], turned as it is to be displayed."""
    pixels: np.ndarray = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def decode(container: Any, tick: Tick, start: int | None = None) -> Iterator[Any]:
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
