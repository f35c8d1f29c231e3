"""Rollout is the product that the paper writes down, and leaves the session as it was."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
import torch
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.analysis import Result, rollout
from tempo_lab.common.errors import CaptureError, QueryError, TraceError
from tempo_lab.session.capture import attention as recorder
from tests.session.capture.conftest import eager_maps
from tests.traces import make_trace

matplotlib.use("agg")
QUESTION = "What color is the moving square?"


@pytest.fixture(scope="module")
def session(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def result(session):
    return rollout(session, QUESTION, 1)


@torch.inference_mode()
def maps_of(session, segment):
    """Eager attention maps [layer, head, query, key] of one segment, in one pass."""
    compressor, prompts = session.checkpoint.model.compressor, session.checkpoint.prompts
    for batch in session.engine.batches.stream(0):
        if segment not in batch.segments:
            continue
        row = batch.segments.index(segment)
        with eager_maps(compressor.svlm.language_model) as maps:
            compressor.in_one_pass(
                batch.patches[row],
                batch.grid,
                prompts.system(),
                batch.videos[row],
                prompts.question(QUESTION),
            )
    return np.stack([maps[layer][0][0].double().numpy() for layer in sorted(maps)])


@pytest.mark.parametrize(("segment", "residual"), [(1, 0.5), (5, 0.2)])
def test_it_equals_the_product_by_hand(session, segment, residual):
    data = rollout(session, QUESTION, segment, residual=residual).data
    expected = np.eye(data.sizes["key"])
    for heads in maps_of(session, segment):
        mixed = residual * np.eye(len(expected)) + (1 - residual) * heads.mean(axis=0)
        expected = mixed @ expected
    prompt = session.prompt(QUESTION, segment)
    where = [prompt.decision, prompt.positions("query")[-1], *prompt.positions("memory")]
    np.testing.assert_allclose(data["rollout"], expected[where], atol=1e-5)
    np.testing.assert_allclose(data["rollout"].sum("key"), 1, atol=1e-5)


def test_only_the_residual_path_stays_where_it_is(session):
    data = rollout(session, QUESTION, 0, rows="decision", residual=1).data
    assert data["mass"].sel(key_group="self").values.tolist() == [1.0]


def test_groups_and_patches_are_sums_of_positions(session, result):
    data, prompt = result.data, session.prompt(QUESTION, 1)
    np.testing.assert_allclose(data["mass"].sum("key_group"), 1, atol=1e-5)
    every = data["rollout"].sel(row="memory 3").values
    groups = data["mass"].sel(row="memory 3")
    slots = prompt.positions("memory")
    for name, keys in {
        "system": prompt.positions("system"),
        "query": prompt.positions("query"),
        "pair 2": prompt.positions("vision", 2),
        "earlier memory": slots[:3],
        "self": slots[3:4],
    }.items():
        assert float(groups.sel(key_group=name)) == pytest.approx(every[keys].sum(), rel=1e-4)
    pairs = data["patch_mass"].sum(("patch_row", "patch_column"))
    names = [f"pair {pair}" for pair in range(4)]
    np.testing.assert_allclose(pairs, data["mass"].sel(key_group=names), rtol=1e-4)
    assert data["pair_start"].values.tolist() == [4, 5, 6, 7]
    assert data["key_name"].values[prompt.decision] == "decision"


def test_nothing_of_the_session_changes(tiny, session, result):
    assert session.engine.computed["decoded"] in (0, len(session))  # by the maps by hand only
    assert not recorder.active_recorders
    config = tiny.model.compressor.svlm.language_model.config
    assert not config._attn_implementation.startswith("tempo_rows")
    with tiny.open(session.video.info.path, progress=False) as fresh:
        rollout(fresh, QUESTION, 3)
        assert fresh.engine.computed == dict.fromkeys(fresh.engine.computed, 0)
        assert len(fresh.ask(QUESTION, max_new_tokens=2).data["start"]) == 6


def test_it_says_what_it_is(result, tmp_path):
    assert "not a causal effect" in result.provenance["method"]
    again = Result.load(result.save(tmp_path / "r.nc"))
    assert again.data.identical(result.data)
    assert len(result.to_pandas()) == result.data.sizes["row"] * result.data.sizes["key_group"]


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"rows": ["decison"]}, CaptureError, "did you mean 'decision'"),
        ({"segment": 6}, TraceError, "use 0 <= segment <= 5"),
        ({"segment": -1}, TraceError, "use 0 <= segment <= 5"),
        ({"residual": 1.5}, TraceError, "use 0 <= residual <= 1"),
        ({"max_bytes": 100}, CaptureError, r"3 layers of \d+ x \d+[\s\S]*max_bytes=100"),
        ({"question": 3}, QueryError, "3"),
    ],
)
def test_bad_input_is_refused_before_any_work(session, monkeypatch, change, kind, says):
    monkeypatch.setattr(type(session.video), "segments", None)
    with pytest.raises(kind, match=says):
        rollout(session, **{"question": QUESTION, "segment": 0, **change})


def test_its_figures(session, result):
    figure, axes = plots.rollout(result)
    figure.canvas.draw()
    np.testing.assert_allclose(axes.images[0].get_array(), result.data["mass"])
    assert "heuristic" in axes.get_title("left")
    figure, pictures = plots.attention_overlay(result, session.video, rows=["memory 2"])
    figure.canvas.draw()
    shown = result.data["patch_mass"].sel(row="memory 2").isel(pair=1)
    np.testing.assert_allclose(pictures[0, 1].images[1].get_array(), shown)
    assert "heuristic" in figure.get_suptitle()
    with pytest.raises(TraceError, match="another segment"):
        plots.attention_overlay(result, session.video, segment=2)
    with pytest.raises(TraceError, match=r"analysis\.rollout"):
        plots.rollout(make_trace())
    pyplot.close("all")


def test_on_the_embedded_model_it_is_a_distribution():
    with tl.load("nano").open("data/clips/voyage.mp4", progress=False) as session:
        result = rollout(session, "What color is the star?", 8, rows="decision")
    np.testing.assert_allclose(result.data["rollout"].sum("key"), 1, atol=1e-5)


def test_the_old_name_of_the_limit_works_and_warns(session):
    with (
        pytest.warns(DeprecationWarning, match=r"rollout\(limit_mib=\) .* use max_bytes="),
        pytest.raises(CaptureError, match=f"found: max_bytes={2**20 // 8}"),
    ):
        rollout(session, QUESTION, 1, limit_mib=0.125)


@pytest.mark.parametrize("segment", ["1", 1.5, -1, 6])
def test_a_segment_that_is_none(session, segment):
    with pytest.raises(TraceError, match=r"use 0 <= segment <= 5"):
        rollout(session, QUESTION, segment)
    with pytest.raises(CaptureError, match="asked: none"):
        rollout(session, QUESTION, 1, rows=[])
