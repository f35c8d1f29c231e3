"""One picture, decoded by Pillow: refused where it needs too much, and always 8-bit RGB at the end.

What is changed on the way (transparency, more than 8 bits) is returned as notes for the viewer.
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

Image.MAX_IMAGE_PIXELS = None  # check_need holds the limit, with an error instead of a warning

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may open. Some of its other formats start programs (EPS runs Ghostscript)."""

MEMORY = 512 * 2**20
"""Most bytes that decoding one picture may need."""

OVER_WHITE = "Transparent pixels are shown over white."
SCALED = "Values of more than 8 bits per channel were scaled to 8 bits, by the range of their type."
UNPROFILED = "CMYK colors were converted without their color profile."

_COPIES = {"AVIF", "JPEG2000", "WEBP"}  # Pillow holds their pixels twice while it decodes
_STRIP = 2**20  # pixels that are converted at a time


def check_need(path: str, size: tuple[int, int], bytes_per_pixel: int = 8) -> None:
    """Refuses a picture by the memory that it would need: 4 bytes in Pillow and 3 as RGB, or more.

    Raises:
        VideoError: it needs more than `MEMORY`.
    """
    width, height = size
    need = width * height * bytes_per_pixel
    if need > MEMORY:
        raise VideoError(
            f"the picture {path} is too large to decode",
            asked=f"at most {MEMORY // 2**20} MiB of memory",
            found=f"{width}x{height} = {width * height:,} pixels, {need / 2**20:,.0f} MiB",
            fix="scale it down first",
        )


@contextmanager
def refusing_damage(path: str, asked: str | None = None) -> Iterator[None]:
    """Turns what Pillow raises into a `VideoError`; damaged files make it raise nearly any kind."""
    try:
        yield
    except VideoError:
        raise
    except Exception as error:
        raise VideoError(
            f"{path} is damaged", asked=asked, found=error, fix="fetch it again"
        ) from error


def open_picture(path: str) -> ImageFile.ImageFile:
    """The opened picture. Its pixels are not decoded yet.

    Raises:
        VideoError: not a picture, too large, or its header is damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(path, formats=FORMATS)
    except Exception as error:  # damaged headers make Pillow raise nearly any kind
        raise VideoError(
            f"{path} is not an image that can be read",
            found=error,
            fix="fetch it again, or save it as PNG",
        ) from error
    # An animated WebP's flag for alpha may be missing although its frames leave some of the canvas
    # clear. Pillow would drop the alpha that is decoded anyway.
    if isinstance(image, WebPImageFile) and image.is_animated:
        image.rawmode = image._mode = "RGBA"
    check_need(path, image.size, 16 if image.format in _COPIES else 8)
    return image


def upright_rgb(path: str, picture: ImageFile.ImageFile) -> tuple[np.ndarray, list[str]]:
    """uint8 [row, column, rgb] as a viewer shows the picture, and what was decided about it.

    Raises:
        VideoError: damaged, or its pixels have no range that is known.
    """
    with refusing_damage(path):
        if picture.format in ("JPEG", "MPO"):
            _check_jpeg(path)
        stored = _stored_mode(picture)  # lost by loading
        picture.load()
        top = _top(path, picture, stored)
        _match_transparency(picture, stored)
        turned = picture.getexif().get(ExifTags.Base.Orientation, 1) != 1
        image = ImageOps.exif_transpose(picture) if turned else picture
        rgb = np.empty((image.height, image.width, 3), dtype=np.uint8)
        rows = max(1, _STRIP // image.width)
        clear = False
        for start in range(0, image.height, rows):
            strip = image.crop((0, start, image.width, min(start + rows, image.height)))
            if top is not None:
                strip = _scaled(path, strip, top)
            clear |= is_clear(strip)
            rgb[start : start + rows] = _over_white(strip)
    notes = {SCALED: top or ";16" in stored, OVER_WHITE: clear, UNPROFILED: image.mode == "CMYK"}
    return rgb, [note for note, holds in notes.items() if holds]


def is_clear(image: Image.Image) -> bool:
    """Whether a pixel is not opaque. Many files store an alpha channel that is opaque all over."""
    if not image.has_transparency_data:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def _over_white(image: Image.Image) -> np.ndarray:
    """uint8 [row, column, rgb]"""
    if not image.has_transparency_data:
        return np.asarray(image.convert("RGB"))
    clear = image.convert("RGBA")
    ground = Image.new("RGB", image.size, "white")
    ground.paste(clear, mask=clear)
    return np.asarray(ground)


def _stored_mode(picture: ImageFile.ImageFile) -> str:
    """Pillow's name for the pixels in the file, as "RGB;16B", before they are loaded."""
    arguments = picture.tile[0][3] if picture.tile else ""
    return str(arguments[0] if isinstance(arguments, tuple) else arguments)


def _top(path: str, image: Image.Image, stored: str) -> float | None:
    """The value that is white, in a gray picture of more than 8 bits; None in any other."""
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
    """Gray values from 0 to `top` as 8-bit gray, with the alpha that a transparent value means."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # nan is refused, too
        raise VideoError(
            f"the pixels of {path} are outside of their range",
            asked=f"values from 0 (black) to {top:g} (white)",
            found=f"{low:g} to {high:g}",
            fix="scale them, or save the picture with 8 bits per channel",
        )
    gray = Image.fromarray(np.round(values * (255 / top)).astype(np.uint8))
    if "transparency" in image.info:
        opaque = values != image.info["transparency"]
        gray.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return gray


def _match_transparency(image: Image.Image, stored: str) -> None:
    """Gives a PNG's transparent value the depth of the pixels; Pillow leaves it as stored."""
    value = image.info.get("transparency")
    if isinstance(value, int) and stored in ("L;2", "L;4"):
        image.info["transparency"] = value * {"L;2": 85, "L;4": 17}[stored]
    elif isinstance(value, tuple) and ";16" in stored:
        image.info["transparency"] = tuple(channel >> 8 for channel in value)


def is_motion_jpeg(path: str, picture: ImageFile.ImageFile) -> bool:
    """Whether further pictures of the same size and mode follow a JPEG, as in a raw video stream.

    A photo may be followed by previews of other sizes. One with an index of pictures ("mpoffset")
    may be followed by a gain map of its own size.
    """
    import av

    if picture.format != "JPEG" or "mpoffset" in picture.info:
        return False
    parser = av.CodecContext.create("mjpeg", "r")
    with open(path, "rb") as file:
        chunks = iter(lambda: file.read(_STRIP), b"")
        coded = chain.from_iterable(parser.parse(chunk) for chunk in chain(chunks, [None]))
        for packet in islice(coded, 1, None):
            with suppress(Exception):  # bytes after a photo that are no picture
                other = Image.open(BytesIO(bytes(packet)), formats=["JPEG"])
                if (other.size, other.mode) == (picture.size, picture.mode):
                    return True
    return False


def _check_jpeg(path: str) -> None:
    """Decodes a JPEG by FFmpeg, too, which can be told not to conceal damage as libjpeg does.

    Raises:
        VideoError: damaged.
    """
    import av

    codec = av.CodecContext.create("mjpeg", "r")
    codec.options = {"err_detect": "explode"}
    with open(path, "rb") as file, suppress(av.PatchWelcomeError):  # a kind that FFmpeg lacks
        try:
            codec.decode(av.Packet(file.read()))
        except av.InvalidDataError as error:
            raise VideoError(
                f"{path} is damaged", asked="JPEG", found=error.strerror, fix="fetch it again"
            ) from error
