"""Small media files made on the fly. Each frame shows its own number, for a test to read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

BITS = 8


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 [row, column, rgb]: the top half shows `number` in 8 black or white blocks."""
    frame = np.empty((height, width, 3), dtype=np.uint8)
    frame[..., 0] = np.linspace(30, 200, width)[None, :]
    frame[..., 1] = np.linspace(200, 30, height)[:, None]
    frame[..., 2] = (number * 5) % 200
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        frame[: height // 2, left:right] = 235 if number >> bit & 1 else 20
    return frame


def read_number(frame: np.ndarray) -> int:
    """The number that a decoded frame shows."""
    height, width = frame.shape[:2]
    row = frame[height // 8 : 3 * height // 8].mean(axis=(0, 2))
    levels = [row[(2 * bit + 1) * width // (2 * BITS)] for bit in range(BITS)]
    return sum(1 << bit for bit, level in enumerate(levels) if level > 128)


@contextmanager
def usual_priority() -> Iterator[None]:
    """Keep the priority of this thread.

    The AV1 encoder makes it a real-time one where it may, and so do all processes that are started
    later: they would leave nothing of a core to others.
    """
    if not hasattr(os, "sched_getscheduler"):  # Linux only
        yield
        return
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameters)


def write_video(
    path: Path,
    *,
    frames: int = 60,
    size: tuple[int, int] = (64, 48),
    fps: int = 30,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    seconds: Sequence[float] | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    aspect: Fraction | None = None,
    base: Fraction | None = None,
) -> Path:
    """A video of numbered frames.

    Args:
        seconds: each frame's time for a variable frame rate.
        aspect: of a pixel, width to height.
        base: of the stamps of `seconds`; milliseconds by default.
    """
    quiet = {
        "libx264": {"preset": "ultrafast", "bf": "2"},
        "libx265": {"x265-params": "log-level=0"},
    }
    with (
        usual_priority(),
        av.open(str(path), "w", options=container_options or {}) as container,
    ):
        stream = container.add_stream(codec, rate=fps, options=options or quiet.get(codec, {}))
        stream.width, stream.height = size
        stream.pix_fmt, stream.codec_context.gop_size = pix_fmt, gop
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        base = base or (Fraction(1, 1000) if seconds is not None else Fraction(1, fps))
        stream.codec_context.time_base = base
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24")
            frame.pts = number if seconds is None else round(seconds[number] / base)
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def remux(source: Path, target: Path, *, shift: float = 0.0, **options: str) -> Path:
    """The same packets in another container, `shift` seconds later (earlier where negative)."""
    with av.open(str(source)) as old, av.open(str(target), "w", options=options) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                ticks = round(shift / packet.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = stream
                new.mux(packet)
    return target


def orient(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """An MP4 that is displayed at x' = a x + c y, y' = b x + d y (its track header says so)."""
    data = bytearray(source.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of fields
    matrix = [a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30]
    data[at : at + 36] = struct.pack(">9i", *matrix)
    target.write_bytes(data)
    return target


def cut(source: Path, target: Path, part: float) -> Path:
    """The first `part` of a file's bytes."""
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * part)])
    return target


def damage(source: Path, target: Path, start: float = 0.5, length: int = 400) -> Path:
    """Noise in the middle of a file's bytes."""
    data = bytearray(source.read_bytes())
    at = int(len(data) * start)
    data[at : at + length] = np.random.default_rng(0).bytes(length)
    target.write_bytes(data)
    return target


def flip_bits(source: Path, target: Path, flips: int, seed: int, part: bytes = b"mdat") -> Path:
    """Some bits turned over, somewhere behind the first `part` (the frames of an MP4)."""
    data, random = bytearray(source.read_bytes()), np.random.default_rng([seed, flips])
    start = data.index(part) + 4
    end = start + int.from_bytes(data[start - 8 : start - 4], "big") - 8
    for at in random.integers(start, end if part == b"mdat" else len(data) * 9 // 10, flips):
        data[at] ^= 1 << int(random.integers(8))
    target.write_bytes(data)
    return target


def join(target: Path, *sources: Path) -> Path:
    """Files one after the other, as `cat` does."""
    target.write_bytes(b"".join(source.read_bytes() for source in sources))
    return target


def mux(target: Path, *sources: Path, options: Sequence[dict[str, Any]] | None = None) -> Path:
    """The video streams of some files beside each other; `options` are set on each stream."""
    olds = [av.open(str(source)) for source in sources]
    with av.open(str(target), "w") as new:
        streams = [new.add_stream_from_template(old.streams.video[0]) for old in olds]
        for stream, settings in zip(streams, options or [{}] * len(streams), strict=True):
            for name, value in settings.items():
                setattr(stream, name, value)
        for old, stream in zip(olds, streams, strict=True):
            for packet in old.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    new.mux(packet)
            old.close()
    return target


def write_audio(path: Path, cover: Path | None = None) -> Path:
    """A tenth of a second of silence, no video, but perhaps with the picture of a file."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        if cover is not None:
            with av.open(str(cover)) as source:
                picture = container.add_stream_from_template(source.streams.video[0])
                picture.disposition = av.stream.Disposition.attached_pic
                packet = next(source.demux(video=0))
                packet.stream = picture
                container.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1600), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_gif(path: Path, milliseconds: Sequence[int], **options: Any) -> Path:
    """An animation of numbered frames, each shown for its own time."""
    images = [Image.fromarray(numbered(number)) for number in range(len(milliseconds))]
    images[0].save(
        path, save_all=True, append_images=images[1:], duration=list(milliseconds), **options
    )
    return path


def write_folder(path: Path, count: int, size: tuple[int, int] = (64, 48)) -> Path:
    """frame0.png, frame1.png ... frame10.png (natural, not alphabetic order)."""
    path.mkdir()
    for number in range(count):
        Image.fromarray(numbered(number, *size)).save(path / f"frame{number}.png")
    return path


def write_heic(path: Path, columns: int = 1, rows: int = 1, side: int = 128) -> Path:
    """A still picture as phones write it: numbered tiles, in a grid if there are several."""
    count = columns * rows
    options = {"x265-params": "log-level=0:keyint=1"}
    film = write_video(
        path.with_suffix(".mp4"), frames=count, size=(side, side), codec="libx265", options=options
    )
    with av.open(str(film)) as container:
        coded = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        config = container.streams.video[0].codec_context.extradata
    whole = (columns * side, rows * side)
    grid = struct.pack(">4B2H", 0, 0, rows - 1, columns - 1, *whole)
    items = [("hvc1", data) for data in coded] + [("grid", grid)] * (count > 1)
    numbers = range(1, len(items) + 1)
    sizes = [(side, side)] * count + [whole]
    properties = _box("hvcC", config) + b"".join(
        _box("ispe", struct.pack(">3I", 0, *size)) for size in sizes
    )
    uses = b"".join(struct.pack(">H3B", n, 2, n + 1, 0x81) for n in numbers)
    tiled = struct.pack(f">{count + 2}H", count + 1, count, *range(1, count + 1))

    def meta(offset: int) -> bytes:
        places = b""
        for number, (_, data) in zip(numbers, items, strict=True):
            places += struct.pack(">3H2I", number, 0, 1, offset, len(data))
            offset += len(data)
        infos = b"".join(
            _box("infe", struct.pack(">I2H4sB", 2 << 24, n, 0, kind.encode(), 0))
            for n, (kind, _) in zip(numbers, items, strict=True)
        )
        return _box(
            "meta",
            bytes(4)
            + _box("hdlr", bytes(8) + b"pict" + bytes(13))
            + _box("pitm", struct.pack(">IH", 0, len(items)))
            + _box("iloc", struct.pack(">IHH", 0, 0x4400, len(items)) + places)
            + _box("iinf", struct.pack(">IH", 0, len(items)) + infos)
            + (_box("iref", bytes(4) + _box("dimg", tiled)) if count > 1 else b"")
            + _box(
                "iprp",
                _box("ipco", properties) + _box("ipma", struct.pack(">II", 0, len(items)) + uses),
            ),
        )

    head = _box("ftyp", b"heic" + bytes(4) + b"mif1heic")
    start = len(head) + len(meta(0)) + 8
    path.write_bytes(head + meta(start) + _box("mdat", b"".join(data for _, data in items)))
    return path


def _box(kind: str, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind.encode()) + content
