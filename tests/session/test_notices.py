"""Notices about doubtful answers, how a question was read, and answers that end."""

from dataclasses import replace

import numpy as np
import pytest

import tempo_lab as tl
from tempo_lab.common.errors import CheckpointError, QueryError
from tempo_lab.common.files import shipped
from tempo_lab.model.generate import Answer
from tempo_lab.nano.world.recognition import FORMS
from tempo_lab.session.blind import answer_blind
from tempo_lab.session.notices import CERTAIN, repetition_notice, unknown_kind_notice
from tempo_lab.session.tempo import Tempo
from tempo_lab.trace.trace import Trace

CLIP = shipped("data/clips/voyage.mp4")


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture(scope="module")
def session(nano):
    with nano.open(CLIP, progress=False) as opened:
        yield opened


def likely(probability):
    return np.log(np.array([1.0, probability, 1.0]))


def test_the_embedded_models_list_the_forms_of_the_world(nano):
    assert nano.checkpoint.question_forms == FORMS
    assert tl.load("nano-plain", device="cpu").checkpoint.question_forms == FORMS


def test_a_doubtful_answer_to_an_unknown_kind_of_question_has_a_notice(nano):
    def notice(question, answer, probability):
        return unknown_kind_notice(nano.checkpoint, question, answer, likely(probability))

    assert notice("Is the star red?", "yes", 1) is None
    assert "asks for yes or no" in notice("Is the star red?", "small", 1)
    assert "is 0.42" in notice("Is the star red?", "yes", 0.42)
    assert notice("Is the star red?", "yes", CERTAIN + 0.001) is None
    assert '"What color is the star?"' in notice("Is the star red?", "small", 1)
    assert notice("What color is the star?", "small", 0.01) is None  # a known kind
    unlisted = replace(nano.checkpoint, question_forms=None)
    assert unknown_kind_notice(unlisted, "Is the star red?", "small", likely(0.01)) is None


def test_repetition_until_the_limit_has_a_notice():
    def notice(text, stopped="max_new_tokens"):
        ids, logprobs = np.zeros(32, np.int64), np.zeros(32, np.float32)
        return repetition_notice(Answer(text, ids, logprobs, stopped))

    assert "32 tokens" in notice("at 5555555")
    assert notice("red star, red star, red star, red star, ")
    assert notice("at 5555555", "end") is None
    assert notice("red star, blue star, red moon, blue moon, red") is None
    assert notice("red") is None


def test_an_answer_ends(nano, session):
    trace = session.ask("When are we in the desert?")
    assert trace.provenance["max_new_tokens"] == 32
    assert len(trace.answer) < 100
    longer = session.ask("When are we in the desert?", max_new_tokens=40)
    assert longer.data.sizes["answer_token"] == 40  # the limit is only the default
    blind = answer_blind(nano.checkpoint, "When are we in the desert?")
    assert blind.answer_tokens <= 32


def test_the_trace_has_the_question_as_asked_and_as_read(session, tmp_path):
    asked, read = "What's the color of the star in the video?", "What is the color of the star?"
    trace = session.ask(asked)
    assert (trace.asked, trace.read_as, trace.question) == (asked, read, read)
    assert read.lower() in trace.prompts["llm"].lower()
    plain = session.ask(read)
    assert (plain.asked, plain.read_as) == (read, None)
    assert trace.answer == plain.answer
    scored = session.score(asked)
    assert (scored.asked, scored.read_as) == (asked, read)
    np.testing.assert_array_equal(scored.data["logit"], trace.data["logit"])
    loaded = Trace.load(trace.save(tmp_path / "a.nc"))
    assert (loaded.asked, loaded.read_as) == (asked, read)
    assert "Read as" in loaded._repr_html_()


def test_a_refused_question_is_shown_as_it_was_asked(session):
    with pytest.raises(QueryError) as raised:
        session.ask("What's the moon's color?")
    assert raised.value.asked == "What's the moon's color?"


def test_a_model_without_forms_reads_what_is_asked(nano):
    plain = Tempo(replace(nano.checkpoint, question_forms=None))
    with plain.open(CLIP, progress=False) as session:
        trace = session.ask("Is there a star in the video?")
    assert trace.question == "Is there a star in the video?"
    assert trace.warnings == ()


def test_a_saved_checkpoint_keeps_its_forms_and_its_limit(nano, tmp_path):
    nano.save_pretrained(tmp_path / "copy")
    copy = tl.load(tmp_path / "copy", device="cpu")
    assert copy.checkpoint.question_forms == FORMS
    assert copy.model.generation_config.max_new_tokens == 32
    (tmp_path / "copy" / "question_forms.json").write_text('{"words": 3}')
    with pytest.raises(CheckpointError, match="question forms cannot be read"):
        tl.load(tmp_path / "copy", device="cpu")
    (tmp_path / "copy" / "question_forms.json").unlink()
    (tmp_path / "copy" / "generation_config.json").write_text('{"max_new_tokens": "many"}')
    with pytest.raises(CheckpointError, match="longest answer"):
        tl.load(tmp_path / "copy", device="cpu")
