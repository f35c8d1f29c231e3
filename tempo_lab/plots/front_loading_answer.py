"""One answer from the first, the last or random k memory tokens per segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    BLACK,
    CYCLE,
    MARKERS,
    heading,
    legend_below,
    side_by_side,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure, SubFigure

HATCHES = ("", "///", "...")


def front_loading_answer(
    data: xr.Dataset,
    k: int,
    *,
    question: str = "",
    answer: str = "",
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw the right answer's probability over k, and that of each of its tokens at one k.

    Args:
        data: from `tempo_lab.analysis.front_loading.curves.token_probabilities`.
        k: memory tokens per segment, one of the numbers that were tried.
        question, answer: for the title.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [2], [over k, by token].

    Raises:
        TraceError: this k was not tried.
    """
    ks = data["k"].to_numpy()
    if k not in ks:
        raise TraceError(
            "the result has no data for this number of memory tokens",
            asked=f"k={k}",
            found=", ".join(map(str, ks)),
            fix="use one of these",
        )
    arms = [str(arm) for arm in data["arm"].to_numpy()]
    width = width_of(figure, width)
    figure, axes = side_by_side(figure, width, 4.0, 2, width_ratios=[1.2, 1])
    over_k, token_probabilities = axes
    at_k = data.sel(k=k)
    tokens = [str(token) for token in data["answer_token"].to_numpy()]
    places = np.arange(len(tokens))
    for number, arm in enumerate(arms):
        color = CYCLE[number]
        over_k.plot(
            ks, data["probability"].sel(arm=arm), color=color, marker=MARKERS[number],
            markersize=4, label=arm,
        )  # fmt: skip
        token_probabilities.bar(
            places + (number - (len(arms) - 1) / 2) * 0.27, at_k["token_probability"].sel(arm=arm),
            0.25, color=color, hatch=HATCHES[number % 3], edgecolor="white",
            label=title(f"{arm}: {at_k['said'].sel(arm=arm).item()}", 40),
        )  # fmt: skip
    over_k.axvline(k, color=BLACK, linestyle="--", linewidth=1)
    over_k.set(xlabel="memory tokens per segment, k", ylabel="probability of the right answer")
    over_k.set(ylim=(-0.03, 1.05), xlim=(ks[0] - 0.5, ks[-1] + 0.5))
    over_k.legend(frameon=False, fontsize="small", title="kept")
    token_probabilities.set(xticks=places, ylim=(0, 1.05), ylabel="probability of the token")
    token_probabilities.set_xticklabels([title(token, 16) for token in tokens])
    token_probabilities.set_title(f"k = {k}", loc="left", fontsize="medium")
    legend_below(
        figure, width, *token_probabilities.get_legend_handles_labels(), title_fontsize="small",
        title="the model's own answer (random: first draw)",
    )  # fmt: skip
    tidy(*axes)
    heading(figure, width, f"{question} → {answer}" if answer else question)
    return figure.figure, axes
