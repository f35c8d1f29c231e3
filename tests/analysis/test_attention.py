"""Attention of the SVLM's rows and of the answer: sums, maxima, entropies, agreement, figures."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.analysis import Result, answer_attention, attention
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace

matplotlib.use("agg")
QUESTION = "What color is the moving square?"
ROWS = tl.Rows(["decision", "memory", "answer"])


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def session(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def traces(session):
    """The same question, by what its attention was reduced to."""
    return {
        reduce: session.ask(
            QUESTION,
            budget=60,
            max_new_tokens=4,
            capture=tl.Capture(attention=ROWS, reduce=reduce),
        )
        for reduce in ("key_group", "patch_grid", "none", "top_k")
    }


@pytest.fixture(scope="module")
def results(traces):
    return {reduce: attention(traces[reduce]) for reduce in ("key_group", "patch_grid", "none")}


def by_hand(groups, names=("system", "pair 0", "pair 1", "query"), tokens=4):
    """A trace of one row with this attention [segment, layer, head, group]."""
    values = np.asarray(groups, dtype=np.float32)[:, :, :, None]
    trace = make_trace(len(values))
    dims = ("segment", "layer", "head", "row", "key_group")
    trace.data["attention"] = xr.DataArray(values, dims=dims, attrs={"reduce": "key_group"})
    return tl.Trace(
        **{
            **vars(trace),
            "data": trace.data.assign_coords(
                key_group=list(names), row=["decision"], layer=range(values.shape[1]),
                head=range(values.shape[2]),
            ),
        }
    )  # fmt: skip


# By hand


def test_entropy_agreement_and_the_pair_that_is_read():
    even, one, other = [0.25] * 4, [0, 1, 0, 0], [0, 0, 1, 0]
    trace = by_hand([[[even, one]], [[one, one]], [[one, other]]])
    result = attention(trace)
    entropy = result.data["group_entropy"].values[:, 0, :, 0]
    np.testing.assert_allclose(entropy, [[math.log(4), 0], [0, 0], [0, 0]], atol=1e-12)
    assert result.effective("group").values[0, 0, 0, 0] == pytest.approx(4)
    assert result.data["read_pair"].values[:, 0].tolist() == [0, 0, 0]
    assert result.data["read_mass"].values[1, 0] == 1
    # two frame pairs of segments of 4 seconds
    assert result.data["read_end"].values[:, 0].tolist() == [2, 6, 10]
    # divergence of even and one: 1/2 (log2(1 / 0.625) + 3/4 log2 2 + 1/4 log2(0.25 / 0.625)) bits
    half = (0.625, *[0.125] * 3)
    mixed = -sum(p * math.log2(p) for p in half)
    expected = np.mean([1 - (mixed - 2 / 2), 1, 0])
    assert result.data["agreement"].values[0, 0, 1] == pytest.approx(expected)
    assert result.numbers() == {"mean_agreement": pytest.approx(expected)}
    assert attention(trace, heads=[1]).data.get("agreement") is None


def test_chosen_layers_and_heads():
    one, other = [0, 1, 0, 0], [0, 0, 1, 0]
    trace = by_hand([[[one, one], [one, other]], [[one, one], [one, other]]])
    assert attention(trace, layers=[1], heads=[1]).data["read_pair"].values.tolist() == [[1], [1]]
    assert attention(trace, layers=[0]).data["pair_mass"].values[0, 0].tolist() == [1, 0]
    with pytest.raises(TraceError, match=r"layer 5[\s\S]*nearest is 1"):
        attention(trace, layers=[5])
    with pytest.raises(TraceError, match=r"head -1[\s\S]*nearest is 0"):
        attention(trace, heads=[-1])


def test_a_segment_without_a_pair_counts_as_nothing_of_it():
    whole, short = [0.1, 0.2, 0.6, 0.1], [0.3, 0.4, np.nan, 0.3]
    result = attention(by_hand([[[whole, whole]], [[short, short]]]))
    np.testing.assert_allclose(result.data["mass"].values[0, 0, 0], [0.2, 0.3, 0.3, 0.2])
    assert np.isnan(result.data["segment_mass"].values[1, 0, 2])
    assert result.data["read_pair"].values[:, 0].tolist() == [1, 0]


# From a model


def test_masses_sum_to_one(results):
    data = results["key_group"].data
    np.testing.assert_allclose(data["mass"].sum("key_group"), 1, atol=1e-5)
    there = data["segment_mass"].notnull().any("key_group")
    sums = data["segment_mass"].sum("key_group").where(there, 1)
    np.testing.assert_allclose(sums, 1, atol=1e-5)


def test_all_reductions_say_the_same(results):
    grouped, patched, every = (results[name].data for name in ("key_group", "patch_grid", "none"))
    for name in ("pair_mass", "read_pair", "read_mass", "read_start"):
        for other in (patched, every):
            np.testing.assert_allclose(other[name], grouped[name], atol=1e-5)
    for name in ("patch_mass", "patch_entropy", "read_patch_row", "read_patch_column"):
        np.testing.assert_allclose(every[name], patched[name], atol=1e-5)


def test_what_is_read_is_the_largest(traces, results):
    grid = traces["patch_grid"].data["attention"].mean(("layer", "head"))
    data = results["patch_grid"].data
    for segment in (0, 5):
        for row in ("decision", "memory 2"):
            here = {"segment": segment, "row": row}
            mass = grid.sel(here).values
            place = [
                int(data[f"read_patch_{axis}"].sel(here)) for axis in ("pair", "row", "column")
            ]
            assert mass[tuple(place)] == np.nanmax(mass)
            assert float(data["read_patch_mass"].sel(here)) == pytest.approx(np.nanmax(mass))
            assert int(data["read_pair"].sel(here)) == np.nansum(mass, axis=(1, 2)).argmax()
            assert data["read_start"].sel(here) == 4 * segment + int(data["read_pair"].sel(here))


def test_slots_that_were_not_needed_read_nothing(traces, results):
    needed = traces["key_group"].data["tokens"].values
    read = results["key_group"].data["read_pair"]
    assert needed.min() < needed.max()
    for segment, count in enumerate(needed):
        rows = ["decision", *(f"memory {slot}" for slot in range(count))]
        there = read["row"].values[read.values[segment] >= 0]
        assert there.tolist() == rows


def test_pairs_end_with_their_segment(results):
    data = results["key_group"].data
    np.testing.assert_array_equal(data["pair_start"][0], [0, 1, 2, 3])
    np.testing.assert_array_equal(data["pair_end"][-1, :2], [21, 22])
    assert data["pair_start"][-1, 2:].isnull().all()  # the last segment is half as long


def test_entropies_are_those_of_the_distributions(traces, results):
    row = {"segment": 1, "layer": 0, "head": 2, "row": "decision"}
    p = traces["none"].data["attention"].sel(row).values.astype(float)
    p = p[~np.isnan(p) & (p > 0)]
    entropy = float(results["none"].data["key_entropy"].sel(row))
    assert entropy == pytest.approx(-(p * np.log(p)).sum(), abs=1e-5)
    assert 1 < float(results["none"].effective("key").sel(row)) <= len(p)


@pytest.mark.parametrize("reduce", ["key_group", "patch_grid", "none"])
def test_agreement_is_a_similarity(results, reduce):
    pairs = results[reduce].data["agreement"].values
    np.testing.assert_allclose(np.einsum("lhh->lh", pairs), 1, atol=1e-9)
    np.testing.assert_allclose(pairs, pairs.swapaxes(1, 2))
    assert pairs.min() >= 0
    assert pairs.max() <= 1 + 1e-9
    words = {"key_group": "key groups", "patch_grid": "patches", "none": "keys"}
    assert results[reduce].provenance["over"] == words[reduce]


def test_saved_subtracted_and_as_a_table(results, tmp_path):
    result = results["key_group"]
    again = Result.load(result.save(tmp_path / "a.nc"))
    xr.testing.assert_identical(again.data, result.data)
    assert not (result - again).data["mass"].any()
    table = result.to_pandas()
    assert {"segment", "row", "read_pair", "read_start", "read_mass"} <= set(table.columns)
    assert len(table) == result.data.sizes["segment"] * result.data.sizes["row"]


def test_where_the_answer_looked(traces):
    trace = traces["key_group"]
    result = answer_attention(trace)
    data = result.data
    assert float(data["on_memory"] + data["rest"].sum()) == pytest.approx(1, abs=1e-5)
    assert float(data["mass"].sum()) == pytest.approx(float(data["on_memory"]))
    whole = trace.data["answer_attention"].mean(("llm_layer", "llm_head", "answer_token"))
    third = float(whole.sel(llm_key_group="memory 3"))
    assert float(data["mass"][3]) == pytest.approx(third, rel=1e-5)
    assert float(data["token_mass"][3]) == pytest.approx(third / int(data["tokens"][3]), rel=1e-5)
    np.testing.assert_allclose(data["layer_mass"].mean("llm_layer"), data["mass"])
    np.testing.assert_allclose(data["answer_mass"].mean("answer_token"), data["mass"])
    assert int(data["looked_at"]) == data["mass"].values.argmax()
    assert list(result.to_pandas()["start"]) == [0, 4, 8, 12, 16, 20]


def test_on_the_embedded_model_the_answer_looks_where_the_evidence_is():
    with tl.load("nano").open("data/clips/voyage.mp4", progress=False) as session:
        capture = tl.Capture(attention=["answer"])
        trace = session.ask("What color is the star?", budget=64, capture=capture)
    assert int(answer_attention(trace).data["looked_at"]) == 8


# What cannot be analyzed


def test_what_was_not_recorded_or_not_so(traces):
    with pytest.raises(TraceError, match="not recorded") as error:
        attention(make_trace())
    assert 'attention=["decision", "memory"]' in error.value.fix
    with pytest.raises(TraceError, match="not a distribution"):
        attention(traces["top_k"])
    with pytest.raises(TraceError, match=r"not recorded[\s\S]*\"answer\""):
        answer_attention(make_trace())
    with pytest.raises(TraceError, match=r"reduced in another way[\s\S]*llm_key_group"):
        answer_attention(traces["none"])
    with pytest.raises(TraceError, match="this analysis takes traces"):
        attention("trace.nc")


def test_an_entropy_that_is_not_there(results):
    with pytest.raises(TraceError, match=r"over='key'[\s\S]*found: group"):
        results["key_group"].effective("key")


# Figures


def test_heat_maps_show_the_masses(results):
    result = results["key_group"]
    figure, (layers, rows, heads) = plots.attention(result)
    figure.canvas.draw()
    shown = layers.images[0].get_array()
    np.testing.assert_allclose(shown, result.data["mass"].mean(("head", "row")))
    assert rows.images[0].get_array().shape == (result.data.sizes["row"], 10)
    assert rows.get_xlabel() == "key group"
    assert heads.images[0].get_clim() == (0, 1)
    assert 0 < heads.images[0].get_array().max() < 1
    plots.attention(result - result)[0].canvas.draw()
    with pytest.raises(TraceError, match="needs attention by key group"):
        plots.attention(results["patch_grid"])
    with pytest.raises(TraceError, match=r"analysis\.attention"):
        plots.attention(make_trace())


def test_overlays_are_what_was_recorded(session, results):
    result = results["patch_grid"]
    rows = ["decision", "memory 1"]
    figure, axes = plots.attention_overlay(result, session.video, segment=5, rows=rows)
    figure.canvas.draw()
    assert axes.shape == (2, 2)  # the last segment has two pairs
    for line, row in zip(axes, rows, strict=True):
        assert line[0].get_ylabel() == row
        for pair, each in enumerate(line):
            frame, cells = each.images
            assert frame.get_array().shape == (24, 32, 3)
            assert cells.get_extent() == frame.get_extent()
            assert cells.get_interpolation() == "nearest"
            shown = result.data["patch_mass"].sel(segment=5, row=row, pair=pair)
            np.testing.assert_allclose(cells.get_array(), shown)
    assert [each.get_title() for each in axes[0]] == ["20.0 to 21.0 s", "21.0 to 22.0 s"]
    assert len({each.images[1].get_clim() for each in axes.flat}) == 1
    options = {"segment": 5, "rows": rows, "shared": False}
    figure, axes = plots.attention_overlay(result, session.video, **options)
    figure.canvas.draw()
    for line, row in zip(axes, rows, strict=True):
        most = result.data["patch_mass"].sel(segment=5, row=row).max()
        assert [each.images[1].get_clim() for each in line] == [(0, pytest.approx(most))] * 2


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"segment": 6}, r"segment=6[\s\S]*0 to 5"),
        ({"segment": None}, "one segment"),
        ({"segment": 0, "rows": ["memory 99"]}, "did you mean 'memory"),
        ({"segment": 0, "result": "key_group"}, "needs attention by patch"),
    ],
)
def test_overlays_that_cannot_be_drawn(session, results, change, says):
    result = results[change.pop("result", "patch_grid")]
    with pytest.raises(TraceError, match=says):
        plots.attention_overlay(result, session.video, **change)


def test_an_overlay_of_another_video_is_refused(results):
    with (
        tl.Video("data/clips/voyage.mp4") as video,
        pytest.raises(TraceError, match=r"6 segments[\s\S]*12 segments"),
    ):
        plots.attention_overlay(results["patch_grid"], video, segment=0)


def test_the_answers_figure_is_on_seconds(traces):
    result = answer_attention(traces["key_group"])
    figure, axes = plots.answer_attention(result)
    figure.canvas.draw()
    assert len(axes) == 4
    mass, edges, _ = axes[2].patches[0].get_data()
    np.testing.assert_allclose(mass, result.data["mass"])
    np.testing.assert_allclose(edges, [0, 4, 8, 12, 16, 20, 22])
    assert axes[3].get_xlabel() == "time (s)"
    plots.answer_attention(result - result)[0].canvas.draw()
    with pytest.raises(TraceError, match=r"analysis\.answer_attention"):
        plots.answer_attention(make_trace())


@pytest.mark.parametrize("layers", [0, [], "all", [0.5]])
def test_layers_that_are_no_numbers(traces, layers):
    with pytest.raises(TraceError, match="layers must be a list"):
        attention(traces["key_group"], layers=layers)


def test_swapped_segments_are_told_and_stand_at_their_places(session):
    swapped = session.ask(
        QUESTION,
        budget=60,
        max_new_tokens=2,
        capture=tl.Capture(attention=["answer"]),
        interventions=tl.Intervention.swap(0, 3),
    )
    result = answer_attention(swapped)
    own = swapped.data["relevance"].to_numpy()
    np.testing.assert_array_equal(result.data["relevance"], own[[3, 1, 2, 0, 4, 5]])
    figure, _ = plots.answer_attention(result)
    assert "swap(a=0, b=3)" in figure.get_suptitle()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rows": []}, r"rows=\[\]"),
        ({"opacity": 3}, "opacity=3"),
        ({"segment": "1"}, "segment='1'"),
    ],
)
def test_overlays_of_nothing(session, traces, options, words):
    result = attention(traces["patch_grid"])
    with pytest.raises(TraceError, match=words):
        plots.attention_overlay(result, session.video, **{"segment": 1, **options})
    with pytest.raises(TraceError, match=r"session\.video"):
        plots.attention_overlay(result, session, segment=1)
