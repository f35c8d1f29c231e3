"""The attention of the decision and the memory tokens, compared with random weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention_groups import AttentionGroups
from tempo_lab.plots.style import (
    AROUND_ZERO,
    ATTENTION,
    BLACK,
    MAP,
    NARROW,
    PALE,
    check_result,
    heading,
    new_figure,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

HEADINGS = {"decision": "the token that says Yes or No", "memory": "memory tokens, their mean"}


def attention_groups(
    result: AttentionGroups,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw attention mass by key group with intervals, the control in gray, and mass by layer.

    Args:
        result: of `tempo_lab.analysis.attention_groups`.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [2, 2]: by group, by layer; of the decision, of memory tokens.

    Raises:
        TraceError: it is another result.
    """
    result = check_result(result, AttentionGroups, "attention_groups")
    data, difference = result.data, bool(result.provenance.get("difference"))
    layers = data.sizes["layer"]
    width = width_of(figure, width)
    height = 4.2 + 0.16 * min(layers, 16)
    heights = [2.2, 0.8 + 0.09 * min(layers, 16)]
    if width < NARROW:
        figure = new_figure(figure, width, 1.6 * height)
        axes = figure.subplots(4, 1, sharex=True, height_ratios=2 * heights).reshape(2, 2).T
        axes[0, 1].sharey(axes[0, 0])
    else:
        figure = new_figure(figure, width, height)
        axes = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=heights)
    highest = float(np.abs(data["layer_mass"]).max()) or 1.0
    change = "change of attention\n(probability)" if difference else "attention\n(probability)"
    step = -(-layers // 12)
    names = [str(name) for name in data["group"].to_numpy()]
    for column, row in enumerate(data["row"].to_numpy()):
        upper, lower = axes[:, column]
        _bars(upper, result, str(row), difference)
        upper.set_title(HEADINGS[str(row)], loc="left", fontsize="medium")
        image = lower.imshow(
            data["layer_mass"].sel(row=row), aspect="auto", vmax=highest,
            vmin=-highest if difference else 0, cmap=AROUND_ZERO if difference else MAP,
        )  # fmt: skip
        lower.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
        if column == 0 or width < NARROW:
            upper.set_ylabel(change)
            lower.set_yticks(range(0, layers, step), data["layer"].to_numpy()[::step])
            lower.set_ylabel("layer")
    figure.colorbar(image, ax=list(axes[1]), label="attention")
    axes[0, 1].legend(frameon=False, fontsize="small", loc="upper right")
    tidy(*axes[0])
    n, videos = data.sizes["question"], len(set(data["video"].to_numpy().tolist()))
    about = f"{n} question{'s' * (n != 1)} about {videos} video{'s' * (videos != 1)}"
    heading(figure, width, f"Attention by key group, {about}")
    return figure.figure, axes


def _bars(axes: Axes, result: AttentionGroups, row: str, difference: bool) -> None:
    data = result.data.sel(row=row)
    x = np.arange(data.sizes["group"])
    kinds = [("mass", ATTENTION, str(result.provenance.get("model", "the model")))]
    if "control" in data:
        kinds.append(("control", PALE, "the same, random weights"))
    size = 0.8 / len(kinds)
    for number, (name, color, label) in enumerate(kinds):
        at = x + (number - (len(kinds) - 1) / 2) * size
        axes.bar(at, data[name], size, color=color, label=label)
        low, high = data[f"{name}_low"].to_numpy(), data[f"{name}_high"].to_numpy()
        if not difference:  # differences of ends are no interval
            axes.vlines(at, low, high, color=BLACK, lw=1.2)
    if difference:
        axes.axhline(0, color=BLACK, lw=0.8)
