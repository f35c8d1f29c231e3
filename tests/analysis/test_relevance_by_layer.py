"""Relevance by layer: where the decision is there, by hand and on a real model."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.analysis import RelevanceByLayer, relevance, relevance_by_layer
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace

matplotlib.use("agg")
STAR = "What color is the star?"


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot.close("all")


def lens(rows, layers=None, **more):
    """A trace whose layers [layer, segment] had these logits; the last one decided."""
    rows = np.asarray(rows, np.float32)
    trace = make_trace(rows.shape[1], logit=more.pop("logit", rows[-1]), **more)
    data = trace.data.assign_coords(layer=np.arange(len(rows)) if layers is None else layers)
    return replace(trace, data=data.assign(layer_logit=(("segment", "layer"), rows.T)))


def test_the_decision_by_hand():
    result = relevance_by_layer(
        lens([[1, 1, 1, 1], [-1, -2, 3, -1], [1, -1, 1, -1], [-2, -3, 4, -1]]),
        [False, False, True, False],
        min_agreement=0.75,
    )
    data = result.data
    # as the last: one of four, all, three, all; agreement of 3/4 from layer 1 to the end
    assert data["agreement"].to_numpy().tolist() == [[0.25, 1, 0.75, 1]]
    assert float(data["constant_agreement"][0]) == 0.75
    assert int(data["decided_layer"][0]) == 1
    assert data["auc"].to_numpy().tolist() == [[0.5, 1, pytest.approx(5 / 6), 1]]
    assert np.isnan(data["rank_agreement"][0, 0])  # all equal: no order
    assert float(data["rank_agreement"][0, 3]) == 1


def test_the_old_name_of_min_agreement_works_and_warns():
    trace = lens([[1, 2, 3, -1], [1, 2, 3, 4]])
    with pytest.warns(DeprecationWarning, match=r"relevance_by_layer\(most=\) .* min_agreement="):
        result = relevance_by_layer(trace, most=0.75)
    assert int(result.data["decided_layer"][0]) == 0
    assert int(relevance_by_layer(trace).data["decided_layer"][0]) == 1


def test_a_decision_that_is_taken_back_was_none():
    rows = [[-2, 3], [-1, 1], [2, -1], [-2, 3]]
    assert int(relevance_by_layer(lens(rows)).data["decided_layer"][0]) == 3
    # layers keep their own numbers
    named = relevance_by_layer(lens(rows[:2] + rows[3:], layers=[4, 9, 27]))
    assert int(named.data["decided_layer"][0]) == 4


def test_several_are_stacked_saved_and_subtracted(tmp_path):
    pair = [lens([[1, 2, 3], [-1, 2, 3]]), lens([[1, -1], [-1, 1]])]
    truth = [[True, False, True], [True, False]]
    result = relevance_by_layer(pair, truth)
    assert np.isnan(result.data["logit"][1, 2]).all()
    assert result.data["mean_auc"].to_numpy().tolist() == [0.75, 0.25]
    again = RelevanceByLayer.load(result.save(tmp_path / "r.nc"))
    xr.testing.assert_identical(again.data, result.data)
    assert not (again - result).data["logit"].fillna(0).any()
    assert len(result.to_pandas()) == 4


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: relevance_by_layer(make_trace()), r"layer_relevance=True"),
        (lambda: relevance_by_layer(lens([[1, 2]])), "several layers to compare"),
        (
            lambda: relevance_by_layer(lens([[1, 2], [3, -4]], logit=[3, 5])),
            "layer 1, whose logits differ by 9",
        ),
        (
            lambda: relevance_by_layer(
                [lens([[1, 2], [3, 4]]), lens([[1, 2], [3, 4]], layers=[0, 2])]
            ),
            r"layers \[0, 1\][\s\S]*\[0, 2\]",
        ),
        (lambda: relevance_by_layer(lens([[1], [2]])), "needs two segments"),
        (lambda: relevance_by_layer(lens([[1, 2], [3, 3]])), "equal scores"),
        (lambda: relevance_by_layer(lens([[1, 2], [3, 4]]), [True]), "2 segments"),
        (
            lambda: relevance_by_layer(lens([[1, 2], [3, 4]]), min_agreement=0.5),
            r"use 0\.5 < min_agreement <= 1",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(call, words):
    with pytest.raises(TraceError, match=words):
        call()


@pytest.fixture(scope="module")
def voyage():
    """The star of the voyage, every layer read."""
    with tl.load("nano").open("data/clips/voyage.mp4", progress=False) as session:
        capture = tl.Capture(layer_relevance=True)
        yield session, session.ask(STAR, budget=64, capture=capture)


def test_the_last_layer_is_the_relevance(voyage):
    _, trace = voyage
    truth = np.arange(12) == 8
    result = relevance_by_layer(trace, truth)
    np.testing.assert_allclose(result.data["logit"][0, :, -1], trace.data["logit"], atol=1e-3)
    assert float(result.data["agreement"][0, -1]) == 1
    assert float(result.data["rank_agreement"][0, -1]) == 1
    last = float(relevance(trace, truth).data["auc"][0])
    assert float(result.data["auc"][0, -1]) == last
    assert float(result.data["auc"][0, 0]) < last  # it takes depth to decide


def test_without_the_last_layer_there_is_nothing_to_agree_with(voyage):
    session, _ = voyage
    early = tl.Capture(layer_relevance=True, layers=[0, 1])
    with pytest.raises(TraceError, match="found: layer 1"):
        relevance_by_layer(session.ask(STAR, budget=64, capture=early))


def test_the_figure_shows_logits_and_agreement(voyage):
    result = relevance_by_layer(voyage[1], np.arange(12) == 8)
    figure, (left, right) = plots.relevance_by_layer(result)
    figure.canvas.draw()
    shown = left.collections[0].get_array()
    np.testing.assert_allclose(shown, result.data["logit"][0].T)
    assert left.get_title("left") == STAR
    assert (left.get_xlabel(), left.get_ylabel()) == ("time (s); green: evidence", "SVLM layer")
    thick = {line.get_label(): line.get_ydata() for line in right.lines}
    np.testing.assert_allclose(thick["same sign"], result.data["agreement"][0])
    np.testing.assert_allclose(thick["AUC"], result.data["auc"][0])


def test_shorter_videos_and_undefined_numbers_can_be_drawn():
    pair = [lens([[1, 2, 3], [-1, 2, 3]]), lens([[1, 1], [-1, 1]])]
    result = relevance_by_layer(pair, [[True, False, True], [False, False]])
    figure, (left, _) = plots.relevance_by_layer(result, question=1)
    figure.canvas.draw()
    assert left.get_xlim()[1] == 8
    with pytest.raises(TraceError, match="question=2"):
        plots.relevance_by_layer(result, question=2)
    with pytest.raises(TraceError, match="RelevanceByLayer"):
        plots.relevance_by_layer(pair[0])
