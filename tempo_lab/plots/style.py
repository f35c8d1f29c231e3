"""What all figures share: colours, axes, titles. The Okabe-Ito set, which colour-blind readers can
tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.trace.trace import interventions_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tempo_lab.analysis.result import Result

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, RED, PINK = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#777777", "#cccccc"
"""The Okabe-Ito colours (RED is their vermillion), and two greys for what stands behind."""
CYCLE = (BLUE, RED, GREEN, PINK, SKY, ORANGE, BLACK)
"""Lines of one figure, in this order."""
MARKERS = "osD^vPX"
"""Of those lines, so that nothing is told by colour alone."""
MAP, AROUND_ZERO = "viridis", "RdBu_r"
"""For what has one direction; and around zero for differences."""
STYLES: dict[str, tuple[str, str]] = {
    "ATA head": (BLUE, "o"),
    "ATA tail": (SKY, "v"),
    "ATA random": (SKY, "D"),
    "ATA ToMe": (SKY, "s"),
    "uniform head": (RED, "o"),
    "uniform ToMe": (RED, "s"),
    "top-k": (GREEN, "^"),
    "sparse frames": (PINK, "X"),
    "all tokens": (BLACK, "*"),
    "shuffled scores": (GREY, "P"),
    "oracle routing": (ORANGE, "D"),
}
"""Colour and marker of each family of arms, in every figure that compares allocations."""
HOLLOW = ("oracle routing", "shuffled scores")
"""Families drawn as hollow markers: the ceiling and the control."""

R = TypeVar("R", bound="Result")


def check_kind(given: Any, kind: type[R], made_by: str) -> R:
    """The result, if it is of that kind.

    Args:
        made_by: the function that makes one, for the message.

    Raises:
        TraceError: it is something else.
    """
    if not isinstance(given, kind):
        raise TraceError(
            f"this figure is drawn of a result of the kind {kind.__name__}",
            asked=one_line(repr(given), 120),
            found=type(given).__name__,
            fix=f"give what tempo_lab.analysis.{made_by} returned",
        )
    return given


def tidy(*axes: Axes) -> None:
    """No frame above and at the right, faint lines behind."""
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(axis="y", color="#e5e5e5", linewidth=0.8)
        each.set_axisbelow(True)


def spans(axes: Axes, edges: np.ndarray, heights: np.ndarray, color: str) -> None:
    """Fill each segment from start to end; white lines part them while there is room."""
    axes.stairs(heights, edges, fill=True, color=color)
    if len(heights) <= 160:
        axes.vlines(edges[1:-1], 0, np.maximum(heights[1:], heights[:-1]), color="white", lw=0.7)


def edges_of(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Where segments meet, in seconds, [segment + 1]; an image is drawn one second wide."""
    edges = np.append(start, end[-1]).astype(float)
    return edges if edges[-1] > edges[0] else edges[0] + np.arange(len(edges), dtype=float)


def told(provenance: Mapping[str, Any]) -> str:
    """What was made different in a run, to stand behind its question; "" for nothing."""
    done = "; ".join(interventions_of(provenance))
    return f" [{done}]" if done else ""


def title(text: str, longest: int) -> str:
    """Text as one line of a title, in which a dollar sign begins no mathematics."""
    return one_line(text, longest).replace("$", r"\$")
