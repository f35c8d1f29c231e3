"""Video files as they come: cut, joined, damaged, turned, with several streams, without stamps."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tempo_lab.common.errors import VideoError
from tempo_lab.video.decoders.base import check_size
from tempo_lab.video.decoders.registry import open_source
from tempo_lab.video.video import Video
from tests import media

DISPOSITION = av.stream.Disposition


def read(path: Path, **options) -> tuple[Video, list[int], np.ndarray]:
    """The video, the number that each sampled frame shows, and its time."""
    with Video(path, **options) as video:
        segments = list(video.segments())
    numbers = [media.read_number(frame) for segment in segments for frame in segment.frames]
    return video, numbers, np.concatenate([segment.times for segment in segments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def clip(folder) -> Path:
    return media.write_video(folder / "clip.mp4", gop=60)


# Cuts, seeks and stamps


def test_edit_list_hides_the_only_key_frame(clip, folder):
    video, numbers, times = read(media.remux(clip, folder / "cut.mp4", shift=-0.5), fps=5)
    assert (video.info.frames, video.info.duration) == (45, 1.5)
    assert numbers == (video.plan.indices + 15).tolist()
    assert times == pytest.approx(video.plan.indices / 30, abs=1e-6)


OPEN_H264 = {"x264-params": "open-gop=1:bframes=3:keyint=30:min-keyint=30:scenecut=0"}
OPEN_HEVC = {"x265-params": "log-level=0:open-gop=1:keyint=30:min-keyint=30"}
REFRESHED = {"x264-params": "intra-refresh=1:keyint=40:bframes=0"}
SPARSE = {
    "h264.ts": {},
    "h264.m2ts": {},
    "one-key.ts": {"gop": 180},
    "mpeg1.mpg": {"codec": "mpeg1video"},
    "mpeg2.vob": {"codec": "mpeg2video"},
    "open.ts": {"options": OPEN_H264},
    "open.mkv": {"options": OPEN_H264},
    "open-hevc.mp4": {"codec": "libx265", "options": OPEN_HEVC},
    "refreshed.mp4": {"options": REFRESHED},
    "flash.flv": {"codec": "flv1"},
}


@pytest.mark.parametrize("name", SPARSE)
def test_samples_far_apart_are_the_right_frames(folder, name):
    path = media.write_video(folder / name, frames=180, **{"gop": 30, **SPARSE[name]})
    video, numbers, times = read(path, fps=1)
    assert video.info.frames == 180
    assert numbers == video.plan.indices.tolist()
    assert times - times[0] == pytest.approx(video.plan.indices / 30, abs=2e-3)


@pytest.mark.parametrize("suffix", ["ts", "mpg"])
@pytest.mark.parametrize("later", [0.0, 3600.0])
def test_joined_recordings_go_on(folder, suffix, later):
    codec = {"ts": "libx264", "mpg": "mpeg2video"}[suffix]
    first = media.write_video(folder / f"first.{suffix}", codec=codec, frames=60)
    second = media.remux(first, folder / f"second-{later:g}.{suffix}", shift=later)
    path = media.join(folder / f"joined-{later:g}.{suffix}", first, second)
    video, numbers, times = read(path, fps=5)
    assert (video.info.frames, video.info.duration) == (120, pytest.approx(4, abs=0.05))
    assert numbers == (video.plan.indices % 60).tolist()
    assert times == pytest.approx(video.plan.indices / 30, abs=0.05)
    assert any("joins 2 recordings" in note for note in video.info.notes)


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("ts", {"options": OPEN_H264}),
        ("ts", {"codec": "libx265", "options": OPEN_HEVC}),
        ("mpg", {"codec": "mpeg2video"}),
        ("h264", {}),
    ],
)
def test_recording_that_begins_in_the_middle(folder, suffix, options):
    """It begins with the first key frame, in packets of 188 or 2048 bytes."""
    codec = options.get("codec", "libx264")
    whole = media.write_video(folder / f"{codec}.{suffix}", frames=120, **{"gop": 30, **options})
    data = whole.read_bytes()
    middle = len(data) // 4 // (188 * 2048) * (188 * 2048) or len(data) // 4 // 188 * 188
    path = folder / f"{codec}-middle.{suffix}"
    path.write_bytes(data[middle:])
    video, numbers, _ = read(path, fps=5)
    first = 120 - video.info.frames
    assert first in (30, 60)
    assert numbers == (video.plan.indices + first).tolist()


@pytest.mark.parametrize("name", ["a.mkv", "a.flv", "a.mp4", "a.asf"])
def test_a_second_header_inside_a_file_is_noted(folder, name):
    """FFmpeg stops there, or loses frames, without an error."""
    codec = {"asf": "msmpeg4"}.get(name[2:], "libx264")
    first = media.write_video(folder / f"first-{name}", codec=codec, frames=30)
    joined = media.join(folder / f"joined-{name}", first, first)
    with Video(joined) as video:
        (note,) = (note for note in video.info.notes if "second recording" in note)
    assert f"at byte {first.stat().st_size:,}." in note
    assert "ffmpeg -f concat" in note
    with Video(first) as video:
        assert video.info.notes == ()


def test_stamps_that_wrap_around(folder):
    """They have 33 bits: after 26.5 hours a broadcast counts from 0 again."""
    start = 2**33 / 90_000 - 1.0
    source = media.write_video(folder / "before.ts")
    video, numbers, times = read(media.remux(source, folder / "wraps.ts", shift=start), fps=5)
    assert (video.info.frames, video.info.duration) == (60, 2.0)
    assert numbers == video.plan.indices.tolist()
    assert times == pytest.approx(video.plan.indices / 30, abs=1e-4)
    assert not video.info.notes


def test_dropped_frames_of_avi_repeat_the_last(folder):
    """The muxer fills what is missing with empty packets."""
    shown = [0, 3, 6, 7, 20, 21, 40]
    path = media.write_video(
        folder / "dropped.avi", frames=len(shown), codec="mjpeg", pix_fmt="yuvj420p",
        seconds=[number / 30 for number in shown], base=Fraction(1, 30),
    )  # fmt: skip
    video, numbers, times = read(path, fps=30)
    assert (video.info.frames, video.info.fps) == (41, 30.0)
    assert numbers == [max(n for n, at in enumerate(shown) if at <= slot) for slot in range(41)]
    assert times == pytest.approx(np.arange(41) / 30)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("raw.h264", {}),
        ("raw.hevc", {"codec": "libx265"}),
        ("raw.m2v", {"codec": "mpeg2video", "options": {"bf": "2"}}),
    ],
)
def test_elementary_stream_has_the_rate_of_its_own_header(folder, name, options):
    video, numbers, times = read(media.write_video(folder / name, **options), fps=5)
    assert (video.info.frames, video.info.fps, video.info.duration) == (60, 30.0, 2.0)
    assert numbers == video.plan.indices.tolist()
    assert times == pytest.approx(video.plan.indices / 30)


def test_dv_has_25_frames_a_second(folder):
    path = media.write_video(folder / "a.dv", frames=50, fps=25, size=(720, 576), codec="dvvideo")
    video, numbers, _ = read(path, fps=4)
    assert (video.info.fps, video.info.duration, len(numbers)) == (25.0, 2.0, 8)
    assert numbers == video.plan.indices.tolist()
    assert any("not square (16:15)" in note for note in video.info.notes)


# Geometry

ORIENTATIONS = {
    (1, 0, 0, 1): None,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}


@pytest.mark.parametrize("matrix", ORIENTATIONS)
def test_every_orientation_is_shown_as_players_do(clip, folder, matrix):
    path = media.orient(clip, folder / f"{matrix}.mp4", *matrix)
    with Video(path, max_frames=4) as video, Video(clip, max_frames=4) as plain:
        frame = next(video.segments()).frames[1]
        expected = Image.fromarray(next(plain.segments()).frames[1])
    if (turn := ORIENTATIONS[matrix]) is not None:
        expected = expected.transpose(turn)
        assert "turned or flipped" in video.info.reason
    assert (video.info.width, video.info.height) == expected.size
    assert np.array_equal(frame, np.asarray(expected))


def test_pixels_that_are_not_square_are_kept_and_named(folder):
    """The released code sees them as they are stored."""
    path = media.write_video(folder / "wide.mp4", aspect=Fraction(64, 45))
    video, numbers, _ = read(path)
    assert (video.info.width, video.info.height) == (64, 48)
    assert numbers == video.plan.indices.tolist()
    (note,) = video.info.notes
    assert "not square (64:45)" in note
    assert "narrower than in a player" in note


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "note"),
    [
        ("alpha.mov", "qtrle", "argb", True),
        ("alpha_png.mov", "png", "rgba", True),
        ("opaque.mov", "qtrle", "rgb24", False),
        ("alpha.webm", "libvpx-vp9", "yuva420p", True),
        ("opaque.webm", "libvpx-vp9", "yuv420p", False),
    ],
)
def test_an_alpha_channel_is_named(folder, name, codec, pix_fmt, note):
    path = media.write_video(folder / name, frames=2, codec=codec, pix_fmt=pix_fmt)
    words = ("The video has an alpha channel, which is not applied.",)
    assert Video(path).info.notes == words * note


def test_a_frame_without_pixels_is_not_too_large():
    with pytest.raises(VideoError, match=r"have no pixels[\s\S]*found: 0x0"):
        check_size("a.mp4", 0, 0)
    with pytest.raises(VideoError, match="too large"):
        check_size("a.mp4", 2**14, 2**14)


# Streams


@pytest.fixture(scope="module")
def films(folder) -> dict[str, Path]:
    """Of 60 frames, but for the picture."""
    return {
        "small": media.write_video(folder / "small.mp4", size=(32, 24)),
        "large": media.write_video(folder / "large.mp4", size=(128, 96)),
        "picture": media.write_video(
            folder / "picture.mp4", frames=1, size=(640, 480), codec="mjpeg", pix_fmt="yuvj420p"
        ),
    }


COVER, DEFAULT, NEITHER = (
    {"disposition": value} for value in (DISPOSITION.attached_pic, DISPOSITION.default, 0)
)


@pytest.mark.parametrize(
    ("name", "sources", "options", "chosen"),
    [
        ("cover.mkv", ["picture", "small"], [NEITHER, NEITHER], 1),
        ("cover.mp4", ["small", "picture"], [NEITHER, COVER], 0),
        ("largest.mkv", ["small", "large"], [NEITHER, NEITHER], 1),
        ("default.mkv", ["large", "small"], [NEITHER, DEFAULT], 1),
        ("both.mkv", ["small", "large"], [DEFAULT, DEFAULT], 1),
    ],
)
def test_the_stream_that_players_show(folder, films, name, sources, options, chosen):
    path = media.mux(folder / name, *(films[source] for source in sources), options=options)
    video, numbers, _ = read(path)
    with Video(films[sources[chosen]]) as alone:
        assert (video.info.width, video.info.height) == (alone.info.width, alone.info.height)
    assert numbers == video.plan.indices.tolist()
    (note,) = video.info.notes
    assert f"This is stream {chosen} (" in note
    assert f"not read: {1 - chosen} (" in note


def test_another_stream_can_be_chosen(folder, films):
    path = media.mux(folder / "two.mkv", films["small"], films["large"])
    video, numbers, _ = read(path, stream=0)
    assert (video.info.width, video.info.height) == (32, 24)
    assert numbers == video.plan.indices.tolist()
    with pytest.raises(VideoError, match=r"stream=5[\s\S]*0 \(h264, 32x24\), 1 \(h264, 128x96\)"):
        Video(path, stream=5)
    with pytest.raises(VideoError, match="stream must be a whole number"):
        Video(path, stream="audio")
    with pytest.raises(VideoError, match="chooses a video stream by itself"):
        Video(path, decoder="decord")


def test_only_videos_have_streams(tmp_path):
    Image.fromarray(media.numbered(5)).save(tmp_path / "a.png")
    with pytest.raises(VideoError, match=r"only a video file has streams[\s\S]*image"):
        Video(tmp_path / "a.png", stream=0)


def test_sound_with_a_cover_is_no_video(folder, films):
    path = media.write_audio(folder / "song.mp4", cover=films["picture"])
    with pytest.raises(VideoError, match=r"there is no video[\s\S]*a cover picture, audio"):
        Video(path)


def test_file_name_that_is_not_utf8(clip, folder):
    path = folder / os.fsdecode(b"caf\xe9.mp4")
    try:
        path.write_bytes(clip.read_bytes())
    except (OSError, UnicodeError):
        pytest.skip("this system keeps no such names")
    video, numbers, _ = read(path)
    assert numbers == video.plan.indices.tolist()
    assert video.info.path == str(path.resolve())
    for wrong in ({"decoder": "decord"}, {"stream": 7}):
        with pytest.raises(VideoError) as error:
            Video(path, **wrong)
        assert r"caf\udce9.mp4" in str(error.value)  # written out, so that it can be printed
    with pytest.raises(VideoError, match="similar name") as error:
        Video(path.with_name("cafe.mp4"))
    str(error.value).encode()


# Damage


def concealed(path: Path) -> dict[int, np.ndarray]:
    """Frames by stamp as FFmpeg gives them, told to explode at damage but to go on after it."""
    frames = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = {"err_detect": "explode"}
        for packet in container.demux(stream):
            try:
                for frame in packet.decode():
                    frames[frame.pts] = frame.to_ndarray(format="rgb24")
            except av.FFmpegError:
                pass
    return frames


def trusted(path: Path, frames: int) -> dict[int, np.ndarray]:
    """Frames by number until the first that is refused."""
    given = {}
    try:
        reader = open_source(str(path), "auto", lambda: None)
        for number, (_, frame) in zip(range(frames), reader.read(range(frames)), strict=False):
            given[number] = frame
    except VideoError as error:
        assert "damaged" in str(error)  # noqa: PT017  (what was given before it counts)
    return given


def wrong(frames: dict[int, np.ndarray], whole: dict[int, np.ndarray]) -> int:
    return sum(not np.array_equal(frame, whole[key]) for key, frame in frames.items())


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("h264.mp4", {"gop": 12}, b"mdat"),
        ("mjpeg.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}, b"movi"),
    ],
)
def test_flipped_bits_give_fewer_wrong_frames_than_the_decoder_alone(folder, name, options, part):
    whole = media.write_video(folder / f"whole-{name}", **options)
    right, right_concealed = trusted(whole, 60), concealed(whole)
    assert len(right) == 60
    ours = theirs = complete = 0
    for seed in range(25):
        for flips in (1, 3):
            path = media.flip_bits(whole, folder / f"flipped-{name}", flips, seed, part)
            given = trusted(path, 60)
            complete += len(given) == 60
            ours += wrong(given, right)
            theirs += wrong(concealed(path), right_concealed)
    assert complete < 45  # damage that a decoder can notice is refused
    assert ours <= theirs


def test_damage_in_one_group_leaves_the_others(folder):
    """Through the child process: frames up to the damage, an error, frames behind it."""
    whole = media.write_video(folder / "groups.mp4", frames=120, gop=12)
    path = media.damage(whole, folder / "group.mp4", 0.5, 60)
    numbers = set(range(120))
    lost = set()
    for number in numbers:
        reader = open_source(str(path), "auto", lambda: None)
        try:
            ((_, frame),) = reader.read([number])
            assert media.read_number(frame) == number
        except VideoError:
            lost.add(number)
    assert 0 < len(lost) <= 36
    assert max(lost) - min(lost) == len(lost) - 1
    with Video(path, fps=30, window=8) as video, pytest.raises(VideoError, match="cannot be dec"):
        for segment in video.segments():
            assert not lost & set(video.plan.indices[segment.positions].tolist())


def test_decord_is_heard_from_its_opening_on(clip):
    """It decodes ahead in threads: its complaint may come between two reads."""
    pytest.importorskip("decord", reason="decord has no wheel for this platform")
    reader = open_source(str(clip), "decord", lambda: None)
    frames = reader.read([0, 1, 2])
    next(frames)
    os.write(2, b"[h264] error while decoding MB 3 4\n")
    with pytest.raises(VideoError, match=r"frame 1 without damage[\s\S]*MB 3 4"):
        next(frames)
