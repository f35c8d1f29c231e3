"""Question forms: kinds, the most similar questions, reading, and answers that do not fit."""

import json

import numpy as np
import pytest

from tempo_lab.common.answer_forms import misfit
from tempo_lab.common.question_forms import QuestionForms
from tempo_lab.common.question_reading import read_question
from tempo_lab.nano.world import draw_scene, questions
from tempo_lab.nano.world.questions import rephrase
from tempo_lab.nano.world.recognition import FORMS


def test_forms_survive_a_file():
    assert QuestionForms.from_dict(json.loads(json.dumps(FORMS.to_dict()))) == FORMS


@pytest.mark.parametrize(
    "changes",
    [
        {"words": None},
        {"words": {"color": ["red"]}},
        {"kinds": {"color": "What?"}},
        {"kinds": {"color": []}},
        {"kinds": {"color": ["What is the {thing}?"]}},
        {"parts": ["unheard"]},
        {"markup": [3]},
    ],
)
def test_other_values_are_refused(changes):
    with pytest.raises(ValueError, match=r"list|fields|parts"):
        QuestionForms.from_dict({**FORMS.to_dict(), **changes})


@pytest.mark.parametrize(
    ("asked", "read"),
    [
        ("What's the color of the star in the video?", "What is the color of the star?"),
        ("What\u2019s shown at 1:05?", "What is shown at 65 seconds?"),
        ("What is shown at 1:02:03?", "What is shown at 3723 seconds?"),
        ("What color's the star?", "What color is the star?"),
        ("What can you see at second 50?", "What can you see at 50 seconds?"),
        ("Are there any red stars in this clip?", "Is there a red star?"),
        ("are there any hourglasses?", "is there an hourglass?"),
        ("How many times do blue crosses appear?", "How many times does the blue cross appear?"),
        ("How often are the moons shown?", "How often is the moon shown?"),
        # another meaning, so they stay
        ("What's the moon's color?", "What is the moon's color?"),
        ("What colors are the stars?", "What colors are the stars?"),
        ("Where in the picture is the star?", "Where in the picture is the star?"),
    ],
)
def test_a_question_is_read_in_known_forms(asked, read):
    assert read_question(FORMS, asked) == read


def test_known_questions_are_read_as_they_are():
    rng = np.random.default_rng(0)
    for question in questions(draw_scene(0, 16)):
        for text in (question.text, rephrase(question, rng, held_out=True)):
            assert read_question(FORMS, text) == text


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("How many times do we see a bolt?", "How many times does the bolt appear?"),
        ("What digit do you see with the ring?", "Which digit is shown with the ring?"),
        ("What can you see at 50 seconds?", "Describe the part at 50 seconds."),
        ("Are the diamond and the ring together?", "What color is the ring with the diamond?"),
    ],
)
def test_the_most_similar_question_has_the_words_of_the_question(asked, nearest):
    examples = FORMS.nearest(asked)
    assert examples[0] == nearest
    assert len({FORMS.kind(example) for example in examples} - {None}) == 2


@pytest.mark.parametrize(
    ("question", "answer", "wrong"),
    [
        ("Is the star red?", "yes", "small"),
        ("Is the star small or big?", "big", "yes"),
        ("How many times do we see it?", "5", "yes"),
        ("When are we in the desert?", "at 62 seconds", "at 55555555"),
        ("When do we see the star?", "not shown", "desert"),
        ("What colour is the first star?", "red", "big"),
        ("Which number comes first?", "5", "red"),
        ("Which word is last?", "jam", "5"),
        ("What place comes after the sea?", "city", "5"),
        ("Where do we start?", "sea", "big"),
        ("What color is the star and where is it?", "red, sea", "red"),
        ("Describe the video.", "red star, sea", "5"),
    ],
)
def test_an_answer_of_another_form_does_not_fit(question, answer, wrong):
    assert misfit(FORMS, question, answer) is None
    assert misfit(FORMS, question, wrong).startswith("the question asks for ")


def test_known_questions_fit_their_answers():
    """By its form alone, no right answer is doubtful."""
    for question in questions(draw_scene(1, 16)):
        assert misfit(FORMS, question.text, question.answer) is None, question.text


def test_nothing_answers_who_or_why():
    assert "who or why" in misfit(FORMS, "Why is the star there?", "yes")
    assert misfit(FORMS, "What is this?", "leaves") is None  # any answer fits
