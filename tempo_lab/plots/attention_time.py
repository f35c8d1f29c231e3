"""Attention over the video's seconds, and over the parts of one segment's prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention import Attention
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.plots.anatomy import ROLE_COLORS
from tempo_lab.plots.style import BLACK, BLUE, SKY, check_kind, edges_of, tidy, title

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def attention_time(
    result: Attention, row: str, *, chosen: int | None = None, width: float = 9.0
) -> tuple[Figure, Axes]:
    """What each frame pair gets of one row's attention, over the video's seconds.

    A gap is a segment that has no such row: a slot that its allocation did not need.

    Args:
        result: of `tempo_lab.analysis.attention`.
        row: a recorded one, "decision" or "memory 3".
        chosen: a segment to frame.
        width: of the figure, in inches.

    Raises:
        TraceError: another result, or no such row.
    """
    from matplotlib import pyplot

    mass = _row(check_kind(result, Attention, "attention"), "pair_mass", row)
    data = result.data
    edges = edges_of(data["start"].to_numpy(), data["end"].to_numpy())
    start, end = data["pair_start"].to_numpy().ravel(), data["pair_end"].to_numpy().ravel()
    heights = mass.transpose("segment", "pair").to_numpy().ravel()
    there = np.isfinite(heights) & np.isfinite(start)
    figure, axes = pyplot.subplots(figsize=(width, 3.0), layout="constrained")
    spans = np.maximum(end - start, 1e-9 if edges[-1] > 1 else 1.0)[there]
    axes.bar(start[there], heights[there], spans, align="edge", color=BLUE, ec="white", lw=0.5)
    gap = mass.isnull().all("pair").to_numpy()
    for number in np.flatnonzero(gap):
        axes.axvspan(edges[number], edges[number + 1], fill=False, ec="#bbbbbb", hatch="//", lw=0)
    if chosen is not None:
        axes.axvspan(
            edges[chosen], edges[chosen + 1], fill=False, ec=BLACK, lw=2, zorder=5, clip_on=False
        )
    what = f"attention of {row}\n(probability)"
    axes.set(xlim=(edges[0], edges[-1]), xlabel="time (s)", ylabel=what)
    axes.set_ylim(bottom=None if result.provenance.get("difference") else 0)
    tidy(axes)
    without = " (striped: segments without this row)" if gap.any() else ""
    heading = f"What frame pairs get: {result.provenance.get('question', '')}{without}"
    figure.suptitle(title(heading, 100), x=0.01, ha="left", fontsize="medium")
    return figure, axes


def attention_parts(
    result: Attention, row: str, segment: int, *, width: float = 9.0
) -> tuple[Figure, Axes]:
    """What each part of one segment's prompt gets of one row's attention.

    Args:
        result: of `tempo_lab.analysis.attention`, of attention reduced to key groups.
        row: a recorded one, "decision" or "memory 3".
        segment: its number.
        width: of the figure, in inches.

    Raises:
        TraceError: another result, or no such row, of this segment.
    """
    from matplotlib import pyplot

    result = check_kind(result, Attention, "attention")
    mass = _row(result, "segment_mass", row).isel(segment=segment).dropna("key_group")
    if not mass.size:
        raise TraceError(
            f"segment {segment} has no such row",
            asked=repr(row),
            found="a slot that its allocation did not need",
            fix='"decision", an earlier slot, or another segment',
        )
    groups = [str(group) for group in mass["key_group"].to_numpy()]
    figure, axes = pyplot.subplots(figsize=(width, 3.2), layout="constrained")
    bars = axes.bar(groups, mass.to_numpy(), color=[_color(group) for group in groups])
    axes.bar_label(bars, fmt="%.3f", fontsize="small", padding=2)
    axes.set(ylabel=f"attention of {row}\n(probability)")
    axes.set_xticks(range(len(groups)), [group.replace(" ", "\n") for group in groups])
    axes.tick_params(axis="x", labelsize="small")
    axes.margins(y=0.12)
    tidy(axes)
    heading = f"What parts of the prompt get, segment {segment}: "
    heading += str(result.provenance.get("question", ""))
    figure.suptitle(title(heading, 100), x=0.01, ha="left", fontsize="medium")
    return figure, axes


def _color(group: str) -> str:
    if group.startswith("pair "):
        return SKY
    if "memory" in group:
        return ROLE_COLORS["memory"]
    return ROLE_COLORS.get(group.removesuffix("s").replace(" ", "_"), "#777777")


def _row(result: Attention, name: str, row: str) -> xr.DataArray:
    """A quantity of one row, mean of the layers and heads that the result is of."""
    if name not in result.data:
        raise TraceError(
            "this figure is drawn of key groups",
            asked=name,
            found=f"attention over {result.provenance.get('over')}",
            fix='record with reduce="key_group"; attention_overlay draws patches',
        )
    rows = [str(each) for each in result.data["row"].to_numpy()]
    if row not in rows:
        raise TraceError(
            "no such row was recorded",
            asked=repr(row),
            found=", ".join(rows),
            fix=did_you_mean(row, rows, "name one of these"),
        )
    return result.data[name].sel(row=row)
