"""Every kind of source gives the sampled frames at their times, or a clear error."""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tempo_lab.common.errors import VideoError
from tempo_lab.video import ExactResize, ReleasedResize, Video
from tempo_lab.video.decoders.video_file import mark_damage
from tests import media


def everything(video: Video, resize=None) -> tuple[np.ndarray, np.ndarray]:
    """All sampled frames [frame, row, column, rgb] and their times [frame]."""
    segments = list(video.segments(resize))
    assert [segment.index for segment in segments] == list(range(len(video)))
    positions = np.concatenate([segment.positions for segment in segments])
    assert positions.tolist() == list(range(len(video.plan)))
    frames = np.concatenate([segment.frames for segment in segments])
    assert frames.dtype == np.uint8
    return frames, np.concatenate([segment.times for segment in segments])


def shown(frames: np.ndarray) -> list[int]:
    return [media.read_number(frame) for frame in frames]


# Arguments


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0},
        {"fps": -2.0},
        {"fps": math.nan},
        {"fps": math.inf},
        {"fps": "2"},
        {"fps": 10**400},
        {"decoder": None},
        {"decoder": ["auto"]},
        {"fps": True},
        {"min_frames": 0},
        {"max_frames": 0},
        {"max_frames": 10.5},
        {"max_frames": -1},
        {"window": 0},
        {"timeout": 0},
        {"timeout": math.nan},
        {"timeout": math.inf},
        {"timeout": None},
        {"timeout": True},
    ],
)
def test_settings_without_meaning_are_refused(clip, wrong):
    (name,) = wrong
    with pytest.raises(VideoError, match=name):
        Video(clip, **wrong)


# Video files


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def clip(folder) -> Path:
    return media.write_video(folder / "clip.mp4")


@pytest.fixture(scope="module")
def variable(folder) -> Path:
    """60 frames: the first 40 in 1 s, then 0.2 s apart, the first shown at 0.5 s."""
    seconds = [0.5 + number / 40 for number in range(40)] + [1.5 + k / 5 for k in range(20)]
    return media.write_video(folder / "variable.mp4", seconds=seconds)


def test_segments_of_a_clip(clip):
    with Video(clip, fps=10, window=8) as video:
        assert video.info.kind == "video"
        assert (video.info.width, video.info.height, video.info.frames) == (64, 48, 60)
        assert (video.info.fps, video.info.duration) == (30.0, 2.0)
        assert video.info.codec == "h264"
        assert not video.is_image
        assert len(video) == 3
        frames, times = everything(video)
        assert shown(frames) == video.plan.indices.tolist()
        assert times == pytest.approx(video.plan.indices / 30, abs=1e-6)
        sizes = [len(segment.frames) for segment in video.segments()]
        assert sizes == [8, 8, 4]
        assert video.segment_times == pytest.approx(np.array([[0, 0.8], [0.8, 1.6], [1.6, 2.0]]))


def test_segments_can_start_later(clip):
    with Video(clip, fps=10) as video:
        whole = list(video.segments())
        for start in range(len(video) + 1):
            part = list(video.segments(start=start))
            assert [segment.index for segment in part] == list(range(start, len(video)))
            for ours, theirs in zip(part, whole[start:], strict=True):
                assert np.array_equal(ours.frames, theirs.frames)
                assert np.array_equal(ours.times, theirs.times)
        for start in (-1, len(video) + 1):
            with pytest.raises(VideoError, match="no such segment"):
                video.segments(start=start)


@pytest.mark.parametrize("fps", [60, 45])
def test_more_samples_than_frames_repeat_frames(clip, fps):
    with Video(clip, fps=fps, window=7) as video:
        assert len(video.plan) == fps * 2
        assert shown(everything(video)[0]) == video.plan.indices.tolist()
        late = next(video.segments(start=5))
        assert shown(late.frames) == video.plan.indices[35:42].tolist()


@pytest.mark.parametrize("resize", [ExactResize(32, 24), ReleasedResize()])
def test_resize_runs_in_the_child(clip, resize):
    with Video(clip, max_frames=4) as video:
        plain, _ = everything(video)
        small, _ = everything(video, resize)
    assert np.array_equal(small, np.stack([resize(frame) for frame in plain]))
    assert small.shape[2:0:-1] == resize.size(64, 48)


FORMATS = {
    "h264.mp4": {},
    "h264.mkv": {},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=0:open-gop=0"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp8-hidden-frames.webm": {
        "codec": "libvpx",
        "options": {"auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8"},
    },
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "444.mp4": {"pix_fmt": "yuv444p"},
    "odd.mp4": {"size": (77, 51), "pix_fmt": "yuv444p"},
    "unicode_видео 影片 é.mp4": {},
}


@pytest.mark.parametrize("name", FORMATS)
def test_pyav_gives_the_same_frames_as_decord(folder, name):
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    path = media.write_video(folder / f"same-{name}", **FORMATS[name])
    seen = {}
    for decoder in ("decord", "pyav"):
        with Video(path, fps=11, decoder=decoder) as video:
            assert video.info.decoder == decoder
            seen[decoder] = (video.plan.indices, *everything(video))
    assert shown(seen["pyav"][1]) == seen["pyav"][0].tolist()
    for ours, theirs in zip(seen["decord"], seen["pyav"], strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("odd.webm", {"size": (77, 51), "codec": "libvpx-vp9"}),
        ("10bit.mp4", {"pix_fmt": "yuv420p10le"}),
    ],
)
def test_subsampled_odd_or_10_bit_frames_differ_by_the_spread_of_colour_alone(
    folder, name, options
):
    """The two FFmpegs inside interpolate colour differently there; the picture is the same."""
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    path = media.write_video(folder / f"tolerance-{name}", frames=12, **options)
    ours, theirs = (everything(Video(path, fps=30, decoder=d))[0] for d in ("decord", "pyav"))
    assert shown(ours) == shown(theirs) == list(range(12))
    assert np.abs(ours.astype(int) - theirs).mean() < 4
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(ours @ luma - theirs @ luma).mean() < 1.5


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_variable_frame_rate_keeps_true_times(variable, decoder):
    with Video(variable, decoder=decoder) as video:
        frames, times = everything(video)
    expected = np.where(
        video.plan.indices < 40, 0.5 + video.plan.indices / 40, 1.5 + (video.plan.indices - 40) / 5
    )
    assert shown(frames) == video.plan.indices.tolist()
    assert times - times[0] == pytest.approx(expected - 0.5, abs=2e-3)
    assert np.abs(times - video.plan.indices / video.info.fps).max() > 0.4  # what index / fps says


def test_edit_list_hides_frames(clip, folder):
    """Cut 0.5 s in, not at a key frame: frames 15 to 59 are shown, from time 0 on."""
    path = media.remux(clip, folder / "edit.mp4", shift=-0.5)
    with Video(path, fps=5) as video:
        assert "edit list" in video.info.reason
        assert video.info.frames == 45
        frames, times = everything(video)
        assert shown(frames) == (video.plan.indices + 15).tolist()
        assert times == pytest.approx(video.plan.indices / 30, abs=1e-6)


def test_transport_stream_starts_at_time_zero(folder):
    path = media.write_video(folder / "clip.ts")
    with Video(path) as video:
        assert "mpegts" in video.info.reason
        frames, times = everything(video)
        assert shown(frames) == video.plan.indices.tolist()
        assert times[0] == 0


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("open-gop.mp4", {"codec": "libx265"}, "open groups"),
        ("open-gop-h264.mkv", {"options": {"x264-params": "open-gop=1:bframes=3"}}, "open groups"),
        ("clip.avi", {}, "from avi"),
    ],
)
def test_files_in_which_decord_seeks_to_wrong_frames(folder, name, options, reason):
    path = media.write_video(folder / name, **options)
    with Video(path, fps=5) as video:
        assert reason in video.info.reason
        assert shown(everything(video)[0]) == video.plan.indices.tolist()


def test_av1_is_not_for_decord(folder):
    path = media.write_video(
        folder / "av1.mp4", frames=8, codec="libsvtav1", options={"preset": "13"}
    )
    with Video(path) as video:
        assert (video.info.codec, video.info.decoder) == ("av1", "pyav")
        assert "av1" in video.info.reason
        assert shown(everything(video)[0]) == [0, 2, 5, 7]
    with pytest.raises(VideoError, match="cannot read av1"):
        Video(path, decoder="decord")


def test_seeking_finds_the_frames_that_a_forward_pass_finds(folder):
    path = media.write_video(folder / "long.mp4", frames=250, gop=20)
    for count in (4, 11):
        with Video(path, decoder="pyav", max_frames=count, fps=30) as video:
            assert shown(everything(video)[0]) == video.plan.indices.tolist()


@pytest.mark.parametrize("decoder", ["auto", "pyav"])
def test_one_frame(folder, decoder):
    path = media.write_video(folder / "one.mp4", frames=1)
    with Video(path, decoder=decoder) as video:
        assert (len(video), len(video.plan), video.info.frames) == (1, 1, 1)
        assert shown(everything(video)[0]) == [0]


def test_4k(folder):
    path = media.write_video(folder / "4k.mp4", size=(3840, 2160), frames=4)
    with Video(path) as video:
        assert (video.info.width, video.info.height) == (3840, 2160)
        frames, _ = everything(video, ReleasedResize())
        assert frames.shape == (4, 256, 512, 3)
        assert shown(frames) == [0, 1, 2, 3]


# Other sources


def test_folder_of_frames_in_natural_order(tmp_path):
    path = media.write_folder(tmp_path / "frames", 12)
    (path / "notes.txt").write_text("not a frame")
    (path / ".hidden.png").write_text("neither")
    with Video(path, fps=2) as video:
        assert video.info.kind == "frames"
        assert video.info.fps == video.plan.fps == 2
        assert video.info.duration == 6
        frames, times = everything(video)
        assert shown(frames) == list(range(12))
        assert times.tolist() == [number / 2 for number in range(12)]
        assert shown(everything(video)[0]) == list(range(12))  # a second child


def test_array(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (19, 12, 20, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", array)
    np.save(tmp_path / "fortran.npy", np.asfortranarray(array))
    for name in ("a.npy", "fortran.npy"):
        with Video(tmp_path / name, fps=4) as video:
            assert video.info.kind == "array"
            assert video.plan.fps == 4
            assert len(video) == 3
            frames, times = everything(video)
            assert np.array_equal(frames, array)
            assert times == pytest.approx(np.arange(19) / 4)


def test_gif_has_its_own_clock(tmp_path):
    path = media.write_gif(tmp_path / "a.gif", [100, 100, 500, 300, 1000])
    with Video(path, fps=100, max_frames=5) as video:
        assert video.info.kind == "gif"
        assert (video.info.frames, video.info.duration, video.info.fps) == (5, 2.0, 2.5)
        frames, times = everything(video)
        assert shown(frames) == [0, 1, 2, 3, 4]
        assert times == pytest.approx([0, 0.1, 0.2, 0.7, 1.0])


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.webp", "a.bmp", "png-named.mp4"])
def test_single_image(tmp_path, name):
    format_name = "png" if "named" in name else None
    Image.fromarray(media.numbered(5)).save(tmp_path / name, format=format_name)
    with Video(tmp_path / name) as video:
        assert video.is_image
        assert (len(video), video.plan.fps, video.info.frames) == (1, 1.0, 1)
        assert video.segment_times.tolist() == [[0.0, 1.0]]
        frames, times = everything(video)
        assert shown(frames) == [5]
        assert times.tolist() == [0.0]


def test_photo_is_turned_upright(tmp_path):
    image = Image.fromarray(media.numbered(3))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held turned by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    with Video(tmp_path / "a.png") as video:
        assert (video.info.width, video.info.height) == (64, 48)
        assert shown(everything(video)[0]) == [3]


# Bad input


def lying_array(path: Path) -> Path:
    """A .npy header that promises a hundred million frames over 100 bytes."""
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (100000000, 48, 64, 3), }"
    header = header.ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(100))
    return path


def pickled_array(path: Path) -> Path:
    np.save(path, np.array([{"code": "that would run"}], dtype=object), allow_pickle=True)
    return path


def bomb(path: Path) -> Path:
    """A PNG header of 60000x60000 pixels."""
    good = path.with_suffix(".good.png")
    Image.new("L", (8, 8)).save(good)
    data = bytearray(good.read_bytes())
    data[16:24] = (60000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return path


def loop(path: Path) -> Path:
    path.symlink_to(path)
    return path


def pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def empty_folder(path: Path) -> Path:
    path.mkdir()
    (path / "notes.txt").write_text("x")
    return path


def saved(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


BAD = {
    "missing": (lambda p, clip: p / "clyp.mp4", "no such file"),
    "network": (lambda p, clip: "https://example.org/a.mp4", "download it first"),
    "zero bytes": (lambda p, clip: written(p / "a.mp4", b""), "empty"),
    "text": (lambda p, clip: written(p / "a.mp4", b"hello " * 99), "not a video"),
    "playlist": (lambda p, clip: written(p / "a.m3u8", b"#EXTM3U\n/etc/passwd\n"), "not a video"),
    "no index": (lambda p, clip: media.cut(clip, p / "a.mp4", 0.5), "not a video"),
    "cut short, index first": (
        lambda p, clip: media.cut(
            media.remux(clip, p / "fast.mp4", movflags="faststart"), p / "a.mp4", 0.6
        ),
        r"cut short\n  asked: 60 frames[\s\S]*found: \d+ frames",
    ),
    "cut short, mkv": (
        lambda p, clip: media.cut(media.remux(clip, p / "whole.mkv"), p / "a.mkv", 0.5),
        r"cut short\n  asked: 60 frames[\s\S]*found: \d+ frames",
    ),
    "audio only": (lambda p, clip: media.write_audio(p / "a.mp4"), r"no video[\s\S]*audio"),
    "no images": (lambda p, clip: empty_folder(p / "folder"), "no images"),
    "pipe": (lambda p, clip: pipe(p / "pipe.mp4"), "not a regular file"),
    "device": (lambda p, clip: "/dev/zero", "not a regular file"),
    "symlink loop": (lambda p, clip: loop(p / "loop.mp4"), "cannot be read"),
    "null byte": (lambda p, clip: "a\0b.mp4", "cannot be read"),
    "lying array": (lambda p, clip: lying_array(p / "a.npy"), "not a .npy array"),
    "pickled array": (lambda p, clip: pickled_array(p / "a.npy"), "not a .npy array"),
    "float array": (lambda p, clip: saved(p / "a.npy", np.zeros((2, 4, 4, 3))), "float64"),
    "no frames": (lambda p, clip: saved(p / "a.npy", np.zeros((0, 4, 4, 3), np.uint8)), "uint8"),
    "grey array": (lambda p, clip: saved(p / "a.npy", np.zeros((2, 4, 4), np.uint8)), "uint8"),
    "bomb": (lambda p, clip: bomb(p / "a.png"), r"too large[\s\S]*3,600,000,000"),
    "cut image": (
        lambda p, clip: media.cut(media.write_folder(p / "f", 1) / "frame0.png", p / "a.png", 0.5),
        "damaged",
    ),
    "not a path": (lambda p, clip: 5, "opened by its path"),
    "nothing": (lambda p, clip: None, r"opened by its path[\s\S]*NoneType"),
    "bytes": (lambda p, clip: os.fsencode(clip), r"opened by its path[\s\S]*bytes"),
    "empty path": (lambda p, clip: "", "an empty path"),
    "no such user": (lambda p, clip: "~nobody-of-this-name/a.mp4", "cannot be read"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_a_clear_error(tmp_path, clip, what):
    make, words = BAD[what]
    if what == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes on this system")
    with pytest.raises(VideoError, match=words):
        Video(make(tmp_path, clip))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_file(tmp_path):
    path = written(tmp_path / "a.mp4", b"x")
    path.chmod(0)
    with pytest.raises(VideoError, match="cannot be read"):
        Video(path)


@pytest.mark.parametrize("decoder", ["auto", "decord", "pyav"])
@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_damaged_middle_is_an_error_and_never_a_wrong_frame(folder, container, decoder):
    if decoder == "decord":
        pytest.importorskip("decord", reason="decord has no wheel for this platform")
    whole = media.write_video(folder / f"whole.{container}", frames=120)
    path = media.damage(whole, folder / f"damaged-{decoder}.{container}")

    def read_all():  # opening may notice it, or a later segment
        with Video(path, fps=30, decoder=decoder) as video:
            for segment in video.segments():
                assert shown(segment.frames) == video.plan.indices[segment.positions].tolist()

    with pytest.raises(VideoError, match="damaged"):
        read_all()


@pytest.mark.parametrize(
    ("stream", "whole"),
    [
        ("K....C....K...", [0, 10, 11, 12, 13]),  # reaches back 4 frames, on to the next key
        ("K.........K..C", [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        ("K.....xxxxK...", [0, 1, 10, 11, 12, 13]),  # not decodable; the decoder is restarted
        ("K......-..K...", [0, 1, 2, 10, 11, 12, 13]),  # one that never came
        ("K.....----K...", [0, 1, 10, 11, 12, 13]),
        ("K........", list(range(9))),
    ],
)
def test_damage_reaches_back_a_little_and_on_to_the_next_key_frame(stream, whole):
    def decoded():
        for number, kind in enumerate(stream):
            if kind == "x" and stream[number - 1] != "x":
                yield None
            elif kind not in "x-":
                yield SimpleNamespace(number=number, key_frame=kind == "K", is_corrupt=kind == "C")

    marked = mark_damage(decoded(), 0, lambda frame, _: frame.number)
    assert [number for number, frame in marked if frame is not None] == whole


def test_near_names_are_offered(clip):
    with pytest.raises(VideoError, match=r"a similar name: clip\.mp4"):
        Video(clip.with_name("clib.mp4"))


def test_unknown_decoder(clip):
    with pytest.raises(VideoError, match=r"auto, decord, pyav[\s\S]*did you mean 'decord'"):
        Video(clip, decoder="decrod")
    with pytest.raises(VideoError, match="module cannot be imported"):
        Video(clip, decoder="no_such_module:fast")
