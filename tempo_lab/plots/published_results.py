"""The published results: accuracy over tokens per frame."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.published_results import PublishedResults
from tempo_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    RED,
    SMALLEST,
    check_result,
    legend_below,
    new_figure,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

OURS = "Tempo"
KINDS = (
    (OURS, BLUE, "o"),
    ("specialized long video", GREEN, "^"),
    ("general open-source", RED, "s"),
)
PLACES = np.array([(8, 5), (8, -5), (-8, 5), (-8, -5), (0, 9), (0, -9), (10, 0), (-10, 0)])
"""Offsets of a model's number from its point, in points (1/72 inch); the first free one is used."""
APART = np.array([9.0, 7.5])
"""Width and height that a number needs, in points."""


def published_results(
    result: PublishedResults,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw accuracy over tokens per frame, one panel per benchmark; numbers name the models.

    Models whose tokens are not known are dotted lines. Hollow: the number of tokens is a maximum.

    Args:
        result: what to draw.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [benchmark].

    Raises:
        TraceError: it is not a `PublishedResults`.
    """
    data = check_result(result, PublishedResults, "published_results").data
    count = data.sizes["benchmark"]
    width = width_of(figure, width)
    columns = max(1, round(width / 3))
    rows = -(-(count + 1) // columns)
    figure = new_figure(figure, width, 3.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    axes, legend = grid.flat[:count], grid.flat[count]
    names = [str(name) for name in data["model"].to_numpy()]
    drawn = data["tokens"].notnull().any("benchmark").to_numpy()
    number = {name: n for n, name in enumerate(np.array(names)[drawn], start=1)}
    for index, each in enumerate(axes):
        _panel(each, data.isel(benchmark=index))
    lines = [f"{n}  {name}" for name, n in number.items()]
    legend.text(0, 1, "\n".join(lines), va="top", fontsize=SMALLEST, transform=legend.transAxes)
    for unused in grid.flat[count:]:
        unused.set_axis_off()
    for row in grid:
        row[0].set_ylabel("right answers (%)")
    tidy(*axes)
    legend_below(figure, width, *axes[0].get_legend_handles_labels())
    figure.figure.draw_without_rendering()  # it gives the axes their size
    for index, each in enumerate(axes):
        _write_numbers(each, data.isel(benchmark=index), number)
    return figure.figure, np.array(axes)


def _panel(axes: Axes, part: object) -> None:
    """Draw one benchmark; `part` is its part of a `PublishedResults`, by model."""
    data = part.to_dataframe()  # type: ignore[attr-defined]
    data = data[data["score"].notna()]
    kind = np.where(data.index.str.startswith(OURS), OURS, data["group"])
    for name, color, marker in KINDS:
        some = data[(kind == name) & data["tokens"].notna()]
        if name == OURS:
            axes.plot(some["tokens"], some["score"], color=color, lw=1)
        for hollow in (False, True):
            points = some[some["at_most"] == hollow]
            axes.plot(
                points["tokens"], points["score"], marker, color=color, ms=6,
                mfc="white" if hollow else color, label=None if hollow else name,
            )  # fmt: skip
    for model, row in data[data["tokens"].isna()].iterrows():
        axes.axhline(row["score"], color=GREY, lw=0.8, ls=":")
        axes.text(
            1, row["score"], str(model), fontsize=SMALLEST, color=GREY, ha="right", va="bottom",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xlim(1, 4096)
    axes.margins(y=0.1)
    axes.set_xticks([2, 16, 128, 1024], ["2", "16", "128", "1024"])
    first = data.iloc[0]
    about = f"{part['benchmark'].item()}, {first['seconds']:.0f} s"  # type: ignore[index]
    axes.set_title(about, loc="left", fontsize="medium")
    axes.set_xlabel("tokens per frame", fontsize="small")


def _write_numbers(axes: Axes, part: object, number: dict[str, int]) -> None:
    """Write the number of each model next to its point, where it overlaps others least."""
    data = part.to_dataframe()[["tokens", "score"]].dropna()  # type: ignore[attr-defined]
    points = axes.transData.transform(data.to_numpy()) * 72 / axes.figure.dpi
    taken = points
    for point, (model, (tokens, score)) in zip(points, data.iterrows(), strict=True):
        others = taken[(taken != point).any(axis=1)]
        gaps = abs((point + PLACES)[:, None] - others) / APART  # [place, other, axis]
        room = gaps.max(axis=2).min(axis=1).clip(max=1)  # 1 where nothing overlaps
        place = PLACES[room.argmax()]
        axes.annotate(
            str(number[str(model)]), (tokens, score), xytext=place, fontsize=SMALLEST,
            ha="center", va="center", textcoords="offset points",
        )  # fmt: skip
        taken = np.vstack([taken, point + place])
