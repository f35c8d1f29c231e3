"""The procedural world: seeded, drawn as it says, and asked about with right answers."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tempo_lab.world import COLORS, KINDS, PLACES, SHAPES, draw_scene, make, questions
from tempo_lab.world.files import demo_questions, write_video
from tempo_lab.world.questions import rephrase
from tempo_lab.world.renderer import RGB, render, sampled
from tempo_lab.world.scenes import SPEED, STEP, UNITS, Scene, draw_segment

CLIPS = Path(__file__).parents[1] / "data" / "clips"


def test_a_seed_is_one_scene() -> None:
    assert draw_scene(5, 12) == draw_scene(5, 12)
    assert draw_scene(5, 12) != draw_scene(6, 12)


@pytest.mark.parametrize("segments", [1, 2, 8, 40])
def test_scenes_have_chapters_and_needles(segments: int) -> None:
    for seed in range(20):
        scene = draw_scene(seed, segments)
        chapters = scene.chapters()
        assert chapters[0]["first"] == 0
        assert chapters[-1]["last"] == segments - 1
        assert all(a["place"] != b["place"] for a, b in pairwise(chapters))
        assert all(c["last"] > c["first"] for c in chapters[:-1])
        counts = Counter(segment.shape for segment in scene.segments)
        assert 1 in counts.values()


def test_no_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one segment"):
        draw_scene(0, 0)


def test_shapes_stay_in_the_frame() -> None:
    rng = np.random.default_rng(0)
    for _ in range(500):
        segment = draw_segment(rng)
        for seconds in (0.0, 4.0):
            assert all(
                segment.radius <= v <= UNITS - segment.radius for v in segment.center(seconds)
            )


def test_frames_show_the_colour_at_the_centre_and_move() -> None:
    rng = np.random.default_rng(1)
    for color in COLORS:
        segment = draw_segment(rng, shape="circle", color=color)
        frames = sampled(segment)
        assert frames.shape == (8, 96, 96, 3)
        assert frames.dtype == np.uint8
        for index, frame in enumerate(frames):
            x, y = segment.center(index * 0.5)
            assert tuple(frame[round(y), round(x)]) == RGB[color]
    dx, dy = STEP[segment.motion]
    assert (frames[0] != frames[7]).any()
    assert segment.center(0.5) == (segment.x + dx * SPEED / 2, segment.y + dy * SPEED / 2)


def test_every_shape_differs_from_every_other() -> None:
    rng = np.random.default_rng(2)
    segment = draw_segment(rng, place="space", color="yellow")
    masks = {}
    for shape in SHAPES:
        frame = render(type(segment)(**{**vars(segment), "shape": shape, "radius": 20}), [0.0])[0]
        masks[shape] = np.abs(frame.astype(int) - RGB["yellow"]).sum(-1) < 40
    for one in SHAPES:
        for other in SHAPES:
            if one != other:
                both, either = masks[one] & masks[other], masks[one] | masks[other]
                assert both.sum() / either.sum() < 0.8, (one, other)


def test_a_digit_card_is_drawn_only_where_there_is_one() -> None:
    rng = np.random.default_rng(3)
    segment = next(s for s in iter(lambda: draw_segment(rng), None) if s.digit is not None)
    bare = type(segment)(**{**vars(segment), "digit": None})
    changed = (render(segment, [0.0])[0] != render(bare, [0.0])[0]).any(-1)
    rows, columns = np.nonzero(changed)
    assert np.ptp(rows) + 1 <= 27
    assert np.ptp(columns) + 1 <= 21
    assert (rows.mean() > 48) == (segment.corner >= 2)
    assert (columns.mean() > 48) == bool(segment.corner % 2)


def test_larger_frames_show_the_same() -> None:
    segment = draw_segment(np.random.default_rng(4))
    small, large = render(segment, [1.0], 96)[0], render(segment, [1.0], 288)[0]
    shrunk = large.reshape(96, 3, 96, 3, 3).mean((1, 3))
    assert np.abs(shrunk - small).mean() < 8


def test_answers_follow_from_the_scene() -> None:
    for seed in range(60):
        scene = draw_scene(seed, 10)
        for question in questions(scene):
            there = [scene.segments[i] for i in question.evidence]
            if question.kind in ("color", "motion", "place", "digit"):
                (segment,) = there
                assert segment.shape == question.subject
                assert str(getattr(segment, question.kind)) == question.answer
                assert sum(s.shape == question.subject for s in scene.segments) == 1
            elif question.kind == "shape":
                assert [s.shape for s in there] == [question.answer]
                assert sum(s.color == question.subject for s in scene.segments) == 1
            elif question.kind == "present":
                shown = any(s.shape == question.subject for s in scene.segments)
                assert question.answer == ("yes" if shown else "no")
            else:
                counts = Counter(s.place for s in scene.segments)
                assert counts[question.answer] == max(counts.values())


def test_every_kind_comes_up() -> None:
    asked = {q.kind for seed in range(30) for q in questions(draw_scene(seed, 8))}
    assert asked == set(KINDS)


def test_other_words_keep_the_subject() -> None:
    rng = np.random.default_rng(5)
    texts = set()
    for question in questions(draw_scene(1, 8)):
        for _ in range(30):
            text = rephrase(question, rng)
            assert question.subject in text
            texts.add(text)
    assert any("colour" in text for text in texts)
    assert any("<|im_end|>" in text for text in texts)


def test_make_writes_a_file_that_decodes_to_the_scene(tmp_path: Path) -> None:
    video, truth = make(3, 2, tmp_path, size=96)
    told = json.loads(truth.read_text())
    assert told["seed"] == 3
    assert len(told["segments"]) == 2
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 2 * 4 * 8
    scene = draw_scene(3, 2)
    for index in range(2):
        drawn = render(scene.segments[index], np.arange(32) / 8)
        found = np.stack(decoded[32 * index : 32 * index + 32])
        assert np.abs(found.astype(int) - drawn.astype(int)).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [truth.name, video.name]


def test_sampling_a_file_at_two_frames_a_second_cuts_it_into_its_segments(tmp_path: Path) -> None:
    from tempo_lab.video import Video

    scene = draw_scene(8, 5)
    path = write_video(scene, tmp_path / "five.mp4", size=96)
    with Video(path) as video:
        assert len(video) == 5
        for index, segment in enumerate(video.segments()):
            assert (segment.times >= 4 * index).all()
            assert (segment.times < 4 * index + 4).all()


def test_demo_questions_ask_of_the_star_first() -> None:
    for seed in range(40):
        asked = demo_questions(draw_scene(seed, 12))
        assert len(asked) == len(set(asked))
        subjects = {q.subject for q in questions(draw_scene(seed, 12), ("color",))}
        if "star" in subjects:
            assert asked[0].text == "What color is the star?"


@pytest.mark.parametrize("name", ["voyage", "expedition"])
def test_the_clips_are_what_their_truth_says(name: str) -> None:
    told = json.loads((CLIPS / f"{name}.json").read_text())
    scene = draw_scene(told["seed"], len(told["segments"]))
    assert [dict(vars(s)) for s in scene.segments] == told["segments"]
    assert [q.to_dict() for q in questions(scene)] == told["questions"]
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == len(scene) * 32
        first = next(container.decode(stream)).to_ndarray(format="rgb24")
    drawn = render(scene.segments[0], [0.0], first.shape[0])[0]
    assert np.abs(first.astype(int) - drawn.astype(int)).mean() < 6


def test_a_scene_is_its_segments() -> None:
    scene = Scene(0, draw_scene(0, 3).segments)
    assert len(scene) == 3
    assert scene.seconds == 12.0
    assert set(PLACES) >= {s.place for s in scene.segments}


def test_chapters_of_an_hour_last_minutes() -> None:
    chapters = draw_scene(3, 900).chapters()
    minutes = [(c["last"] - c["first"] + 1) * 4 / 60 for c in chapters[:-1]]
    assert 1.5 <= min(minutes) <= max(minutes) <= 6
