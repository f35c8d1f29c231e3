"""Readers of images: a single image, an animation (GIF), a folder of frames, a .npy array."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL.ImageFile import ImageFile

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import FrameReader, Heartbeat, TimedFrame, VideoInfo, check_size
from tempo_lab.video.decoders.image_pixels import (
    MAX_IMAGE_BYTES,
    OVER_WHITE,
    SCALED,
    check_memory,
    is_clear,
    is_motion_jpeg,
    open_image_file,
    refusing_damage,
    upright_rgb,
)

IMAGE_SUFFIXES = {
    ".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif", ".avif",
    ".jp2",
}  # fmt: skip

ANIMATION_BYTES = 24
"""Bytes per pixel that decoding a frame of an animation needs: it is drawn onto the one before."""

MAX_ANIMATION_PIXELS = 2**33
"""Maximum number of pixels of an animation, all frames together: 67 million decode in a second."""

MAX_FRAMES = 100_000
"""Maximum number of frames of a folder or an array, because all of them are used."""

_IMAGE_MAGIC = (
    b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+",
    b"P4", b"P5", b"P6", b"Pf", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51",
)  # fmt: skip
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"mif1"}
_NUMPY_MAGIC = b"\x93NUMPY"


def open_image_source(path: str, heartbeat: Heartbeat) -> FrameReader | None:
    """Return the reader for this source, or None if it can only be a video file."""
    if Path(path).is_dir():
        return FolderReader(path, heartbeat)
    with open(path, "rb") as file:
        head = file.read(64)
    if head.startswith(_NUMPY_MAGIC):
        return ArrayReader(path)
    if head[4:8] == b"ftyp":
        brands = {head[at : at + 4] for at in range(8, len(head), 4)}
        if brands & _AVIF_BRANDS:
            return open_image(path, heartbeat)
        return open_heif(path, heartbeat) if brands & _HEIF_BRANDS else None
    if head.startswith(_IMAGE_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return open_image(path, heartbeat)
    return None


def open_image(path: str, heartbeat: Heartbeat) -> FrameReader | None:
    """Return the reader of an animation (GIF, WebP, PNG, AVIF) or of a single image.

    The result is None if the image is the first one of a raw Motion JPEG stream.
    """
    image = open_image_file(path)
    if is_motion_jpeg(path, image):
        return None
    with refusing_damage(path):
        pages = getattr(image, "n_frames", 1)
    # A phone's JPEG may contain further "frames" (a depth map, a preview): not an animation.
    if pages == 1 or image.format in {"MPO", "TIFF"}:
        return ImageReader(path, image, pages)
    return AnimationReader(path, image, pages, heartbeat)


def open_heif(path: str, heartbeat: Heartbeat) -> FrameReader:
    """Return the reader of a HEIF image. PyAV reads it, but does not assemble tiles."""
    import av
    from av.stream import Disposition

    from tempo_lab.video.decoders.video_file import AvReader

    with av.open(path) as container:
        for stream in container.streams.video:
            check_memory(path, (stream.width, stream.height))
        tiles = [s for s in container.streams.video if s.disposition & Disposition.dependent]
    if tiles:
        raise VideoError(
            f"{path} is an image in tiles, which Tempo Lab cannot assemble",
            asked="an image in one piece",
            found=f"{len(tiles)} tiles of {tiles[0].width}x{tiles[0].height}",
            fix="save it as JPEG or PNG, for example with: heif-convert FILE NEW.png",
        )
    reader = AvReader(path, heartbeat)
    reader.info = replace(reader.info, kind="image")
    return reader


class ImageReader:
    """A single image: one frame at time 0."""

    def __init__(self, path: str, image: ImageFile, pages: int) -> None:
        codec = (image.format or "image").lower()
        self._frame, notes = upright_rgb(path, image)
        if codec == "tiff" and pages > 1:
            notes.append(f"This is the first of the file's {pages} pages.")
        height, width = self._frame.shape[:2]
        self.info = VideoInfo(
            path, "image", width, height, 1, 0.0, 0.0, codec, "pillow", notes=tuple(notes)
        )

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]:
        for _ in indices:
            yield 0.0, self._frame


class AnimationReader:
    """A GIF (or animated WebP, PNG or AVIF) with its own frame durations."""

    def __init__(self, path: str, image: ImageFile, pages: int, heartbeat: Heartbeat) -> None:
        self._path, self._image, self._heartbeat = path, image, heartbeat
        # An animated PNG may begin with an image for viewers that cannot show animations.
        self._first = int(image.info.get("default_image", False))
        frames = pages - self._first
        check_memory(path, image.size, ANIMATION_BYTES)
        if frames * image.width * image.height > MAX_ANIMATION_PIXELS:
            raise VideoError(
                f"the animation {path} is too large to decode",
                asked=f"at most {MAX_ANIMATION_PIXELS:,} pixels in all frames together",
                found=f"{frames} frames of {image.width}x{image.height}",
                fix="scale it down first, or convert it to a video: ffmpeg -i FILE NEW.mp4",
            )
        starts, end, clear = [], 0.0, False  # in milliseconds
        for number in range(frames):
            self._seek(number)
            # An AVIF's durations are rounded: their sum would be a wrong time.
            starts.append(image.info["timestamp"] if image.format == "AVIF" else end)
            # Zero means "as fast as possible" in the format; all viewers use 0.1 s.
            end = starts[-1] + (image.info.get("duration") or 100)
            with refusing_damage(path, f"frame {number}"):
                clear = clear or is_clear(image)
        self.times, total = np.array(starts) / 1000, end / 1000
        height, width = self._rgb(0).shape[:2]
        self.info = VideoInfo(
            path, "gif", width, height, frames, frames / total, total,
            (image.format or "gif").lower(), "pillow", notes=(OVER_WHITE,) * clear,
        )  # fmt: skip

    def _seek(self, number: int) -> None:
        """Decode up to a frame: each frame is drawn onto the one before."""
        self._heartbeat()
        with refusing_damage(self._path, f"frame {number}"):
            self._image.seek(number + self._first)
            self._image.load()  # only then is the duration of a WebP or AVIF frame known

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]:
        for index in indices:
            yield float(self.times[index]), self._rgb(index)

    def _rgb(self, number: int) -> np.ndarray:
        self._seek(number)
        return upright_rgb(self._path, self._image)[0]


class FolderReader:
    """A folder of images of one size, in natural order (frame2 before frame10)."""

    def __init__(self, path: str, heartbeat: Heartbeat) -> None:
        files = [
            entry
            for entry in Path(path).iterdir()
            if entry.suffix.lower() in IMAGE_SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
        self._files = files = sorted(files, key=_natural)
        if not files:
            raise VideoError(
                "the folder contains no images",
                asked=path,
                found=f"{sum(1 for _ in Path(path).iterdir())} other entries",
                fix=f"put frames there as {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
        _check_frames(path, len(files))
        first, notes = self._decode(0)
        self._shape = height, width = first.shape[:2]
        for number in range(len(files)):
            heartbeat()
            with refusing_damage(str(files[number])), self._open(number) as image:
                if sorted(image.size) != sorted((width, height)):  # it may be rotated
                    raise self._other_size(number, image.size)
                notes += [OVER_WHITE] * image.has_transparency_data
                notes += [SCALED] * image.mode.startswith(("I", "F"))
        codec = files[0].suffix.lower()[1:]
        self.info = VideoInfo(
            path, "frames", width, height, len(files), 0.0, 0.0, codec, "pillow",
            notes=tuple(dict.fromkeys(notes)),
        )  # fmt: skip

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]:
        for index in indices:
            frame, _ = self._decode(index)
            if frame.shape[:2] != self._shape:
                raise self._other_size(index, frame.shape[1::-1])
            yield math.nan, frame

    def _open(self, number: int) -> ImageFile:
        return open_image_file(str(self._files[number]))

    def _decode(self, number: int) -> tuple[np.ndarray, list[str]]:
        with self._open(number) as image:
            return upright_rgb(str(self._files[number]), image)

    def _other_size(self, number: int, size: tuple[int, int]) -> VideoError:
        height, width = self._shape
        return VideoError(
            f"{self._files[number]} has another size than the first frame of its folder",
            asked=f"{width}x{height}",
            found=f"{size[0]}x{size[1]}",
            fix="resize all frames to one size",
        )


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


class ArrayReader:
    """A .npy file, uint8 [frame, row, column, rgb]; memory-mapped, never loaded as a whole."""

    def __init__(self, path: str) -> None:
        self._path = path
        array = self._mapped()
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not array.size:
            raise VideoError(
                f"{path} does not contain frames",
                asked="uint8 [frame, row, column, rgb]",
                found=f"{array.dtype} {list(array.shape)}",
                fix=_array_fix(array),
            )
        if not array.flags.c_contiguous and array.nbytes > MAX_IMAGE_BYTES:
            raise VideoError(
                f"{path} is stored in Fortran order: each frame is spread over the whole file",
                asked=f"C order, or at most {MAX_IMAGE_BYTES // 2**20} MiB",
                found=f"{array.nbytes / 2**20:,.0f} MiB",
                fix="numpy.save(path, numpy.ascontiguousarray(frames))",
            )
        frames, height, width, _ = array.shape
        _check_frames(path, frames)
        check_size(path, width, height)
        self.info = VideoInfo(path, "array", width, height, frames, 0.0, 0.0, "npy", "numpy")

    def _mapped(self) -> np.ndarray:
        try:
            return np.load(self._path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header makes numpy raise nearly any kind
            raise VideoError(
                f"{self._path} is not a .npy array that can be read",
                found=error,
                fix="save uint8 frames with numpy.save",
            ) from error

    def read(self, indices: Sequence[int]) -> Iterator[TimedFrame]:
        for index in indices:  # a new map for each: pages that were read count as memory
            yield math.nan, np.ascontiguousarray(self._mapped()[index])


def _check_frames(path: str, frames: int) -> None:
    if frames > MAX_FRAMES:
        raise VideoError(
            f"{path} contains too many frames",
            asked=f"at most {MAX_FRAMES:,} frames, as all of them are used",
            found=f"{frames:,} frames",
            fix="keep every tenth frame, for example, and set fps= accordingly",
        )


def _array_fix(array: np.ndarray) -> str:
    """Return the fix for an array that does not contain frames."""
    if array.dtype != np.uint8:
        return "scale the values to 0 (black) to 255 (white), then save frames.astype(numpy.uint8)"
    shape = array.shape
    ways = {
        "frames[None]": len(shape) == 3 and shape[2] == 3,  # one picture
        "numpy.stack([frames] * 3, axis=-1)": len(shape) == 3,  # gray
        "frames.transpose(0, 2, 3, 1)": len(shape) == 4 and shape[1] == 3,
        "frames[..., :3]": len(shape) == 4 and shape[3] == 4,  # with alpha
    }
    way = next((way for way, fits in ways.items() if fits), "frames.shape == (n, rows, columns, 3)")
    return f"save {way}"
