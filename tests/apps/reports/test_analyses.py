"""The page of all analyses: its content, the texts that follow from intervals, stopped runs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import permutations
from types import SimpleNamespace

import matplotlib
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import tempo_lab as tl
from tempo_lab.analysis import Relevance, relevance
from tempo_lab.apps.cli import app
from tempo_lab.apps.reports.analyses import run, write, write_report
from tempo_lab.apps.reports.analyses.agreement import (
    correlation_of_shared_first,
    cross_question_agreement,
)
from tempo_lab.apps.reports.analyses.checkpoint import KEY, ResultCheckpoints
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, NO_INTERVAL, Finding, Findings
from tempo_lab.apps.reports.analyses.format import interpret_agreement
from tempo_lab.apps.reports.analyses.sections_memory import front_loading
from tempo_lab.apps.reports.analyses.summary import summary
from tempo_lab.apps.reports.analyses.write import FIGURE_FILES
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.statistics import spearman
from tempo_lab.session import tempo, validation
from tempo_lab.session.tempo import Tempo
from tests.traces import make_trace

matplotlib.use("agg")
SIZE = {"seed": 3, "videos": 2, "segments": 4}
WILD = "nano <script>alert('$x$')\x1b[31m"
COLUMNS = ["analysis", "quantity", "value", "low", "high", "unit", "n", "seed"]


@pytest.fixture(scope="module")
def small_run():
    """Two questions about each video, and few values of k, which makes a run short."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("QUESTIONS", 2), ("MAX_POINTS", 8), ("ABSENCE", 1), ("NEEDLES", 1)):
            patch.setattr(run, name, value)
        patch.setattr(validation, "MAX_NEW_TOKENS", 8)
        yield


@pytest.fixture(scope="module")
def nano():
    """The embedded model, under a name that a page must escape."""
    checkpoint = tl.load("nano", device="cpu").checkpoint
    return Tempo(replace(checkpoint, name=WILD))


@pytest.fixture(scope="module")
def written(small_run, nano, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "here"
    return write_report(nano, **SIZE, out=out, progress=False)


@pytest.fixture(scope="module")
def results(written, nano):
    """The results behind it, from their files."""
    checkpoints = ResultCheckpoints(written.folder, settings_of(written))
    return run.run_analyses(nano, checkpoints, **SIZE, progress=False)


def settings_of(report):
    settings = json.loads((report.folder / "settings.json").read_text())
    settings.pop("held-out videos")
    return settings


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


# What is there


def test_the_page_stands_alone_and_says_where_its_numbers_come_from(written, nano):
    page = (written.folder / "report.html").read_text()
    assert set(re.findall(r'(?:src|href)="?([^">]{5})', page)) == {"data:"}
    figures = {path.stem for path in written.folder.glob("*.png")}
    assert figures == set(FIGURE_FILES)
    assert page.count("data:image/png;base64,") == 9
    for text in (nano.checkpoint.digest, "world 3003000, 4 segments; world 3003001, 4 segments"):
        assert text in page
    assert "<th>seed</th><td>3</td>" in page
    assert text_of(page).count("Control") >= 6  # one a section
    assert "Asked, measured, reached" not in page


def test_the_table_is_long_and_the_page_repeats_it(written):
    table = pd.read_csv(written.folder / "report.csv")
    assert list(table.columns) == COLUMNS
    assert set(table["seed"]) == {3}
    assert not table.duplicated(["analysis", "quantity"]).any()
    inside = table.dropna(subset=["low"])
    assert (inside["low"] <= inside["value"] + 1e-9).all()
    assert (inside["value"] <= inside["high"] + 1e-9).all()
    assert {name.split(",")[0] for name in table["analysis"]} == {
        "relevance", "relevance_by_layer", "prompt_sensitivity", "allocation", "strictness",
        "front_loading", "attention", "compare",
    }  # fmt: skip
    page = text_of((written.folder / "report.html").read_text())
    for quantity in ("AUC", "AUC, shuffled question", "AUC minus shuffled"):
        row = table[(table["analysis"] == "relevance") & (table["quantity"] == quantity)].iloc[0]
        numbers = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        assert str(written.findings("relevance", quantity)) in page
        if abs(row["value"]) >= 0.1:
            assert numbers in page


def test_text_is_escaped(written):
    page = (written.folder / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "\x1b" not in page


# Words follow from intervals


def test_a_reading_is_what_the_interval_allows():
    words = ("more", "less", "neither")
    assert Finding("a", "q", 0.2, 0.1, 0.3).interpret(*words) == "more"
    assert Finding("a", "q", -0.2, -0.3, -0.1).interpret(*words) == "less"
    assert Finding("a", "q", 0.2, -0.1, 0.3).interpret(*words) == "neither"
    assert Finding("a", "q", 0.2, 0.0, 0.3).interpret(*words) == "neither"
    assert Finding("a", "q", 0.2).interpret(*words) == NO_INTERVAL


def test_a_number_is_written_with_its_interval_and_unit():
    assert str(Finding("a", "q", 0.5, 0.25, 0.75)) == "0.50 [0.25, 0.75]"
    assert str(Finding("a", "q", -0.0004, -0.02, 0.01)) == "0.000 [-0.020, 0.010]"
    assert str(Finding("a", "q", -2.0, -3.0, -1.0, "nat")) == "-2.00 [-3.00, -1.00] nat"
    assert str(Finding("a", "q", 0.3, unit="probability")) == "0.30"
    assert str(Finding("a", "q", float("nan"))) == "no number"


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.1, 0.3, "as claimed"),
        (-0.3, -0.1, "the opposite of the claim"),
        (-0.1, 0.1, "not seen here"),
    ],
)
def test_the_page_says_where_it_contradicts_the_paper(results, written, low, high, words):
    leads = [
        replace(row, value=(low + high) / 2, low=low, high=high)
        if row.quantity.startswith("lead in")
        else row
        for row in written.findings
    ]
    section = summary(results, Findings(leads, 3))
    (table,) = section.tables.values()
    trained = table["question"].str.startswith("Front-loading") & ~table["question"].str.contains(
        "random weights"
    )
    assert trained.sum() == 2 * 2 * 2  # kinds of questions, other arms, measures
    assert set(table["reading"][trained]) == {words}
    text = " ".join(front_loading(results, Findings(leads, 3)).paragraphs)
    assert text.count(f"({words})") == 2 * 3 * 2  # conditions, other arms, measures


def test_the_control_of_agreement_pairs_two_questions_about_one_video():
    ranks = {"relevance": [1, 2, 3, 3, 2, 1, 1, 2, 3], "attention": [1, 2, 3, 3, 2, 1, 1, 2, 3]}
    data = xr.Dataset(
        {f"{name}_rank": ("segment", np.array(row, float)) for name, row in ranks.items()},
        {"trace": ("segment", np.repeat([0, 1, 2], 3)), "pair": ["relevance, attention"]},
    )
    traces = [{"video_digest": video} for video in ("a", "a", "b")]
    estimates = cross_question_agreement(SimpleNamespace(data=data, provenance={"traces": traces}))
    other = estimates["rank correlation, other question, relevance, attention"]
    difference = estimates["rank correlation minus other question, relevance, attention"]
    assert (other.value, other.n) == (-1.0, 2)  # the third video has one question
    assert difference.value == 2.0


def test_rankings_with_the_same_first_alone_correlate_so_much():
    orders = [[0, *rest] for rest in permutations(range(1, 5))]
    correlations = [spearman(range(5), order) for order in orders]
    assert correlation_of_shared_first(5) == pytest.approx(np.mean(correlations))


@pytest.mark.parametrize(
    ("low", "gain", "words"),
    [(0.4, 0.2, "more"), (0.2, 0.2, "first"), (0.4, -0.2, "less"), (0.4, 0.0, "neither")],
)
def test_agreement_is_told_from_a_shared_first_segment(low, gain, words):
    rows = [
        Finding("compare", FIRST_ALONE, 0.33),
        Finding("compare", "rank correlation, a, b", low + 0.1, low, low + 0.2),
        Finding(
            "compare", "rank correlation minus other question, a, b", gain, gain - 0.1, gain + 0.1
        ),
    ]
    assert (
        interpret_agreement(Findings(rows, 0), "a, b", ("more", "first", "less", "neither"))
        == words
    )


# Saved results


def test_a_saved_result_is_not_computed_again(tmp_path):
    settings, calls = {"model_digest": "a", "seed": 1}, []

    def compute():
        calls.append(1)
        return relevance(make_trace(seed=0))

    def load_or_compute(settings):
        checkpoints = ResultCheckpoints(tmp_path, settings)
        return checkpoints.load_or_compute("relevance", Relevance, compute)

    first, again = load_or_compute(settings), load_or_compute(settings)
    assert len(calls) == 1
    xr.testing.assert_identical(first.data, again.data)
    assert first.provenance == again.provenance
    assert again.provenance[KEY] == settings
    for changed in ({"model_digest": "b", "seed": 1}, {"model_digest": "b", "seed": 2}):
        load_or_compute(changed)
    assert len(calls) == 3
    path = tmp_path / "results" / "relevance.nc"
    path.write_bytes(path.read_bytes()[:5000])  # a disk that was full
    with pytest.warns(TempoLabWarning, match="the result is damaged. It was set aside"):
        load_or_compute(changed)
    assert len(calls) == 4
    assert path.with_suffix(".damaged").exists()
    assert Relevance.load(path).provenance[KEY] == changed


def test_an_interrupted_run_goes_on(small_run, written, results, nano, tmp_path, monkeypatch):
    """What was there stays, nothing is half written, and the rest comes out the same."""
    shutil.copytree(written.folder / "results", tmp_path / "results")
    (tmp_path / "results" / "compare.nc").unlink()
    calls, attribution = [], run.attribution

    def stopped(*args, **options):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return attribution(*args, **options)

    monkeypatch.setattr(run, "attribution", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_report(nano, **SIZE, out=tmp_path, progress=False)
    assert len(calls) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert not (tmp_path / "results" / "compare.nc").exists()
    monkeypatch.setattr(run, "attribution", attribution)
    checkpoints = ResultCheckpoints(tmp_path, settings_of(written))
    again = run.run_analyses(nano, checkpoints, **SIZE, progress=False)
    for name in ("relevance", "attention", "effect"):  # what is kept moves the last digits
        actual, expected = (each.comparison.data[name] for each in (again, results))
        xr.testing.assert_allclose(actual, expected, rtol=1e-3, atol=1e-4)


# The command


def test_a_second_run_makes_no_video_and_the_same_table(
    small_run, written, nano, tmp_path, monkeypatch
):
    shutil.copytree(written.folder / "results", tmp_path / "results")
    monkeypatch.setattr(run, "world_videos", None)  # everything is there
    monkeypatch.setattr(tempo, "load", lambda model: nano)
    monkeypatch.setattr(write, "SECTIONS", (summary,))  # draws nothing
    words = [f"--{name}={value}" for name, value in SIZE.items()]
    done = CliRunner().invoke(app, ["report", *words, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "report.html")
    assert "<h2>Results</h2>" in (tmp_path / "report.html").read_text()
    for name in ("report.csv", "settings.json"):
        assert (tmp_path / name).read_bytes() == (written.folder / name).read_bytes()


@pytest.mark.parametrize("size", [{"videos": 1}, {"segments": 3}, {"seed": -1}])
def test_too_small_a_size_is_refused(size, tmp_path):
    with pytest.raises(TempoLabError, match=r">= [24]|no such seed"):
        write_report("nano", **{**SIZE, **size}, out=tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_folder_that_cannot_be_made_is_refused(nano, tmp_path):
    (tmp_path / "file").write_text("here")
    with pytest.raises(TempoLabError, match="--out"):
        write_report(nano, **SIZE, out=tmp_path / "file" / "folder")


def test_reading_a_report_needs_no_torch():
    code = "import sys, tempo_lab.apps.reports.analyses\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
