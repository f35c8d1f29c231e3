"""Pictures, animations, folders and arrays: the right pixels at the right times, or a refusal."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tempo_lab.common.errors import VideoError
from tempo_lab.video import Video, VideoInfo
from tempo_lab.video.decoders import images
from tempo_lab.video.decoders.image_pixels import OVER_WHITE, SCALED, UNPROFILED
from tempo_lab.video.decoders.images import open_image_source
from tests import media

STEPS = [100, 100, 500, 300, 1000]
DISC = np.hypot(*np.mgrid[-24:24, -32:32]) < 16
RAMP = np.linspace(0, 65535, 64 * 48).astype(np.uint16).reshape(48, 64)


def opened(path: Path) -> tuple[VideoInfo, np.ndarray, np.ndarray]:
    """The info, all frames and their times, read in this process."""
    reader = open_image_source(str(path), lambda: None)
    times, frames = zip(*reader.read(range(reader.info.frames)), strict=True)
    return reader.info, np.stack(frames), np.array(times)


def black_on_clear() -> Image.Image:
    """A black disc, and around it transparent pixels whose hidden color is black, too."""
    image = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    image.putalpha(Image.fromarray(DISC.astype(np.uint8) * 255))
    return image


def is_disc_on_white(frame: np.ndarray) -> bool:
    return bool((frame[DISC].max() < 12) & (frame[~DISC].min() > 243))


def png(size: tuple[int, int], depth: int, color: int, rows: bytes, **chunks: bytes) -> bytes:
    """A PNG of any depth, which Pillow cannot write."""
    head = struct.pack(">2I5B", *size, depth, color, 0, 0, 0)
    parts = [("IHDR", head), *chunks.items(), ("IDAT", zlib.compress(rows)), ("IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + kind.encode()
        + data
        + struct.pack(">I", zlib.crc32(kind.encode() + data))
        for kind, data in parts
    )


# Times


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_keeps_the_time_of_each_frame(tmp_path, name):
    info, frames, times = opened(media.write_gif(tmp_path / name, STEPS, lossless=True))
    assert (info.kind, info.frames, info.duration, info.fps) == ("gif", 5, 2.0, 2.5)
    assert [media.read_number(frame) for frame in frames] == [0, 1, 2, 3, 4]
    assert times.tolist() == [0, 0.1, 0.2, 0.7, 1.0]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_of_40_ms_has_25_frames_a_second(tmp_path, name):
    with Video(media.write_gif(tmp_path / name, [40] * 50), fps=100) as video:
        assert (video.info.frames, video.info.fps, video.info.duration) == (50, 25.0, 2.0)
        assert len(video.plan) == 200


def test_the_times_of_an_avif_do_not_drift(tmp_path):
    """Its durations are known in whole milliseconds only: 30 frames of 33 are not a second."""
    path = media.write_video(
        tmp_path / "a.avif", frames=30, codec="libsvtav1", options={"preset": "13"}
    )
    with Image.open(path) as image:
        image.seek(1)
        image.load()
        assert image.info["duration"] == 33
    info, frames, times = opened(path)
    assert [media.read_number(frame) for frame in frames] == list(range(30))
    assert times == pytest.approx(np.arange(30) / 30, abs=6e-4)
    assert info.fps == pytest.approx(30, abs=0.02)


def test_the_picture_for_viewers_without_animation_is_no_frame(tmp_path):
    path = media.write_gif(tmp_path / "a.png", STEPS, default_image=True)
    info, frames, times = opened(path)
    assert [media.read_number(frame) for frame in frames] == [1, 2, 3, 4]
    assert len(times) == info.frames == 4


# Transparency


@pytest.mark.parametrize(
    "name", ["rgba.png", "la.png", "palette.png", "a.gif", "a.webp", "a.avif", "a.tiff"]
)
def test_transparency_is_shown_over_white(tmp_path, name):
    image, options = black_on_clear(), {"lossless": True} if name == "a.webp" else {}
    if name == "la.png":
        image = image.convert("LA")
    elif name == "palette.png":
        image = Image.fromarray(DISC.astype(np.uint8), "P")
        image.putpalette([0, 0, 0] * 2)
        options = {"transparency": b"\0\xff"}
    image.save(tmp_path / name, **options)
    info, frames, _ = opened(tmp_path / name)
    assert info.kind == "image"
    assert is_disc_on_white(frames[0])
    assert info.notes == (OVER_WHITE,)


def test_half_transparent_is_half_white(tmp_path):
    Image.new("RGBA", (64, 48), (200, 0, 0, 51)).save(tmp_path / "a.png")
    assert (opened(tmp_path / "a.png")[1] == [244, 204, 204]).all()


@pytest.mark.parametrize(
    ("depth", "color", "clear", "row"),
    [
        (2, 0, [1], bytes([0b00011011])),
        (4, 0, [1], bytes([0x01, 0x23])),
        (8, 2, [1, 2, 3], bytes([0, 0, 0, 1, 2, 3, 2, 2, 2, 3, 3, 3])),
        (16, 0, [0x1234], struct.pack(">4H", 0, 0x1234, 0x1235, 9)),
        (16, 2, [0x1234] * 3, struct.pack(">12H", *[0] * 3, *[0x1234] * 3, *[0x5678] * 6)),
    ],
)
def test_one_transparent_color_of_a_png(tmp_path, depth, color, clear, row):
    data = png((4, 1), depth, color, b"\0" + row, tRNS=struct.pack(f">{len(clear)}H", *clear))
    (tmp_path / "a.png").write_bytes(data)
    info, frames, _ = opened(tmp_path / "a.png")
    assert (frames[0, 0] == 255).all(axis=1).tolist()[:3] == [False, True, False]
    assert OVER_WHITE in info.notes


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_transparent_animations(tmp_path, name):
    dot = black_on_clear()
    ImageDraw.Draw(dot).point((0, 0), (0, 0, 0, 255))  # or the frames would be one
    first = black_on_clear()
    first.save(
        tmp_path / name, save_all=True, append_images=[dot], duration=100, disposal=2, lossless=True
    )
    info, frames, _ = opened(tmp_path / name)
    assert info.frames == 2
    assert is_disc_on_white(frames[0])
    assert frames[1, 0, 0].max() < 12
    assert frames[1, 5, 5].min() > 243
    assert info.notes == (OVER_WHITE,)


def test_a_clear_ground_that_no_flag_of_a_webp_announces(tmp_path):
    frames = [Image.new("RGBA", (64, 64)) for _ in range(6)]
    for number, frame in enumerate(frames):
        frame.paste("red", (8 * number, 24, 8 * number + 8, 32))
    path = tmp_path / "a.webp"
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True, duration=100)
    assert not path.read_bytes()[20] & 16  # the flag
    info, shown, _ = opened(path)
    assert info.notes == (OVER_WHITE,)
    for number, frame in enumerate(shown):
        want = Image.new("RGB", (64, 64), "white")
        want.paste("red", (8 * number, 24, 8 * number + 8, 32))
        np.testing.assert_array_equal(frame, want)


@pytest.mark.parametrize("lossless", [False, True])
def test_an_opaque_webp_has_no_note(tmp_path, lossless):
    frames = [Image.fromarray(media.numbered(number)) for number in range(3)]
    for more in ([], frames[1:]):
        path = tmp_path / "a.webp"
        frames[0].save(path, save_all=True, append_images=more, lossless=lossless, kmin=0, kmax=1)
        assert path.read_bytes()[12:16] != b"VP8X" or not path.read_bytes()[20] & 16
        info, shown, _ = opened(path)
        assert info.notes == ()
        assert [media.read_number(frame) for frame in shown] == list(range(1 + len(more)))
    (tmp_path / "folder").mkdir()
    frames[0].save(tmp_path / "folder" / "0.webp", lossless=lossless)
    assert opened(tmp_path / "folder")[0].notes == ()


def test_transparency_in_a_folder(tmp_path):
    Image.new("RGB", (64, 48), "red").save(tmp_path / "0.png")
    black_on_clear().save(tmp_path / "1.png")
    info, frames, _ = opened(tmp_path)
    assert is_disc_on_white(frames[1])
    assert info.notes == (OVER_WHITE,)


@pytest.mark.parametrize("name", ["a.png", "a.webp", "animation.gif"])
def test_an_opaque_alpha_is_not_mentioned(tmp_path, name):
    if name == "animation.gif":  # its frames store only what changes, and are transparent elsewhere
        media.write_gif(tmp_path / name, [100] * 3)
    else:
        Image.fromarray(media.numbered(5)).convert("RGBA").save(tmp_path / name)
    assert opened(tmp_path / name)[0].notes == ()


# Depth and color


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.tiff", {}),
        ("big-endian.tiff", {}),
        ("long.tiff", {"big_tiff": True}),
        ("float.tiff", {}),
        ("float.pfm", {}),
        ("a.pgm", {}),
        ("a.jp2", {"irreversible": False}),
    ],
)
def test_gray_of_more_than_8_bits_is_scaled_by_its_type(tmp_path, name, options):
    values = RAMP.astype(">u2") if name.startswith("big") else RAMP
    if name.startswith("float"):
        values = (RAMP / 65535).astype(np.float32)
    Image.fromarray(values).save(tmp_path / name, **options)
    info, frames, _ = opened(tmp_path / name)
    assert np.array_equal(frames[0], np.repeat(np.round(RAMP / 257)[..., None], 3, axis=2))
    assert info.notes == (SCALED,)


def test_color_of_16_bits_is_scaled(tmp_path):
    color = np.stack([RAMP, RAMP[::-1], RAMP // 2], axis=-1)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in color)
    (tmp_path / "a.png").write_bytes(png((64, 48), 16, 2, rows))
    info, frames, _ = opened(tmp_path / "a.png")
    assert np.abs(frames[0] - color / 257).max() <= 1
    assert info.notes == (SCALED,)


def test_a_folder_of_16_bits(tmp_path):
    for number in range(3):
        Image.fromarray(RAMP // (number + 1)).save(tmp_path / f"{number}.png")
    info, frames, _ = opened(tmp_path)
    assert frames.max(axis=(1, 2, 3)).tolist() == [255, 127, 85]
    assert info.notes == (SCALED,)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.full((8, 8), 200, np.float32), r"asked: values from 0 .*to 1 [\s\S]*found: 200 to 200"),
        (np.full((8, 8), np.nan, np.float32), "nan to nan"),
        (np.full((8, 8), -0.1, np.float32), "-0.1"),
        (np.full((8, 8), 70000, np.int32), "range of the values[\\s\\S]*fix: *save it as PNG"),
    ],
)
def test_values_without_a_known_range_are_refused(tmp_path, values, words):
    Image.fromarray(values).save(tmp_path / "a.tiff")
    with pytest.raises(VideoError, match=words):
        opened(tmp_path / "a.tiff")


def test_white_stored_as_zero_is_refused_at_16_bits(tmp_path):
    Image.fromarray(RAMP).save(tmp_path / "a.tiff", tiffinfo={262: 0})
    with pytest.raises(VideoError, match="0 is white"):
        opened(tmp_path / "a.tiff")


def test_cmyk(tmp_path):
    Image.new("RGB", (64, 48), "red").convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    info, frames, _ = opened(tmp_path / "a.jpg")
    assert np.abs(frames[0].astype(int) - [255, 0, 0]).max() < 4
    assert info.notes == (UNPROFILED,)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp", "avif"])
def test_a_photo_is_shown_upright(tmp_path, suffix, orientation):
    upright = np.zeros((32, 64, 3), np.uint8)
    upright[:16, :32], upright[16:, :32], upright[16:, 32:] = [255, 0, 0], [0, 255, 0], [0, 0, 255]
    turned = upright  # what the camera's sensor saw
    if orientation >= 5:
        turned = turned.swapaxes(0, 1)
    if orientation in (2, 3, 7, 8):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 6, 7):
        turned = turned[::-1]
    image = Image.fromarray(np.ascontiguousarray(turned))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif, quality=95)
    info, frames, _ = opened(tmp_path / f"a.{suffix}")
    assert (info.width, info.height) == (64, 32)
    for at in ((8, 16), (24, 16), (24, 48), (8, 48)):
        assert np.abs(frames[0][at].astype(int) - upright[at]).max() < 30


def test_pages_that_are_not_shown_are_mentioned(tmp_path):
    pages = [Image.fromarray(media.numbered(number)) for number in range(3)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    info, frames, _ = opened(tmp_path / "a.tiff")
    assert (info.kind, media.read_number(frames[0])) == ("image", 0)
    assert "first of the file's 3 pages" in info.notes[0]


def test_a_phone_picture(tmp_path):
    with Video(media.write_heic(tmp_path / "a.heic")) as video:
        assert video.is_image
        assert next(video.segments()).frames.shape == (1, 128, 128, 3)


def test_a_picture_in_tiles_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"6 tiles of 128x128[\s\S]*JPEG or PNG"):
        Video(media.write_heic(tmp_path / "a.heic", columns=3, rows=2))


# Damage, and what would cost too much


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("harm", ["noise", "cut, with an end"])
def test_damage_in_a_jpeg_is_not_concealed(tmp_path, harm, folder):
    Image.fromarray(media.numbered(5, 640, 480)).save(tmp_path / "whole.jpg")
    if harm == "noise":
        media.damage(tmp_path / "whole.jpg", tmp_path / "0.jpg", length=40)
    else:
        media.cut(tmp_path / "whole.jpg", tmp_path / "0.jpg", 0.5)
        with (tmp_path / "0.jpg").open("ab") as file:
            file.write(b"\xff\xd9")
    np.asarray(Image.open(tmp_path / "0.jpg"))  # Pillow says nothing
    with pytest.raises(VideoError, match="damaged"):
        opened(tmp_path if folder else tmp_path / "0.jpg")


def test_whole_jpegs_of_every_kind_are_read(tmp_path):
    image = Image.fromarray(media.numbered(5))
    kinds = [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}]
    kinds += [{"subsampling": 0}, {"quality": 1}, {"comment": b"x" * 999}, {"xmp": b"<x/>" * 999}]
    for number, options in enumerate(kinds):
        image.save(tmp_path / f"{number}.jpg", **options)
    image.convert("L").save(tmp_path / "8.jpg")
    with (tmp_path / "9.jpg").open("wb") as file:
        image.save(file, "JPEG")
        file.write(b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 40)  # a phone's moving picture
    assert [media.read_number(frame) for frame in opened(tmp_path)[1]] == [5] * 10


@pytest.mark.parametrize("name", ["a.mjpeg", "a.jpg", "a.avi"])
def test_jpegs_in_a_row_are_a_video(tmp_path, name):
    film = tmp_path / name
    for number in range(5):
        Image.fromarray(media.numbered(number)).save(tmp_path / "one.jpg")
        media.join(film, *[film] * (number > 0), tmp_path / "one.jpg")
    with Video(film, fps=25) as video:
        shown = [media.read_number(frame) for part in video.segments() for frame in part.frames]
        assert (video.info.kind, video.info.frames, video.info.codec) == ("video", 5, "mjpeg")
        assert video.info.notes == (
            "The file states no frame rate. 25 frames per second are assumed.",
        )
    assert shown == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["preview", "gray", "in EXIF", "MPO", "bytes"])
def test_a_photo_with_more_behind_it_is_one_image(tmp_path, kind):
    photo, more = Image.fromarray(media.numbered(3)), tmp_path / "more.jpg"
    first, path, options = tmp_path / "first.jpg", tmp_path / "a.jpg", {}
    other = {"preview": photo.resize((32, 24)), "gray": photo.convert("L")}.get(kind, photo)
    other.save(more)
    if kind == "in EXIF":
        options = {"exif": b"Exif\0\0" + more.read_bytes()}
    elif kind == "MPO":
        options = {"format": "MPO", "save_all": True, "append_images": [photo]}
    elif kind == "bytes":
        more.write_bytes(b"\xff\xd8\xff\xe0 is no picture" * 100)
    photo.save(first, **options)
    media.join(path, first, *[more] * (kind in ("preview", "gray", "bytes")))
    info, frames, _ = opened(path)
    assert (info.kind, info.frames, media.read_number(frames[0])) == ("image", 1, 3)


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "tiff", "bmp", "jp2", "avif"])
def test_a_damaged_picture_is_an_error_of_ours(tmp_path, suffix):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8))
    image.save(tmp_path / f"whole.{suffix}")
    media.cut(tmp_path / f"whole.{suffix}", tmp_path / f"a.{suffix}", 0.4)
    with pytest.raises(VideoError, match=r"damaged|not an image"):
        opened(tmp_path / f"a.{suffix}")


def bomb(path: Path) -> Path:
    """A few bytes that unfold to more than a picture may need."""
    width, height = 12000, 11000
    if path.suffix == ".gif":
        media.write_gif(path, [40] * 20)
        data = bytearray(path.read_bytes())
        data[6:10] = struct.pack("<2H", width, height)
        path.write_bytes(data)
    elif path.suffix == ".png":
        path.write_bytes(png((width, height), 1, 0, b"\0" * (width // 8 + 1) * height))
    elif path.suffix == ".pgm":
        path.write_bytes(b"P5 %d %d 255\n" % (width, height))
    else:
        options = {"compression": "tiff_deflate"} if path.suffix == ".tiff" else {}
        Image.new("1", (width, height)).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.gif", "a.tiff", "a.pgm", "a.bmp"])
def test_a_bomb_is_refused_before_it_is_decoded(tmp_path, name, monkeypatch):
    path = bomb(tmp_path / name)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(VideoError, match=r"512 MiB[\s\S]*12000x11000 = 132,000,000 pixels, 1,007"):
        opened(path)


def test_a_bomb_in_a_folder(tmp_path):
    Image.new("L", (64, 48)).save(tmp_path / "0.png")
    bomb(tmp_path / "1.png")
    with pytest.raises(VideoError, match="too large to decode"):
        opened(tmp_path)


def test_a_format_that_needs_more_memory_is_refused_sooner(tmp_path):
    Image.new("RGB", (6000, 6000)).save(tmp_path / "a.webp")
    with pytest.raises(VideoError, match="36,000,000 pixels, 549 MiB"):
        opened(tmp_path / "a.webp")


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_is_refused_by_what_all_its_frames_need(tmp_path, name, monkeypatch):
    path = media.write_gif(tmp_path / name, [40] * 20)
    monkeypatch.setattr(images, "MAX_ANIMATION_PIXELS", 20 * 64 * 48)
    opened(path)
    monkeypatch.setattr(images, "MAX_ANIMATION_PIXELS", 20 * 64 * 48 - 1)
    with pytest.raises(VideoError, match=r"20 frames of 64x48[\s\S]*ffmpeg"):
        opened(path)


def test_no_program_is_started_for_a_picture(tmp_path):
    """Pillow hands EPS to Ghostscript, whatever the file's name says."""
    (tmp_path / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n")
    with pytest.raises(VideoError, match="not an image"):
        opened(tmp_path)


# Folders


def test_pictures_of_other_sizes_are_found_on_opening(tmp_path):
    path = media.write_folder(tmp_path / "frames", 3)
    Image.new("RGB", (10, 10)).save(path / "frame3.png")
    with pytest.raises(VideoError, match=r"frame3[\s\S]*asked: 64x48[\s\S]*found: 10x10"):
        Video(path)


def test_pictures_of_other_kinds_are_brought_together(tmp_path):
    image = Image.fromarray(media.numbered(5))
    for number, mode in enumerate(["RGB", "L", "P", "RGBA", "I;16", "CMYK"]):
        picture = Image.fromarray(RAMP) if mode == "I;16" else image.convert(mode)
        picture.save(tmp_path / f"{number}.{'tiff' if mode in ('CMYK', 'I;16') else 'png'}")
    info, frames, _ = opened(tmp_path)
    assert frames.shape == (6, 48, 64, 3)
    assert [media.read_number(frame) for frame in np.delete(frames, 4, axis=0)] == [5] * 5
    assert set(info.notes) >= {SCALED}


@pytest.mark.skipif(os.name == "nt", reason="file names are text on Windows")
def test_names_that_are_not_utf_8(tmp_path):
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    for number in range(2):
        with open(folder + b"/b\xe9%d.png" % number, "wb") as file:
            Image.fromarray(media.numbered(number)).save(file, "PNG")
    with Video(os.fsdecode(folder)) as video:
        shown = [media.read_number(frame) for frame in next(video.segments()).frames]
    assert shown == [0, 1]


# Arrays


@pytest.mark.parametrize(
    ("array", "fix"),
    [
        (np.zeros((2, 8, 9, 3)), r"frames\.astype\(numpy\.uint8\)"),
        (np.zeros((2, 8, 9, 3), np.int8), r"astype"),
        (np.zeros((2, 8, 9, 3), bool), r"astype"),
        (np.zeros((2, 8, 9), np.uint8), r"numpy\.stack\(\[frames\] \* 3, axis=-1\)"),
        (np.zeros((8, 9, 3), np.uint8), r"frames\[None\]"),
        (np.zeros((2, 3, 8, 9), np.uint8), r"frames\.transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 8, 9, 4), np.uint8), r"frames\[\.\.\., :3\]"),
        (np.zeros((), np.uint8), r"frames\.shape == \(n, rows, columns, 3\)"),
    ],
)
def test_arrays_of_other_kinds_are_refused_with_what_makes_frames_of_them(tmp_path, array, fix):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(VideoError, match=rf"fix: .*{fix}"):
        opened(tmp_path / "a.npy")


def test_a_large_array_in_fortran_order_is_refused(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 9, 3), np.uint8, order="F"))
    opened(tmp_path / "a.npy")
    monkeypatch.setattr(images, "MAX_IMAGE_BYTES", 400)
    with pytest.raises(VideoError, match="ascontiguousarray"):
        opened(tmp_path / "a.npy")


def test_more_frames_than_can_be_used_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_FRAMES", 2)
    np.save(tmp_path / "a.npy", np.zeros((3, 8, 9, 3), np.uint8))
    media.write_folder(tmp_path / "frames", 3)
    for name in ("a.npy", "frames"):
        with pytest.raises(VideoError, match=r"at most 2 frames[\s\S]*found: 3 frames"):
            opened(tmp_path / name)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_damaged_orientation_does_not_hide_the_picture(tmp_path, suffix):
    exif = b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(range(99))
    Image.fromarray(media.numbered(5)).save(tmp_path / f"a.{suffix}", exif=exif)
    assert media.read_number(opened(tmp_path / f"a.{suffix}")[1][0]) == 5
