"""One answer from k memory tokens of each segment: the first, the last, or random ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import BLACK, CYCLE, MARKERS, tidy, title

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

HATCHES = ("", "///", "...")


def front_loading_answer(
    data: xr.Dataset, k: int, *, question: str = "", answer: str = "", width: float = 9.0
) -> tuple[Figure, np.ndarray]:
    """The right answer's probability over k, and that of each of its tokens at one k.

    Args:
        data: from `tempo_lab.analysis.front_loading.curves.token_probabilities`.
        k: memory tokens of each segment, one of those that were tried.
        question, answer: for the title.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, [over k, by token].

    Raises:
        TraceError: that k was not tried.
    """
    from matplotlib import pyplot

    tried = data["k"].to_numpy()
    if k not in tried:
        raise TraceError(
            "this number of memory tokens was not tried",
            asked=f"k={k}",
            found=", ".join(map(str, tried)),
            fix="one of these",
        )
    arms = [str(arm) for arm in data["arm"].to_numpy()]
    figure, axes = pyplot.subplots(
        1, 2, figsize=(width, 4.0), layout="constrained", width_ratios=[1.2, 1]
    )
    over, by = axes
    at = data.sel(k=k)
    tokens = [str(token) for token in data["answer_token"].to_numpy()]
    here = np.arange(len(tokens))
    for number, arm in enumerate(arms):
        color = CYCLE[number]
        over.plot(
            tried, data["probability"].sel(arm=arm), color=color, marker=MARKERS[number],
            markersize=4, label=arm,
        )  # fmt: skip
        by.bar(
            here + (number - (len(arms) - 1) / 2) * 0.27, at["token_probability"].sel(arm=arm),
            0.25, color=color, hatch=HATCHES[number % 3], edgecolor="white",
            label=title(f"{arm}: {at['said'].sel(arm=arm).item()}", 40),
        )  # fmt: skip
    over.axvline(k, color=BLACK, linestyle="--", linewidth=1)
    over.set(xlabel="memory tokens a segment, k", ylabel="probability of the right answer")
    over.set(ylim=(-0.03, 1.05), xlim=(tried[0] - 0.5, tried[-1] + 0.5))
    over.legend(frameon=False, fontsize="small", title="kept")
    by.set(xticks=here, ylim=(0, 1.05), ylabel="probability of the token")
    by.set_xticklabels([title(token, 16) for token in tokens])
    by.set_title(f"k = {k}", loc="left", fontsize="medium")
    figure.legend(
        *by.get_legend_handles_labels(), loc="outside lower right", frameon=False, ncols=3,
        fontsize="small", title="the model's own answer (random: first draw)",
    )  # fmt: skip
    tidy(*axes)
    heading = f"{question} → {answer}" if answer else question
    figure.suptitle(title(heading, 95), x=0.01, ha="left", fontsize="medium")
    return figure, axes
