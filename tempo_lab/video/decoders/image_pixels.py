"""Decode one image with Pillow to 8-bit RGB, or refuse it if that needs too much memory.

Changes to the pixels (transparency, more than 8 bits) are returned as notes for the viewer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from itertools import chain, islice

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from tempo_lab.common.errors import VideoError

Image.MAX_IMAGE_PIXELS = None  # check_memory has the limit, with an error instead of a warning

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that Pillow may open. Some of the others start programs (EPS runs Ghostscript)."""

MAX_IMAGE_BYTES = 512 * 2**20
"""Maximum number of bytes that decoding one image may need."""

OVER_WHITE = "Transparent pixels are shown over white."
SCALED = "Values of more than 8 bits per channel were scaled to 8 bits, by the range of their type."
UNPROFILED = "CMYK colors were converted without their color profile."

_COPIES = {"AVIF", "JPEG2000", "WEBP"}  # Pillow has their pixels twice while it decodes
_STRIP = 2**20  # number of pixels that are converted at a time


def check_memory(path: str, size: tuple[int, int], bytes_per_pixel: int = 8) -> None:
    """Refuse an image that needs too much memory.

    Args:
        path: the file.
        size: width and height in pixels.
        bytes_per_pixel: 4 in Pillow and 3 as RGB, or more.

    Raises:
        VideoError: it needs more than `MAX_IMAGE_BYTES`.
    """
    width, height = size
    need = width * height * bytes_per_pixel
    if need > MAX_IMAGE_BYTES:
        raise VideoError(
            f"the image {path} is too large to decode",
            asked=f"at most {MAX_IMAGE_BYTES // 2**20} MiB of memory",
            found=f"{width}x{height} = {width * height:,} pixels, {need / 2**20:,.0f} MiB",
            fix="scale it down first",
        )


@contextmanager
def refusing_damage(path: str, asked: str | None = None) -> Iterator[None]:
    """Raise a `VideoError` for whatever Pillow raises: damaged files cause nearly any exception."""
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        raise VideoError(
            f"{path} is damaged", asked=asked, found=error, fix="download it again"
        ) from error


def open_image_file(path: str) -> ImageFile.ImageFile:
    """Return the opened image. Its pixels are not decoded yet.

    Raises:
        VideoError: it is not an image, is too large, or has a damaged header.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=FORMATS)
    except Exception as error:  # damaged headers make Pillow raise nearly any exception
        raise VideoError(
            f"{path} is not an image that can be read",
            found=error,
            fix="download it again, or save it as PNG",
        ) from error
    # An animated WebP may lack the flag for alpha although its frames leave some of the canvas
    # transparent. Pillow would drop the alpha channel, which is decoded anyway.
    if isinstance(image, WebPImageFile) and image.is_animated:
        image.rawmode = image._mode = "RGBA"
    check_memory(path, image.size, 16 if image.format in _COPIES else 8)
    return image


def upright_rgb(path: str, image: ImageFile.ImageFile) -> tuple[np.ndarray, list[str]]:
    """Return uint8 [row, column, rgb] as a viewer shows the image, and notes about changes.

    Raises:
        VideoError: the image is damaged, or the range of its values is not known.
    """
    with refusing_damage(path):
        if image.format in ("JPEG", "MPO"):
            _check_jpeg(path)
        stored = _stored_mode(image)  # loading loses it
        image.load()
        top = _top(path, image, stored)
        _match_transparency(image, stored)
        rotated = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        upright = ImageOps.exif_transpose(image) if rotated else image
        rgb = np.empty((upright.height, upright.width, 3), dtype=np.uint8)
        rows = max(1, _STRIP // upright.width)
        clear = False
        for start in range(0, upright.height, rows):
            strip = upright.crop((0, start, upright.width, min(start + rows, upright.height)))
            if top is not None:
                strip = _scaled(path, strip, top)
            clear |= is_clear(strip)
            rgb[start : start + rows] = _over_white(strip)
    notes = {SCALED: top or ";16" in stored, OVER_WHITE: clear, UNPROFILED: image.mode == "CMYK"}
    return rgb, [note for note, holds in notes.items() if holds]


def is_clear(image: Image.Image) -> bool:
    """Whether any pixel is not opaque. In many files the whole alpha channel is opaque."""
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _over_white(image: Image.Image) -> np.ndarray:
    """Return uint8 [row, column, rgb]; transparent pixels are shown over white."""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    clear = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(clear, mask=clear)
    return np.asarray(ground)


def _stored_mode(image: ImageFile.ImageFile) -> str:
    """Return Pillow's name for the pixels in the file before they are loaded, as "RGB;16B"."""
    arguments = image.tile[0][3] if image.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _top(path: str, image: Image.Image, stored: str) -> float | None:
    """Return the value of white in a gray image of more than 8 bits; None for other images."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return None
    white_is_zero = isinstance(image, TiffImageFile) and image.tag_v2.get(262) == 0
    tops = {"F": 1.0, "I": 65535.0 if image.format == "PPM" else 0.0}
    top = 4095.0 if stored == "I;12" else tops.get(image.mode, 65535.0)
    if white_is_zero or not top:
        raise VideoError(
            f"the range of the values in {path} is not known",
            asked="0 (black) to 255, to 65,535 or, as float, to 1 (white)",
            found=f"pixels of type {stored or image.mode}{', 0 is white' * white_is_zero}",
            fix="save it as PNG",
        )
    return top


def _scaled(path: str, image: Image.Image, top: float) -> Image.Image:
    """Scale gray values from 0 to `top` to 8 bits, with alpha where a value means transparent."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # refuses NaN, too
        raise VideoError(
            f"the pixels of {path} are outside of their range",
            asked=f"values from 0 (black) to {top:g} (white)",
            found=f"{low:g} to {high:g}",
            fix="scale them, or save the image with 8 bits per channel",
        )
    gray = Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))
    if "transparency" in image.info:
        opaque = values != image.info["transparency"]
        gray.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return gray


def _match_transparency(image: Image.Image, stored: str) -> None:
    """Convert a PNG's transparent value to the depth of the pixels; Pillow leaves it as stored."""
    value = image.info.get("transparency")
    if isinstance(value, int) and stored in ("L;2", "L;4"):
        image.info["transparency"] = value * {"L;2": 85, "L;4": 17}[stored]
    elif isinstance(value, tuple) and ";16" in stored:
        image.info["transparency"] = tuple(channel >> 8 for channel in value)


def is_motion_jpeg(path: str, image: ImageFile.ImageFile) -> bool:
    """Whether images of the same size and mode follow a JPEG, as in a raw video stream.

    Previews of other sizes may follow a photo. If the photo has an index of images ("mpoffset"), a
    gain map of the same size may follow.
    """
    import av

    if image.format != "JPEG" or "mpoffset" in image.info:
        return False
    parser = av.CodecContext.create("mjpeg", "r")
    with open(path, "rb") as file:
        chunks = iter(lambda: file.read(_STRIP), b"")
        coded = chain.from_iterable(parser.parse(chunk) for chunk in chain(chunks, [None]))
        for packet in islice(coded, 1, None):
            with suppress(Exception):  # bytes after a photo that are no image
                other = Image.open(BytesIO(bytes(packet)), formats=["JPEG"])
                if (other.size, other.mode) == (image.size, image.mode):
                    return True
    return False


def _check_jpeg(path: str) -> None:
    """Decode a JPEG with FFmpeg, too. It can report damage that libjpeg conceals.

    Raises:
        VideoError: the file is damaged.
    """
    import av

    codec = av.CodecContext.create("mjpeg", "r")
    codec.options = {"err_detect": "explode"}
    with (
        open(path, "rb") as file,
        suppress(av.PatchWelcomeError),
    ):  # a kind that FFmpeg cannot decode
        try:
            codec.decode(av.Packet(file.read()))
        except av.InvalidDataError as error:
            raise VideoError(
                f"{path} is damaged", asked="JPEG", found=error.strerror, fix="download it again"
            ) from error
