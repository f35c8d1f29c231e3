"""The default score of a case: what says the right answer, and what only mentions it."""

import pytest

from tempo_lab.common.errors import QueryError
from tempo_lab.evaluation.scoring import same_answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("red", "Red"),
        ("red", " red. "),
        ("red", "The star is red."),
        ("red", "It's red!"),
        ("red", "It is “red”."),
        ("red", "The color of the star is: red"),
        ("red", "Answer: red"),
        ("Red  circle.", "a red circle"),
        ("the desert", "Desert"),
        ("3", "There are 3."),
        ("red, left", "Red, left"),
        ("ｒｅｄ", "red"),
        ("B", "(B)"),
        ("(B)", "B"),
        ("B", "b."),
        ("B", "B) red"),
        ("B", "(B) the red star"),
        ("B", "Option B"),
        ("(B)", "The answer is (B)."),
        ("a", "A"),
        ("yes", "Yes."),
        ("yes", "Yes, the star is shown."),
        ("no", "No, there isn't a star."),
        ("not shown", "It is not shown."),
    ],
)
def test_what_says_the_answer(answer: str, said: str) -> None:
    assert same_answer(answer)(said) == 1.0


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("red", ""),
        ("red", "blue"),
        ("red", "not red"),
        ("red", "The star is not red."),
        ("red", "It isn't red."),
        ("red", "The star isn’t the one that is red."),
        ("red", "red or blue"),
        ("blue", "red or blue"),
        ("blue", "Either it is red or it is blue"),
        ("red", "Is it red?"),
        ("red", "red?"),
        ("red", "dark red"),
        ("red", "the red star"),
        ("red", "infrared"),
        ("blue", "The star is red and blue"),
        ("blue", "The star is red and the moon is blue"),
        ("red", "Nothing is red"),
        ("red", "No star is red."),
        ("red", "It is false that the star is red"),
        ("red circle", "red"),
        ("3", "13"),
        ("B", "A"),
        ("B", "A or B"),
        ("B", "(A) or (B)"),
        ("A", "(A) or (B)"),
        ("B", "(B) is wrong"),
        ("B", "The answer is not B."),
        ("B", "Blue"),
        ("A", "A star"),
        ("yes", "Yes and no"),
        ("yes", "Yes, but no"),
        ("yes", "no"),
        ("no", "nobody"),
        ("no", "Yes, there is no star."),
    ],
)
def test_what_only_mentions_it(answer: str, said: str) -> None:
    assert same_answer(answer)(said) == 0.0


@pytest.mark.parametrize("answer", [None, 5, ["red"]])
def test_a_right_answer_is_text(answer: object) -> None:
    with pytest.raises(QueryError, match="right answer must be text"):
        same_answer(answer)
