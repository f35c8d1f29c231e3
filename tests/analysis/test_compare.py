"""Comparison: ranks by hand, intervals that resample what they say, and one real question."""

from dataclasses import replace
from itertools import combinations

import matplotlib.pyplot
import numpy as np
import pytest
import xarray as xr

from tempo_lab import Intervention, plots
from tempo_lab.analysis.attribution.attribution import Attribution, attribution
from tempo_lab.analysis.compare import MEASURES, Comparison, compare
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import spearman
from tests.traces import make_trace

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    matplotlib.pyplot.close("all")


def looked(attention, logit, video="v", **changes):
    """A trace whose answer looked at segments so much, in 2 layers, 1 head and 2 tokens."""
    n = len(attention)
    trace = make_trace(n, budget=16 * n, logit=logit, **changes)
    groups = ["system", *(f"memory {i}" for i in range(n)), "self"]
    each = np.concatenate([[0.5], attention, [0.1]])
    array = np.stack([0.5 * each, 1.5 * each])[:, None, None].repeat(2, axis=2)
    data = trace.data.assign(
        answer_attention=(("llm_layer", "llm_head", "answer_token", "llm_key_group"), array)
    ).assign_coords(llm_key_group=groups)
    return replace(trace, data=data, provenance={"model_digest": "m", "video_digest": video})


def added(values, of, **about):
    values = np.asarray(values, float)
    data = {"value": ("unit", values), "all": 0.0, "none": -1.0, "delta": 0.0}
    known = {"units": "segments", "question": of.question, "trace": of.provenance}
    known |= {name: of.data.attrs[name] for name in ("budget", "strategy")}
    known |= {"target": "answer_logprob", "target_units": "nat", "method": "m", "baseline": "b"}
    names = [f"segment {i}" for i in range(len(values))]
    return Attribution(xr.Dataset(data, {"unit": names}), {**known, **about})


LOGIT = [-3.0, -1.0, 2.0, -2.0, 0.0]
ATTENTION = [0.05, 0.01, 0.2, 0.03, 0.04]
EFFECT = [-0.1, 0.0, 5.0, 0.5, 0.2]


@pytest.fixture
def one():
    trace = looked(ATTENTION, LOGIT)
    return trace, added(EFFECT, trace)


def intervened(trace, *interventions):
    described = [one.describe() for one in interventions]
    return replace(trace, provenance={**trace.provenance, "interventions": described})


def test_an_attribution_of_another_run_is_refused(one):
    trace, effect = one
    dropped = intervened(trace, Intervention.drop([2]))
    with pytest.raises(TraceError, match=r"interventions: .*drop[\s\S]*found: None"):
        compare(dropped, effect)
    assert compare(dropped, added(EFFECT, dropped)).data.sizes["segment"] == 5
    with pytest.raises(TraceError, match=r"budget: 80[\s\S]*found: 8"):
        compare(trace, added(EFFECT, trace, budget=8))
    with pytest.raises(TraceError, match="compressed for Where"):
        other = intervened(trace, Intervention.question("Where is it?"))
        compare(other, added(EFFECT, other))


def test_swapped_segments_are_compared_at_their_places(one):
    trace, _ = one
    trace = intervened(trace, Intervention.swap(0, 2))
    source = [2, 1, 0, 3, 4]
    trace = replace(trace, data=trace.data.assign(memory_from=("segment", source)))
    data = compare(trace, added(EFFECT, trace)).data
    np.testing.assert_allclose(data["relevance"], trace.data["relevance"].to_numpy()[source])
    assert data["relevance_rank"].to_numpy().argmin() == 0


@pytest.mark.parametrize("effects", [None, "effects", 3])
def test_what_is_no_attribution_is_refused(one, effects):
    with pytest.raises(TraceError, match="this analysis takes attributions"):
        compare(one[0], effects)
    with pytest.raises(TraceError, match="resamples=0"):
        compare(*one, resamples=0)


def test_ranks_and_correlations_are_those_by_hand(one):
    result = compare(*one)
    data = result.data
    np.testing.assert_allclose(data["attention"], ATTENTION, rtol=1e-6)
    assert data["relevance_rank"].values.tolist() == [5, 3, 1, 4, 2]
    assert data["attention_rank"].values.tolist() == [2, 5, 1, 4, 3]
    assert data["effect_rank"].values.tolist() == [5, 4, 1, 2, 3]
    assert data["apart"].values.tolist() == [3, 2, 0, 2, 1]
    # Spearman without ties: 1 - 6 sum(d^2) / (n (n^2 - 1))
    squares = [9 + 4 + 0 + 0 + 1, 0 + 1 + 0 + 4 + 1, 9 + 1 + 0 + 4 + 0]
    np.testing.assert_allclose(data["correlation"], [1 - 6 * s / 120 for s in squares])
    assert data["same_first"].values.tolist() == [1, 1, 1]
    assert result.disagreements(1).number.tolist() == [0]
    assert result.provenance["resampled"] == "5 segments"


def test_equal_values_share_their_rank():
    # ranks 1.5 1.5 3 4 and 1 2 3 4: Pearson's correlation of them
    expected = np.corrcoef([1.5, 1.5, 3, 4], [1, 2, 3, 4])[0, 1]
    assert spearman(np.array([7, 7, 8, 9.0]), np.arange(4.0)) == pytest.approx(expected)
    assert np.isnan(spearman(np.ones(4), np.arange(4.0)))


def test_intervals_of_one_question_resample_its_segments(one):
    """Against the plain loop over draws."""
    rng, table = np.random.default_rng(5), np.array([LOGIT, ATTENTION, EFFECT])
    drawn = rng.integers(5, size=(300, 5))
    result = compare(*one, resamples=300, seed=5)
    for pair, (a, b) in enumerate(combinations(range(3), 2)):
        values = [spearman(table[a][some], table[b][some]) for some in drawn]
        low, high = np.quantile([rho for rho in values if not np.isnan(rho)], [0.025, 0.975])
        assert result.data["low"].values[pair] == pytest.approx(low)
        assert result.data["high"].values[pair] == pytest.approx(high)
        assert low < high


def test_unrelated_rankings_have_an_interval_around_nothing_and_equal_ones_do_not():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 60))
    trace = looked(np.exp(values[0]) / 1000, values[0])
    data = compare(trace, added(values[1], trace)).data.set_index(pair="pair")
    assert data["correlation"].sel(pair="relevance, attention") == pytest.approx(1)
    assert data["low"].sel(pair="relevance, attention") == pytest.approx(1)
    assert (
        data["low"].sel(pair="relevance, effect") < 0 < data["high"].sel(pair="relevance, effect")
    )


def test_several_questions_are_averaged_and_resampled_by_video(one):
    trace, effect = one
    second = looked(np.roll(ATTENTION, 1), LOGIT, video="w")
    third = looked([0.3, 0.2, 0.1], [3.0, 1.0, 2.0], video="w")
    traces = [trace, second, third]
    effects = [effect, added(EFFECT, second), added([3, 2, 1], third)]
    result = compare(traces, effects)
    each = [compare(*case).data["correlation"].values for case in zip(traces, effects, strict=True)]
    np.testing.assert_allclose(result.data["correlation"], np.mean(each, axis=0))
    assert result.provenance["resampled"] == "2 videos"
    assert result.data.sizes["segment"] == 13
    assert result.data["trace"].values.tolist() == [0] * 5 + [1] * 5 + [2] * 3
    np.testing.assert_allclose(result.data["same_first"], [2 / 3, 1, 2 / 3])
    # drawn twice, one video is all there is: its mean is an end of the interval
    ends = np.sort([each[0], (each[1] + each[2]) / 2], axis=0)
    np.testing.assert_allclose([result.data["low"], result.data["high"]], ends)
    same = compare([trace, trace], [effect, effect])
    assert same.provenance["resampled"] == "2 questions"


def test_results_are_saved(one, tmp_path):
    result = compare(*one)
    again = Comparison.load(result.save(tmp_path / "c.nc"))
    xr.testing.assert_identical(again.data, result.data)
    assert list(again.correlations().columns) == ["correlation", "low", "high", "same_first"]
    assert {"segment", *MEASURES, "apart", "number", "tokens"} <= set(again.to_pandas().columns)


def test_what_does_not_belong_together_is_refused(one):
    trace, effect = one
    cases = {
        "units: segments": added(EFFECT, trace, units="slots"),
        "question: What color": added(EFFECT, trace, question="Where?"),
        "model: m": added(EFFECT, trace, trace={**trace.provenance, "model_digest": "n"}),
        "video: v": added(EFFECT, trace, trace={**trace.provenance, "video_digest": "w"}),
        "segments: 5": added(EFFECT[:3], trace),
        "found: Trace": trace,
        "found: 2 attributions": [effect, effect],
    }
    for words, other in cases.items():
        with pytest.raises(TraceError, match=words):
            compare([trace], [other] if not isinstance(other, list) else other)
    with pytest.raises(TraceError, match=r'Capture\(attention=\["answer"\]\)'):
        bare = replace(trace, data=trace.data.drop_vars("answer_attention"))
        compare(bare, effect)
    with pytest.raises(TraceError, match="relevance of 5 segments") as error:
        compare(looked(ATTENTION, [1.5] * 5), effect)
    assert "all are 1.5" in str(error.value)
    with pytest.raises(TraceError, match="found: 2 in"):
        short = looked([0.1, 0.2], [1.0, 2.0])
        compare(short, added([1, 2], short))


def test_figures_show_measures_ranks_and_intervals(one):
    result = compare(*one)
    figure, axes = plots.compare(result, top_k=1)
    figure.canvas.draw()
    for each, name in zip(axes, MEASURES, strict=False):
        bars = [patch for patch in each.patches if patch.get_height() != 1][-5:]
        np.testing.assert_allclose([b.get_height() for b in bars], result.data[name], rtol=1e-6)
        rank = result.data[f"{name}_rank"].values[0]
        assert [text.get_text() for text in each.texts] == [f"{rank:g}"]
    assert axes[2].get_xlabel().startswith("time (s)")
    points = axes[-1].collections[-1].get_offsets()[:, 0]
    np.testing.assert_allclose(points, result.data["correlation"])
    assert "5 segments" in axes[-1].get_xlabel()
    assert "relevance and effect: 0.70" in axes[-1].texts[1].get_text()
    assert [text.get_text().rsplit(": ")[-1] for text in axes[-1].texts] == [
        "yes" if same else "no" for same in result.data["same_first"].to_numpy()
    ]


def test_of_several_questions_each_segment_is_a_point(one):
    trace, effect = one
    figure, axes = plots.compare(compare([trace, trace], [effect, effect]))
    figure.canvas.draw()
    points = axes[1].collections[0].get_offsets()
    np.testing.assert_allclose(points, [[5, 5], [3, 4], [1, 1], [4, 2], [2, 3]] * 2)
    assert figure.get_suptitle().startswith("2 questions")
    assert axes[-1].texts[0].get_text().endswith("% of questions")
    with pytest.raises(TraceError, match=r"analysis\.compare"):
        plots.compare(effect)


def test_a_real_question():
    import tempo_lab as tl

    capture = tl.Capture(attention=["answer"])
    with tl.load("nano", device="cpu").open("data/clips/voyage.mp4", progress=False) as video:
        trace = video.ask("What color is the star?", capture=capture)
        result = compare(trace, attribution(video, trace, answer="red", progress=False))
    assert result.data.sizes["segment"] == 12
    # each is a probability, and others get some of it too
    assert 0 < float(result.data["attention"].sum()) < 1
    assert result.data["effect_rank"].values[8] == result.data["relevance_rank"].values[8] == 1
