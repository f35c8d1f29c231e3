"""One segment: its frames, the SVLM's prompt, and which memory slots are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.plots.filmstrip import margins
from tempo_lab.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PINK,
    RED,
    SKY,
    TOKENS,
    new_figure,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.model.token_map import TokenMap

ROLE_COLORS = {
    "system": PALE, "timestamp": ORANGE, "vision_mark": GREY, "vision": SKY, "query": GREEN,
    "text": PINK, "decision": RED, "memory": BLUE, "answer": BLACK,
}  # fmt: skip
"""Colors of the roles of positions in a prompt; each role is also named next to its color."""


@renamed_keywords(into="figure")
def anatomy(
    frames: np.ndarray | Sequence[np.ndarray],
    times: np.ndarray,
    prompt: TokenMap,
    kept: np.ndarray,
    *,
    heading: str = "",
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw what a segment's memory tokens are computed from, and which of them are kept.

    Args:
        frames: uint8 [frame, row, column, 3], of the segment.
        times: float [frame], seconds.
        prompt: the SVLM's prompt, from `session.prompt(question, segment)`.
        kept: bool [slot], True for memory slots that are kept.
        heading: title of the figure.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [2 + frame], [prompt, slots, first frame, second frame, ...].
    """
    from matplotlib.patches import Patch

    frames = list(frames)
    width = width_of(figure, width)
    left, right = margins(width)
    columns = max(3, round(0.88 * width))  # of the legend
    picture = frames[0].shape[0] / frames[0].shape[1] * (right - left) * width / len(frames)
    picture = min(1.2, picture)
    roles = list(dict.fromkeys(role for role, *_ in prompt.runs()))
    legend = 0.22 * -(-len(roles) // columns)
    figure = new_figure(figure, width, picture + 2.1 + legend, layout="none")
    total = max(figure.bbox.height / figure.figure.dpi, picture + 1.5)
    outer = figure.add_gridspec(  # 0.45 inches above, 0.35 between, 0.25 below
        2, 1, left=left, right=right, top=1 - 0.45 / total, bottom=0.25 / total,
        height_ratios=[picture, total - picture - 1.05], hspace=0.7 / (total - 1.05),
    )  # fmt: skip
    pictures = outer[0].subgridspec(1, len(frames), wspace=0.04)
    lines = outer[1].subgridspec(2, 1, hspace=1.28 + legend)
    shown = [figure.add_subplot(pictures[number]) for number in range(len(frames))]
    every = -(-2 * len(frames) // max(1, round(2.2 * width)))  # labels that fit
    for number, (axes, frame, time) in enumerate(zip(shown, frames, times, strict=True)):
        axes.imshow(frame, interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        if number % every == 0:
            axes.set_xlabel(f"{time:.2f} s", fontsize="small", labelpad=2)

    reads = figure.add_subplot(lines[0])
    for role, _, first, last in prompt.runs():
        color = ROLE_COLORS[role]
        reads.barh(0, last - first, left=first, height=1, color=color, edgecolor="white", lw=0.6)
    reads.set(xlim=(0, len(prompt)), ylim=(-0.5, 0.5), yticks=[])
    reads.set_ylabel("prompt", rotation=0, ha="right", va="center")
    reads.spines[:].set_visible(False)
    counts = {role: len(prompt.positions(role)) for role in roles}
    reads.legend(
        [Patch(color=ROLE_COLORS[role]) for role in roles],
        [f"{role.replace('_', ' ')} {counts[role]}" for role in roles],
        loc="upper left", bbox_to_anchor=(0, -0.5), ncols=min(columns, len(roles)),
        frameon=False, fontsize="small", handlelength=1, columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip

    slots = figure.add_subplot(lines[1])
    slots.bar(
        np.arange(len(kept)), 1, width=0.86, color=np.where(kept, TOKENS, "white"),
        edgecolor=np.where(kept, TOKENS, "#999999"),
    )  # fmt: skip
    if len(kept) <= 4 * width:
        for slot in range(len(kept)):
            slots.text(
                slot, 0.5, str(slot), ha="center", va="center", fontsize="small",
                color="white" if kept[slot] else GREY,
            )  # fmt: skip
    slots.set(xlim=(-0.6, len(kept) - 0.4), ylim=(-0.05, 1.05), xticks=[], yticks=[])
    slots.set_ylabel("slots", rotation=0, ha="right", va="center")
    slots.spines[:].set_visible(False)
    shown[0].set_title(title(heading, 100, width), loc="left", fontsize="medium")
    return figure.figure, np.array([reads, slots, *shown])
