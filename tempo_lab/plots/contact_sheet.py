"""All sampled frames of a video."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.plots.style import RED, new_axes, width_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tempo_lab.video.video import Segment

EDGE = 96
"""Pixels of the longer edge of one small picture, approximately."""
MAX_SEGMENTS = 32


def contact_sheet(
    segments: Iterable[Segment],
    *,
    marked: Iterable[int] = (),
    width: float | None = None,
    ax: Axes | None = None,
) -> tuple[Figure, Axes]:
    """Draw sampled frames: one column per segment, its frames from top to bottom.

    Args:
        segments: of one video, in order, at most 32.
        marked: numbers of segments to frame.
        width: of the figure, in inches.
        ax: axes to draw in, instead of a new figure.

    Returns:
        the figure and its axes.

    Raises:
        VideoError: there are no segments, or too many.
    """
    from matplotlib.patches import Rectangle

    drawn = list(segments)
    if not 0 < len(drawn) <= MAX_SEGMENTS:
        raise VideoError(
            f"a contact sheet shows 1 to {MAX_SEGMENTS} segments",
            asked=f"{len(drawn)} segments",
            fix=f"draw some of them, as in itertools.islice(video.segments(), {MAX_SEGMENTS})",
        )
    every = max(1, -(-max(drawn[0].frames.shape[1:3]) // EDGE))
    small = [segment.frames[:, ::every, ::every] for segment in drawn]
    high, wide = small[0].shape[1:3]
    longest, gap = max(map(len, small)), max(1, EDGE // 32)
    shape = (longest * (high + gap) - gap, len(drawn) * (wide + gap) - gap, 3)
    sheet = np.full(shape, 255, dtype=np.uint8)
    for column, frames in enumerate(small):
        left = column * (wide + gap)
        for row, frame in enumerate(frames):
            top = row * (high + gap)
            sheet[top : top + high, left : left + wide] = frame

    width = width_of(ax, width)
    axes = new_axes(ax, width, width * 0.93 * shape[0] / shape[1] + 0.8)
    axes.imshow(sheet, interpolation="antialiased")
    step = -(-2 * len(drawn) // max(2, round(4 * width)))  # labels that fit
    axes.set_xticks(
        [column * (wide + gap) + wide / 2 for column in range(0, len(drawn), step)],
        [f"{segment.index}\n{segment.times[0]:.0f} s" for segment in drawn[::step]],
    )
    axes.set_yticks(
        [row * (high + gap) + high / 2 for row in range(longest)], [str(n) for n in range(longest)]
    )
    axes.set(xlabel="segment, and its first frame's time", ylabel="frame of the segment")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    numbers = set(marked)
    for column, segment in enumerate(drawn):
        if segment.index in numbers:
            corner = (column * (wide + gap) - gap, -gap)
            frame = Rectangle(
                corner, wide + 2 * gap, shape[0] + 2 * gap, fill=False, edgecolor=RED,
                linewidth=3, clip_on=False,
            )  # fmt: skip
            axes.add_patch(frame)
    return axes.figure.figure, axes
