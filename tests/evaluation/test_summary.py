"""The summary: costs, unparsed answers, differences between arms, and what intervals mean."""

from __future__ import annotations

import math

import pytest

from tempo_lab.evaluation.measured import Measured, paired_differences, summarize
from tempo_lab.evaluation.summary import measure_rows
from tests.evaluation.made_runs import CONFIG, answer_row, prior_row


def measures(rows: list[dict], **config: object) -> dict:
    summary = measure_rows(rows, {**CONFIG, **config}, None)
    keys = [(one.arm, one.budget, one.group, one.measure) for one in summary]
    assert len(set(keys)) == len(keys)  # no two rows of the table say the same of the same
    return dict(zip(keys, summary, strict=True))


def both(item: str, said: tuple[str, str], **more: object) -> list[dict]:
    return [answer_row(item, said[0], **more), answer_row(item, said[1], arm="uniform", **more)]


# What a question costs


def test_costs_are_means_of_what_the_rows_record() -> None:
    rows = [
        answer_row("1", "B", seconds=1.0, memory_mib=100.0, used=40, frames=20, video="a"),
        answer_row("2", "B", seconds=3.0, memory_mib=None, used=20, frames=40, video="b"),
        answer_row("3", None, video="c"),
    ]
    found = measures(rows)
    assert found["head", 64, "all", "seconds"].value == 2
    assert found["head", 64, "all", "tokens"].value == 30
    assert found["head", 64, "all", "tokens_per_frame"].value == (2 + 0.5) / 2
    assert found["head", 64, "all", "context_left"].value == 900
    memory = found["head", 64, "all", "memory_mib"]
    assert (memory.value, memory.questions) == (100, 1)
    assert ("head", 64, "all", "memory_mib") not in measures(rows[1:])


def test_an_arm_without_frames_has_no_tokens_per_frame() -> None:
    found = measures([answer_row("1", "B", arm="blind", budget=None, used=0, frames=0)])
    assert found["blind", None, "all", "tokens"].value == 0
    assert ("blind", None, "all", "tokens_per_frame") not in found


def test_unparsed_answers_are_wrong_and_counted() -> None:
    rows = [answer_row("1", "B"), answer_row("2", "no letter"), answer_row("3", None)]
    found = measures(rows)
    assert found["head", 64, "all", "accuracy"].value == 0.5
    assert found["head", 64, "all", "accuracy"].questions == 2
    assert found["head", 64, "all", "unparsed"].value == 1
    assert found["head", 64, "all", "failed"].value == 1


# Differences


def test_arms_are_compared_with_the_first_one_on_shared_questions() -> None:
    rows = [
        *both("1", ("B", "A"), video="a"),
        *both("2", ("A", "B"), video="b", categories={"kind": "size"}),
        *both("3", ("A", "B"), video="c", categories={"kind": "size"}),
        answer_row("4", "B", video="d"),  # not answered by the other arm
        answer_row("4", None, arm="uniform", video="d"),
    ]
    found = measures(rows)
    difference = found["uniform minus head", 64, "all", "accuracy"]
    assert difference.value == pytest.approx(1 / 3)
    assert (difference.questions, difference.videos) == (3, 3)
    assert found["uniform minus head", 64, "kind=size", "accuracy"].value == 1
    assert found["uniform minus head", 64, "kind=color", "accuracy"].value == -1
    assert ("uniform minus head", 64, "all", "accuracy_strict") in found
    assert not any(arm == "head minus uniform" for arm, *_ in found)


def test_the_first_arm_is_the_one_that_most_questions_began_with() -> None:
    rows = [row for n in range(3) for row in both(str(n), ("B", "A"))]
    damaged = [*rows[1:], rows[0]]  # the first line was damaged, and its question asked again
    for order in (rows, damaged):
        assert ("uniform minus head", 64, "all", "accuracy") in measures(order)
    blind = [answer_row(str(n), "A", arm="blind", budget=None) for n in range(3)]
    found = measures([*blind, *rows])  # asked first, because it needs no video
    assert found["blind minus head", 64, "all", "accuracy"].value == -1
    assert ("uniform minus head", 64, "all", "accuracy") in found
    assert not any("minus" in arm for arm, *_ in measures(blind))


def test_arms_are_compared_at_equal_budgets_and_without_one_at_each() -> None:
    rows = [
        answer_row("1", said, arm=arm, budget=budget)
        for arm, budget, said in [
            ("head", 32, "A"), ("head", 64, "B"), ("uniform", 64, "A"), ("uniform", 128, "B"),
            ("all", None, "B"),
        ]
    ]  # fmt: skip
    found = {
        (arm, budget): one.value
        for (arm, budget, group, measure), one in measures(rows).items()
        if "minus" in arm and (group, measure) == ("all", "accuracy")
    }
    assert found == {
        ("uniform minus head", 64): -1,
        ("all minus head", 32): 1,
        ("all minus head", 64): 0,
    }
    first = [answer_row("1", "A", arm="all", budget=None), *rows[:2]]
    assert measures(first)["head minus all", 64, "all", "accuracy"].value == 1


def test_relevance_is_compared_with_each_of_its_controls() -> None:
    controls = ("shuffled in time", "blank question", "prior - blank question")
    rows = [
        row
        for n in range(4)
        for row in (
            prior_row(str(n), [0.0, 3.0, 1.0, 0.5]),
            *(prior_row(str(n), [3.0, 2.0, 1.0, 0.5], arm=arm) for arm in controls),
        )
    ]
    found = measures(rows, kind="prior", budgets=[32])
    # the evidence is first of four for the prior, and second for the controls
    assert found["prior", None, "all", "auroc"].value == 1
    for name in ("shuffled in time", "blank question", "(prior - blank question)"):
        arm = f"prior minus {name}"
        assert found[arm, None, "all", "auroc"].value == pytest.approx(1 / 3)
        assert found[arm, None, "all", "hit@1"].value == 1
        assert found[arm, 32, "all", "evidence_recall"].value > 0
    assert not any(
        measure == "evidence_recall_uniform" for arm, _, _, measure in found if " minus " in arm
    )


def test_a_budget_that_is_less_than_a_token_per_segment_is_counted_as_undefined() -> None:
    rows = [prior_row(str(n), [0.0, 3.0, 1.0, 0.5]) for n in range(2)]
    found = measures(rows, kind="prior", budgets=[3, 32])
    recall = found["prior", 3, "all", "evidence_recall"]
    assert math.isnan(recall.value)
    assert recall.questions == 0
    assert found["prior", 32, "all", "evidence_recall"].questions == 2


def test_the_rotations_of_a_question_count_as_one() -> None:
    def rotated(item: str, said: list[str], **more: object) -> list[dict]:
        return [
            answer_row(f"{item}@{n}", letter, truth=(1 - n) % 4, seconds=float(n), **more)
            for n, letter in enumerate(said)
        ]

    rows = [*rotated("1", ["B", "A", "D", "C"]), *rotated("2", ["B", "B", "B", "B"])]
    found = measures([*rows, *rotated("3", ["B", "A"])], circular=True)
    accuracy = found["head", 64, "all", "accuracy_circular"]
    assert (accuracy.value, accuracy.questions) == (0.5, 2)  # the third is not finished
    first = found["head", 64, "all", "accuracy"]  # of the options in their own order
    assert (first.value, first.questions) == (1, 3)
    assert found["head", 64, "all", "seconds"].value == pytest.approx((1.5 + 1.5 + 0.5) / 3)
    other = [{**row, "family": "uniform", "arm": "uniform 64", "said": "B"} for row in rows]
    difference = measures([*rows, *other], circular=True)[
        "uniform minus head", 64, "all", "accuracy_circular"
    ]
    assert (difference.value, difference.questions) == (-0.5, 2)
    plain = measures(rows)["head", 64, "all", "accuracy"]
    assert (plain.value, plain.questions) == (5 / 8, 8)


# Intervals


def planted(copies: int, values: list[float]) -> list[Measured]:
    """One value for each video, the same for all questions about it."""
    return [
        Measured(f"{video} {copy}", str(video), {"accuracy": value})
        for video, value in enumerate(values)
        for copy in range(copies)
    ]


@pytest.mark.parametrize("values", [[0.0, 1.0] * 5, [1.0] * 10, [0.0] * 10])
def test_more_questions_of_the_same_kind_about_a_video_say_nothing_new(values: list) -> None:
    (once,) = summarize(planted(1, values))
    (often,) = summarize(planted(100, values))
    assert (often.questions, often.videos) == (1000, 10)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert often.high - often.low > 0.2
    apart = [Measured(one.id, one.id, one.measures) for one in planted(100, values)]
    (independent,) = summarize(apart)
    assert independent.high - independent.low < (often.high - often.low) / 3


def test_differences_resample_videos_as_well() -> None:
    first, second = ([0.0, 1.0, 1.0, 1.0] * 3, [0.0, 0.0, 0.0, 1.0] * 3)
    once, often = (
        paired_differences(planted(copies, first), planted(copies, second))[0].difference
        for copies in (1, 100)
    )
    assert once.value == often.value == 0.5
    assert (often.low, often.high) == pytest.approx((once.low, once.high))
    assert often.questions == 100 * once.questions


def test_a_difference_counts_what_both_define() -> None:
    first = [Measured("1", "a", {"auroc": 1.0}), Measured("2", "b", {"auroc": math.nan})]
    second = [Measured("2", "b", {"auroc": 0.5}), Measured("1", "a", {"auroc": 0.25})]
    (pair,) = paired_differences(first, second)
    assert (pair.first, pair.second, pair.difference.value) == (1, 0.25, 0.75)
    assert pair.difference.questions == 1
    assert paired_differences(first[1:], second) == []
    assert paired_differences(first, second, ["hit@1"]) == []
