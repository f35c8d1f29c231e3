"""Other wordings of the Yes/No sentence: what they change, and that nothing of them stays."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.analysis import PromptSensitivity, Wording, prompt_sensitivity, relevance
from tempo_lab.analysis.prompt_sensitivity import LEFT_OUT, RELEASED, SMALL_WORDINGS, WORDINGS
from tempo_lab.common.errors import QueryError, TraceError
from tempo_lab.model.prompts import RELEVANCE_SENTENCE

matplotlib.use("agg")
STAR = "What color is the star?"
TRUTH = np.arange(12) == 8


@pytest.fixture(scope="module")
def session():
    with tl.load("nano").open("data/clips/voyage.mp4", progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def result(session):
    wordings = {
        "again": RELEVANCE_SENTENCE,
        "short": SMALL_WORDINGS["short"],
        "inverted": SMALL_WORDINGS["inverted"],
        LEFT_OUT: "",
    }
    return prompt_sensitivity(session, STAR, wordings, truth=TRUTH, budget=48, progress=False)


def test_the_released_sentence_under_another_name_changes_nothing(result):
    for name in (RELEASED, "again"):
        one = result.data.sel(wording=name)
        assert float(one["correlation"]) == pytest.approx(1)
        assert float(one["rank_agreement"]) == float(one["same_sign"]) == 1
        assert float(one["change"]) < 1e-5
        assert float(one["distance"].max()) < 1e-4
        assert float(one["cosine"].min()) > 0.9999
        assert not one["answer_changed"]
        assert not one["answer_changed_same_tokens"]


def test_other_words_change_what_is_stored(result):
    far = result.data["distance"].mean("segment").to_series()
    assert far["short"] > 0.01
    assert far[LEFT_OUT] > 0.01
    assert float(result.data["question_distance"].min()) > 0.01
    assert result.data["inverted"].to_numpy().tolist() == [False, False, False, True, False]
    assert result.data["sentence"].sel(wording=LEFT_OUT).item() == ""


def test_the_first_row_is_what_the_session_says(session, result):
    trace = session.ask(STAR, budget=48)
    np.testing.assert_allclose(result.data["logit"][0], trace.data["logit"], atol=1e-3)
    assert result.provenance["answers"][RELEASED] == trace.answer
    assert float(result.data["auc"][0]) == float(relevance(trace, TRUTH).data["auc"][0])


def test_left_out_is_the_prompt_of_training(session, result):
    """Against one plain pass with the prompt that training reads."""
    engine, prompts = session.engine, session.checkpoint.prompts
    with torch.inference_mode():
        for batch in engine.batches.stream(0):
            row = batch.segments.index(8) if 8 in batch.segments else None
            if row is not None:
                logit, memory = engine.compressor.in_one_pass(
                    batch.patches[row],
                    batch.grid,
                    prompts.system(relevance=False),
                    batch.videos[row],
                    prompts.question(STAR),
                )
    own = engine.memory_tokens(engine.score(STAR), np.full(12, len(memory)))[8]
    left_out = result.data.sel(wording=LEFT_OUT).isel(segment=8)
    assert float(left_out["logit"]) == pytest.approx(float(logit), abs=1e-3)
    expected = torch.cosine_similarity(own, memory, dim=-1).numpy()
    np.testing.assert_allclose(left_out["cosine"], expected, atol=1e-3)
    away = float((own - memory).norm() / own.norm())
    assert float(left_out["distance"]) == pytest.approx(away, abs=1e-3)


def test_the_session_keeps_nothing_of_it(session):
    before = session.ask(STAR, budget=48)
    computed, held = dict(session.engine.computed), session.engine.nbytes
    prompt_sensitivity(session, "Where is the fox?", {LEFT_OUT: ""}, progress=False)
    assert session.engine.computed == computed
    assert session.engine.nbytes == held
    after = session.ask(STAR, budget=48)
    np.testing.assert_array_equal(after.data["logit"], before.data["logit"])
    assert after.answer == before.answer
    assert session.checkpoint.prompts.sentence == RELEVANCE_SENTENCE
    assert session.engine.computed == computed


def test_an_interrupted_one_leaves_the_session_usable(session, monkeypatch):
    before = session.ask(STAR, budget=48)
    read = type(session.engine.compressor).relevance

    def interrupted(self, prefix, question):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(session.engine.compressor), "relevance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prompt_sensitivity(session, STAR, progress=False)
    monkeypatch.setattr(type(session.engine.compressor), "relevance", read)
    again = session.ask("Where is the fox?", budget=48)
    assert len(again.data["logit"]) == 12
    assert session.ask(STAR, budget=48).answer == before.answer


def test_every_model_is_asked_in_words_that_it_knows(tiny, tmp_path, session):
    small = prompt_sensitivity(session, STAR, budget=24, progress=False)
    assert small.data["wording"].to_numpy().tolist() == [RELEASED, *SMALL_WORDINGS]
    frames = np.random.default_rng(0).integers(0, 256, (24, 24, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", frames)
    with tiny.open(tmp_path / "noise.npy", progress=False) as noise:
        short = {"budget": 24, "max_new_tokens": 2, "progress": False}
        any_words = prompt_sensitivity(noise, STAR, **short)
    assert any_words.data["sentence"].to_numpy().tolist() == [
        RELEVANCE_SENTENCE,
        *(wording.sentence for wording in WORDINGS.values()),
    ]
    assert "auc" not in any_words.data


def test_a_saved_one_is_the_same_and_subtracts(result, tmp_path):
    again = PromptSensitivity.load(result.save(tmp_path / "r.nc"))
    xr.testing.assert_identical(again.data, result.data)
    assert not (again - result).data["logit"].any()
    assert list(again.to_pandas()["wording"]) == [RELEASED, "again", "short", "inverted", LEFT_OUT]


@pytest.mark.parametrize(
    ("wordings", "words"),
    [
        ({}, "asked: none"),
        ({RELEASED: " yes?"}, "'released' is always added"),
        ({"x": 3}, "asked: x"),
        ({"x": " is it relevant?"}, "unknown: relevant"),
        ({"x": Wording(" is it Relevant to me, exactly?")}, "unknown: Relevant, exactly"),
    ],
)
def test_wordings_that_cannot_be_asked(session, wordings, words):
    with pytest.raises(QueryError, match=words):
        prompt_sensitivity(session, STAR, wordings)


def test_what_has_no_meaning_is_refused(session, tiny, tmp_path):
    with pytest.raises(TraceError, match=r"12 segments[\s\S]*\(2,\)"):
        prompt_sensitivity(session, STAR, truth=[True, False])
    with pytest.raises(QueryError, match="zebra"):
        prompt_sensitivity(session, "What color is the zebra?", progress=False)
    np.save(tmp_path / "two.npy", np.zeros((16, 24, 32, 3), np.uint8))
    with (
        tiny.open(tmp_path / "two.npy", progress=False) as two,
        pytest.raises(TraceError, match=r"3 segments or more[\s\S]*found: 2"),
    ):
        prompt_sensitivity(two, STAR)


def test_the_figure_shows_what_was_measured(result):
    figure, (logit, agreement, memory, slots) = plots.prompt_sensitivity(result)
    figure.canvas.draw()
    np.testing.assert_allclose(logit.collections[0].get_array(), result.data["logit"])
    assert logit.get_title("left") == STAR
    names = [text.get_text() for text in logit.get_yticklabels()]
    assert names == [RELEASED, "again", "short", "inverted", LEFT_OUT]
    np.testing.assert_allclose(agreement.lines[0].get_xdata(), result.data["rank_agreement"])
    widths = [bar.get_width() for bar in memory.patches]
    np.testing.assert_allclose(widths, result.data["distance"].mean("segment"), rtol=1e-6)
    assert slots.get_xlabel() == "memory slot"
    assert len(slots.lines) == 4
    with pytest.raises(TraceError, match="PromptSensitivity"):
        plots.prompt_sensitivity("x")
    pyplot.close("all")
