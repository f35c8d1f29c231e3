"""A part of a source: the frames with start <= time < end, at the file's times."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tempo_lab.common.errors import VideoError
from tempo_lab.video import Video, plan_sampling
from tests import media
from tests.video.test_video import everything, shown


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="module")
def clip(folder) -> Path:
    """150 numbered frames in 5 s."""
    return media.write_video(folder / "clip.mp4", frames=150)


def test_a_part_is_sampled_like_a_file_of_its_own(clip, folder):
    """Frames 39 to 98 of the clip, in 2 s."""
    alone = media.write_video(folder / "alone.mp4", frames=60)
    with Video(alone, fps=5) as cut, Video(clip, fps=5, start=1.3, end=3.3) as part:
        assert part.part == (1.3, 3.3)
        assert part.plan.fps == cut.plan.fps == 5
        assert part.plan.indices.tolist() == (cut.plan.indices + 39).tolist()
        frames, times = everything(part)
        assert shown(frames) == part.plan.indices.tolist()
        assert times == pytest.approx(part.plan.indices / 30, abs=1e-6)
        assert part.segment_times == pytest.approx(cut.segment_times + 1.3)
        assert (part.info.frames, part.info.duration, part.info.notes) == (150, 5, ())
        assert "from 1.3 to 3.3 s" in repr(part)
        assert shown(everything(part)[0]) == part.plan.indices.tolist()  # a second child
        (late,) = part.segments(start=1)
        assert shown(late.frames) == part.plan.indices[8:].tolist()


@pytest.mark.parametrize("decoder", ["auto", "decord"])
@pytest.mark.parametrize(
    ("limits", "first", "last"),
    [
        ({"start": 2}, 60, 149),
        ({"end": 2}, 0, 59),
        ({"start": 1 / 3, "end": 2 / 3}, 10, 19),  # the times are rounded, as the decoder's are
        ({"start": 0.34, "end": 0.67}, 11, 20),
        ({"start": np.float32(4.5), "end": 5}, 135, 149),
    ],
)
def test_the_start_is_in_the_part_and_the_end_is_not(clip, decoder, limits, first, last):
    if decoder == "decord":
        pytest.importorskip("decord")
    with Video(clip, fps=30, decoder=decoder, **limits) as video:
        numbers = shown(everything(video)[0])
        assert (numbers[0], numbers[-1]) == (first, last)
        assert numbers == video.plan.indices.tolist()
        assert video.info.notes == ()


@pytest.mark.parametrize("limits", [{"start": 0}, {"end": 5}, {"start": 0.0, "end": 5}])
def test_the_whole_as_a_part_is_the_whole(clip, limits):
    with Video(clip) as whole, Video(clip, **limits) as video:
        assert video.part is None
        assert video.info == whole.info
        assert video.plan.indices.tolist() == whole.plan.indices.tolist()
        assert (video.plan.fps, video.plan.offset) == (whole.plan.fps, 0)


def test_without_a_part_the_plan_is_the_released_one(clip):
    with Video(clip, fps=3) as video:
        plan = plan_sampling(150, 30.0, fps=3)
        assert video.plan.indices.tolist() == plan.indices.tolist()
        assert (video.plan.fps, video.plan.offset) == (plan.fps, 0)
        starts = np.arange(len(video)) * 8
        ends = np.minimum(starts + 8, len(plan))
        assert video.segment_times.tolist() == (np.stack([starts, ends], 1) / plan.fps).tolist()


def test_an_end_beyond_the_video_is_cut_with_a_note(clip):
    with Video(clip, start=4, end=60) as video, Video(clip, start=4) as same:
        (note,) = video.info.notes
        assert "60 s" in note
        assert "at 5 s" in note
        assert video.part == same.part == (4, 5)
        assert video.plan.indices.tolist() == same.plan.indices.tolist()
        assert same.info.notes == ()


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"start": -1}, "start=-1"),
        ({"end": 0}, "ends after it starts"),
        ({"end": -2}, "end=-2"),
        ({"start": 2, "end": 2}, "ends after it starts"),
        ({"start": 3, "end": 2}, "start=3, end=2"),
        ({"start": 5}, "after the end of the video"),
        ({"start": 60, "end": 70}, "after the end of the video"),
        ({"start": math.nan}, "finite"),
        ({"end": math.inf}, "finite"),
        ({"start": "1"}, "found: str"),
        ({"end": True}, "found: bool"),
        ({"start": 0.34, "end": 0.36}, "no frame"),  # frame 10 is at 0.333 s, frame 11 at 0.367 s
    ],
)
def test_impossible_parts_are_refused_with_the_duration(clip, limits, words):
    with pytest.raises(VideoError, match=rf"(?s){words}.*") as refused:
        Video(clip, **limits)
    assert "the video lasts 5 s" in str(refused.value)


def test_variable_frame_rate(folder):
    """40 frames from 0.5 s in 1 s, then 20 frames, 0.2 s apart: true times count."""
    seconds = [0.5 + number / 40 for number in range(40)] + [1.5 + k / 5 for k in range(20)]
    path = media.write_video(folder / "variable.mkv", seconds=seconds)
    with Video(path) as whole:
        begin = everything(whole)[1][0]
    start = begin + 1.09  # after frame 40, which is 1 s after the first one
    with Video(path, start=start, end=start + 2) as video:
        frames, times = everything(video)
        assert shown(frames) == video.plan.indices.tolist()
        assert (shown(frames)[0], shown(frames)[-1]) == (41, 50)
        assert times[[0, -1]] - begin == pytest.approx([1.2, 3.0], abs=2e-3)
        assert (len(video.plan), video.plan.fps) == (4, 2)
        assert video.segment_times == pytest.approx(np.array([[start, start + 2]]))


def test_animation(tmp_path):
    path = media.write_gif(tmp_path / "a.gif", [100, 300, 100, 500, 200, 300])
    with Video(path, fps=10, start=0.4, end=1.1) as video:  # begin at 0, .1, .4, .5, 1, 1.2 s
        frames, times = everything(video)
        assert sorted(set(shown(frames))) == [2, 3, 4]
        assert sorted(set(times.round(6))) == [0.4, 0.5, 1.0]
        assert len(video.plan) == 7


@pytest.mark.parametrize("kind", ["folder", "array"])
def test_of_frames_that_are_all_used_those_in_the_part_are(tmp_path, kind):
    if kind == "folder":
        path = media.write_folder(tmp_path / "frames", 12)
    else:
        path = tmp_path / "a.npy"
        np.save(path, np.stack([media.numbered(number) for number in range(12)]))
    with Video(path, fps=2, start=0.7, end=5) as video:
        frames, times = everything(video)
        assert shown(frames) == list(range(2, 10))
        assert times.tolist() == [number / 2 for number in range(2, 10)]
        assert (video.plan.fps, video.plan.offset) == (2, 1)
        assert video.segment_times.tolist() == [[1, 5]]
    with pytest.raises(VideoError, match="the video lasts 6 s"):
        Video(path, fps=2, start=6)


def test_an_image_has_no_part(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(media.numbered(1)).save(path)
    for limits in ({"start": 0}, {"end": 1}):
        with pytest.raises(VideoError, match=r"(?s)single image.*an image, which has no duration"):
            Video(path, **limits)


def test_a_decoder_without_times_counts_its_frames(clip, tmp_path, monkeypatch):
    """Its frames lie at number / fps."""
    (tmp_path / "plain_decoder.py").write_text(
        "from tempo_lab.video import register_decoder\n"
        "from tempo_lab.video.decoders.video_file import AvReader\n"
        "class Plain:\n"
        "    def __init__(self, path, heartbeat):\n"
        "        self._reader = AvReader(path, heartbeat)\n"
        "        self.info, self.read = self._reader.info, self._reader.read\n"
        "register_decoder('plain_decoder:plain')(Plain)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with Video(clip, decoder="plain_decoder:plain", start=1.3, end=3.3) as video:
        assert shown(everything(video)[0]) == [39, 59, 78, 98]
