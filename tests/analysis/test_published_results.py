"""The published table: read as it stands, refused where it is another, and drawn."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from tempo_lab import plots
from tempo_lab.analysis import Result
from tempo_lab.analysis.published_results import PublishedResults, published_results
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace

matplotlib.use("agg")


def test_the_table_of_the_repository_loads():
    data = published_results().data
    assert data["benchmark"].values.tolist() == [
        "LongVideoBench", "MLVU", "Video-MME", "Video-MME, long", "LVBench",
    ]  # fmt: skip
    assert data["seconds"].values.tolist() == [473, 651, 1010, 2386, 4101]
    score = data["score"].to_pandas()
    assert score.loc["Tempo* (4K budget)", "LVBench"] == 52.7
    assert score.loc["GPT-4o", "MLVU"] == 64.6
    assert np.isnan(score.loc["LongVU", "LVBench"])
    assert ((score > 20) & (score < 80) | score.isna()).all(axis=None)


def test_tokens_are_what_a_budget_came_to_or_at_most():
    data = published_results().data
    tokens = data["tokens"].to_pandas()
    assert tokens.loc["Tempo* (8K budget)"].tolist() == [3.1, 3.3, 4.3, 4.1, 3.5]
    assert (tokens.loc["LongVA"] == 144).all()
    assert tokens.loc["Gemini 1.5 Pro"].isna().all()
    bound = data["at_most"].to_series()
    assert tokens[bound].to_numpy().tolist() == [[91] * 5, [640] * 5, [640] * 5]
    assert not [name for name in tokens.index if "actual" in name]


def test_a_size_that_holds_for_one_benchmark():
    size = published_results().data["size"].to_pandas()
    assert size.loc["LLaMA-VID"].tolist() == ["7B"] * 4 + ["13B"]


def test_saved_and_tabulated(tmp_path):
    result = published_results()
    again = Result.load(result.save(tmp_path / "p.nc"))
    assert type(again) is PublishedResults
    assert again.data.equals(result.data)
    assert len(result.to_pandas()) == result.data["score"].size


def test_what_is_no_such_table(tmp_path):
    with pytest.raises(TraceError, match="cannot be read"):
        published_results(tmp_path / "none.csv")
    other = tmp_path / "other.csv"
    pd.DataFrame({"model": ["a"], "size": ["1B"]}).to_csv(other, index=False)
    with pytest.raises(TraceError, match="no group, tokens_per_frame"):
        published_results(other)
    frame = pd.DataFrame({"model": ["a"], "group": "b", "size": "1B", "tokens_per_frame": "1"})
    frame.to_csv(other, index=False)
    with pytest.raises(TraceError, match="column of a benchmark"):
        published_results(other)


def test_every_published_score_is_drawn():
    result = published_results()
    figure, axes = plots.published_results(result)
    figure.canvas.draw()
    for each, name in zip(axes, result.data["benchmark"].values, strict=True):
        part = result.data.sel(benchmark=name)
        wanted = part["score"].where(part["tokens"].notnull()).values
        drawn = [y for line in each.lines if line.get_marker() != "None" for y in line.get_ydata()]
        np.testing.assert_allclose(sorted(drawn), np.sort(wanted[~np.isnan(wanted)]))
        dotted = [line.get_ydata()[0] for line in each.lines if line.get_linestyle() == ":"]
        unknown = part["score"].where(part["tokens"].isnull()).values
        np.testing.assert_allclose(sorted(dotted), np.sort(unknown[~np.isnan(unknown)]))
        assert each.get_title("left").startswith(name)
    pyplot.close(figure)
    with pytest.raises(TraceError, match=r"result of tempo_lab\.analysis\.published_results"):
        plots.published_results(make_trace())
