"""What the decision and the memory tokens look at, beside a model that has learnt nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention_groups import AttentionGroups
from tempo_lab.plots.style import AROUND_ZERO, BLACK, BLUE, MAP, PALE, check_kind, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEADINGS = {"decision": "the token that says Yes or No", "memory": "memory tokens, their mean"}


def attention_groups(result: AttentionGroups, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """Mass by key group with intervals, the control in grey; below, the same by layer.

    Args:
        result: of `tempo_lab.analysis.attention_groups`.
        width: of the figure, in inches.

    Returns:
        the figure and its axes [2, 2]: above groups, below layers; decision, memory.

    Raises:
        TraceError: it is another result.
    """
    from matplotlib import pyplot

    result = check_kind(result, AttentionGroups, "attention_groups")
    data, difference = result.data, bool(result.provenance.get("difference"))
    layers = data.sizes["layer"]
    figure, axes = pyplot.subplots(
        2, 2, figsize=(width, 4.2 + 0.16 * min(layers, 16)), layout="constrained", sharex=True,
        sharey="row", height_ratios=[2.2, 0.8 + 0.09 * min(layers, 16)],
    )  # fmt: skip
    most = float(np.abs(data["layer_mass"]).max()) or 1.0
    for upper, lower, row in zip(*axes, data["row"].to_numpy(), strict=True):
        _bars(upper, result, str(row), difference)
        upper.set_title(HEADINGS[str(row)], loc="left", fontsize="medium")
        image = lower.imshow(
            data["layer_mass"].sel(row=row), aspect="auto", vmax=most,
            vmin=-most if difference else 0, cmap=AROUND_ZERO if difference else MAP,
        )  # fmt: skip
        names = [str(name) for name in data["group"].to_numpy()]
        lower.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    step = -(-layers // 12)
    axes[1, 0].set_yticks(range(0, layers, step), data["layer"].to_numpy()[::step])
    axes[1, 0].set_ylabel("layer")
    change = "change of attention\n(probability)" if difference else "attention\n(probability)"
    axes[0, 0].set_ylabel(change)
    figure.colorbar(image, ax=list(axes[1]), label="attention")
    axes[0, 1].legend(frameon=False, fontsize="small", loc="upper right")
    tidy(*axes[0])
    n, videos = data.sizes["question"], len(set(data["video"].to_numpy().tolist()))
    about = f"{n} question{'s' * (n != 1)} about {videos} video{'s' * (videos != 1)}"
    figure.suptitle(f"What is looked at, {about}", x=0.01, ha="left", fontsize="medium")
    return figure, axes


def _bars(axes: Axes, result: AttentionGroups, row: str, difference: bool) -> None:
    data = result.data.sel(row=row)
    x = np.arange(data.sizes["group"])
    kinds = [("mass", BLUE, str(result.provenance.get("model", "the model")))]
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
