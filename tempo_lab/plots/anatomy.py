"""One segment: its frames, what the SVLM reads of it, and which memory slots stay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.plots.filmstrip import LEFT, RIGHT
from tempo_lab.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, PINK, RED, SKY, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.model.token_map import TokenMap

ROLE_COLORS = {
    "system": PALE, "timestamp": ORANGE, "vision_mark": GREY, "vision": SKY, "query": GREEN,
    "text": PINK, "decision": RED, "memory": BLUE, "answer": BLACK,
}  # fmt: skip
"""Of the roles of a prompt's positions; each is named beside its colour as well."""


def anatomy(
    frames: np.ndarray | Sequence[np.ndarray],
    times: np.ndarray,
    prompt: TokenMap,
    kept: np.ndarray,
    *,
    heading: str = "",
    width: float = 9.0,
    into: SubFigure | None = None,
) -> tuple[Figure | SubFigure, np.ndarray]:
    """What goes into a segment's memory tokens, and which of them stay.

    Args:
        frames: uint8 [frame, row, column, 3], of the segment.
        times: float [frame], seconds.
        prompt: what the SVLM reads, from `session.prompt(question, segment)`.
        kept: bool [slot], the memory slots that stay.
        heading: above it all.
        width: of the figure, in inches.
        into: a part of a larger figure to draw in, as wide as `width`.

    Returns:
        the figure and its axes, [prompt, slots, first frame, second frame, ...].
    """
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    frames = list(frames)
    inches = (RIGHT - LEFT) * width
    shape = frames[0].shape[0] / frames[0].shape[1]
    high = min(1.2, inches / len(frames) * shape)
    figure = into or pyplot.figure(figsize=(width, high + 2.3))
    total = figure.bbox.height / figure.dpi
    top = 1 - 0.45 / total
    pictures = figure.add_gridspec(
        1, len(frames), left=LEFT, right=RIGHT, top=top, bottom=top - high / total, wspace=0.04
    )
    lines = figure.add_gridspec(
        2, 1, left=LEFT, right=RIGHT, top=top - (high + 0.35) / total, bottom=0.25 / total,
        hspace=1.5,
    )  # fmt: skip
    shown = [figure.add_subplot(pictures[number]) for number in range(len(frames))]
    for axes, frame, time in zip(shown, frames, times, strict=True):
        axes.imshow(frame, interpolation="antialiased")
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(f"{time:.2f} s", fontsize="small", labelpad=2)

    reads = figure.add_subplot(lines[0])
    for role, _, first, last in prompt.runs():
        color = ROLE_COLORS[role]
        reads.barh(0, last - first, left=first, height=1, color=color, edgecolor="white", lw=0.6)
    reads.set(xlim=(0, len(prompt)), ylim=(-0.5, 0.5), yticks=[])
    reads.set_ylabel("prompt", rotation=0, ha="right", va="center")
    reads.spines[:].set_visible(False)
    roles = list(dict.fromkeys(role for role, *_ in prompt.runs()))
    counts = {role: len(prompt.positions(role)) for role in roles}
    reads.legend(
        [Patch(color=ROLE_COLORS[role]) for role in roles],
        [f"{role.replace('_', ' ')} {counts[role]}" for role in roles],
        loc="upper left", bbox_to_anchor=(0, -0.5), ncols=len(roles), frameon=False,
        fontsize="small", handlelength=1, columnspacing=1.2, borderaxespad=0,
    )  # fmt: skip

    slots = figure.add_subplot(lines[1])
    numbers = np.arange(len(kept))
    slots.bar(
        numbers, 1, width=0.86, color=np.where(kept, BLUE, "white"),
        edgecolor=np.where(kept, BLUE, "#999999"),
    )  # fmt: skip
    if len(kept) <= 32:
        for number in range(len(kept)):
            slots.text(
                number, 0.5, str(number), ha="center", va="center", fontsize="small",
                color="white" if kept[number] else "#777777",
            )  # fmt: skip
    slots.set(xlim=(-0.6, len(kept) - 0.4), ylim=(-0.05, 1.05), xticks=[], yticks=[])
    slots.set_ylabel("slots", rotation=0, ha="right", va="center")
    slots.spines[:].set_visible(False)
    shown[0].set_title(title(heading, 100), loc="left", fontsize="medium")
    return figure, np.array([reads, slots, *shown])
