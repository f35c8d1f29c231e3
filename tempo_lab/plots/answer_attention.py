"""The attention of the answer to the memory tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.answer_attention import AnswerAttention
from tempo_lab.plots.style import (
    AROUND_ZERO,
    ATTENTION,
    MAP,
    RELEVANCE,
    TOKENS,
    check_result,
    fill_segments,
    heading,
    interventions_note,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


def answer_attention(
    result: AnswerAttention,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw relevance, memory tokens, and the LLM's attention to them, over the video's seconds.

    Args:
        result: of `tempo_lab.analysis.answer_attention`.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [4], [relevance, tokens, attention, attention by layer].

    Raises:
        TraceError: it is another result.
    """
    result = check_result(result, AnswerAttention, "answer_attention")
    data, difference = result.data, bool(result.provenance.get("difference"))
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    layers = data["layer_mass"].to_numpy()
    width = width_of(figure, width)
    figure = new_figure(figure, width, 6.6)
    axes = figure.subplots(4, 1, sharex=True, height_ratios=[1, 1, 1.3, 1.2])
    for each, name, color, label in (
        (axes[0], "relevance", RELEVANCE, "relevance\n(probability)"),
        (axes[1], "tokens", TOKENS, "memory tokens\nper segment"),
        (axes[2], "mass", ATTENTION, "attention\n(probability)"),
    ):
        fill_segments(each, edges, data[name].to_numpy(), color)
        each.set_ylabel(label)
        if not difference:
            each.set_ylim(0, 1.05 if name == "relevance" else None)
    tidy(*axes[:3])
    highest = np.abs(layers).max() or 1.0
    image = axes[3].pcolormesh(
        edges, np.arange(len(layers) + 1) - 0.5, layers, cmap=AROUND_ZERO if difference else MAP,
        vmin=-highest if difference else 0, vmax=highest,
    )  # fmt: skip
    numbers = data["llm_layer"].to_numpy()
    step = -(-len(numbers) // 8)
    axes[3].set_yticks(range(0, len(numbers), step), [str(n) for n in numbers[::step]])
    axes[3].set(xlabel="time (s)", ylabel="LLM layer", xlim=(edges[0], edges[-1]))
    axes[3].invert_yaxis()
    figure.colorbar(image, ax=axes[3], label="attention")
    about = result.provenance
    heading(figure, width, about.get("question", "") + interventions_note(about))
    answer = title(about.get("answer", ""), 75, width)
    axes[0].set_title(answer, loc="left", fontsize="medium", fontweight="bold")
    axes[2].set_title(title(_shares(result), 110, width), loc="left", fontsize="small")
    return figure.figure, axes


def _shares(result: AnswerAttention) -> str:
    rest = result.data["rest"].to_series().sort_values(ascending=False)
    largest = ", ".join(f"{name} {share:.2f}" for name, share in rest.head(3).items())
    return f"to all memory tokens {float(result.data['on_memory']):.2f}; {largest}, ..."
