"""`report.html` of an evaluation: what was asked, measured and missing, and what is published."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

from tempo_lab.analysis import published_results as published_module
from tempo_lab.apps.reports.evaluation import tables, write
from tempo_lab.apps.reports.evaluation.published import published_comparison, published_models
from tempo_lab.apps.reports.evaluation.write import write_report
from tempo_lab.common.errors import TempoLabError
from tests.evaluation.runs import ARMS, PRIOR_ARMS, answers_run, relevance_run

matplotlib.use("agg")


def test_the_page_of_answers(tmp_path):
    page = write_report(answers_run(tmp_path)).read_text()
    for title in ("Arms", "Groups", "Cost", "Rows without a result", "All measures"):
        assert f"<h2>{title}</h2>" in page
    for shown in (
        "nano on table", "compat_letter", "data:image/png;base64,", "0.841 [0.741, 0.941]",
        "uniform minus head", "tokens per frame", "context left (tokens)", "512.0", "By duration",
        "Failed rows (1 row)", "Skipped rows of the dataset (1 row)", "Unparsed answers (1 row)",
    ):  # fmt: skip
        assert shown in page, shown
    assert "Published" not in page  # a table of one's own
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_texts_of_rows_are_escaped(tmp_path):
    page = write_report(answers_run(tmp_path)).read_text()
    assert "&lt;b&gt;What&lt;/b&gt;" in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "<b>" not in page
    assert "\x1b" not in page
    assert r"the \x1b file" in page


def test_the_page_of_the_prior(tmp_path):
    page = write_report(relevance_run(tmp_path)).read_text()
    for shown in (
        "The relevance prior and its controls", "mean + 1 sd", "0.800 [0.700, 0.900]",
        "Recall of evidence at equal tokens", "prior minus shuffled in time", "Predicted spans",
        *PRIOR_ARMS,
    ):  # fmt: skip
        assert shown in page, shown
    assert "<h2>Cost</h2>" not in page


def test_a_run_without_any_truth_has_a_page_without_a_figure(tmp_path):
    for run in (answers_run(tmp_path), relevance_run(tmp_path)):
        nothing = [one for one in run.summary if isinstance(one.value, int)]
        page = write_report(replace(run, summary=nothing)).read_text()
        assert "data:image" not in page
        assert "no right answers" in page or "No question has evidence" in page


def test_a_page_that_cannot_be_written_is_our_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(write, "write_atomic", full)
    with pytest.raises(TempoLabError, match="No space left"):
        write_report(answers_run(tmp_path))


# Tables


def test_rows_without_a_result_are_listed():
    run = answers_run()
    assert tables.failed(run)["why"].tolist() == [r"the \x1b file"]
    assert tables.unparsed(run)["id"].tolist() == ["2"]  # "-" states no letter
    assert tables.skipped(run)["reason"].tolist() == ["missing video"]
    many = replace(run, rows=run.rows[1:2] * 300)
    assert len(tables.unparsed(many)) == tables.MOST_ROWS
    assert len(tables.unparsed(relevance_run())) == 0


def test_groups_have_a_column_for_each_arm_and_no_differences():
    table = tables.by_category(answers_run())["duration"]
    assert table["duration"].tolist() == ["long"]
    assert table["questions"].tolist() == [11]
    assert {"head 4096", "head 8192", "all", "blind"} <= set(table)
    assert not [name for name in table if "minus" in name]
    assert table["head 4096"].tolist() == ["0.420 [0.320, 0.520]"]


def test_costs_and_recall():
    costs = tables.costs(answers_run()).set_index(["arm", "budget"])
    assert costs.loc[("head", "4096"), "tokens per frame"] == "3.60"
    assert costs.loc[("blind", ""), "tokens"] == "0.0"
    recall = tables.recall(relevance_run()).set_index("arm")
    assert recall.loc["prior", "ATA"] == "0.700 [0.600, 0.800]"
    assert recall.loc["prior", "uniform"] == "0.250 [0.150, 0.350]"
    assert len(tables.arms(answers_run())) == 2 * len(ARMS) - 2


# Published results


def row(table: pd.DataFrame | None, benchmark: str, budget: int) -> dict:
    assert table is not None
    (found,) = table[(table["benchmark"] == benchmark) & (table["budget"] == budget)].to_dict(
        "records"
    )
    return found


def test_published_rows_stand_next_to_the_runs_own():
    table = published_comparison(answers_run(dataset="lvbench"))
    mine = row(table, "LVBench", 8192)
    assert mine["published (%)"] == 52.3
    assert mine["published tokens per frame"] == 3.5
    assert mine["this run (%)"] == pytest.approx(100 * (0.8 + 0.08192))
    assert mine["95 % from"] == pytest.approx(100 * (0.7 + 0.08192))
    assert mine["tokens per frame"] == pytest.approx(0.9 * 8)
    unasked = row(table, "LVBench", 12288)
    assert unasked["published (%)"] == 53.7
    assert math.isnan(unasked["this run (%)"])


def test_each_benchmark_is_compared_by_the_published_measure_and_parts():
    mlvu = published_comparison(answers_run(dataset="mlvu", main="M-Avg"))
    assert row(mlvu, "MLVU", 4096)["published (%)"] == 75.6
    assert row(mlvu, "MLVU", 4096)["this run (%)"] == pytest.approx(84.096)
    videomme = published_comparison(answers_run(dataset="videomme"))
    assert row(videomme, "Video-MME", 4096)["published (%)"] == 67.8
    long = row(videomme, "Video-MME, long", 4096)
    assert long["published (%)"] == 57.8
    assert long["this run (%)"] == pytest.approx(84.096 / 2)
    assert long["questions"] == 11
    for part in ("short", "medium"):  # not published
        assert math.isnan(row(videomme, f"Video-MME, {part}", 8192)["published (%)"])
    other = published_comparison(answers_run(dataset="longvideobench", budgets=(512, 4096)))
    assert row(other, "LongVideoBench", 4096)["published (%)"] == 64.5
    assert math.isnan(row(other, "LongVideoBench", 512)["published (%)"])
    assert row(other, "LongVideoBench", 512)["this run (%)"] == pytest.approx(80.512)
    assert published_comparison(relevance_run()) is None


def test_all_published_models_of_the_benchmark_are_listed():
    models = published_models(answers_run(dataset="lvbench"))
    assert models is not None
    assert set(models["benchmark"]) == {"LVBench"}
    assert {"GPT-4o", "Tempo* (4K budget)"} <= set(models["model"])
    assert published_models(answers_run()) is None


def test_without_the_published_table_the_page_says_so(tmp_path, monkeypatch):
    def missing(name):
        raise FileNotFoundError(name)

    monkeypatch.setattr(published_module, "shipped", missing)
    run = answers_run(tmp_path, "lvbench")
    page = Path(write_report(run)).read_text()
    assert "does not come with this installation" in page
    assert row(published_comparison(run), "LVBench", 12288)["published (%)"] == 53.7
    assert math.isnan(row(published_comparison(run), "LVBench", 8192)["published (%)"])
