"""The effect of each part of the input on the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.plots.style import (
    AROUND_ZERO,
    BLACK,
    BLUE,
    RED,
    check_result,
    heading,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.analysis.attribution.attribution import Attribution


def attribution(
    result: Attribution,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw the effect of each unit on the target: red for units that raise it, blue that lower it.

    Segments and frame pairs are bars over the video's seconds, slots bars by number, patches one
    grid per frame pair, words colored text. Below the question: the baseline, and the difference
    between the sum of the values and the whole effect.

    Args:
        result: of `tempo_lab.analysis.attribution.attribution`.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [1]; [pair] for patches.

    Raises:
        TraceError: it is not an attribution.
    """
    from tempo_lab.analysis.attribution.attribution import Attribution

    data = check_result(result, Attribution, "attribution").data
    about = result.provenance.get("of", result.provenance)  # of a difference: what it is of
    label = f"adds to {about['target']}\n({about['target_units']})"
    values = data["value"].to_numpy()
    width = width_of(figure, width)
    if "patch_row" in data.coords:
        figure, axes = _grids(data, values, label, figure, width)
    elif "word" in data.coords:
        letters = max(20, round(60 * width / 9))  # in a line of words
        lines = 1 + len(" ".join(map(str, data["unit"].values))) // letters
        figure = new_figure(figure, width, 1.9 + 0.5 * lines)
        axes = figure.subplots(squeeze=False)[0]
        _words(axes[0], data, values, label, letters)
    else:
        figure = new_figure(figure, width, 3.2)
        axes = figure.subplots(squeeze=False)[0]
        _bars(axes[0], data, values, label, width)
    heading(figure, width, *_lines(result, about))
    return figure.figure, axes


def _lines(result: Attribution, about: dict[str, Any]) -> list[str]:
    """Return the lines of the heading."""
    numbers = result.numbers()
    units = about["units"]
    if about.get("segment") is not None:
        units = f"{units} (segment {about['segment']})"
    answer = f" {about['answer']}" if about.get("answer") else ""
    method = f"{units} by {about['method']}; {about['baseline']}: {about['baseline_means']}"
    if result.provenance.get("difference"):
        method = f"Difference of two: {method}"
    return [
        f"{about['question']}{answer}",
        method,
        f"with all {numbers['all']:.3g}, with none {numbers['none']:.3g}, "
        f"sum of the values - (all - none) = {numbers['delta']:.2g}",
        *([caution] if (caution := result.caution) else []),
    ]


def _bars(axes: Axes, data: Any, values: np.ndarray, label: str, width: float) -> None:
    if "start" in data.coords:
        edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
        axes.set_xlabel("time (s)")
    else:
        edges = np.arange(len(values) + 1) - 0.5
        axes.set_xlabel("memory slot")
        shown = np.arange(0, len(values), max(1, -(-len(values) // round(3.6 * width))))
        axes.set_xticks(shown, data["slot"].to_numpy()[shown])
    colors = [RED if value >= 0 else BLUE for value in values]
    axes.bar(edges[:-1], values, np.diff(edges), align="edge", color=colors, ec="white", lw=0.7)
    axes.axhline(0, color=BLACK, lw=0.8)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylabel(label)
    tidy(axes)


def _grids(
    data: Any,
    values: np.ndarray,
    label: str,
    figure: Figure | SubFigure | None,
    width: float,
) -> tuple[Figure | SubFigure, np.ndarray]:
    """Draw one grid per frame pair, all on one scale around zero."""
    at = [data[name].to_numpy().astype(int) for name in ("pair", "patch_row", "patch_column")]
    pairs, rows, columns = (int(axis.max()) + 1 for axis in at)
    grid = np.full((pairs, rows, columns), np.nan)
    grid[tuple(at)] = values
    highest = float(np.abs(values).max()) or 1.0
    figure = new_figure(figure, width, 1.7 + 0.85 * width / pairs * rows / columns)
    axes = figure.subplots(1, pairs, squeeze=False)[0]
    small = width / pairs < 1.4
    for pair, each in enumerate(axes):
        image = each.imshow(grid[pair], cmap=AROUND_ZERO, vmin=-highest, vmax=highest)
        each.set_title(f"pair {pair}" if small else f"frame pair {pair}", fontsize="small")
        each.set_xlabel("column" if small else "patch column")
        each.set_xticks(range(0, columns, max(1, columns // 4)))
        each.set_yticks(range(0, rows, max(1, rows // 4)))
        each.tick_params(labelleft=pair == 0)
    axes[0].set_ylabel("row" if small else "patch row")
    figure.colorbar(image, ax=list(axes), label=label, shrink=0.9)
    return figure, axes


def _words(axes: Axes, data: Any, values: np.ndarray, label: str, letters: int) -> None:
    """Draw words in reading order on patches of color, with their values below.

    Args:
        letters: number of letters in a line, approximately.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    highest = float(np.abs(values).max()) or 1.0
    scale = ScalarMappable(Normalize(-highest, highest), colormaps[AROUND_ZERO])
    column, line = 0, 0
    for word, value in zip(data["unit"].to_numpy(), values, strict=True):
        number = f"{value:+.2g}"
        room = max(len(word), len(number)) + 2
        if column and column + room > letters:
            column, line = 0, line + 1
        color = scale.to_rgba(value)
        dark = sum(color[:3]) < 1.5
        axes.text(
            column + room / 2,
            -line,
            title(str(word), 40),
            ha="center",
            va="bottom",
            family="monospace",
            color="white" if dark else "black",
            bbox={"facecolor": color, "edgecolor": "none", "boxstyle": "round,pad=0.3"},
        )
        axes.text(column + room / 2, -line - 0.12, number, ha="center", va="top", fontsize="small")
        column += room
    axes.set(xlim=(0, letters), ylim=(-line - 0.6, 0.6))
    axes.axis("off")
    axes.figure.colorbar(scale, ax=axes, label=label, orientation="horizontal", shrink=0.5)
