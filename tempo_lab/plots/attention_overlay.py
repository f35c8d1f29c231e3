"""Attention on the frames that were read."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention import FRAMES_PER_PAIR, Attention
from tempo_lab.analysis.rollout import Rollout
from tempo_lab.common.errors import TraceError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.plots.style import MAP, check_kind, title

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from tempo_lab.video.video import Video


HIGHEST = 3.0
"""Inches of one picture: an image has no other frames beside it."""


def attention_overlay(
    result: Attention | Rollout,
    video: Video,
    *,
    segment: int | None = None,
    rows: str | Sequence[str] = ("decision", "memory 0"),
    shared: bool = True,
    opacity: float = 0.8,
    frames: np.ndarray | None = None,
    width: float = 9.0,
) -> tuple[Figure, np.ndarray]:
    """Attention of each patch over the first frame of each pair, as it was recorded.

    A cell is a visual token: nothing is interpolated. What gets less is more transparent too.

    Args:
        result: of `tempo_lab.analysis.attention`, recorded with reduce="patch_grid" or "none"; or
            of `tempo_lab.analysis.rollout`.
        video: the same video (`session.video`); the segment's frames are decoded.
        segment: its number; a rollout knows its own.
        rows: names of recorded rows, a line of pictures each.
        shared: one scale for all rows; else each row has its own.
        opacity: of the largest value's colour over the frames, 0 to 1.
        frames: of the segment, uint8 [frame, row, column, 3], if they are decoded already.
        width: of the figure, in inches.

    Returns:
        the figure and its axes, [row, pair].

    Raises:
        TraceError: another result, one without patches or of another video, or no such segment
            or row.
        VideoError: the frames cannot be decoded.
    """
    from matplotlib import pyplot
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    if not isinstance(result, Rollout):
        result = check_kind(result, Attention, "attention")
    number, mass, times = _of_segment(result, video, segment)
    rows = (rows,) if isinstance(rows, str) else tuple(rows)
    if not rows or not 0 < opacity <= 1:
        raise TraceError(
            "one row or more is drawn, and colours are more than invisible",
            asked=f"rows={list(rows)}, opacity={opacity}",
            fix='rows=["decision"], opacity=0.8',
        )
    known = [str(row) for row in mass["row"].to_numpy() if not mass.sel(row=row).isnull().all()]
    for row in rows:
        if row not in known:
            raise TraceError(
                f"no such row was recorded of segment {number}",
                asked=repr(row),
                found=", ".join(known),
                fix=did_you_mean(row, known, "name recorded rows, as rows=['memory 0']"),
            )
    if frames is None:
        with closing(video.segments(start=number)) as decoded:
            frames = next(decoded).frames
    frames = frames[::FRAMES_PER_PAIR]
    mass = mass.sel(row=list(rows)).isel(pair=slice(len(frames)))
    picture = frames.shape[1] / frames.shape[2] * (width - 1.8) / len(frames)
    picture = min(picture, HIGHEST)
    figure, axes = pyplot.subplots(
        len(rows), len(frames) + 1, squeeze=False, layout="constrained",
        figsize=(width, len(rows) * (picture + 0.05) + 0.7),
        width_ratios=[1] * len(frames) + [0.07],
    )  # fmt: skip
    axes, bars = axes[:, :-1], axes[:, -1]
    if shared:  # one bar as high as all rows
        for bar in bars:
            bar.remove()
        whole = figure.add_subplot(bars[0].get_gridspec()[:, -1])
        bars = np.array([whole] * len(rows))
    extent = (0, frames.shape[2], frames.shape[1], 0)
    difference = bool(result.provenance.get("difference"))
    what = "rollout (share)" if isinstance(result, Rollout) else "attention (probability)"
    for line, row, bar in zip(axes, rows, bars, strict=True):
        most = float(np.abs(mass if shared else mass.sel(row=row)).max())
        scale = Normalize(-most if difference else 0, most)
        colors = ScalarMappable(scale, "RdBu_r" if difference else MAP)
        if not shared or row == rows[0]:
            figure.colorbar(colors, cax=bar, label=what)
        for pair, (each, frame) in enumerate(zip(line, frames, strict=True)):
            each.imshow(frame, extent=extent)
            values = mass.sel(row=row).isel(pair=pair).to_numpy()
            each.imshow(
                values, extent=extent, norm=colors.norm, cmap=colors.cmap,
                alpha=opacity * np.abs(values) / (most or 1.0), interpolation="nearest",
            )  # fmt: skip
            each.set(xticks=[], yticks=[])
        line[0].set_ylabel(row)
    for pair, each in enumerate(axes[0]):
        start, end = (float(times[f"pair_{name}"][pair]) for name in ("start", "end"))
        each.set_title(f"{start:.1f} to {end:.1f} s", fontsize="small")
    question = result.provenance.get("question", "")
    heading = f"Segment {number}: {question}"
    if isinstance(result, Rollout):
        heading += " Attention rollout, a heuristic"
    figure.suptitle(title(heading, 95), x=0.01, ha="left", fontsize="medium")
    return figure, axes


def _of_segment(
    result: Attention | Rollout, video: Video, segment: int | None
) -> tuple[int, xr.DataArray, xr.Dataset]:
    """Its number, patches [row, pair, patch_row, patch_column], and the pairs' seconds."""
    data = result.data
    if not hasattr(video, "segments"):
        raise TraceError(
            "frames are those of a Video",
            asked=one_line(repr(video), 120),
            found=type(video).__name__,
            fix="give session.video",
        )
    if "patch_mass" not in data:
        raise TraceError(
            "this figure is drawn of patches",
            asked="patch_mass",
            found=f"attention over {result.provenance.get('over')}",
            fix='record with reduce="patch_grid"',
        )
    times = data[["pair_start", "pair_end"]]
    if isinstance(result, Rollout):
        if segment not in (None, result.provenance["segment"]):
            raise TraceError(
                "the rollout is of another segment",
                asked=f"segment={segment}",
                found=f"segment {result.provenance['segment']}",
                fix="leave it out",
            )
        return int(result.provenance["segment"]), data["patch_mass"], times
    if data.sizes["segment"] != len(video):
        raise TraceError(
            "the result is of another video",
            asked=f"{data.sizes['segment']} segments",
            found=f"{len(video)} segments of {video.info.path}",
            fix="give the video of the session that was asked",
        )
    if isinstance(segment, str) or segment not in range(len(video)):
        raise TraceError(
            "the frames of one segment are drawn",
            asked=f"segment={segment!r}",
            found=f"segments 0 to {len(video) - 1}",
            fix="name one of these",
        )
    number = int(segment or 0)
    return number, data["patch_mass"].isel(segment=number), times.isel(segment=number)
