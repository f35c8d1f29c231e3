"""The kind of a question is recognized in every wording that training or its tests use."""

import numpy as np
import pytest

from tempo_lab.nano.world import KINDS, draw_scene, question_kind, questions
from tempo_lab.nano.world.questions import rephrase


@pytest.fixture(scope="module")
def asked():
    """Questions of every kind."""
    rows = [each for seed in range(6) for each in questions(draw_scene(seed, 8))]
    assert {each.kind for each in rows} == set(KINDS)
    return rows


def kind_of(question):
    """What a question about something that is not shown asks for."""
    return question.asks[0] if question.kind == "absence" else question.kind


def test_plain_questions_have_their_kind(asked):
    for question in asked:
        assert question_kind(question.text) == kind_of(question), question.text


def test_rephrased_questions_have_their_kind(asked):
    rng = np.random.default_rng(0)
    for question in asked[::3]:
        for text in (rephrase(question, rng, held_out=True) for _ in range(4)):
            assert question_kind(text) == kind_of(question), text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Describe this content.",
        "What color is the sea?",
        "What color is the red star?",
        "Is the star red?",
        "Which star is big?",
        "What color is the star? Where is the moon?",
        "Q1: What color is the star? Q2: Where is the moon?",
        "Q1: What color is the star?",
        "Where is it?",
        "When is the star next to the moon?",
    ],
)
def test_other_questions_have_none(text):
    assert question_kind(text) is None
