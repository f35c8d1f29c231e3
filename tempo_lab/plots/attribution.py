"""What each part of the input added to the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.plots.style import BLACK, BLUE, RED, check_kind, edges_of, tidy, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tempo_lab.analysis.attribution.attribution import Attribution

SIGNED = "RdBu_r"
WORDS_A_LINE = 60
"""Letters of coloured words in a line, about."""


def attribution(result: Attribution, *, width: float = 9.0) -> tuple[Figure, np.ndarray]:
    """What each unit adds to the target: warm colours for what raises it, blue what lowers it.

    Segments and frame pairs are bars over the video's seconds, slots bars by number, patches a
    grid for each frame pair, words are coloured. The baseline, and how far the values are from
    summing to the whole, stand below the question.

    Args:
        result: of `tempo_lab.analysis.attribution.attribution`.
        width: in inches.

    Returns:
        the figure and its axes, [1]; of patches [pair].

    Raises:
        TraceError: it is no attribution.
    """
    from matplotlib import pyplot

    from tempo_lab.analysis.attribution.attribution import Attribution

    data = check_kind(result, Attribution, "attribution").data
    about = result.provenance.get("of", result.provenance)  # of a difference: what it is of
    label = f"adds to {about['target']}\n({about['target_units']})"
    values = data["value"].to_numpy()
    if "patch_row" in data.coords:
        figure, axes = _grids(data, values, label, width)
    else:
        wordy = "word" in data.coords
        lines = 1 + len(" ".join(map(str, data["unit"].values))) // WORDS_A_LINE
        height = 1.9 + 0.5 * lines if wordy else 3.2
        figure, one = pyplot.subplots(figsize=(width, height), layout="constrained")
        axes = np.array([one])
        (_words if wordy else _bars)(one, data, values, label)
    figure.suptitle(_heading(result, about), x=0.01, ha="left", fontsize="medium")
    return figure, axes


def _heading(result: Attribution, about: dict[str, Any]) -> str:
    numbers = result.numbers()
    what = about["units"]
    if about.get("segment") is not None:
        what = f"{what} (segment {about['segment']})"
    said = f" {about['answer']}" if about.get("answer") else ""
    lines = [
        title(f"{about['question']}{said}", 95),
        title(f"{what} by {about['method']}; {about['baseline']}: {about['baseline_means']}", 110),
        f"with all {numbers['all']:.3g}, with none {numbers['none']:.3g}, "
        f"sum of the values - (all - none) = {numbers['delta']:.2g}",
    ]
    if result.provenance.get("difference"):
        lines[1] = f"Difference of two: {lines[1]}"
    return "\n".join([*lines, *([caution] if (caution := result.caution) else [])])


def _bars(axes: Axes, data: Any, values: np.ndarray, label: str) -> None:
    if "start" in data.coords:
        edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
        axes.set_xlabel("time (s)")
    else:
        edges = np.arange(len(values) + 1) - 0.5
        axes.set_xlabel("memory slot")
        shown = np.arange(0, len(values), max(1, len(values) // 32))
        axes.set_xticks(shown, data["slot"].to_numpy()[shown])
    colors = [RED if value >= 0 else BLUE for value in values]
    axes.bar(edges[:-1], values, np.diff(edges), align="edge", color=colors, ec="white", lw=0.7)
    axes.axhline(0, color=BLACK, lw=0.8)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylabel(label)
    tidy(axes)


def _grids(data: Any, values: np.ndarray, label: str, width: float) -> tuple[Figure, np.ndarray]:
    """A grid for each frame pair, in one scale around zero."""
    from matplotlib import pyplot

    at = [data[name].to_numpy().astype(int) for name in ("pair", "patch_row", "patch_column")]
    pairs, rows, columns = (int(axis.max()) + 1 for axis in at)
    grid = np.full((pairs, rows, columns), np.nan)
    grid[tuple(at)] = values
    most = float(np.abs(values).max()) or 1.0
    height = 1.7 + 0.85 * width / pairs * rows / columns
    figure, found = pyplot.subplots(
        1, pairs, figsize=(width, height), layout="constrained", squeeze=False
    )
    for pair, axes in enumerate(found[0]):
        image = axes.imshow(grid[pair], cmap=SIGNED, vmin=-most, vmax=most)
        axes.set_title(f"frame pair {pair}", fontsize="small")
        axes.set(xlabel="patch column")
        axes.set_xticks(range(0, columns, max(1, columns // 4)))
        axes.set_yticks(range(0, rows, max(1, rows // 4)))
        axes.tick_params(labelleft=pair == 0)
    found[0, 0].set_ylabel("patch row")
    figure.colorbar(image, ax=list(found[0]), label=label, shrink=0.9)
    return figure, found[0]


def _words(axes: Axes, data: Any, values: np.ndarray, label: str) -> None:
    """Words in reading order on patches of colour, their numbers below them."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    most = float(np.abs(values).max()) or 1.0
    scale = ScalarMappable(Normalize(-most, most), colormaps[SIGNED])
    column, line = 0, 0
    for word, value in zip(data["unit"].to_numpy(), values, strict=True):
        number = f"{value:+.2g}"
        letters = max(len(word), len(number)) + 2
        if column and column + letters > WORDS_A_LINE:
            column, line = 0, line + 1
        color = scale.to_rgba(value)
        dark = sum(color[:3]) < 1.5
        axes.text(
            column + letters / 2,
            -line,
            title(str(word), 40),
            ha="center",
            va="bottom",
            family="monospace",
            color="white" if dark else "black",
            bbox={"facecolor": color, "edgecolor": "none", "boxstyle": "round,pad=0.3"},
        )
        axes.text(
            column + letters / 2, -line - 0.12, number, ha="center", va="top", fontsize="small"
        )
        column += letters
    axes.set(xlim=(0, WORDS_A_LINE), ylim=(-line - 0.6, 0.6))
    axes.axis("off")
    axes.figure.colorbar(scale, ax=axes, label=label, orientation="horizontal", shrink=0.5)
