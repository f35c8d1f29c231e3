"""Examples of questions: from the ground truth, from the model, or general."""

import json
from types import SimpleNamespace

import pytest

from tempo_lab.nano.world import question_kind
from tempo_lab.nano.world.files import make
from tempo_lab.widgets.known_questions import MOST, example_questions

LISTED = ("What color is the star?", "Is there a circle?", "Where is the moon?")


def checkpoint(listed=LISTED, name="/models/small"):
    config = SimpleNamespace(example_questions=listed)
    return SimpleNamespace(name=name, model=SimpleNamespace(config=config))


def texts(video, listed=LISTED):
    return [each.text for each in example_questions(checkpoint(listed), video)]


def test_the_ground_truth_comes_first_with_a_question_of_each_kind(tmp_path):
    video, truth = make(5, 8, tmp_path, size=64)
    asked = json.loads(truth.read_text(encoding="utf-8"))
    examples = example_questions(checkpoint(), video)
    assert len(examples) == MOST
    assert [each.text for each in examples[:3]] == [each["text"] for each in asked["demo"]]
    assert len({question_kind(each.text) for each in examples}) == MOST
    answers = {each["text"]: each["answer"] for each in asked["questions"]}
    assert all(each.answer == answers[each.text] for each in examples)
    assert texts(video, None) == [each.text for each in examples]


@pytest.mark.parametrize(
    "content",
    [
        "", "no JSON", "[]", "3", "{}", "[" * 100_000,
        '{"demo": 1, "questions": 2}', '{"demo": [], "questions": []}',
        '{"demo": [{}], "questions": []}', '{"demo": [{"text": 3, "answer": 4, "kind": "x"}]}',
        '{"demo": [{"text": 3, "answer": [], "kind": {}}], "questions": []}',
    ],
)  # fmt: skip
def test_json_of_something_else_is_left_alone(tmp_path, content):
    (tmp_path / "mine.json").write_text(content, encoding="utf-8")
    assert set(texts(tmp_path / "mine.mp4")) <= set(LISTED)
    assert texts(tmp_path / "mine.mp4")


def test_a_long_text_is_cut_to_one_line(tmp_path):
    row = {"text": "What\n" * 1000, "answer": "\x1b[31m", "kind": "color"}
    truth = json.dumps({"demo": [row], "questions": []})
    (tmp_path / "mine.json").write_text(truth, encoding="utf-8")
    (example,) = example_questions(checkpoint(), tmp_path / "mine.mp4")
    assert len(example.text) < 140
    assert "\n" not in example.text
    assert example.answer == "\\x1b[31m"


def test_a_model_with_an_open_vocabulary_gets_general_questions(tmp_path):
    examples = texts(tmp_path / "mine.mp4", None)
    assert examples
    assert not set(examples) & set(LISTED)
