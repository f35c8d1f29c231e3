"""All sampled frames of a video at a glance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.plots.style import RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tempo_lab.video.video import Segment

EDGE = 96
"""Pixels of the longer edge of one small picture, about."""
MOST = 32
"""Segments on one sheet."""


def contact_sheet(
    segments: Iterable[Segment], *, marked: Iterable[int] = (), width: float = 9.0
) -> tuple[Figure, Axes]:
    """Sampled frames: a column for each segment, in it its frames from top to bottom.

    Args:
        segments: of one video, in their order, 32 at most.
        marked: numbers of segments that are framed.
        width: of the figure, in inches.

    Returns:
        the figure and its axes.

    Raises:
        VideoError: there is none to draw, or too many.
    """
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    drawn = list(segments)
    if not 0 < len(drawn) <= MOST:
        raise VideoError(
            "a contact sheet shows some segments",
            asked=f"{len(drawn)} segments",
            found=f"1 to {MOST}",
            fix="draw a part of them, such as itertools.islice(video.segments(), 32)",
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

    size = (width, width * 0.93 * shape[0] / shape[1] + 0.8)
    figure, axes = pyplot.subplots(figsize=size, layout="constrained")
    axes.imshow(sheet, interpolation="antialiased")
    axes.set_xticks(
        [column * (wide + gap) + wide / 2 for column in range(len(drawn))],
        [f"{segment.index}\n{segment.times[0]:.0f} s" for segment in drawn],
    )
    axes.set_yticks(
        [row * (high + gap) + high / 2 for row in range(longest)], [str(n) for n in range(longest)]
    )
    axes.set(xlabel="segment, and its first frame's time", ylabel="frame of the segment")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    chosen = set(marked)
    for column, segment in enumerate(drawn):
        if segment.index in chosen:
            corner = (column * (wide + gap) - gap, -gap)
            frame = Rectangle(
                corner, wide + 2 * gap, shape[0] + 2 * gap, fill=False, edgecolor=RED,
                linewidth=3, clip_on=False,
            )  # fmt: skip
            axes.add_patch(frame)
    return figure, axes
