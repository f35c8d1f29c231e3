"""Where the answer looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.answer_attention import AnswerAttention
from tempo_lab.plots.style import (
    BLUE,
    GREEN,
    MAP,
    RED,
    check_kind,
    edges_of,
    spans,
    tidy,
    title,
    told,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def answer_attention(result: AnswerAttention, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """Relevance, memory tokens, the LLM's attention to them, and that by layer, over seconds.

    Args:
        result: of `tempo_lab.analysis.answer_attention`.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, [relevance, tokens, attention, layers].

    Raises:
        TraceError: it is another result.
    """
    from matplotlib import pyplot

    result = check_kind(result, AnswerAttention, "answer_attention")
    data, difference = result.data, bool(result.provenance.get("difference"))
    edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    layers = data["layer_mass"].to_numpy()
    figure, axes = pyplot.subplots(
        4, 1, sharex=True, figsize=(width, 6.6), layout="constrained",
        height_ratios=[1, 1, 1.3, 1.2],
    )  # fmt: skip
    for each, name, color, label in (
        (axes[0], "relevance", RED, "relevance\n(probability)"),
        (axes[1], "tokens", BLUE, "memory tokens\na segment"),
        (axes[2], "mass", GREEN, "attention\n(probability)"),
    ):
        spans(each, edges, data[name].to_numpy(), color)
        each.set_ylabel(label)
        if not difference:
            each.set_ylim(0, 1.05 if name == "relevance" else None)
    tidy(*axes[:3])
    most = np.abs(layers).max() or 1.0
    image = axes[3].pcolormesh(
        edges, np.arange(len(layers) + 1) - 0.5, layers, cmap="RdBu_r" if difference else MAP,
        vmin=-most if difference else 0, vmax=most,
    )  # fmt: skip
    numbers = data["llm_layer"].to_numpy()
    step = -(-len(numbers) // 8)
    axes[3].set_yticks(range(0, len(numbers), step), [str(n) for n in numbers[::step]])
    axes[3].set(xlabel="time (s)", ylabel="LLM layer", xlim=(edges[0], edges[-1]))
    axes[3].invert_yaxis()
    figure.colorbar(image, ax=axes[3], label="attention")
    about = result.provenance
    asked = about.get("question", "") + told(about)
    figure.suptitle(title(asked, 95), x=0.01, ha="left", fontsize="medium")
    heading = title(about.get("answer", ""), 75)
    axes[0].set_title(heading, loc="left", fontsize="medium", fontweight="bold")
    axes[2].set_title(_heading(result), loc="left", fontsize="small")
    return figure, axes


def _heading(result: AnswerAttention) -> str:
    rest = result.data["rest"].to_series().sort_values(ascending=False)
    largest = ", ".join(f"{name} {share:.2f}" for name, share in rest.head(3).items())
    return f"to all memory tokens {float(result.data['on_memory']):.2f}; {largest}, ..."
