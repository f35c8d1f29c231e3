"""Figures show what was counted: positions, heights, units; and nothing is shown or loaded."""

import subprocess
import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from tempo_lab import Intervention, plots
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    matplotlib.pyplot.close("all")


def drawn(axes, which=0):
    """Edges and heights of a filled staircase."""
    steps = [patch for patch in axes.patches if hasattr(patch, "get_data")][which]
    values, edges, _ = steps.get_data()
    return edges, values


@pytest.mark.parametrize("segments", [1, 8, 32, 512])
def test_bars_span_their_segments_and_are_as_high_as_counted(segments):
    trace = make_trace(segments, budget=8 * segments)
    figure, (upper, lower) = plots.allocation(trace)
    figure.canvas.draw()
    for axes, name in ((upper, "relevance"), (lower, "tokens")):
        edges, heights = drawn(axes, -1)
        np.testing.assert_allclose(edges[:-1], trace.data["start"])
        np.testing.assert_allclose(edges[1:], trace.data["end"])
        np.testing.assert_allclose(heights, trace.data[name])
    assert lower.get_xlim() == (0, 4 * segments)
    assert upper.get_ylim()[0] == lower.get_ylim()[0] == 0


def test_axes_have_names_and_units():
    _, (upper, lower) = plots.allocation(make_trace())
    assert "probability" in upper.get_ylabel()
    assert "tokens" in lower.get_ylabel()
    assert lower.get_xlabel() == "time (s)"


def test_the_titles_say_question_answer_and_ledger():
    trace = make_trace(budget=64)
    figure, (upper, lower) = plots.allocation(trace)
    assert figure.get_suptitle() == "What color is the star?"
    assert upper.get_title("left") == "red"
    assert f"{trace.totals['used']} of 64 tokens used, 6 segments" in lower.get_title("left")


def test_what_was_wanted_is_drawn_only_where_the_budget_gave_less():
    _, (_, scarce) = plots.allocation(make_trace(32, budget=130))
    assert drawn(scarce, 0)[1].max() == 16
    assert scarce.get_legend() is not None
    _, (_, plenty) = plots.allocation(make_trace(32, budget=4000))
    assert plenty.get_legend() is None


@pytest.mark.parametrize("text", ["", "$x_$ $", "a\nb\x07\x1b[31m", "long " * 500, "^{_$\\frac"])
def test_any_text_can_be_a_title(text):
    figure, _ = plots.allocation(make_trace(question=text, answer=text))
    figure.canvas.draw()
    title = figure.get_suptitle()
    assert title.isprintable()
    assert len(title) <= 110


def test_an_image_without_duration_can_be_drawn():
    figure, (_, lower) = plots.allocation(make_trace(1, seconds=0.0))
    figure.canvas.draw()
    assert lower.get_xlim() == (0, 1)


@pytest.mark.parametrize(
    ("given", "fix"),
    [("star.nc", "tempo_lab.Trace.load('star.nc')"), ({"tokens": [1]}, "Session.ask")],
)
def test_what_is_no_trace_is_refused_with_what_to_do(given, fix):
    figures = matplotlib.pyplot.get_fignums()
    with pytest.raises(TraceError) as error:
        plots.allocation(given)
    assert fix in error.value.fix
    assert matplotlib.pyplot.get_fignums() == figures


def test_plots_load_no_torch_and_no_matplotlib_until_they_draw():
    program = (
        "import sys, tempo_lab.plots\n"
        "assert not {'torch', 'transformers', 'matplotlib'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_figure_says_what_was_made_different():
    trace = make_trace(3, budget=24)
    done = [Intervention.swap(0, 2).describe()]
    data = trace.data.assign(memory_from=("segment", [2, 1, 0]))
    trace = replace(trace, data=data, provenance={"interventions": done})
    wanted = trace.data["wanted"].to_numpy()
    figure, (_, lower) = plots.allocation(trace)
    assert "[swap(a=0, b=2)]" in figure.get_suptitle()
    if (trace.data["tokens"].to_numpy() < wanted[::-1]).any():
        np.testing.assert_allclose(drawn(lower, 0)[1], wanted[::-1])
