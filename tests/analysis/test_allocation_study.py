"""Allocation studies: numbers by hand, the known faults of min-max, and invalid input."""

import doctest
import importlib

import matplotlib
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot

from tempo_lab import plots
from tempo_lab.allocation.ata import allocate
from tempo_lab.analysis import AllocationStudy, Result, allocation_study
from tempo_lab.analysis.allocation_study import COMPARED, gini
from tempo_lab.common.errors import BudgetError, TraceError
from tempo_lab.common.netcdf import write_record
from tests.traces import make_trace

matplotlib.use("agg")
NOTHING = [0.001, 0.03, 0.002, 0.0, 0.01]  # no segment is relevant
CLOSE = [0.98, 0.985, 0.99, 0.981, 0.987]


@pytest.fixture
def _closed_figures():
    yield
    pyplot.close("all")


def cell(study, quantity, strategy, budget):
    return study.data[quantity].sel(strategy=strategy, budget=budget).values.tolist()


# The numbers


def test_the_tokens_are_those_that_allocate_gives():
    study = allocation_study([0.1, 0.9, 0.4], strategies=["head", "floor"], budgets=[60, 30])
    assert study.data["budget"].values.tolist() == [30, 60]
    for name in ("head", "floor"):
        for budget in (30, 60):
            expected = allocate([0.1, 0.9, 0.4], budget, strategy=name)
            assert cell(study, "tokens", name, budget) == expected.tokens.tolist()
            assert cell(study, "used", name, budget) == expected.used


def test_a_trace_brings_its_scores_times_slots_and_budget():
    trace = make_trace(6, budget=40)
    study = allocation_study(trace)
    assert cell(study, "tokens", "head", 40) == trace.data["tokens"].values.tolist()
    assert study.data["budget"].values.tolist() == [6, 12, 24, 40, 48, 96]
    np.testing.assert_array_equal(study.data["end"], trace.data["end"])
    assert study.provenance["own_budget"] == 40
    assert study.provenance["question"] == trace.question
    assert study.provenance["strategies"]["temperature"] == {"temperature": 2.0}
    assert tuple(study.data["strategy"].values) == COMPARED


def test_evidence_by_hand():
    study = allocation_study(
        [0.0, 1.0, 0.5], truth=[0, 1, 1], strategies=["head"], budgets=[300], max_tokens=104
    )
    assert cell(study, "tokens", "head", 300) == [4, 104, 54]
    assert cell(study, "on_evidence", "head", 300) == pytest.approx(158 / 162)
    assert cell(study, "recall", "head", 300) == pytest.approx(158 / 208)
    assert cell(study, "least", "head", 300) == 1
    assert "recall" not in allocation_study([0.1, 0.9]).data


def test_gini_by_hand():
    assert gini([3, 3, 3]) == 0
    assert gini([0, 0, 0, 8]) == pytest.approx(0.75)
    assert gini([1, 3]) == pytest.approx(0.25)
    assert np.isnan(gini([0, 0]))


@given(st.lists(st.integers(0, 128), min_size=1, max_size=30).filter(any))
def test_gini_is_the_mean_difference(tokens):
    x = np.array(tokens, float)
    expected = np.abs(x[:, None] - x).mean() / (2 * x.mean())
    assert gini(tokens) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=12), st.integers(0, 9))
def test_every_share_is_one(scores, seed):
    study = allocation_study(scores, seed=seed, max_tokens=8, min_tokens=1)
    xr.testing.assert_identical(
        study.data, allocation_study(scores, seed=seed, max_tokens=8, min_tokens=1).data
    )
    for name in ("faded", "moved_by_noise", "gini"):
        assert (study.data[name] >= -1e-12).all()
    assert (study.data["moved_by_noise"] <= 1).all()
    assert (study.data["outlier"].fillna(0) <= 1).all()  # the others may have had nothing
    assert (study.data["used"] <= study.data["budget"]).all()
    for name in ("outlier", "moved_by_noise"):
        assert (study.data[name].sel(strategy="uniform") == 0).all()


# The faults of min-max


def test_an_outlier_starves_the_others_of_minmax_alone():
    study = allocation_study([0.5, 0.55, 0.6, 0.52, 0.2], budgets=[640])
    assert cell(study, "outlier", "head", 640) > 0.3
    assert cell(study, "outlier", "threshold", 640) == 0
    assert cell(study, "outlier", "temperature", 640) == 0
    assert 0 < cell(study, "outlier", "floor", 640) < cell(study, "outlier", "head", 640)


def test_minmax_cannot_see_that_all_scores_fell():
    study = allocation_study([0.1, 0.7, 0.4], budgets=[384])
    assert cell(study, "faded", "head", 384) == 1
    for strategy in ("abstain", "threshold", "temperature"):
        assert cell(study, "faded", strategy, 384) < 0.9


def test_noise_moves_tokens_of_close_scores():
    study = allocation_study(CLOSE, budgets=[200])
    assert cell(study, "moved_by_noise", "head", 200) > 0.2
    assert cell(study, "moved_by_noise", "temperature", 200) < 0.05


def test_where_nothing_is_relevant():
    study = allocation_study(NOTHING, budgets=[640])
    assert cell(study, "least", "abstain", 640) == 5
    assert cell(study, "used", "abstain", 640) == 20
    assert cell(study, "used", "head", 640) > 180


def test_nothing_used_has_no_shares():
    study = allocation_study(NOTHING, strategies=["abstain"], budgets=[40], min_tokens=0)
    assert cell(study, "used", "abstain", 40) == 0
    assert np.isnan(cell(study, "faded", "abstain", 40))


# A result like any other


def test_saved_tabulated_and_subtracted(tmp_path):
    study = allocation_study(make_trace(), truth=np.arange(6) == 3)
    again = Result.load(study.save(tmp_path / "study.nc"))
    assert type(again) is AllocationStudy
    xr.testing.assert_identical(again.data, study.data)
    assert again.provenance == study.provenance
    old = study.data.rename(moved_by_noise="tremble")  # as version 0.1 saved it
    write_record(tmp_path / "old.nc", "result", old, {"kind": "AllocationStudy", "provenance": {}})
    xr.testing.assert_identical(Result.load(tmp_path / "old.nc").data, study.data)
    table = study.to_pandas()
    assert len(table) == study.data.sizes["strategy"] * study.data.sizes["budget"]
    assert {"strategy", "budget", "used", "recall"} <= set(table.columns)
    change = study - allocation_study(make_trace(), truth=np.arange(6) == 3, min_tokens=0)
    assert float(change.data["tokens"].max()) > 0


@pytest.mark.parametrize(
    ("scores", "options", "words"),
    [
        ([0.5], {}, "two segments or more"),
        ([[0.1, 0.2]], {}, r"shape \(1, 2\)"),
        ([-3.0, 8.0], {}, "-3 to 8"),
        ([0.1, float("nan")], {}, "nan to nan"),
        ([0.1, 0.2, 0.3], {"truth": [True]}, "3 segments"),
    ],
)
def test_what_cannot_be_compared_is_refused(scores, options, words):
    with pytest.raises(TraceError, match=words):
        allocation_study(scores, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strategies": ["head", "treshold"]}, "did you mean 'threshold'"),
        ({"strategies": "none", "budgets": [60]}, "= 384"),
        ({"budgets": [2]}, "smallest budget that works is 3"),
        ({"budgets": [60.5]}, "whole number"),
    ],
)
def test_what_a_strategy_refuses_is_refused(options, words):
    with pytest.raises(BudgetError, match=words):
        allocation_study([0.1, 0.2, 0.3], **options)


def test_the_doctest():
    module = importlib.import_module("tempo_lab.analysis.allocation_study")
    assert doctest.testmod(module) == doctest.TestResults(0, 2)


# The figure


@pytest.mark.usefixtures("_closed_figures")
@pytest.mark.parametrize("given", [make_trace(12, budget=60), CLOSE])
def test_the_figure_shows_the_tokens_of_one_budget(given):
    study = allocation_study(given)
    figure, axes = plots.allocation_study(study)
    figure.canvas.draw()
    upper, lower, used, *_ = axes
    budget = study.provenance.get("own_budget", int(study.data["budget"][4]))
    shown = lower.collections[0].get_array()
    np.testing.assert_array_equal(shown, study.data["tokens"].sel(budget=budget))
    assert f"budget of {budget}" in lower.get_title("left")
    assert [label.get_text() for label in lower.get_yticklabels()] == list(COMPARED)
    np.testing.assert_array_equal(
        used.lines[0].get_ydata(), study.data["used"].sel(strategy="head")
    )
    assert upper.get_xlim() == lower.get_xlim()
    assert lower.get_xlabel() == ("time (s)" if "start" in study.data else "segment")


@pytest.mark.usefixtures("_closed_figures")
def test_another_budget_and_a_difference_are_drawn():
    study = allocation_study(make_trace(), truth=np.arange(6) == 3)
    _, axes = plots.allocation_study(study, budget=24)
    assert "budget of 24" in axes[1].get_title("left")
    change = allocation_study(make_trace(), truth=np.arange(6) == 3, min_tokens=0) - study
    _, axes = plots.allocation_study(change, budget=24)
    low, high = axes[1].collections[0].get_clim()
    assert low == -high < 0


def test_other_results_and_budgets_are_refused():
    with pytest.raises(TraceError, match=r"result of tempo_lab\.analysis\.allocation_study"):
        plots.allocation_study(make_trace())
    with pytest.raises(TraceError, match=r"asked: 7\n.*found: 6, 12.*\n.*budgets=\[7\]"):
        plots.allocation_study(allocation_study(make_trace()), budget=7)


def test_the_old_name_of_the_trace_works_and_warns():
    with pytest.warns(DeprecationWarning, match=r"allocation_study\(given=\).*use trace="):
        study = allocation_study(given=make_trace())
    xr.testing.assert_identical(study.data, allocation_study(trace=make_trace()).data)


def test_one_trace_at_a_time():
    with pytest.raises(TraceError, match="about one question"):
        allocation_study([make_trace(), make_trace()])
