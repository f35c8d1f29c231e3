"""Attention over the video's seconds, and over the parts of one segment's prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention import Attention
from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.plots.anatomy import ROLE_COLORS
from tempo_lab.plots.style import (
    ATTENTION,
    BLACK,
    GREY,
    SKY,
    check_result,
    new_axes,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@renamed_keywords(chosen="segment")
def attention_time(
    result: Attention,
    row: str,
    *,
    segment: int | None = None,
    width: float | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the attention of one row to each frame pair, over the video's seconds.

    A hatched gap is a segment without this row: a slot that its allocation did not need.

    Args:
        result: of `tempo_lab.analysis.attention`.
        row: a recorded row, such as "decision" or "memory 3".
        segment: a segment to frame.
        width: of the figure, in inches.
        ax: axes to draw in, instead of a new figure.

    Returns:
        the figure and its axes.

    Raises:
        TraceError: it is another result, or has no such row.
    """
    mass = _row(check_result(result, Attention, "attention"), "pair_mass", row)
    data = result.data
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    start, end = data["pair_start"].to_numpy().ravel(), data["pair_end"].to_numpy().ravel()
    heights = mass.transpose("segment", "pair").to_numpy().ravel()
    finite = np.isfinite(heights) & np.isfinite(start)
    width = width_of(ax, width)
    axes = new_axes(ax, width, 3.0)
    spans = np.maximum(end - start, 1e-9 if edges[-1] > 1 else 1.0)[finite]
    axes.bar(
        start[finite], heights[finite], spans, align="edge", color=ATTENTION, ec="white", lw=0.5
    )
    gap = mass.isnull().all("pair").to_numpy()
    for number in np.flatnonzero(gap):
        axes.axvspan(edges[number], edges[number + 1], fill=False, ec="#bbbbbb", hatch="//", lw=0)
    if segment is not None:
        axes.axvspan(
            edges[segment], edges[segment + 1], fill=False, ec=BLACK, lw=2, zorder=5, clip_on=False
        )
    label = f"attention of {row}\n(probability)"
    axes.set(xlim=(edges[0], edges[-1]), xlabel="time (s)", ylabel=label)
    axes.set_ylim(bottom=None if result.provenance.get("difference") else 0)
    tidy(axes)
    without = " (hatched: segments without this row)" if gap.any() else ""
    heading = f"Attention to frame pairs: {result.provenance.get('question', '')}{without}"
    axes.set_title(title(heading, 100, width - 0.8, lines=3), loc="left", fontsize="medium")
    return axes.figure.figure, axes


def attention_parts(
    result: Attention,
    row: str,
    segment: int,
    *,
    width: float | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw the attention of one row to each part of one segment's prompt.

    Args:
        result: of `tempo_lab.analysis.attention`, of attention reduced to key groups.
        row: a recorded row, such as "decision" or "memory 3".
        segment: its number.
        width: of the figure, in inches.
        ax: axes to draw in, instead of a new figure.

    Returns:
        the figure and its axes.

    Raises:
        TraceError: it is another result, or the segment has no such row.
    """
    result = check_result(result, Attention, "attention")
    mass = _row(result, "segment_mass", row).isel(segment=segment).dropna("key_group")
    if not mass.size:
        raise TraceError(
            f"segment {segment} has no attention row of this name",
            asked=repr(row),
            found="a slot that its allocation did not need",
            fix='"decision", an earlier slot, or another segment',
        )
    groups = [str(group) for group in mass["key_group"].to_numpy()]
    width = width_of(ax, width)
    axes = new_axes(ax, width, 3.2)
    bars = axes.bar(groups, mass.to_numpy(), color=[_color(group) for group in groups])
    upright = 2 * width < len(groups)  # numbers and names do not fit side by side
    axes.bar_label(bars, fmt="%.3f", fontsize="small", padding=2, rotation=90 if upright else 0)
    axes.set(ylabel=f"attention of {row}\n(probability)")
    names = groups if upright else [group.replace(" ", "\n") for group in groups]
    axes.set_xticks(range(len(groups)), names, rotation=90 if upright else 0)
    axes.tick_params(axis="x", labelsize="small")
    axes.margins(y=0.3 if upright else 0.12)
    tidy(axes)
    heading = f"Attention to parts of the prompt, segment {segment}: "
    heading += str(result.provenance.get("question", ""))
    axes.set_title(title(heading, 100, width - 0.8, lines=3), loc="left", fontsize="medium")
    return axes.figure.figure, axes


def _color(group: str) -> str:
    if group.startswith("pair "):
        return SKY
    if "memory" in group:
        return ROLE_COLORS["memory"]
    return ROLE_COLORS.get(group.removesuffix("s").replace(" ", "_"), GREY)


def _row(result: Attention, name: str, row: str) -> xr.DataArray:
    """Return a variable of one row: the mean of the layers and heads that the result is of."""
    if name not in result.data:
        raise TraceError(
            "this plot needs attention by key group",
            asked=name,
            found=f"attention over {result.provenance.get('over')}",
            fix='record with reduce="key_group"; attention_overlay draws patches',
        )
    rows = [str(each) for each in result.data["row"].to_numpy()]
    if row not in rows:
        raise TraceError(
            "no attention row of this name was recorded",
            asked=repr(row),
            found=", ".join(rows),
            fix=did_you_mean(row, rows, "name one of these"),
        )
    return result.data[name].sel(row=row)
