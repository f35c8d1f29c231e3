"""Attention by key group over several questions: sums and differences by hand, refusals, figure."""

from __future__ import annotations

from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

from tempo_lab import plots
from tempo_lab.analysis import Attention, Result, attention_groups
from tempo_lab.common.errors import TraceError

matplotlib.use("agg")
GROUPS = ["system", "pair 0", "pair 1", "query"]
ROWS = ["decision", "memory 0", "memory 1"]


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    pyplot.close("all")


def looked(mass, video="a", question="Where?", **more):
    """Attention of two layers and one head, from [segment, row, key_group]."""
    mass = np.asarray(mass, float)
    segments = len(mass)
    by_layer = np.stack([np.nan_to_num(mass).mean(axis=0)] * 2)[:, None]
    start = 4.0 * np.arange(segments)
    times = np.stack([start, start + 2], axis=1)
    data = xr.Dataset(
        {
            "start": ("segment", start),
            "end": ("segment", start + 4),
            "pair_start": (("segment", "pair"), times),
            "pair_end": (("segment", "pair"), times + 2),
            "mass": (("layer", "head", "row", "key_group"), by_layer),
            "segment_mass": (("segment", "row", "key_group"), mass),
        },
        {"row": ROWS, "key_group": GROUPS, "layer": [0, 1], "head": [0]},
    )
    made = {"question": question, "video_digest": video, "model": "nano", "over": "key groups"}
    return Attention(data, made | more)


LOOKS = [  # segment, row, group: the evidence is in the first
    [[0.1, 0.3, 0.3, 0.3], [0.2, 0.2, 0.2, 0.4], [0.4, 0.2, 0.2, 0.2]],
    [[0.3, 0.1, 0.1, 0.5], [0.2, 0.2, 0.2, 0.4], [0.4, 0.2, 0.2, 0.2]],
]
EVEN = np.full((2, 3, 4), 0.25)


def test_pairs_are_summed_and_memory_tokens_averaged():
    data = attention_groups([looked(LOOKS)]).data
    assert data["group"].to_numpy().tolist() == ["system", "frames", "query"]
    np.testing.assert_allclose(data["mass"].sel(row="decision"), [0.2, 0.4, 0.4])
    np.testing.assert_allclose(data["mass"].sel(row="memory"), [0.3, 0.4, 0.3])
    np.testing.assert_allclose(data["layer_mass"].sel(layer=1), data["mass"])
    assert np.isnan(data["mass_low"]).all()  # of one video


def test_control_and_evidence_are_paired_differences():
    own = [looked(LOOKS), looked(LOOKS, "b"), looked(EVEN, "c")]
    control = [looked(EVEN, video) for video in "abc"]
    truths = [[True, False], [1, 0], [True, True]]  # the last has nothing to compare with
    data = attention_groups(own, truths, controls=control).data
    gain = (0.4 - 0.5) * 2 / 3
    assert float(data["gain"].sel(row="decision", group="frames")) == pytest.approx(gain)
    assert float(data["control"].sel(row="memory", group="frames")) == pytest.approx(0.5)
    np.testing.assert_allclose(data["evidence"], [0.4, 0.0], atol=1e-12)
    np.testing.assert_allclose(data["control_evidence"], 0, atol=1e-12)
    np.testing.assert_allclose(data["evidence_low"].sel(row="decision"), 0.4)


def test_rows_that_are_not_there_count_nothing():
    mass = np.array(LOOKS)
    mass[1, 2] = np.nan  # this segment kept one memory token
    mass[0, :, 2], mass[0, :, 1] = np.nan, mass[0, :, 1] * 2  # and the other has one pair
    values = attention_groups([looked(mass)]).data["mass"]
    memory = np.mean([np.mean([[0.2, 0.4, 0.4], [0.4, 0.4, 0.2]], axis=0), [0.2, 0.4, 0.4]], axis=0)
    np.testing.assert_allclose(values.sel(row="memory"), memory)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"results": []}, "found: none"),
        ({"results": ["x"]}, "found: str"),
        ({"truths": [[True, False]]}, "found: truth of 1"),
        ({"truths": [[True, False], [True]]}, "asked: 2 segments"),
        ({"controls": [looked(EVEN)]}, "found: 1 questions"),
        ({"controls": [looked(EVEN), looked(EVEN, "b", "Who?")]}, "Who?"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, words):
    given = {"results": [looked(LOOKS), looked(LOOKS, "b")], **change}
    with pytest.raises(TraceError, match=words.replace("?", r"\?")):
        attention_groups(**given)


def test_other_rows_are_refused():
    result = looked(LOOKS)
    one = replace(result, data=result.data.sel(row=["decision"]))
    with pytest.raises(TraceError, match="rows decision"):
        attention_groups([one])


def test_saved_and_drawn(tmp_path):
    own, control = [looked(LOOKS), looked(LOOKS, "b")], [looked(EVEN), looked(EVEN, "b")]
    result = attention_groups(own, [[1, 0], [1, 0]], controls=control)
    again = Result.load(result.save(tmp_path / "r.nc"))
    figure, axes = plots.attention_groups(again)
    figure.canvas.draw()
    assert axes.shape == (2, 2)
    heights = [bar.get_height() for bar in axes[0, 0].patches]
    np.testing.assert_allclose(heights, [0.2, 0.4, 0.4, 0.25, 0.5, 0.25])
    assert figure.get_suptitle() == "Attention by key group, 2 questions about 2 videos"
    change, _ = plots.attention_groups(result - again)
    change.canvas.draw()
    with pytest.raises(TraceError, match="attention_groups"):
        plots.attention_groups(own[0])
