"""The tables that the evaluate commands print: one row per arm, in 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tempo_lab.apps.evaluate_output import show_comparison, show_run
from tempo_lab.evaluation.compare import Comparison, Difference
from tests.evaluation.runs import ARMS, PRIOR_ARMS, answers_run, relevance_run


@pytest.fixture(autouse=True)
def _terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_arms_with_answers(capsys):
    show_run(answers_run())
    out, err = capsys.readouterr()
    heads, *lines = out.splitlines()
    assert heads.split() == [
        "arm", "budget", "accuracy", "95", "%", "tokens", "/frame", "unparsed", "failed",
    ]  # fmt: skip
    assert max(map(len, out.splitlines())) <= 80
    assert len(lines) == 2 * len(ARMS) - 2  # two arms have no budget
    assert lines[0].split() == [
        "head", "4096", "0.841", "0.741-0.941", "3686.4", "3.60", "2", "1",
    ]  # fmt: skip
    assert "tempo-lab: 1 rows failed; the first one: the \\x1b file" in err
    assert "1 rows of the dataset were skipped; the first one: the video <i>x</i>" in err
    assert "\x1b" not in err


def test_the_longest_names_of_the_library_and_the_largest_numbers_fit(capsys):
    run = answers_run(budgets=(8192, 65536), main="M-Avg")
    run = replace(run, summary=[replace(one, arm="uniform-random") for one in run.summary[1:60]])
    show_run(run)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert "M-Avg" in lines[0]
    assert all(line.startswith("uniform-random ") for line in lines[1:])


def test_a_circular_run_is_shown_by_its_circular_accuracy(capsys):
    show_run(answers_run(main="accuracy_circular"))
    assert "circular" in capsys.readouterr().out.splitlines()[0].split()


def test_the_prior_and_its_controls(capsys):
    show_run(relevance_run())
    heads, *lines = capsys.readouterr().out.splitlines()
    assert heads.split() == [
        "arm", "AUROC", "95", "%", "AP", "hit@1", "hit@5", "R1@.5", "failed",
    ]  # fmt: skip
    assert max(map(len, (heads, *lines))) <= 80
    assert {line[:23].rstrip() for line in lines} == set(PRIOR_ARMS)
    assert lines[0].split() == [
        "prior", "0.800", "0.700-0.900", "0.600", "0.500", "0.700", "0.400", "0",
    ]  # fmt: skip


def test_a_run_without_known_answers_still_shows_its_costs(capsys):
    run = answers_run()
    show_run(replace(run, summary=[one for one in run.summary if "accuracy" not in one.measure]))
    heads = capsys.readouterr().out.splitlines()[0].split()
    assert heads == ["arm", "budget", "tokens", "/frame", "unparsed", "failed"]


def test_a_comparison_shows_what_differs(capsys, tmp_path):
    differences = [
        Difference(arm, None, "all", measure, 0.75, 0.5, 0.25, -0.123, 0.623, 1234, 9)
        for arm in PRIOR_ARMS
        for measure in ("auroc", "average_precision", "hit@1", "mAP")
    ]
    settings = {"model": ("nano\x1b", "nano-plain"), "budgets": ([8], [8, 16])}
    show_comparison(Comparison(tmp_path, tmp_path, differences, settings, 1234, 5, 0, 7))
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "measures on the 1234 questions that are the same in both runs" in out
    assert "7 questions are only in the second run" in out
    assert "5 questions are not the same in both runs, and not compared" in out
    assert "only in the first run" not in out
    assert "prior - blank question    AUROC  0.750   0.500  0.250  -0.123 to 0.623  1234" in out
    assert "mAP" not in out
    assert "model: nano\\x1b\n  in the second run: nano-plain" in out
    assert "budgets: 8\n  in the second run: 8, 16" in out
