"""Units: what a mask does to the input, against inputs that were changed at their source."""

import numpy as np
import pytest
import torch

from tempo_lab.analysis.attribution.attribution import attribution
from tempo_lab.analysis.attribution.combinations import UNITS
from tempo_lab.analysis.attribution.masked_forward import MaskedForward, frozen
from tempo_lab.common.errors import QueryError, TraceError
from tempo_lab.session.scoring import answer_logprob

QUESTION = "What is in this?"
SEGMENT = 1


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(2).integers(0, 256, (20, 24, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def opened(tiny, tmp_path_factory):
    """Opens frames, as often as wanted."""
    folder, sessions = tmp_path_factory.mktemp("frames"), []

    def opened(frames):
        path = folder / f"{len(sessions)}.npy"
        np.save(path, frames)
        sessions.append(tiny.open(path, progress=False))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


@pytest.fixture(scope="module")
def session(opened, frames):
    return opened(frames)


@pytest.fixture(scope="module")
def trace(session):
    return session.ask(QUESTION, budget=18, max_new_tokens=2)


@pytest.fixture
def output(session, trace):
    """Target values of masks, unit by unit as asked."""

    def output(units, baseline, masks, reads="relevance"):
        forward = MaskedForward(session, trace, SEGMENT, "a dog")
        with frozen(session.checkpoint.model), torch.no_grad():
            masked = UNITS[units](forward, baseline, reads).output(torch.tensor(masks))
            return masked.logit if reads == "relevance" else masked.logprob("a dog")

    return output


def test_a_gray_pair_is_a_gray_pair_of_frames(opened, frames, output):
    changed = frames.copy()
    changed[8 + 2 : 8 + 4] = 128  # pair 1 of segment 1
    expected = opened(changed).ask(QUESTION, budget=18, max_new_tokens=1).data["logit"][SEGMENT]
    whole, masked = output("pairs", "gray", [[True] * 4, [True, False, True, True]]).tolist()
    assert masked == pytest.approx(float(expected), abs=1e-5)
    assert abs(masked - whole) > 1e-4


def test_all_pairs_are_the_segment_as_it_is(trace, output):
    values = [float(output("pairs", base, [[True] * 4])[0]) for base in ("gray", "mean")]
    assert values == pytest.approx([float(trace.data["logit"][SEGMENT])] * 2, abs=1e-5)


@pytest.mark.parametrize("baseline", ["gray", "mean", "blur", "zero"])
def test_patches_of_a_pair_are_that_pair(session, trace, output, baseline):
    patches = UNITS["patches"](
        MaskedForward(session, trace, SEGMENT, "a dog"), baseline, "relevance"
    )
    pair = patches.coordinates["pair"].values
    assert sorted(set(pair)) == [0, 1, 2, 3]
    assert len(set(patches.labels)) == patches.count
    by_patch = output("patches", baseline, [(pair != 2).tolist()])
    by_pair = output("pairs", baseline, [[True, True, False, True]])
    torch.testing.assert_close(by_patch, by_pair, atol=1e-5, rtol=0)


def test_a_patch_is_where_it_says(opened, frames, output, session, trace):
    """The upper half of the picture, gray at its source; its edge is blurred by the resize."""
    forward = MaskedForward(session, trace, SEGMENT, "a dog")
    patches = UNITS["patches"](forward, "gray", "relevance")
    row = patches.coordinates["patch_row"].values
    upper = row < (row.max() + 1) // 2
    changed = frames.copy()
    changed[8:16, :12] = 128
    expected = opened(changed).ask(QUESTION, budget=18, max_new_tokens=1).data["logit"][SEGMENT]
    whole, masked, other = output(
        "patches", "gray", [[True] * len(row), (~upper).tolist(), upper.tolist()]
    ).tolist()
    near = abs(masked - float(expected))
    assert near < abs(whole - float(expected))
    assert near < abs(other - float(expected))


def test_changed_pictures_reach_the_answer(opened, frames, session, trace, output):
    changed = frames.copy()
    changed[8:12] = 128
    other = opened(changed)
    forced = other.ask(QUESTION, budget=18, scores=trace.data["score"].values, max_new_tokens=1)
    np.testing.assert_array_equal(forced.data["tokens"], trace.data["tokens"])
    expected = float(answer_logprob(other, forced, "a dog").sum())
    masks = [[True] * 4, [False, False, True, True]]
    whole, masked = output("pairs", "gray", masks, "answer").tolist()
    assert masked == pytest.approx(expected, abs=1e-4)
    assert abs(masked - whole) > 10 * abs(masked - expected)


@pytest.mark.parametrize(
    ("baseline", "text"), [("removed", "What is this?"), ("blank", "What is _ this?")]
)
def test_words_are_asked_without(session, trace, output, baseline, text):
    masks = [[True] * 4, [True, True, False, True]]
    forced = session.ask(text, budget=18, scores=trace.data["score"].values, max_new_tokens=1)
    whole, logit = output("words", baseline, masks).tolist()
    assert logit == pytest.approx(float(forced.data["logit"][SEGMENT]), abs=1e-5)
    assert whole == pytest.approx(float(trace.data["logit"][SEGMENT]), abs=1e-5)
    logprob = output("words", baseline, masks, "answer")
    expected = [float(answer_logprob(session, each, "a dog").sum()) for each in (trace, forced)]
    np.testing.assert_allclose(logprob, expected, atol=1e-5)


@pytest.mark.parametrize("baseline", ["absent", "mean", "zero"])
def test_all_slots_of_a_segment_are_that_segment(session, trace, output, baseline):
    count = int(trace.data["tokens"][SEGMENT])
    slots = output("slots", baseline, [[False] * count, [True] * count], "answer")
    segments = output("segments", baseline, [[True, False, True], [True] * 3], "answer")
    torch.testing.assert_close(slots, segments, atol=1e-5, rtol=0)
    assert float(slots[0] - slots[1]) != 0


def test_slots_are_those_that_are_kept(session):
    tail = session.ask(QUESTION, budget=18, strategy="tail", max_new_tokens=1)
    last = session.checkpoint.model.config.num_compression_tokens - 1
    result = attribution(session, tail, units="slots", segment=SEGMENT, progress=False)
    kept = np.flatnonzero(tail.data["kept"][SEGMENT])
    assert result.data["slot"].values.tolist() == kept.tolist()
    assert result.data["unit"].values[-1] == f"slot {last}"


def test_pairs_have_seconds(session, trace):
    forward = MaskedForward(session, trace, 2, "a dog")  # 4 frames at 2 a second, from second 8
    coordinates = UNITS["pairs"](forward, "gray", "relevance").coordinates
    assert coordinates["start"].values.tolist() == [8.0, 9.0]
    assert coordinates["end"].values.tolist() == [9.0, 10.0]


def test_nothing_to_take_away_is_refused(session):
    marks = session.ask("?!", budget=18, max_new_tokens=1)
    with pytest.raises(QueryError, match="no words to remove"):
        attribution(session, marks, units="words", progress=False)
    few = session.ask(QUESTION, budget=6, min_tokens=0, scores=[1, 0, 0], max_new_tokens=1)
    assert few.data["tokens"].values.tolist()[1:] == [0, 0]
    for units in ("slots", "pairs"):
        with pytest.raises(TraceError, match="0 memory tokens"):
            attribution(session, few, units=units, segment=1, progress=False)
