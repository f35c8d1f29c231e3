"""Sizes of frames, and the part of resizing that the decoder's process does.

The released processor resizes a video frame three times (docs/method.md section 1: longest edge
512 px, then multiples of 64, then multiples of 32 with a minimum area). The first two steps run
here in PIL, so that a full-resolution frame never leaves the decoder's process. The last step is
float arithmetic in torch, in `tempo_lab.model.pixels`. This file does not import torch: the
decoder's process does without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from tempo_lab.common.errors import VideoError

MAX_ASPECT = 200
"""Maximum aspect ratio; the released processor refuses longer frames."""


class Resize(Protocol):
    """Resizes a decoded frame. The decoder's process receives it as plain data."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return the (width, height) in pixels that a frame of this size is resized to."""
        ...

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """Resize uint8 [row, column, rgb] to uint8 [row, column, rgb]."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return plain data from which `from_dict` makes the same object again."""
        ...


def smart_size(
    width: int, height: int, *, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Return the nearest (width, height) in multiples of `factor` with an area within the limits.

    Like the Qwen-VL processors, it rounds half to even, and scales both edges by one ratio if the
    area is not in [min_pixels, max_pixels].

    Raises:
        VideoError: the aspect ratio is above 200.
    """
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise VideoError(
            "this frame is too thin",
            asked=f"an aspect ratio of at most {MAX_ASPECT}",
            found=f"{width}x{height} px, ratio {max(width, height) / min(width, height):.0f}",
            fix="crop or pad the video",
        )
    new_width = max(factor, round(width / factor) * factor)
    new_height = max(factor, round(height / factor) * factor)
    if new_width * new_height > max_pixels:
        ratio = math.sqrt(width * height / max_pixels)
        new_width = max(factor, math.floor(width / ratio / factor) * factor)
        new_height = max(factor, math.floor(height / ratio / factor) * factor)
    elif new_width * new_height < min_pixels:
        ratio = math.sqrt(min_pixels / (width * height))
        new_width = math.ceil(width * ratio / factor) * factor
        new_height = math.ceil(height * ratio / factor) * factor
    return new_width, new_height


def shrink_size(width: int, height: int, *, longest_edge: int, multiple: int) -> tuple[int, int]:
    """Return (width, height) in multiples of `multiple`, with edges of at most `longest_edge`.

    Frames that already fit keep their size.
    """
    longest = max(width, height)
    if longest <= longest_edge:
        return width, height
    scale = longest_edge / longest
    return (
        max(multiple, round(width * scale / multiple) * multiple),
        max(multiple, round(height * scale / multiple) * multiple),
    )


def _bicubic(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class ReleasedResize:
    """The first two steps of the released chain: longest edge 512, then multiples of 64."""

    longest_edge: int = 512
    multiple: int = 16
    factor: int = 64
    min_pixels: int = 4 * 64 * 64
    max_pixels: int = 16384 * 64 * 64

    def steps(self, width: int, height: int) -> list[tuple[int, int]]:
        """Return the sizes after each of the two steps."""
        first = shrink_size(width, height, longest_edge=self.longest_edge, multiple=self.multiple)
        second = smart_size(
            *first, factor=self.factor, min_pixels=self.min_pixels, max_pixels=self.max_pixels
        )
        return [first, second]

    def size(self, width: int, height: int) -> tuple[int, int]:
        return self.steps(width, height)[-1]

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        image = Image.fromarray(frame)
        for size in self.steps(*image.size):
            image = _bicubic(image, size)
        return np.asarray(image)

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "released", **asdict(self)}


@dataclass(frozen=True)
class ExactResize:
    """Resizes every frame to one size (a model smaller than the released one sets its own)."""

    width: int
    height: int

    def size(self, width: int, height: int) -> tuple[int, int]:
        return self.width, self.height

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        return np.asarray(_bicubic(Image.fromarray(frame), (self.width, self.height)))

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "exact", **asdict(self)}


_KINDS: Mapping[str, Callable[..., Resize]] = {"released": ReleasedResize, "exact": ExactResize}


def from_dict(description: Mapping[str, Any]) -> Resize:
    """Return the resize that `to_dict` described."""
    options = dict(description)
    return _KINDS[options.pop("kind")](**options)
