"""Two runs compared: which questions are paired, what is counted, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.compare import Comparison, compare
from tempo_lab.evaluation.run_folder import EvaluationRun
from tests.evaluation.made_runs import answer_row, prior_row, write_run


def found(comparison: Comparison) -> dict:
    return {
        (one.arm, one.budget, one.group, one.measure): one for one in comparison.differences
    }  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    """Six shared questions about three videos: the first run has 5 of 6 right, the second 3."""
    first, second = "BBBBBA", "BBBAAA"

    def rows(said: str, videos: str, seconds: float) -> list[dict]:
        return [
            answer_row(
                str(n),
                letter,
                video=f"{videos}/{n % 3}.mp4",
                seconds=seconds,
                categories={"kind": "size" if n > 3 else "color"},
            )
            for n, letter in enumerate(said)
        ]

    return (
        write_run(tmp_path / "first", [*rows(first, "/here", 2.0), answer_row("only", "B")]),
        write_run(
            tmp_path / "second",
            [*rows(second, "/there", 0.5), answer_row("other", "B"), answer_row("more", None)],
            model="another",
            sampling={"fps": 1.0},
        ),
    )


def test_shared_questions_are_paired_and_the_others_counted(runs: tuple[Path, Path]) -> None:
    before = [{path: path.read_bytes() for path in run.iterdir()} for run in runs]
    comparison = compare(*runs)
    assert [{path: path.read_bytes() for path in run.iterdir()} for run in runs] == before
    assert (comparison.shared, comparison.changed) == (6, 0)
    assert (comparison.only_first, comparison.only_second) == (1, 2)
    measures = found(comparison)
    one = measures["head", 64, "all", "accuracy"]
    assert (one.first, one.second) == pytest.approx((5 / 6, 3 / 6))
    assert one.difference == pytest.approx(2 / 6)
    assert (one.questions, one.videos) == (6, 3)
    assert one.low <= one.difference <= one.high
    assert measures["head", 64, "kind=size", "accuracy"].difference == 0.5
    assert measures["head", 64, "all", "seconds"].difference == 1.5
    assert measures["head", 64, "all", "tokens"].difference == 0
    assert comparison.settings == {"model": ("made", "another"), "sampling.fps": (None, 1.0)}
    table = comparison.to_pandas()
    assert len(table) == len(comparison.differences)
    columns = "arm budget group measure first second difference low high questions videos".split()
    assert list(table.columns) == columns
    assert "6 shared questions, 1 only in the first" in repr(comparison)


def test_the_order_of_the_runs_is_the_sign(runs: tuple[Path, Path]) -> None:
    there, back = found(compare(*runs)), found(compare(*reversed(runs)))
    assert there.keys() == back.keys()
    for key, one in there.items():
        assert back[key].difference == pytest.approx(-one.difference)
        assert back[key].low == pytest.approx(-one.high, abs=0.02, nan_ok=True)


def test_a_run_compares_itself_with_a_folder_or_a_run(runs: tuple[Path, Path]) -> None:
    first, second = map(EvaluationRun.open, runs)
    expected = str(compare(*runs))
    assert str(first.compare(second)) == expected
    assert str(first.compare(str(runs[1]))) == expected
    same = found(first.compare(first))
    assert {one.difference for one in same.values()} == {0}


def test_a_question_that_changed_is_not_compared(tmp_path: Path) -> None:
    same = [answer_row(str(n), "B") for n in range(3)]
    changes = [
        {"truth": 2}, {"question": "Which shape?"}, {"choices": ["a", "b", "c", "d"]},
        {"evidence": [[0.0, 1.0]]}, {"video": "another.mp4"},
    ]  # fmt: skip
    first = write_run(
        tmp_path / "a", [*same, *(answer_row(f"x{n}", "B") for n in range(len(changes)))]
    )
    changed = [answer_row(f"x{n}", "A", **change) for n, change in enumerate(changes)]
    second = write_run(tmp_path / "b", [*same, *changed])
    comparison = compare(first, second)
    assert (comparison.shared, comparison.changed) == (3, len(changes))
    assert found(comparison)["head", 64, "all", "accuracy"].questions == 3
    only = write_run(tmp_path / "c", changed)
    with pytest.raises(TempoLabError, match=r"no question in common[\s\S]*5 have the same id"):
        compare(first, only)


def test_rows_without_recorded_options_still_compare(tmp_path: Path) -> None:
    old = [{k: v for k, v in answer_row("1", "B").items() if k != "choices"}]
    first = write_run(tmp_path / "a", old)
    assert compare(first, write_run(tmp_path / "b", [answer_row("1", "A")])).shared == 1


def test_arms_are_paired_at_equal_budgets_or_at_the_only_other_one(tmp_path: Path) -> None:
    def run(name: str, arms: list[tuple[str, int | None]]) -> Path:
        rows = [answer_row("1", "B", arm=arm, budget=budget) for arm, budget in arms]
        return write_run(tmp_path / name, rows)

    first = run("a", [("head", 4), ("head", 8), ("topk", 8), ("all", None), ("uniform", 4)])
    second = run("b", [("head", 8), ("head", 16), ("all", None), ("oracle", 8)])
    comparison = compare(first, second)
    arms = {(one.arm, one.budget) for one in comparison.differences}
    assert arms == {("head", 8), ("head", 4), ("all", None)}  # 4 is compared with 16
    assert comparison.settings == {
        "arms": (
            ["all", "head 4", "head 8", "topk 8", "uniform 4"],
            ["all", "head 8", "head 16", "oracle 8"],
        )
    }
    with pytest.raises(TempoLabError, match=r"no arm in common[\s\S]*topk[\s\S]*oracle"):
        compare(run("c", [("topk", 8)]), run("d", [("oracle", 8)]))


def test_priors_are_compared_by_their_measures(tmp_path: Path) -> None:
    first = [prior_row(str(n), [0.0, 3.0, 1.0, 0.5]) for n in range(4)]
    second = [prior_row(str(n), [3.0, 2.0, 1.0, 0.5]) for n in range(4)]
    config = {"kind": "prior", "budgets": [32]}
    comparison = compare(
        write_run(tmp_path / "a", first, **config), write_run(tmp_path / "b", second, **config)
    )
    measures = found(comparison)
    assert measures["prior", None, "all", "auroc"].difference == pytest.approx(1 / 3)
    assert measures["prior", None, "all", "hit@1"].difference == 1
    assert measures["prior", 32, "all", "evidence_recall"].questions == 4


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    answers = write_run(tmp_path / "a", [answer_row("1", "B")])
    prior = write_run(tmp_path / "b", [prior_row("1", [1.0] * 4)], kind="prior", budgets=[32])
    other = write_run(tmp_path / "c", [answer_row("1", "B")], dataset="lvbench")
    empty = write_run(tmp_path / "d", [])
    with pytest.raises(TempoLabError, match=r"different kinds[\s\S]*'answers' and 'prior'"):
        compare(answers, prior)
    with pytest.raises(TempoLabError, match=r"different datasets[\s\S]*'table' and 'lvbench'"):
        compare(answers, other)
    with pytest.raises(TempoLabError, match="no question in common"):
        compare(answers, empty)
    with pytest.raises(TempoLabError, match="not the folder of an evaluation"):
        compare(answers, tmp_path)


def test_a_question_that_failed_in_one_run_does_not_count(tmp_path: Path) -> None:
    first = write_run(tmp_path / "a", [answer_row("1", "B"), answer_row("2", "B")])
    second = write_run(tmp_path / "b", [answer_row("1", None), answer_row("2", "A")])
    comparison = compare(first, second)
    one = found(comparison)["head", 64, "all", "accuracy"]
    assert (one.difference, one.questions, comparison.shared) == (1, 1, 2)
