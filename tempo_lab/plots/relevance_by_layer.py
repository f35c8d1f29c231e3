"""At which depth the relevance decision is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.plots.relevance import check_question
from tempo_lab.plots.style import BLACK, BLUE, GREEN, RED, check_kind, edges_of, tidy, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer


def relevance_by_layer(
    result: RelevanceByLayer, *, question: int = 0, width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """Logits of one question by layer and second, and how far each layer has decided.

    Green bars under the map are the evidence. Thin lines are questions, thick ones their mean.

    Args:
        result: what to draw.
        question: whose logits are drawn.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, [map, agreement with the last layer].

    Raises:
        TraceError: it is no such result, or has no such question.
    """
    from matplotlib import pyplot

    from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer

    data = check_kind(result, RelevanceByLayer, "relevance_by_layer").data
    check_question(data, question)
    figure, axes = pyplot.subplots(
        1, 2, figsize=(width, 3.4), layout="constrained", width_ratios=(1.3, 1)
    )
    left, right = axes
    layers = data["layer"].to_numpy()
    one = data.isel(question=question)
    one = one.isel(segment=np.flatnonzero(np.isfinite(one["start"])))
    logit = one["logit"].transpose("layer", "segment").to_numpy()
    seconds = edges_of(one["start"].to_numpy(), one["end"].to_numpy())
    most = max(float(np.abs(logit).max()), 1e-6)
    rows = np.arange(len(layers) + 1) - 0.5
    shown = left.pcolormesh(seconds, rows, logit, cmap="RdBu_r", vmin=-most, vmax=most)
    figure.colorbar(shown, ax=left, label="logit (Yes - No)", pad=0.01)
    if "truth" in one:
        for segment in np.flatnonzero(one["truth"]):
            left.fill_between(seconds[segment : segment + 2], -0.75, -0.55, color=GREEN, lw=0)
        left.set_ylim(-0.8, len(layers) - 0.5)
    step = max(1, len(layers) // 14)
    left.set_yticks(range(0, len(layers), step), [str(n) for n in layers[::step]])
    below = "time (s); green: evidence" if "truth" in one else "time (s)"
    left.set(xlabel=below, ylabel="SVLM layer")
    left.set_title(title(str(one["text"].item()), 48), loc="left", fontsize="medium")

    kinds = [("agreement", BLUE, "same sign"), ("rank_agreement", RED, "same order")]
    if "auc" in data:
        kinds.append(("auc", GREEN, "AUC"))
    for name, color, label in kinds:
        values = data[name].transpose("layer", "question").to_numpy()
        # fainter the more there are, so that their mean stays in sight
        faint = min(0.35, 6 / values.shape[1])
        right.plot(layers, values, color=color, lw=0.6, alpha=faint, zorder=1)
        # an undefined number (no evidence, equal logits) is left out of the mean
        known = [row[~np.isnan(row)] for row in values]
        means = [row.mean() if len(row) else np.nan for row in known]
        right.plot(
            layers, means, color=color, lw=2, marker="o", ms=4, label=label, clip_on=False, zorder=3
        )
    constant = float(data["constant_agreement"].mean())
    right.axhline(constant, color=BLACK, lw=0.8, ls=":", label="one sign for all")
    low = min(0.0, float(data["rank_agreement"].min(skipna=True)))
    right.set(xlabel="SVLM layer", ylabel="agreement with the last\n(share, correlation, AUC)")
    right.set(ylim=(low - 0.05, 1.05))
    right.set_xticks(layers[::step])
    right.legend(frameon=False, fontsize="small", loc="lower right")
    decided = float(data["decided_layer"].median())
    right.set_title(f"decided at layer {decided:g} (median)", loc="left", fontsize="medium")
    tidy(right)
    return figure, axes
