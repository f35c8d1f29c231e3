"""Letters in answers, circular scoring, accuracies with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.statistics import bootstrap_mean
from tempo_lab.evaluation.answer_scoring import (
    Judged,
    Score,
    accuracy,
    accuracy_by,
    accuracy_of_parsed,
    accuracy_with_guesses,
    circular,
    circular_scores,
    compat_letter,
    first_letter,
    judge,
    mean_over,
    paired_difference,
    rotate,
    strict_letter,
)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B. red", "B"),
        (" 'C.' ", "C"),
        ("The answer is C.", "C"),
        ("I would say (A) or (B)", "B"),  # equal forms: the last one
        ("(A) is wrong: D", "D"),  # the end beats parentheses
        ("A B: it is (C) here", "A"),  # the start beats everything
        ("it is B: or C) there", "B"),  # a colon beats a closing parenthesis
        ("x A. y (B) z", "B"),  # parentheses beat a period
        ("the answer is, I think, B. (C) no", "C"),  # after the phrase all letters are candidates
        ("yes D yes C yes", "C"),  # "C " is later
        ("", None),
        ("none of them", None),
        ("b", None),
        ("xDx", "D"),  # any place, where there is nothing else
    ],
)
def test_the_released_extraction(answer: str, letter: str | None) -> None:
    assert compat_letter(answer) == letter


def test_the_released_extraction_keeps_its_flaws() -> None:
    assert compat_letter("A person walks by.") == "A"
    assert compat_letter("A dog, so the answer is B.") == "A"  # the start beats the statement
    assert strict_letter("A dog, so the answer is B.") == "B"
    assert compat_letter("Certainly not") == "C"


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(b)", "B"),
        ("**B.**", "B"),
        ("B. red", "B"),
        ("(B) red", "B"),
        ("B\nBecause it is red.", "B"),
        ("B. Vitamin C", "B"),
        ("The answer is B.", "B"),
        ("The correct option is (B) red", "B"),
        ("A is wrong. The answer is B.", "B"),
        ("Answer: B", "B"),
        ("I choose B because A is wrong", "B"),
        ("A person walks by.", None),
        ("The answer is a red ball.", None),
        ("The answer is A person.", None),
        ("A or B", None),
        ("A. red or B", None),
        ("(A) red\n(B) blue", None),
        ("The answer is not B.", None),
        ("I do not think the answer is B.", None),
        ("The answer is B. The answer is C.", None),
        ("E", None),
        ("Certainly not", None),
        ("", None),
    ],
)
def test_the_strict_extraction(answer: str, letter: str | None) -> None:
    assert strict_letter(answer) == letter


@given(st.text(alphabet="ABCDE abcde().:,*'\n¡一isanwer", max_size=40))
def test_an_extraction_returns_an_allowed_letter_or_none(answer: str) -> None:
    for extract in (compat_letter, strict_letter, first_letter):
        assert extract(answer, "ABC") in ("A", "B", "C", None)


@given(st.sampled_from("ABCD"), st.sampled_from(["{}", "({})", "{}.", "{}) red", "Answer: {}"]))
def test_the_rules_agree_on_plain_answers(letter: str, form: str) -> None:
    answer = form.format(letter)
    assert compat_letter(answer) == strict_letter(answer) == letter


def test_the_first_letter_after_prefixes() -> None:
    assert first_letter("The best answer is: E. a boat") == "E"
    assert first_letter("The answer is D. A book") == "D"
    assert first_letter("yes it is") is None


def one(
    name: str, correct: float, video: str = "v", letter: str | None = "A", **more: object
) -> Judged:
    return Judged(name, video, correct, letter is not None, letter, options=4, **more)  # type: ignore[arg-type]


def test_judge_counts_what_it_cannot_parse() -> None:
    common = {"id": "1", "video": "v"}
    assert judge("(B)", 1, 4, **common).correct == 1
    unparsed = judge("who knows", 1, 4, **common)
    assert (unparsed.correct, unparsed.parsed, unparsed.answered) == (0, False, True)
    missing = judge(None, 1, 4, **common)
    assert (missing.correct, missing.parsed, missing.answered) == (0, False, False)
    free = judge("The star is red.", "red", 0, **common)
    assert (free.correct, free.letter, free.parsed) == (1, None, True)
    assert not judge("  ", "red", 0, **common).parsed
    with pytest.raises(TempoLabError, match="from 0 to 3"):
        judge("B", 4, 4, **common)


def test_unparsed_answers_stay_in_the_denominator() -> None:
    judged = [one("1", 1), one("2", 0, letter=None), one("3", 1), one("4", 0)]
    score = accuracy(judged)
    assert (score.value, score.questions, score.unparsed) == (0.5, 4, 1)
    flattering = accuracy_of_parsed(judged)
    assert (flattering.value, flattering.questions, flattering.unparsed) == (2 / 3, 3, 1)
    guessed = accuracy_with_guesses(judged)
    assert (guessed.value, guessed.questions, guessed.unparsed) == (2.25 / 4, 4, 1)


def test_a_question_without_answer_is_counted_but_not_scored() -> None:
    judged = [one("1", 1), one("2", 0, letter=None, answered=False)]
    score = accuracy(judged)
    assert (score.value, score.questions, score.unparsed, score.unanswered) == (1, 1, 0, 1)


def test_intervals_resample_videos() -> None:
    together = [one(str(n), float(n < 50), video="ab"[n < 50]) for n in range(100)]
    apart = [one(str(n), float(n < 50), video=str(n)) for n in range(100)]
    assert (accuracy(together).low, accuracy(together).high) == (0, 1)
    assert 0.35 < accuracy(apart).low < 0.5 < accuracy(apart).high < 0.65


def test_the_interval_at_the_ceiling_is_exact() -> None:
    score = accuracy([one(str(n), 1, video=str(n)) for n in range(20)])
    assert score.low == pytest.approx(0.025 ** (1 / 20))
    assert score.high == 1


def test_a_question_counts_in_each_of_its_types() -> None:
    judged = [
        one("1", 1, categories={"type": ("x", "y")}),
        one("2", 0, categories={"type": ("y",)}),
        one("3", 0, categories={"type": "z"}),
    ]
    values = {score.group: (score.value, score.questions) for score in accuracy_by(judged, "type")}
    assert values == {"type=x": (1, 1), "type=y": (0.5, 2), "type=z": (0, 1)}
    with pytest.raises(TempoLabError, match="did you mean 'type'"):
        accuracy_by(judged, "typ")


def tasks(*shares: tuple[int, int]) -> list[Judged]:
    """For each task (right, all), each question about its own video."""
    return [
        one(f"{task}-{n}", float(n < right), f"{task}-{n}", categories={"task": str(task)})
        for task, (right, count) in enumerate(shares)
        for n in range(count)
    ]


def test_the_mean_over_tasks_has_no_weights() -> None:
    judged = tasks((1, 2), (90, 100))
    score = mean_over(judged, "task", "M-Avg")
    assert score.value == pytest.approx(0.7)  # not 91 / 102
    assert accuracy(judged).value == pytest.approx(91 / 102)
    assert score.low < 0.7 < score.high
    assert (score.questions, score.videos) == (102, 102)


def test_the_mean_over_one_task_is_its_accuracy() -> None:
    judged = tasks((30, 100))
    score, plain = mean_over(judged, "task", "M-Avg"), accuracy(judged)
    assert score.value == plain.value
    assert score.low == pytest.approx(plain.low, abs=0.02)
    assert score.high == pytest.approx(plain.high, abs=0.02)


def test_the_mean_over_tasks_at_the_ceiling_has_an_interval() -> None:
    score = mean_over(tasks((10, 10), (50, 50)), "task", "M-Avg")
    assert (score.value, score.high) == (1, 1)
    assert score.low == pytest.approx(0.025 ** (1 / 10))


@given(st.lists(st.text(min_size=1), min_size=2, max_size=6), st.data(), st.integers(-9, 9))
def test_a_rotation_keeps_the_answer(options: list[str], data: st.DataObject, by: int) -> None:
    answer = data.draw(st.integers(0, len(options) - 1))
    turned, place = rotate(options, answer, by)
    assert turned[place] == options[answer]
    assert rotate(turned, place, -by) == (tuple(options), answer)


def test_a_question_is_right_only_if_all_its_rotations_are() -> None:
    right = [one(f"a@{n}", 1) for n in range(4)]
    wrong = [one(f"b@{n}", float(n != 2), letter=None if n == 2 else "A") for n in range(4)]
    results = {judged.id: judged for judged in circular(right + wrong)}
    assert results["a"].correct == 1
    assert results["b"].correct == 0
    assert not results["b"].parsed
    for broken in (right[:3], [*right, right[0]], [one("a", 1)]):
        with pytest.raises(TempoLabError, match="each rotation"):
            circular(broken)


def test_a_letter_bias_gets_nothing_in_circular_scoring() -> None:
    """Always "A" is right for one of four rotations, so it scores 0.25, and 0 in circles."""
    always = [one(f"{q}@{n}", float(n == 1)) for q in range(5) for n in range(4)]
    assert accuracy(always).value == 0.25
    assert accuracy(circular(always)).value == 0


def test_circular_scores_are_the_datasets_own() -> None:
    """Per task and group; what is not finished and what has no options does not count."""
    right = [one(f"a@{n}", 1, "v", categories={"task": "x"}) for n in range(4)]
    wrong = [one(f"b@{n}", float(n > 0), "w", categories={"task": "y"}) for n in range(4)]
    begun = [one(f"c@{n}", 1, "w", categories={"task": "y"}) for n in range(3)]
    free = Judged("d@0", "w", 1.0, categories={"task": "y"})

    def aggregate(judged: Sequence[Judged]) -> list[Score]:
        return [accuracy(judged), accuracy_with_guesses(judged), *accuracy_by(judged, "task")]

    scores = circular_scores([*right, *wrong, *begun, free], aggregate)
    assert [(score.group, score.measure, score.value, score.questions) for score in scores] == [
        ("all", "accuracy_circular", 0.5, 2),
        ("task=x", "accuracy_circular", 1, 1),
        ("task=y", "accuracy_circular", 0, 1),
    ]
    assert circular_scores([*begun, free], aggregate) == []


def test_a_paired_difference_is_that_of_shared_questions() -> None:
    first = [one(str(n), 1, video=str(n)) for n in range(4)]
    second = [one(str(n), float(n > 2), video=str(n)) for n in range(1, 6)]
    result = paired_difference(first, second)
    assert result.difference.value == pytest.approx(2 / 3)
    assert (result.difference.n, result.only_one, result.only_other) == (3, 1, 2)
    with pytest.raises(TempoLabError, match="twice"):
        paired_difference([*first, first[0]], second)


def test_pairing_removes_what_arms_share() -> None:
    """Two arms that differ on 5 of 200 questions: each interval is wide, the difference's not."""
    first = [one(str(n), float(n % 2), video=str(n)) for n in range(200)]
    second = [one(str(n), float(n % 2 and n > 10), video=str(n)) for n in range(200)]
    difference = paired_difference(first, second).difference
    assert difference.value == pytest.approx(5 / 200)
    assert difference.low > 0
    assert accuracy(second).high > accuracy(first).value
    assert difference == bootstrap_mean(
        [a.correct - b.correct for a, b in zip(first, second, strict=True)],
        [a.video for a in first],
        bounds=(-1, 1),
    )
