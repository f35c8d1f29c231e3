"""What the SVLM's rows look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.analysis.attention import Attention
from tempo_lab.common.errors import TraceError
from tempo_lab.plots.style import MAP, check_kind, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def attention(result: Attention, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """Mass by layer and by row for each key group, and how much heads agree.

    Args:
        result: of `tempo_lab.analysis.attention`, of attention reduced to key groups.
        width: of the figure, in inches.

    Returns:
        the figure and its three axes, [layers, rows, heads]; the last is empty for a single head.

    Raises:
        TraceError: it is another result, or has no key groups.
    """
    from matplotlib import pyplot

    result = check_kind(result, Attention, "attention")
    data, difference = result.data, bool(result.provenance.get("difference"))
    if "mass" not in data:
        raise TraceError(
            "this figure is drawn of key groups",
            asked="mass",
            found=f"attention over {result.provenance.get('over')}",
            fix='record with reduce="key_group"; attention_overlay draws patches',
        )
    by_layer = data["mass"].mean(("head", "row")).to_numpy()
    by_row = data["mass"].mean(("layer", "head")).to_numpy()
    groups = [str(name) for name in data["key_group"].to_numpy()]
    layers = [str(layer) for layer in data["layer"].to_numpy()]
    rows = [str(row) for row in data["row"].to_numpy()]
    # as high as its rows need, up to a page
    height = 3.0 + min(7.0, 0.19 * max(6, len(rows))) + min(3.0, 0.22 * len(layers))
    figure = pyplot.figure(figsize=(width, height), layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=[max(6, len(layers)), max(9, len(rows))])
    axes = np.array([
        figure.add_subplot(grid[0, :2]), figure.add_subplot(grid[1, :]),
        figure.add_subplot(grid[0, 2]),
    ])  # fmt: skip
    most = max(np.nanmax(np.abs(by_layer)), np.nanmax(np.abs(by_row)))
    look: dict[str, Any] = {"cmap": MAP, "vmin": 0, "vmax": most}
    if difference:
        look |= {"cmap": "RdBu_r", "vmin": -most}
    for each, values, names in ((axes[0], by_layer, layers), (axes[1], by_row, rows)):
        image = each.imshow(values, aspect="auto", **look)
        _names(each, groups, names)
    axes[0].set(ylabel="layer")
    axes[1].set_xlabel("key group")
    axes[0].set_title("mean of rows and heads", loc="left", fontsize="small")
    axes[1].set_title("mean of layers and heads, by row", loc="left", fontsize="small")
    what = "change of attention (probability)" if difference else "attention (probability)"
    figure.colorbar(image, ax=axes[1], label=what)
    _agreement(result, axes[2])
    question = result.provenance.get("question", "")
    figure.suptitle(title(f"What is looked at: {question}", 95), x=0.01, ha="left", size="medium")
    return figure, axes


def _agreement(result: Attention, axes: Axes) -> None:
    """Each head's mean similarity to the others of its layer."""
    if "agreement" not in result.data:
        axes.set_axis_off()
        return
    pairs = result.data["agreement"].to_numpy()
    heads = pairs.shape[-1]
    # a head's agreement with itself says nothing
    others = (pairs.sum(axis=-1) - np.einsum("lhh->lh", pairs)) / (heads - 1)
    difference = bool(result.provenance.get("difference"))
    look: dict[str, Any] = {"cmap": "cividis", "vmin": 0, "vmax": 1}
    if difference:
        most = np.abs(others).max() or 1.0
        look = {"cmap": "RdBu_r", "vmin": -most, "vmax": most}
    image = axes.imshow(others, aspect="auto", **look)
    numbers = [str(head) for head in result.data["head"].to_numpy()]
    _names(axes, numbers, [str(layer) for layer in result.data["layer"].to_numpy()])
    axes.tick_params(axis="x", rotation=0)
    axes.set(xlabel="head")
    axes.set_title("heads: Jensen-Shannon similarity", loc="left", fontsize="small")
    axes.figure.colorbar(image, ax=axes, label="similarity")


def _names(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Labels of cells; every so many where there is no room for all."""
    for axis, names, most in ((axes.xaxis, columns, 24), (axes.yaxis, rows, 32)):
        step = -(-len(names) // most)
        axis.set_ticks(range(0, len(names), step), names[::step])
    axes.tick_params(axis="x", rotation=45, labelsize="small")
    for label in axes.get_xticklabels():
        label.set(ha="right" if len(columns[0]) > 3 else "center", rotation_mode="anchor")
    axes.tick_params(axis="y", labelsize="small")
