"""The attention of the SVLM's rows, by key group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.analysis.attention import Attention
from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import (
    AROUND_ZERO,
    MAP,
    NARROW,
    check_result,
    heading,
    new_figure,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure


def attention(
    result: Attention, *, width: float | None = None, figure: Figure | SubFigure | None = None
) -> tuple[Figure, np.ndarray]:
    """Draw attention mass by layer and by row for each key group, and how much heads agree.

    Args:
        result: of `tempo_lab.analysis.attention`, of attention reduced to key groups.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [3], [layers, rows, heads]; the last is empty for a single head.

    Raises:
        TraceError: it is another result, or has no key groups.
    """
    result = check_result(result, Attention, "attention")
    data, difference = result.data, bool(result.provenance.get("difference"))
    if "mass" not in data:
        raise TraceError(
            "this plot needs attention by key group",
            asked="mass",
            found=f"attention over {result.provenance.get('over')}",
            fix='record with reduce="key_group"; attention_overlay draws patches',
        )
    by_layer = data["mass"].mean(("head", "row")).to_numpy()
    by_row = data["mass"].mean(("layer", "head")).to_numpy()
    groups = [str(name) for name in data["key_group"].to_numpy()]
    layers = [str(layer) for layer in data["layer"].to_numpy()]
    rows = [str(row) for row in data["row"].to_numpy()]
    width = width_of(figure, width)
    # as high as its rows need, up to a page
    upper, lower = 1 + min(3.0, 0.22 * len(layers)), 2 + min(7.0, 0.19 * max(6, len(rows)))
    shares = [max(6, len(layers)), max(9, len(rows))]
    if width < NARROW:
        figure = new_figure(figure, width, 2 * upper + lower + 1)
        grid = figure.add_gridspec(3, 1, height_ratios=[*shares, shares[0]])
        places = [grid[0], grid[1], grid[2]]
    else:
        figure = new_figure(figure, width, upper + lower)
        grid = figure.add_gridspec(2, 3, height_ratios=shares)
        places = [grid[0, :2], grid[1, :], grid[0, 2]]
    axes = np.array([figure.add_subplot(place) for place in places])
    highest = max(np.nanmax(np.abs(by_layer)), np.nanmax(np.abs(by_row)))
    scale: dict[str, Any] = {"cmap": MAP, "vmin": 0, "vmax": highest}
    if difference:
        scale |= {"cmap": AROUND_ZERO, "vmin": -highest}
    for each, values, names in ((axes[0], by_layer, layers), (axes[1], by_row, rows)):
        image = each.imshow(values, aspect="auto", **scale)
        _label_cells(each, groups, names)
    axes[0].set(ylabel="layer")
    axes[1].set_xlabel("key group")
    axes[0].set_title("mean of rows and heads", loc="left", fontsize="small")
    axes[1].set_title("mean of layers and heads, by row", loc="left", fontsize="small")
    label = "change of attention (probability)" if difference else "attention (probability)"
    figure.colorbar(image, ax=axes[1], label=label)
    _agreement(result, axes[2])
    heading(figure, width, f"Attention by key group: {result.provenance.get('question', '')}")
    return figure.figure, axes


def _agreement(result: Attention, axes: Axes) -> None:
    """Draw each head's mean similarity to the others of its layer."""
    if "agreement" not in result.data:
        axes.set_axis_off()
        return
    pairs = result.data["agreement"].to_numpy()
    heads = pairs.shape[-1]
    # without each head's agreement with itself
    others = (pairs.sum(axis=-1) - np.einsum("lhh->lh", pairs)) / (heads - 1)
    difference = bool(result.provenance.get("difference"))
    scale: dict[str, Any] = {"cmap": "cividis", "vmin": 0, "vmax": 1}
    if difference:
        highest = np.abs(others).max() or 1.0
        scale = {"cmap": AROUND_ZERO, "vmin": -highest, "vmax": highest}
    image = axes.imshow(others, aspect="auto", **scale)
    numbers = [str(head) for head in result.data["head"].to_numpy()]
    _label_cells(axes, numbers, [str(layer) for layer in result.data["layer"].to_numpy()])
    axes.tick_params(axis="x", rotation=0)
    axes.set(xlabel="head")
    axes.set_title("heads: Jensen-Shannon similarity", loc="left", fontsize="small")
    axes.figure.colorbar(image, ax=axes, label="similarity")


def _label_cells(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Label rows and columns of cells; every n-th if there is no room for all."""
    for axis, names, room in ((axes.xaxis, columns, 24), (axes.yaxis, rows, 32)):
        step = -(-len(names) // room)
        axis.set_ticks(range(0, len(names), step), names[::step])
    axes.tick_params(axis="x", rotation=45, labelsize="small")
    for label in axes.get_xticklabels():
        label.set(ha="right" if len(columns[0]) > 3 else "center", rotation_mode="anchor")
    axes.tick_params(axis="y", labelsize="small")
