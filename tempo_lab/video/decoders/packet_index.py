"""The packet index of a video file: how many frames it has, and when each is displayed.

PyAV reads all packets and decodes only the first frames. Headers can be wrong about the number of
frames, and decord's times are rounded, shifted to zero, and wrong after an edit list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, NamedTuple

import av
import av.logging
import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import Heartbeat, VideoInfo
from tempo_lab.video.decoders.container import (
    PLAIN,
    av_message,
    damaged_file,
    decode,
    film_streams,
    named,
    open_container,
    orientation,
    packets,
    second_header,
    upright,
)

DECORD_FORMATS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
"""Containers that decord reads correctly. From AVI and MPEG-TS it silently returns wrong frames."""

_CUT_SHORT = re.compile("partial file|ended prematurely")


@dataclass(frozen=True)
class PacketIndex:
    """Where the displayed frames of a video file are.

    Attributes:
        info: properties of the file as PyAV reads it.
        stream: number of the stream in the file.
        begin: number of packets before the stream's first key frame; they cannot be decoded.
        pts: int64 [frame] ascending presentation stamps in the stream's time base; None if the
            format stores none (frames are then counted).
        keys: int64 [key] stamps at which decoding can start; empty if it has to start at the
            beginning of the file. An edit list may hide a frame on which others depend.
        coded: int64 [frame] 0-based number of the coded frame that is displayed; ascending, with
            repeats where the file says to display a frame again.
        times: float64 [frame] presentation times in seconds on the file's clock.
        turn: how frames are displayed (see `orientation`).
        strict: whether to report damage that the decoder would conceal. It is off for H.264 with
            open groups of pictures: wherever decoding starts, references are missing, as if the
            file were damaged.
    """

    info: VideoInfo
    stream: int
    begin: int
    pts: np.ndarray | None
    keys: np.ndarray
    coded: np.ndarray
    times: np.ndarray
    turn: tuple[int, int, int, int]
    strict: bool


class _Packet(NamedTuple):
    stamp: int | None  # presentation stamp; decoding stamp in AVI, which has no other
    key: bool
    hidden: bool
    shift: int


def read_index(path: str, heartbeat: Heartbeat, stream: int | None = None) -> PacketIndex:
    """Read the packets of a video stream, and decode its first frames.

    Args:
        path: the file.
        heartbeat: called for each packet.
        stream: number of the stream in the file; by default the one that players show.

    Raises:
        VideoError: the file is not a video, has no such stream, is cut short, or no frame can be
            decoded.
    """
    by_stream: dict[int, list[_Packet]] = {}
    av.logging.set_level(av.logging.ERROR)
    with open_container(path) as container, av.logging.Capture() as log:
        streams = film_streams(container)
        kind = "dts" if container.format.name == "avi" else "pts"
        try:
            for packet, shift in packets(container, streams, heartbeat):
                by_stream.setdefault(packet.stream_index, []).append(
                    _Packet(getattr(packet, kind), packet.is_keyframe, packet.is_discard, shift)
                )
        except av.FFmpegError as error:
            count = max(map(len, by_stream.values()), default=0)
            raise damaged_file(
                path, "the whole file", f"{count} frames, {av_message(error)}"
            ) from error
        finally:
            av.logging.set_level(None)
        chosen = _choose(path, streams, by_stream, stream)
        packets_read = by_stream.get(chosen.index, [])
        return _index(path, container, chosen, packets_read, log, heartbeat)


def _choose(
    path: str, streams: list[Any], by_stream: dict[int, list[_Packet]], number: int | None
) -> Any:
    """Return the stream of this number, or by default the one that players show."""
    if number is not None:
        chosen = next((stream for stream in streams if stream.index == number), None)
        if chosen is None:
            raise VideoError(
                "there is no such video stream in this file",
                asked=f"stream={number} of {path}",
                found="video streams: " + ", ".join(map(named, streams)),
                fix=f"stream={streams[0].index}",
            )
        return chosen
    # A muxer that knows no attached pictures stores a cover as a stream of one packet.
    moving = [stream for stream in streams if len(by_stream.get(stream.index, ())) > 1] or streams
    default = [s for s in moving if s.disposition & av.stream.Disposition.default] or moving
    return max(default, key=lambda s: s.codec_context.width * s.codec_context.height)


def _index(
    path: str,
    container: Any,
    stream: Any,
    packets_read: list[_Packet],
    log: list[Any],
    heartbeat: Heartbeat,
) -> PacketIndex:
    """Return the index of a stream whose packets have been read."""
    format_name, codec = container.format.name, stream.codec_context.codec.canonical_name
    flags, base = container.format.flags, float(stream.time_base or 0)
    unclocked = bool(flags & av.format.Flags.no_timestamps.value)
    # FFmpeg makes up stamps that are wrong: for AVI with B-frames, for elementary streams always.
    made_up = unclocked or format_name == "avi"
    # A recording may have begun in the middle of a group of pictures.
    begin = next((at for at, packet in enumerate(packets_read) if packet.key), 0)
    shown = [packet for packet in packets_read[begin:] if not packet.hidden]
    stamped = not made_up and base and all(p.stamp is not None for p in packets_read[begin:])
    strict = codec != "h264" or not _has_leading_frames(packets_read)
    first = _first_frame(path, stream.index, begin, heartbeat, strict=strict, counted=not stamped)
    if first is None or not shown:
        raise damaged_file(path, "one frame", "none that can be decoded")
    rates = [float(rate or 0) for rate in (stream.average_rate, stream.guessed_rate)]
    keys = np.empty(0, dtype=np.int64)
    pts = None
    if stamped:
        pts = np.unique(np.array([packet.stamp for packet in shown], dtype=np.int64))
        keys = np.unique(np.array([p.stamp for p in packets_read[begin:] if p.key], dtype=np.int64))
        # Frames displayed before the first key frame may lack the frames on which they depend.
        pts = pts[pts >= min([first.pts, *keys[:1]])]
        coded, lost = np.arange(len(pts)), begin + len(shown) - len(pts)
        span = float(pts[-1] - pts[0]) * base
        measured = len(pts[1:]) / (span or 1) or rates[1] or rates[0] or 1.0
        near = (rate for rate in rates if measured / 1.5 < rate < measured * 1.5)
        rate = next(near, measured)  # a header may give the rate of a clock instead
        start = (container.start_time or 0) / 1e6
        restarts = flags & av.format.Flags.ts_discont.value  # these may begin before zero
        times = np.round(pts * base - (start if restarts else max(0.0, start)), 6) + 0.0
        seconds = round(span + 1 / rate, 6)
    else:
        rate, lost = rates[unclocked] or 25.0, begin
        coded = _slots(shown) if format_name == "avi" else np.arange(len(shown))
        times = np.arange(len(coded)) / rate
        seconds = len(coded) / rate
    second = second_header(path, format_name, heartbeat)
    joints = sum(one.shift != other.shift for one, other in pairwise(shown))
    declared = 0.0 if joints else _declared_seconds(container, stream, rate) - lost / rate
    _check_length(path, stream, len(shown), rate, seconds, declared, log)
    turn = orientation(first)
    joined = bool(joints) or second is not None
    unsafe = _decord_unsafe_reason(container, stream, packets_read, shown, joined, turn, log)
    height, width = upright(first, turn).shape[:2]
    info = VideoInfo(
        path, "video", width, height, len(times), rate, seconds, codec, "pyav",
        reason=unsafe, notes=_notes(container, stream, joints, rate, second),
    )  # fmt: skip
    return PacketIndex(
        info, stream.index, begin, pts, keys[:0] if joints else keys, coded, times, turn, strict
    )


def _first_frame(
    path: str, number: int, begin: int, heartbeat: Heartbeat, *, strict: bool, counted: bool
) -> Any:
    """Return the first frame without damage, or None."""
    with open_container(path) as container:
        stream = container.streams[number]
        source = islice(
            (packet for packet, _ in packets(container, [stream], heartbeat)), begin, None
        )
        frames = decode(stream, source, strict=strict, counted=counted)
        return next((frame for frame in frames if frame is not None and not frame.is_corrupt), None)


def _slots(shown: list[_Packet]) -> np.ndarray:
    """Return int64 [frame]: the coded frame of each slot of an AVI. Empty packets repeat one."""
    slots = np.array([packet.stamp for packet in shown if packet.stamp is not None], dtype=np.int64)
    if len(slots) < len(shown) or (np.diff(slots) <= 0).any():
        return np.arange(len(shown))
    return np.searchsorted(slots, np.arange(slots[0], slots[-1] + 1), side="right") - 1


def _check_length(
    path: str, stream: Any, count: int, rate: float, seconds: float, declared: float, log: list[Any]
) -> None:
    """Refuse a file that contains less than its header says.

    Raises:
        VideoError: frames are missing.
    """
    complaints = [text.strip() for *_, text in log]
    cut = next((text for text in complaints if _CUT_SHORT.search(text)), None)
    # Frames lost in the middle leave a gap in the stamps (as a variable frame rate does, too).
    gaps = bool(complaints) and count / rate < seconds * 0.98
    # A header may be wrong by 2 % or a second: some writers round, or count one frame more.
    if cut or gaps or declared > max(seconds + 1, seconds * 1.02):
        raise damaged_file(
            path,
            f"{stream.frames or round(declared * rate)} frames, {declared:.1f} s",
            "; ".join([f"{count} frames in {seconds:.1f} s", *([cut] if cut else complaints[:1])]),
        )


def _declared_seconds(container: Any, stream: Any, rate: float) -> float:
    if container.format.name == "avi" and stream.frames:
        return float(stream.frames / rate)  # the duration of a cut file is an estimate
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    match = re.fullmatch(r"(\d+):(\d+):([\d.]+)", stream.metadata.get("DURATION", ""))
    if match:
        hours, minutes, seconds = map(float, match.groups())
        return hours * 3600 + minutes * 60 + seconds
    # The container's duration is that of its longest stream, which may be the audio.
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else 0.0


def _decord_unsafe_reason(
    container: Any, stream: Any, packets_read: list[_Packet], shown: list[_Packet],
    joined: bool, turn: tuple[int, ...], log: list[Any],
) -> str:  # fmt: skip
    """Return why decord must not read this stream; empty if it may."""
    if stream.codec_context.codec.canonical_name == "av1":
        return "decord cannot read av1"
    if container.format.name not in DECORD_FORMATS:
        return f"decord returns wrong frames from {container.format.name}"
    if len(container.streams.video) > 1:
        return "decord chooses a video stream by itself"
    if turn != PLAIN:
        return "decord misreads the rows of turned or flipped frames"
    if joined:
        return "decord does not know that recordings were joined"
    if _has_leading_frames(shown):
        return "decord loses count when it seeks in a video with open groups of pictures"
    if len(shown) < len(packets_read) or (shown[0].stamp or 0) < 0:
        return "an edit list hides the first frames, which decord does not know"
    if log:
        return f"the file is damaged ({log[0][2].strip()}), which decord may not report"
    return ""


def _has_leading_frames(packets: list[_Packet]) -> bool:
    """Whether frames that follow a key frame in the file are displayed before it (an open group).

    Such a frame depends on the group before. A decoder that starts at the key frame leaves it out.
    """
    key = None
    for packet in packets:
        if packet.key:
            key = packet.stamp
        elif packet.stamp is not None and key is not None and packet.stamp < key:
            return True
    return False


def _notes(
    container: Any, stream: Any, joints: int, rate: float, second: int | None
) -> tuple[str, ...]:
    """Return one sentence for each decision about the file that a viewer should know."""
    notes = []
    if second is not None:
        notes.append(
            f"A second recording begins inside the file, at byte {second:,}. The recording, or its "
            "first frames, may be missing. Join recordings with: ffmpeg -f concat -i LIST NEW.mp4."
        )
    others = [named(other) for other in container.streams.video if other.index != stream.index]
    if others:
        notes.append(
            f"The file has {len(others) + 1} video streams. This is stream {named(stream)}; "
            f"not read: {', '.join(others)}."
        )
    if joints:
        notes.append(
            f"The file joins {joints + 1} recordings, each with its own time stamps. The times "
            "continue from the first recording."
        )
    # Players stretch such frames. They stay as stored because the released code, whose
    # checkpoints we load, reads them as stored.
    aspect = stream.sample_aspect_ratio
    if aspect and not 0.99 < aspect < 1.01:
        notes.append(
            f"The pixels are not square ({aspect.numerator}:{aspect.denominator}). They are kept "
            f"as stored: the picture is {'narrower' if aspect > 1 else 'wider'} than in a player."
        )
    form = stream.codec_context.format
    if stream.metadata.get("alpha_mode") == "1" or (
        form and any(part.is_alpha for part in form.components)
    ):
        notes.append("The video has an alpha channel, which is not applied.")
    if container.format.flags & av.format.Flags.no_timestamps.value and not (
        stream.codec_context.framerate
    ):
        notes.append(f"The file states no frame rate. {rate:g} frames per second are assumed.")
    return tuple(notes)
