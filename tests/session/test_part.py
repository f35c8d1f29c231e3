"""A question about a part of a video: the file's times, the prompt's own clock, its own digest."""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab import Capture, analysis
from tempo_lab.analysis.attribution.masked_forward import MaskedForward
from tempo_lab.analysis.validation import check_model
from tempo_lab.common.errors import TraceError, VideoError
from tempo_lab.trace.trace import Trace
from tests import media

SHORT = {"max_new_tokens": 4}
QUESTION = "What color is the moving square?"


@pytest.fixture(scope="module")
def noise(frames_file, tmp_path_factory):
    """Frames 8 to 23 of the noise, 4 to 12 s, in a file of their own."""
    path = tmp_path_factory.mktemp("part") / "alone.npy"
    np.save(path, np.load(frames_file)[8:24])
    return path


def test_a_part_is_answered_like_a_file_of_its_own(tiny, frames_file, noise):
    with (
        tiny.open(frames_file, start=4, end=12, progress=False) as part,
        tiny.open(noise, progress=False) as alone,
    ):
        trace, expected = (each.ask(QUESTION, budget=60, **SHORT) for each in (part, alone))
        spec = Capture(attention=["answer"], reduce="none")
        cost, expected_cost = (each.capture_cost(spec).parts for each in (part, alone))
    assert trace.answer == expected.answer
    assert trace.prompts == expected.prompts
    assert "<2.0 seconds>" in trace.prompts["llm"]
    np.testing.assert_allclose(trace.data["logit"], expected.data["logit"], atol=1e-5)
    assert trace.data["tokens"].equals(expected.data["tokens"])
    assert trace.data["clock"].values.tolist() == [2, 6]
    for name in ("start", "end", "true_start", "true_end"):
        shifted = expected.data[name].values + 4
        assert trace.data[name].values.tolist() == shifted.tolist()
    assert trace.data["start"].values.tolist() == [4, 8]
    assert cost == expected_cost


def test_provenance_says_which_part(tiny, frames_file, noise, tmp_path):
    with tiny.open(frames_file, start=4, end=12, progress=False) as session:
        trace = session.ask(QUESTION, budget=60, **SHORT)
    assert trace.provenance["part"] == [4, 12]
    assert trace.provenance["clock_offset"] == 4
    assert (trace.provenance["frames"], trace.provenance["duration"]) == (16, 22)
    loaded = Trace.load(trace.save(tmp_path / "t.nc"))
    assert loaded.provenance == trace.provenance
    with tiny.open(noise, progress=False) as session:
        whole = session.ask(QUESTION, budget=60, **SHORT)
        assert not {"part", "clock_offset"} & set(whole.provenance)
        with pytest.raises(TraceError, match="another part of the video"):
            check_model(trace, session)
        check_model(whole, session)


def test_another_part_is_another_video(tiny, tmp_path):
    """Even where no frame differs from another."""
    np.save(tmp_path / "gray.npy", np.full((32, 24, 32, 3), 128, dtype=np.uint8))
    digests = set()
    for limits in ({"end": 8}, {"start": 8}, {"start": 4, "end": 12}, {}, {"start": 0}):
        with tiny.open(tmp_path / "gray.npy", progress=False, **limits) as session:
            session.ask(QUESTION, budget=60, **SHORT)
            digests.add(session.engine.batches.digest)
    assert len(digests) == 4  # from 0 on is the whole video


def test_a_video_file_is_read_from_the_start_of_the_part(tiny, tmp_path):
    """Frames 39 to 98 of 150."""
    path = media.write_video(tmp_path / "clip.mp4", frames=150)
    with tiny.open(path, fps=5, start=1.3, end=3.3, progress=False) as session:
        trace = session.ask(QUESTION, budget=60, **SHORT)
    assert trace.data["start"].values.tolist() == pytest.approx([1.3, 2.9])
    assert trace.data["end"].values.tolist() == pytest.approx([2.9, 3.3])
    assert trace.data["true_start"][0].item() == pytest.approx(39 / 30)
    assert trace.data["true_end"][-1].item() == pytest.approx(98 / 30)
    assert trace.data["clock"].values.tolist() == pytest.approx([0.8, 2.4])
    assert analysis.within(trace, [(3.0, 3.2)]).tolist() == [False, True]


def test_the_frame_pairs_of_analyses_are_at_the_times_of_the_file(tiny, frames_file):
    with tiny.open(frames_file, start=4, end=12, progress=False) as session:
        trace = session.ask(QUESTION, budget=60, **SHORT)
        pairs = [
            MaskedForward(session, trace, 1, "red").segment_input.seconds,
            analysis.rollout(session, QUESTION, 1).data[["pair_start", "pair_end"]].to_array().T,
        ]
    for seconds in pairs:
        assert np.asarray(seconds).tolist() == [[8, 9], [9, 10], [10, 11], [11, 12]]


def test_a_part_that_ends_too_late_warns(tiny, frames_file):
    with tiny.open(frames_file, start=18, end=30, progress=False) as session:
        trace = session.ask(QUESTION, budget=60, **SHORT)
    assert any("at 22 s" in warning for warning in trace.warnings)
    assert trace.provenance["part"] == [18, 22]


def test_an_impossible_part_is_refused(tiny, frames_file):
    with pytest.raises(VideoError, match="the video lasts 22 s"):
        tiny.open(frames_file, start=22)
