"""The figure of an evaluation: values and intervals where they were measured, controls named."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot

from tempo_lab import plots
from tempo_lab.common.errors import TempoLabError
from tests.evaluation.runs import PRIOR_ARMS, answers_run, relevance_run
from tests.traces import make_trace

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot.close("all")


def drawn(axes) -> dict:
    """Label, points and interval ends of everything with error bars."""
    found = {}
    for container in axes.containers:
        line, _, bars = container.lines
        ends = [segment for bar in bars for segment in bar.get_segments()]
        found[container.get_label()] = line.get_xydata(), np.array(ends)
    return found


def test_answers_are_drawn_over_the_tokens_that_were_used():
    run = answers_run()
    _, axes = plots.evaluation(run)
    lines = drawn(axes)
    points, ends = lines["ATA head"]
    np.testing.assert_allclose(points[:, 0], [0.9 * 4096, 0.9 * 8192])
    np.testing.assert_allclose(points[:, 1], [0.8 + 0.04096, 0.8 + 0.08192])
    np.testing.assert_allclose(ends[:, :, 1], points[:, 1][:, None] + [-0.1, 0.1])
    assert {"uniform head", "top-k", "all tokens", "sparse frames", "abstain"} <= set(lines)
    assert axes.get_xscale() == "log"
    assert "tokens" in axes.get_xlabel()
    assert axes.get_ylabel() == "accuracy"
    assert "40 questions about 9 videos" in axes.get_title("left")


def test_an_arm_without_tokens_is_a_level_and_differences_are_no_arms():
    _, axes = plots.evaluation(answers_run())
    (level,) = [line for line in axes.lines if line.get_label() == "blind (no tokens)"]
    assert set(level.get_ydata()) == {0.8 - 0.05 * 8}
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert len(labels) == len(set(labels)) == 9
    assert not [label for label in labels if "minus" in label]


def test_mlvu_is_drawn_by_its_own_mean():
    _, axes = plots.evaluation(answers_run(dataset="mlvu", main="M-Avg"))
    assert axes.get_ylabel() == "M-Avg"
    assert "ATA head" in drawn(axes)


def test_the_prior_stands_above_its_controls():
    _, axes = plots.evaluation(relevance_run())
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:2] == ["prior", "prior - blank question"]
    assert sorted(names) == sorted(PRIOR_ARMS)
    lines = drawn(axes)
    assert set(lines) == {"AUROC", "average precision", "hit@1"}
    points, ends = lines["AUROC"]
    np.testing.assert_allclose(points[0, 0], 0.8)
    np.testing.assert_allclose(ends[0][:, 0], [0.7, 0.9])
    low, high = axes.get_ylim()
    assert low > high  # the first row is on top


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(TempoLabError, match="pass the result of tempo_lab"):
        plots.evaluation(make_trace())
    for run, missing in ((answers_run(), "answer"), (relevance_run(), "evidence")):
        nothing = [one for one in run.summary if isinstance(one.value, int)]
        with pytest.raises(TempoLabError, match=f"no question with a?.*known {missing}"):
            plots.evaluation(replace(run, summary=nothing))
    assert not pyplot.get_fignums()
