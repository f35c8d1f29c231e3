"""Readers of what is not a video file: a folder of frames, a .npy array, a GIF, an image."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from tempo_lab.decoders import Reader, Tick, Timed, VideoInfo, check_size
from tempo_lab.errors import VideoError

Image.MAX_IMAGE_PIXELS = None  # check_size holds the limit, with an error instead of a warning

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".gif"}

_IMAGE_MAGIC = (b"GIF8", b"\x89PNG", b"\xff\xd8\xff", b"BM", b"II*\0", b"MM\0*", b"P6")
_NUMPY_MAGIC = b"\x93NUMPY"


def open_still(path: str, tick: Tick) -> Reader | None:
    """The reader for this source, or None where it can only be a video file."""
    if Path(path).is_dir():
        return FolderReader(path)
    with open(path, "rb") as file:
        head = file.read(16)
    if head.startswith(_NUMPY_MAGIC):
        return ArrayReader(path)
    if head.startswith(_IMAGE_MAGIC) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
        return open_image(path, tick)
    return None


def open_image(path: str, tick: Tick) -> Reader:
    """An animation (GIF, WebP, PNG with more than one frame) or a single image."""
    image = _open(path)
    # A phone's JPEG may hold further "frames" (a depth map, a preview): not an animation.
    animated = image.format in {"GIF", "WEBP", "PNG"} and getattr(image, "is_animated", False)
    return AnimationReader(path, image, tick) if animated else ImageReader(path, image)


def _open(path: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path)
            check_size(path, *image.size)
            return image
    except (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError) as error:
        raise VideoError(f"{path} is not an image that can be read", found=error) from error


def _pixels(path: str, image: Image.Image) -> np.ndarray:
    """uint8 [row, column, rgb], upright."""
    try:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise VideoError(f"{path} is damaged", found=error) from error


class ImageReader:
    """A single image: one frame at time 0."""

    def __init__(self, path: str, image: Image.Image) -> None:
        self._frame = _pixels(path, image)
        height, width = self._frame.shape[:2]
        codec = (image.format or "image").lower()
        self.info = VideoInfo(path, "image", width, height, 1, 0.0, 0.0, codec, "pillow")

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        for _ in indices:
            yield 0.0, self._frame


class AnimationReader:
    """A GIF (or animated WebP or PNG) with its own durations."""

    def __init__(self, path: str, image: Image.Image, tick: Tick) -> None:
        self._path, self._image, self._tick = path, image, tick
        seconds = []
        for number in range(getattr(image, "n_frames", 1)):
            self._seek(number)
            # Zero means "as fast as possible" in the format; every viewer takes 0.1 s.
            seconds.append((image.info.get("duration") or 100) / 1000)
        self._starts = np.concatenate([[0.0], np.cumsum(seconds)])
        total = float(self._starts[-1])
        self.info = VideoInfo(
            path, "gif", image.width, image.height, len(seconds), len(seconds) / total, total,
            (image.format or "gif").lower(), "pillow",
        )  # fmt: skip

    def _seek(self, number: int) -> None:
        """Decodes up to a frame: each is drawn onto the one before."""
        self._tick()
        try:
            self._image.seek(number)
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise VideoError(
                f"{self._path} is damaged",
                asked=f"frame {number}",
                found=error,
            ) from error

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        for index in indices:
            self._seek(index)
            yield float(self._starts[index]), _pixels(self._path, self._image)


class FolderReader:
    """A folder of equally large images, in natural order (frame2 before frame10)."""

    def __init__(self, path: str) -> None:
        files = [
            entry
            for entry in Path(path).iterdir()
            if entry.suffix.lower() in IMAGE_SUFFIXES
            and not entry.name.startswith(".")
            and entry.is_file()
        ]
        self._files = sorted(files, key=_natural)
        if not files:
            raise VideoError(
                "the folder holds no images",
                asked=path,
                found=f"{sum(1 for _ in Path(path).iterdir())} other entries",
                fix=f"put frames there as {', '.join(sorted(IMAGE_SUFFIXES))}",
            )
        self._shape = _pixels(str(self._files[0]), _open(str(self._files[0]))).shape
        height, width = self._shape[:2]
        codec = self._files[0].suffix.lower()[1:]
        self.info = VideoInfo(path, "frames", width, height, len(files), 0.0, 0.0, codec, "pillow")

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        for index in indices:
            file = self._files[index]
            with _open(str(file)) as image:
                frame = _pixels(str(file), image)
            if frame.shape != self._shape:
                raise VideoError(
                    f"{file} has another size than the first frame of its folder",
                    asked=f"{self.info.width}x{self.info.height}",
                    found=f"{frame.shape[1]}x{frame.shape[0]}",
                    fix="bring all frames to one size",
                )
            yield math.nan, frame


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name)
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


class ArrayReader:
    """A .npy file, uint8 [frame, row, column, rgb], mapped and never loaded whole."""

    def __init__(self, path: str) -> None:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError, OverflowError, MemoryError) as error:
            raise VideoError(
                f"{path} is not a .npy array that can be read",
                found=error,
                fix="save uint8 frames with numpy.save",
            ) from error
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not array.size:
            raise VideoError(
                f"{path} does not hold frames",
                asked="uint8 [frame, row, column, rgb]",
                found=f"{array.dtype} {list(array.shape)}",
                fix="numpy.save(path, frames) with frames.shape == (n, rows, columns, 3)",
            )
        self._array = array
        frames, height, width, _ = array.shape
        check_size(path, width, height)
        self.info = VideoInfo(path, "array", width, height, frames, 0.0, 0.0, "npy", "numpy")

    def read(self, indices: Sequence[int]) -> Iterator[Timed]:
        for index in indices:
            yield math.nan, np.ascontiguousarray(self._array[index])
