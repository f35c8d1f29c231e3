"""Relevance: numbers by hand, controls that fail, and what has no meaning is refused."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.analysis import (
    Case,
    Relevance,
    relevance,
    relevance_cases,
    world_cases,
)
from tempo_lab.analysis.relevance import shuffled_questions
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace

matplotlib.use("agg")
YES, NO = True, False


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot.close("all")


def of(logits, video="a", question="What color is the star?", **more):
    """A trace of these logits."""
    logit = np.asarray(logits, float)
    return make_trace(
        len(logit),
        logit=logit,
        relevance=1 / (1 + np.exp(-logit)),
        question=question,
        provenance={"model_digest": "m", "video": f"{video}.mp4", "video_digest": video},
        **more,
    )


# Of one question


def test_rank_margin_and_concentration_by_hand():
    data = relevance(of([2.0, 0.0, 1.5])).data
    assert data["rank"].to_numpy().tolist() == [[1, 3, 2]]
    assert float(data["margin"][0]) == pytest.approx(0.5)
    share = 1 / (1 + np.exp(-np.array([2.0, 0.0, 1.5])))
    share /= share.sum()
    entropy = -(share * np.log(share)).sum()
    assert float(data["entropy"][0]) == pytest.approx(entropy)
    assert float(data["effective_segments"][0]) == pytest.approx(np.exp(entropy))
    np.testing.assert_allclose(data["start"], [[0, 4, 8]])
    assert data["start"].attrs["units"] == "s"


@pytest.mark.parametrize(
    ("logits", "effective"),
    [([-300.0, -400.0, -400.0], 1.0), ([40.0, 41.0, 40.5], 3.0), ([9.0, -200.0, -200.0], 1.0)],
)
def test_scores_that_round_to_0_or_1_still_count(logits, effective):
    result = relevance(of(logits)).data
    assert float(result["effective_segments"][0]) == pytest.approx(effective)
    assert float(result["rank"][0, int(np.argmax(logits))]) == 1


@pytest.mark.parametrize(
    ("truth", "auc", "hit", "recall", "margin"),
    [
        ([YES, NO, NO, NO], 1, 1, [1, 1, 1, 1], 1.0),
        ([NO, NO, NO, YES], 0, 0, [0, 0, 0, 1], -6.0),
        ([YES, NO, YES, NO], 0.75, 1, [0.5, 0.5, 1, 1], -1.0),
    ],
)
def test_against_truth_by_hand(truth, auc, hit, recall, margin):
    data = relevance(of([3.0, 2.0, 1.0, -3.0]), truth).data
    assert float(data["auc"][0]) == auc
    assert float(data["hit"][0]) == hit
    assert data["recall"][0].to_numpy().tolist() == recall
    assert float(data["truth_margin"][0]) == margin
    assert float(data["base_rate"][0]) == np.mean(truth)


def test_calibration_by_hand():
    # sure and right, sure and wrong: |1 - 1| and |0 - 1| of two segments each
    data = relevance(of([30.0, 31.0, -30.0, -31.0]), [YES, NO, NO, NO]).data
    assert float(data["calibration_error"]) == pytest.approx(0.25, abs=1e-6)
    assert data["count"].to_numpy().tolist() == [2, *[0] * 8, 2]
    assert float(data["observed"][-1]) == 0.5


@pytest.mark.parametrize("truth", [[NO] * 3, [YES] * 3])
def test_without_both_kinds_only_calibration_has_a_meaning(truth):
    one = of([1.0, -2.0, -4.0])
    result = relevance(one, truth)
    for name in ("auc", "hit", "truth_margin"):
        assert np.isnan(result.data[name].to_numpy()).all(), name
    assert np.isnan(result.data["recall"]).all()
    assert result.provenance["undefined"] == [one.question]
    numbers = result.numbers()
    assert np.isnan(numbers["mean_auc"])
    assert numbers["ranked_questions"] == 0
    assert 0 < numbers["calibration_error"] < 1


# Of several


def test_shorter_videos_end_in_nothing():
    result = relevance(
        [of([1.0, 0.0, 2.0, 3.0]), of([5.0, 4.0], "b")], [[NO, NO, NO, YES], [YES, NO]]
    )
    assert np.isnan(result.data["logit"][1, 2:]).all()
    assert not result.data["truth"][1, 2:].any()
    assert result.data["segments"].to_numpy().tolist() == [4, 2]
    assert len(result.to_pandas()) == 6
    assert result.data["recall"][1].to_numpy().tolist() == [1, 1, 1, 1]
    assert int(result.data["count"].sum()) == 6


def test_means_resample_videos_and_leave_out_what_is_undefined():
    traces = [of([1.0, 0.0], name) for name in "aabbcc"]
    truths = [[YES, NO], [YES, NO], [YES, NO], [NO, YES], [NO, YES], [NO, NO]]
    values = relevance(traces, truths).numbers()
    assert values["mean_auc"] == pytest.approx(3 / 5)
    assert values["mean_auc_low"] == 0
    assert values["mean_auc_high"] == 1
    assert values["ranked_questions"] == 5
    one_video = relevance(traces[:2], truths[:2]).numbers()
    assert np.isnan(one_video["mean_auc_low"])
    assert one_video["mean_auc"] == 1


def test_controls_are_measured_against_the_original_truth():
    traces = [of([3.0, 0.0, 1.0]), of([0.0, 1.0, 2.0], "b")]
    controls = [of([0.0, 2.0, 1.0], question="x?"), of([1.0, 2.0, 0.0], "b", "y?")]
    result = relevance(traces, [[YES, NO, NO], [NO, NO, YES]], controls=controls)
    assert result.data["auc"].to_numpy().tolist() == [1, 1]
    assert result.data["control_auc"].to_numpy().tolist() == [0, 0]
    assert result.data["control_recall"][0].to_numpy().tolist() == [0, 0, 1]
    assert result.numbers()["auc_gain"] == 1
    assert result.numbers()["auc_gain_low"] == pytest.approx(2 * 0.025**0.5 - 1)  # of two questions
    assert result.provenance["controls"] == ["x?", "y?"]


def test_a_saved_one_is_the_same_and_subtracts(tmp_path):
    traces = [of([3.0, 0.0, 1.0]), of([0.0, 1.0], "b")]
    result = relevance(traces, [[YES, NO, NO], [NO, YES]])
    again = Relevance.load(result.save(tmp_path / "r.nc"))
    xr.testing.assert_identical(again.data, result.data)
    other = relevance([of([1.0, 0.0, 1.5]), of([0.0, 3.0], "b")], [[YES, NO, NO], [NO, YES]])
    change = again - other
    assert change.data["auc"].to_numpy().tolist() == [0.5, 0]
    assert change.data["start"].equals(result.data["start"])


# Refused


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: relevance([]), "found: none"),
        (lambda: relevance(of([1.0])), "a ranking needs two segments"),
        (lambda: relevance(of([1.0, 1.0, 1.0])), r"a ranking of 3 segments[\s\S]*logit is 1"),
        (lambda: relevance([of([1.0, 2.0]), of([0.0, 0.0])]), "a ranking of 2"),
        (lambda: relevance(of([1.0, np.nan])), r"2 finite logits[\s\S]*found: 1 finite"),
        (lambda: relevance(of([1.0, 2.0]), [YES]), "asked: 2 segments"),
        (lambda: relevance(of([1.0, 2.0]), [[YES, NO]]), "asked: 2 segments"),
        (lambda: relevance([of([1.0, 2.0])], [[YES, NO]] * 2), r"1 traces[\s\S]*truth of 2"),
        (lambda: relevance(of([1.0, 2.0]), [0.3, 0.7]), "true|evidence"),
        (lambda: relevance(of([1.0, 2.0]), top_k=0), "top_k=0"),
        (lambda: relevance(of([1.0, 2.0]), controls=of([2.0, 1.0])), "without truth"),
    ],
)
def test_what_has_no_meaning_is_refused(call, words):
    with pytest.raises(TraceError, match=words):
        call()


@pytest.mark.parametrize(
    ("control", "words"),
    [
        (of([2.0, 1.0]), "not 'What color"),
        (of([2.0, 1.0], "b", "x?"), "of b, 2 segments"),
        (of([2.0, 1.0, 0.0], "a", "x?"), "of a, 3 segments"),
        ([of([2.0, 1.0], "a", "x?")] * 2, "found: 2 controls"),
        (of([2.0, 2.0], "a", "x?"), "equal scores"),
    ],
)
def test_what_is_no_control_is_refused(control, words):
    with pytest.raises(TraceError, match=words):
        relevance(of([1.0, 2.0]), [YES, NO], controls=control)


def test_a_control_of_another_model_is_refused():
    other = make_trace(2, logit=[0.0, 1.0], question="x?", provenance={"model_digest": "n"})
    with pytest.raises(TraceError, match="different models"):
        relevance(of([1.0, 2.0]), [YES, NO], controls=other)


# The embedded model


@pytest.fixture(scope="module")
def questions():
    """Questions about two held-out videos, their cases, and where the sessions were before."""
    with world_cases(tl.load("nano"), seed=3, videos=2, segments=4, questions=2) as cases:
        yield cases, relevance_cases(cases, seed=1, progress=False)


def test_the_prior_finds_the_evidence_and_a_shuffled_question_does_not(questions):
    cases, result = questions
    numbers = result.numbers()
    assert numbers["ranked_questions"] == len(cases) == 4
    assert numbers["mean_auc"] > 0.75
    assert numbers["mean_auc"] > numbers["mean_control_auc"]
    assert numbers["calibration_error"] < numbers["control_calibration_error"]
    np.testing.assert_array_equal(result.data["truth"], [case.evidence for case in cases])


def test_cases_are_asked_as_anyone_would(questions):
    cases, result = questions
    alone = cases[1].session.ask(cases[1].question, budget=32)
    np.testing.assert_allclose(result.data["logit"][1], alone.data["logit"], atol=1e-3)
    control = cases[1].session.ask(result.provenance["controls"][1], budget=32)
    np.testing.assert_allclose(result.data["control_logit"][1], control.data["logit"], atol=1e-3)


def test_shuffled_questions_come_from_another_video(questions):
    cases, _ = questions
    for seed in range(5):
        words = shuffled_questions(cases, seed)
        for case, text in zip(cases, words, strict=True):
            assert text in {other.question for other in cases if other.video != case.video}
    assert shuffled_questions(cases, 2) == shuffled_questions(cases, 2)
    with pytest.raises(TraceError, match=r"found: 1 video"):
        relevance_cases(cases[:2], progress=False)
    assert isinstance(cases[0], Case)


# The figure


def heights(axes):
    return next(p for p in axes.patches if hasattr(p, "get_data")).get_data()


def test_the_figure_shows_the_scores_over_seconds():
    result = relevance([of([1.0, 0.0, 2.0]), of([5.0, 4.0], "b", "Where is it?")])
    figure, axes = plots.relevance(result, question=1)
    figure.canvas.draw()
    (only,) = axes
    values, edges, _ = heights(only)
    np.testing.assert_allclose(values, result.data["score"][1, :2])
    np.testing.assert_allclose(edges, [0, 4, 8])
    assert only.get_title("left") == "Where is it?"
    assert (only.get_xlabel(), only.get_ylabel()) == ("time (s)", "relevance\n(probability)")


def test_with_truth_the_figure_shows_how_right_it_is(questions):
    _, result = questions
    figure, axes = plots.relevance(result)
    figure.canvas.draw()
    _, recall, roc, reliable = axes
    curves = {line.get_label(): line.get_ydata() for line in recall.lines}
    np.testing.assert_allclose(curves["its own question"], result.data["mean_recall"])
    np.testing.assert_allclose(curves["shuffled question"], result.data["mean_control_recall"])
    curves = {line.get_label(): line for line in roc.lines if line.get_linewidth() == 2}
    numbers = result.numbers()
    for (label, line), prefix in zip(curves.items(), ("control_", ""), strict=True):
        mean, low, high = (numbers[f"mean_{prefix}auc{end}"] for end in ("", "_low", "_high"))
        assert label.endswith(f": AUC {mean:.2f} [{low:.2f}, {high:.2f}]")
        rates, area = line.get_xydata()[:, 0], line.get_xydata()[:, 1]
        assert (rates[0], area[0]) == (0, 0)
        assert (rates[-1], area[-1]) == (1, 1)
        assert np.trapezoid(area, rates) == pytest.approx(mean, abs=0.02)
    assert f"{result.numbers()['calibration_error']:.3f}" in reliable.get_title("left")
    assert "share" in reliable.get_ylabel()


@pytest.mark.parametrize("question", [-1, 1])
def test_no_such_question_and_no_such_result(question):
    result = relevance(of([1.0, 0.0]))
    figures = pyplot.get_fignums()
    with pytest.raises(TraceError, match=f"question={question}"):
        plots.relevance(result, question=question)
    with pytest.raises(TraceError, match=r"analysis\.relevance"):
        plots.relevance(make_trace())
    assert pyplot.get_fignums() == figures


def test_undefined_numbers_can_be_drawn():
    figure, _ = plots.relevance(relevance(of([1.0, 0.0]), [NO, NO]))
    figure.canvas.draw()


def test_relevance_is_labelled_by_the_question_that_was_compressed_for():
    done = [tl.Intervention.question("Where is the moon?").describe()]
    trace = of([1.0, 0.0, -1.0])
    changed = replace(trace, provenance={**trace.provenance, "interventions": done})
    result = relevance(changed)
    assert result.data["text"].item() == "Where is the moon?"
    assert result.provenance["traces"][0]["interventions"] == [
        "question(other='Where is the moon?')"
    ]
    # so that it can be a control of what was asked
    assert "control_auc" in relevance(trace, [YES, NO, NO], controls=changed).data


def test_truth_that_is_none():
    with pytest.raises(TraceError, match="truth must say of each segment"):
        relevance([of([1.0, 0.0])], 5)
    with pytest.raises(TraceError, match="top_k must be a whole number"):
        relevance(of([1.0, 0.0]), [YES, NO], top_k="all")


def test_the_old_name_of_top_k_works_and_warns():
    trace = of([3.0, 2.0, 1.0])
    with pytest.warns(DeprecationWarning, match=r"relevance\(most=\) .* use top_k="):
        renamed = relevance(trace, [YES, NO, NO], most=2)
    assert renamed.data.identical(relevance(trace, [YES, NO, NO], top_k=2).data)
