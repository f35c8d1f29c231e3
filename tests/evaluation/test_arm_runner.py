"""The runner of arms: what it asks of sessions, and the rows that it makes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tempo_lab.allocation.arms import Arm
from tempo_lab.allocation.facility_location import facility_location
from tempo_lab.common.errors import BudgetError
from tempo_lab.evaluation.arm_runner import ArmRunner
from tempo_lab.evaluation.cases import Case
from tests import media

QUESTION, OTHER = "What color is the moving square?", "What color is the star?"
OWN, FORCED = Arm("own", "head", 4), Arm("forced", "head", 4, scores="oracle")
SPARSE = Arm("sparse", "none", 64, sparse=True)
EVIDENCE = [True] + [False] * 5


@pytest.fixture(scope="module")
def session(tiny, frames_file):
    """Six segments of noise, opened with a tiny model."""
    with tiny.open(frames_file, progress=False) as opened:
        yield opened


@pytest.fixture
def asked(session, monkeypatch):
    """What the session was asked: question, budget, and whether scores were forced."""
    calls, ask = [], session.ask

    def note(question, *, budget, scores=None, **options):
        calls.append((question, budget, scores is not None))
        return ask(question, budget=budget, scores=scores, **options)

    monkeypatch.setattr(session, "ask", note)
    return calls


def draw() -> np.random.Generator:
    """A generator that shuffles."""
    return np.random.default_rng(0)


def test_relevance_is_taken_from_an_answer_or_asked_for_once(session, asked):
    case = Case(session, QUESTION, "red", EVIDENCE)
    with ArmRunner() as runner:
        for _ in range(2):
            runner.ask(case, FORCED, draw=draw(), max_new_tokens=1)
    assert asked == [(QUESTION, 24, False), (QUESTION, 24, True), (QUESTION, 24, True)]
    asked.clear()
    with ArmRunner() as runner:
        runner.ask(case, OWN, draw=draw(), max_new_tokens=1)
        runner.ask(case, FORCED, draw=draw(), max_new_tokens=1)
        runner.prior_row(case)
    assert asked == [(QUESTION, 24, False), (QUESTION, 24, True)]


def test_rows_hold_answers_and_relevance(session):
    case, other = (Case(session, text, "red", EVIDENCE) for text in (QUESTION, OTHER))
    arm = Arm("own", "head", 4, logprob=True)
    with ArmRunner() as runner:
        answer = runner.ask(case, arm, draw=draw(), max_new_tokens=2)
        row, prior = answer.row(), runner.prior_row(case, control=other)
    assert (answer.session, row["said"], row["score"]) == (session, answer.trace.answer, 0.0)
    assert row["used"] == answer.used <= 24
    assert row["logprob"] < 0 < row["answer_tokens"]
    logit = answer.trace.data["logit"].to_numpy()
    assert prior["evidence"] == [0]
    assert prior["logit"] == [round(float(x), 4) for x in logit]
    assert prior["auc"] == np.mean(logit[0] > logit[1:])
    assert (prior["control"], 0 <= prior["control_auc"] <= 1) == (OTHER, True)
    with ArmRunner() as runner:
        assert "auc" not in runner.prior_row(Case(session, QUESTION, "red", [False] * 6), 24)


def test_noisy_scores_have_an_auc_of_their_own(session):
    case = Case(session, QUESTION, "red", EVIDENCE)
    quiet, loud = (Arm("noisy", "head", 4, scores="noisy", noise=noise) for noise in (0, 1e3))
    with ArmRunner() as runner:
        prior = runner.prior_row(case, 24)
        same = runner.ask(case, quiet, draw=draw(), max_new_tokens=1)
        other = runner.ask(case, loud, draw=draw(), max_new_tokens=1)
        nothing = replace(case, evidence=np.zeros(6, bool))
        assert "auc" not in runner.ask(nothing, loud, draw=draw(), max_new_tokens=1).row()
    assert same.row()["auc"] == prior["auc"]
    relevance = same.trace.data["relevance"].to_numpy()
    np.testing.assert_allclose(same.trace.data["score"], relevance, rtol=1e-5)
    assert np.abs(other.trace.data["score"].to_numpy() - relevance).max() > 0.1


def test_facility_location_reads_the_frames_and_not_the_question(session):
    arm = Arm("facility location", "router", 64, scores="facility")
    with ArmRunner() as runner:
        one, other = (
            runner.ask(Case(session, text, "red", EVIDENCE), arm, draw=draw(), max_new_tokens=1)
            for text in (QUESTION, OTHER)
        )
    features = session.engine.mean_features
    assert len(features) == len(session)
    scores = one.trace.data["score"].to_numpy()
    np.testing.assert_array_equal(scores, other.trace.data["score"])
    assert np.argsort(-scores).tolist() == facility_location(features).tolist()
    assert sorted(one.trace.data["tokens"].to_numpy())[-3:] == [128] * 3


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        (Arm("sparse", "none", 4, sparse=True), "does not hold one segment"),
        (SPARSE, "cannot be thinned"),
    ],
)
def test_sparse_frames_that_are_impossible_are_refused(session, arm, words):
    with ArmRunner() as runner, pytest.raises(BudgetError, match=words):
        runner.ask(Case(session, QUESTION, "red", EVIDENCE), arm, draw=draw())


def test_sparse_frames_of_a_part_are_of_that_part(tiny, tmp_path):
    """64 tokens for each of two segments: one segment, from the same two seconds."""
    path = media.write_video(tmp_path / "clip.mp4", frames=150)
    with tiny.open(path, fps=5, start=1.3, end=3.3, progress=False) as part, ArmRunner() as runner:
        case = Case(part, QUESTION, "red", [True, False])
        answer = runner.ask(case, SPARSE, draw=draw(), max_new_tokens=1)
        assert len(answer.session) == 1
        assert answer.session.video.part == (1.3, 3.3)


def test_sparse_frames_are_sampled_like_the_session(tiny, tmp_path):
    """The second stream at 1 frame per second: a large budget gives the frames of the session."""
    small = media.write_video(tmp_path / "small.mp4", frames=600)
    large = media.write_video(tmp_path / "large.mp4", frames=600, size=(96, 64))
    path = media.mux(tmp_path / "both.mp4", large, small)
    options = {"fps": 1, "max_frames": 16, "stream": 1, "progress": False}
    with tiny.open(path, **options) as session, ArmRunner() as runner:
        case = Case(session, QUESTION, "red", [True, False])
        all_frames, half = (
            runner.ask(
                case, replace(SPARSE, budget=budget), draw=draw(), max_new_tokens=1
            ).session.video
            for budget in (10 * tiny.slots, tiny.slots // 2)
        )
        assert all_frames.info == session.video.info
        assert (all_frames.info.width, all_frames.info.height) == (64, 48)
        assert all_frames.plan.indices.tolist() == session.video.plan.indices.tolist()
        assert (len(session), len(half)) == (2, 1)
