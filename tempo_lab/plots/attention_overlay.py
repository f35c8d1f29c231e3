"""Attention to patches, drawn over the frames."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention import FRAMES_PER_PAIR, Attention
from tempo_lab.analysis.rollout import Rollout
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.common.text import one_line
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
    import xarray as xr
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.video.video import Video


MAX_HEIGHT = 3.0
"""Height of one picture in inches; for an image, which has a single frame."""


def attention_overlay(
    result: Attention | Rollout,
    video: Video,
    *,
    segment: int | None = None,
    rows: str | Sequence[str] = ("decision", "memory 0"),
    shared: bool = True,
    opacity: float = 0.8,
    frames: np.ndarray | None = None,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw the attention to each patch over the first frame of each frame pair.

    A cell is a visual token: nothing is interpolated. Smaller values are also more transparent.

    Args:
        result: of `tempo_lab.analysis.attention`, recorded with reduce="patch_grid" or "none"; or
            of `tempo_lab.analysis.rollout`.
        video: the same video (`session.video`); the segment's frames are decoded.
        segment: its number; not needed for a rollout, which is of one segment.
        rows: names of recorded rows; each has its row of pictures.
        shared: use one scale for all rows instead of one for each.
        opacity: of the largest value's color over the frames, 0 to 1.
        frames: uint8 [frame, row, column, 3], of the segment, if they are decoded already.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [row, pair].

    Raises:
        TraceError: it is another result, has no patches, or is of another video; or there is no
            such segment or row.
        VideoError: the frames cannot be decoded.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if not isinstance(result, Rollout):
        result = check_result(result, Attention, "attention")
    number, mass, times = _of_segment(result, video, segment)
    rows = (rows,) if isinstance(rows, str) else tuple(rows)
    if not rows or not 0 < opacity <= 1:
        raise TraceError(
            "the plot needs at least one row, and an opacity above 0 and at most 1",
            asked=f"rows={list(rows)}, opacity={opacity}",
            fix='rows=["decision"], opacity=0.8',
        )
    known = [str(row) for row in mass["row"].to_numpy() if not mass.sel(row=row).isnull().all()]
    for row in rows:
        if row not in known:
            raise TraceError(
                f"no attention row of this name was recorded for segment {number}",
                asked=repr(row),
                found=", ".join(known),
                fix=did_you_mean(row, known, "name recorded rows, as rows=['memory 0']"),
            )
    if frames is None:
        with closing(video.segments(start=number)) as decoded:
            frames = next(decoded).frames
    frames = frames[::FRAMES_PER_PAIR]
    mass = mass.sel(row=list(rows)).isel(pair=slice(len(frames)))
    width = width_of(figure, width)
    margin = min(1.8, 0.3 * width)
    picture = frames.shape[1] / frames.shape[2] * (width - margin) / len(frames)
    picture = min(picture, MAX_HEIGHT)
    figure = new_figure(figure, width, len(rows) * (picture + 0.05) + 0.7)
    axes = figure.subplots(
        len(rows), len(frames) + 1, squeeze=False, width_ratios=[1] * len(frames) + [0.07]
    )
    axes, bars = axes[:, :-1], axes[:, -1]
    if shared:  # one bar as high as all rows
        for bar in bars:
            bar.remove()
        whole = figure.add_subplot(bars[0].get_gridspec()[:, -1])
        bars = np.array([whole] * len(rows))
    extent = (0, frames.shape[2], frames.shape[1], 0)
    difference = bool(result.provenance.get("difference"))
    label = "rollout (share)" if isinstance(result, Rollout) else "attention\n(probability)"
    for line, row, bar in zip(axes, rows, bars, strict=True):
        highest = float(np.abs(mass if shared else mass.sel(row=row)).max())
        scale = Normalize(-highest if difference else 0, highest)
        colors = ScalarMappable(scale, AROUND_ZERO if difference else MAP)
        if not shared or row == rows[0]:
            figure.colorbar(colors, cax=bar, label=label)
        for pair, (each, frame) in enumerate(zip(line, frames, strict=True)):
            each.imshow(frame, extent=extent)
            values = mass.sel(row=row).isel(pair=pair).to_numpy()
            each.imshow(
                values, extent=extent, norm=colors.norm, cmap=colors.cmap,
                alpha=opacity * np.abs(values) / (highest or 1.0), interpolation="nearest",
            )  # fmt: skip
            each.set(xticks=[], yticks=[])
        line[0].set_ylabel(row)
    for pair, each in enumerate(axes[0]):
        start, end = (float(times[f"pair_{name}"][pair]) for name in ("start", "end"))
        gap = "\n" if width < NARROW else " "
        each.set_title(f"{start:.1f} to{gap}{end:.1f} s", fontsize="small")
    about = f"Segment {number}: {result.provenance.get('question', '')}"
    if isinstance(result, Rollout):
        about += " Attention rollout, a heuristic"
    heading(figure, width, about)
    return figure.figure, axes


def _of_segment(
    result: Attention | Rollout, video: Video, segment: int | None
) -> tuple[int, xr.DataArray, xr.Dataset]:
    """Return a segment's number, its mass [row, pair, patch_row, patch_column], and its times.

    The times are a dataset with pair_start and pair_end [pair], in seconds.
    """
    data = result.data
    if not hasattr(video, "segments"):
        raise TraceError(
            "the plot needs a Video to draw frames",
            asked=one_line(repr(video), 120),
            found=type(video).__name__,
            fix="pass session.video",
        )
    if "patch_mass" not in data:
        raise TraceError(
            "this plot needs attention by patch",
            asked="patch_mass",
            found=f"attention over {result.provenance.get('over')}",
            fix='record with reduce="patch_grid"',
        )
    times = data[["pair_start", "pair_end"]]
    if isinstance(result, Rollout):
        if segment not in (None, result.provenance["segment"]):
            raise TraceError(
                "the rollout is for another segment",
                asked=f"segment={segment}",
                found=f"segment {result.provenance['segment']}",
                fix="leave it out",
            )
        return int(result.provenance["segment"]), data["patch_mass"], times
    if data.sizes["segment"] != len(video):
        raise TraceError(
            "the result belongs to another video",
            asked=f"{data.sizes['segment']} segments",
            found=f"{len(video)} segments of {video.info.path}",
            fix="pass the video of the session that made the trace",
        )
    if isinstance(segment, str) or segment not in range(len(video)):
        raise TraceError(
            "the plot needs the number of one segment",
            asked=f"segment={segment!r}",
            found=f"segments 0 to {len(video) - 1}",
            fix="name one of these",
        )
    number = int(segment or 0)
    return number, data["patch_mass"].isel(segment=number), times.isel(segment=number)
