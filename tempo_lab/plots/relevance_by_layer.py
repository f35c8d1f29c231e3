"""When, layer by layer, the SVLM decides that a segment is relevant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.plots.relevance import check_question
from tempo_lab.plots.style import (
    AROUND_ZERO,
    BLACK,
    BLUE,
    EVIDENCE,
    NARROW,
    ORANGE,
    PINK,
    check_result,
    segment_edges,
    side_by_side,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer


def relevance_by_layer(
    result: RelevanceByLayer,
    *,
    question: int = 0,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw logits of one question by layer and second, and each layer's agreement with the last.

    Green bars below the map are the evidence. Thin lines are questions, thick lines their mean.

    Args:
        result: what to draw.
        question: number of the question whose logits are drawn.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [2], [logits, agreement with the last layer].

    Raises:
        TraceError: it is another result, or has no such question.
    """
    from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer

    data = check_result(result, RelevanceByLayer, "relevance_by_layer").data
    check_question(data, question)
    width = width_of(figure, width)
    figure, axes = side_by_side(figure, width, 3.4, 2, width_ratios=(1.3, 1))
    logits, agreement = axes
    layers = data["layer"].to_numpy()
    one = data.isel(question=question)
    one = one.isel(segment=np.flatnonzero(np.isfinite(one["start"])))
    logit = one["logit"].transpose("layer", "segment").to_numpy()
    edges = segment_edges(one["start"].to_numpy(), one["end"].to_numpy())
    highest = max(float(np.abs(logit).max()), 1e-6)
    rows = np.arange(len(layers) + 1) - 0.5
    mesh = logits.pcolormesh(edges, rows, logit, cmap=AROUND_ZERO, vmin=-highest, vmax=highest)
    figure.colorbar(mesh, ax=logits, label="logit (Yes - No)", pad=0.01)
    if "truth" in one:
        for segment in np.flatnonzero(one["truth"]):
            logits.fill_between(edges[segment : segment + 2], -0.75, -0.55, color=EVIDENCE, lw=0)
        logits.set_ylim(-0.8, len(layers) - 0.5)
    step = max(1, len(layers) // 14)
    logits.set_yticks(range(0, len(layers), step), [str(n) for n in layers[::step]])
    label = "time (s); green: evidence" if "truth" in one else "time (s)"
    logits.set(xlabel=label, ylabel="SVLM layer")
    longest = 80 if width < NARROW else 48
    question_text = title(str(one["text"].item()), longest, width)
    logits.set_title(question_text, loc="left", fontsize="medium")

    kinds = [("agreement", BLUE, "same sign"), ("rank_agreement", ORANGE, "same order")]
    if "auc" in data:
        kinds.append(("auc", PINK, "AUC"))
    for name, color, label in kinds:
        values = data[name].transpose("layer", "question").to_numpy()
        # fainter if there are more, so that their mean stays visible
        faint = min(0.35, 6 / values.shape[1])
        agreement.plot(layers, values, color=color, lw=0.6, alpha=faint, zorder=1)
        # an undefined number (no evidence, equal logits) is left out of the mean
        defined = [row[~np.isnan(row)] for row in values]
        means = [row.mean() if len(row) else np.nan for row in defined]
        agreement.plot(
            layers, means, color=color, lw=2, marker="o", ms=4, label=label, clip_on=False, zorder=3
        )
    constant = float(data["constant_agreement"].mean())
    agreement.axhline(constant, color=BLACK, lw=0.8, ls=":", label="one sign for all")
    low = min(0.0, float(data["rank_agreement"].min(skipna=True)))
    agreement.set(xlabel="SVLM layer", ylabel="agreement with the last\n(share, correlation, AUC)")
    agreement.set(ylim=(low - 0.05, 1.05))
    agreement.set_xticks(layers[::step])
    agreement.legend(frameon=False, fontsize="small", loc="lower right")
    decided = float(data["decided_layer"].median())
    agreement.set_title(f"decided at layer {decided:g} (median)", loc="left", fontsize="medium")
    tidy(agreement)
    return figure.figure, axes
