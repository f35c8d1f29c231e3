"""A figure as text: for readers who cannot see it, and for tests that compare more than pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Drawn(str):
    """Lines of text, shown as they are."""

    def __repr__(self) -> str:
        return str(self)


def drawn(figure: Figure) -> Drawn:
    """Text that describes a figure, one line per panel: labels, number of values, and their range.

    Args:
        figure: any figure of this library.

    Returns:
        text that is displayed as such.
    """
    lines = []
    for number, axes in enumerate(figure.axes, start=1):
        names = [_one(axes.get_ylabel()), _one(axes.get_xlabel())]
        label = " over ".join(name for name in names if name)
        title = _one(axes.get_title("left") or axes.get_title())
        what = ", ".join(part for part in (title, label) if part)
        said = [
            f"a picture of {_pixels(shown)} pixels" for shown in axes.images if _is_color(shown)
        ]
        values = _values(axes)
        if len(values) or not said:
            said.append(_said(values))
        lines.append(f"{number}. {what or 'no labels'}: {', '.join(said)}")
    return Drawn("\n".join(lines))


def _one(text: str) -> str:
    return " ".join(text.replace("\\$", "$").split())


def _said(values: np.ndarray) -> str:
    if not len(values):
        return "no numbers"
    low, high, mean = (
        _short(float(value)) for value in (values.min(), values.max(), values.mean())
    )
    return f"{len(values)} numbers, {low} to {high}, mean {mean}"


def _short(value: float) -> str:
    """Two digits after the point; noise of the last bit may not change what is said."""
    text = f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
    return text.replace("-0.00", "0.00")


def _is_color(shown: Any) -> bool:
    array = shown.get_array()
    return array is not None and array.ndim == 3


def _pixels(shown: Any) -> str:
    high, wide = shown.get_array().shape[:2]
    return f"{wide} x {high}"


def _values(axes: Axes) -> np.ndarray:
    """Every finite number that is drawn in a panel: heights, lines, points, cells."""
    from matplotlib.patches import Rectangle, StepPatch

    found: list[Any] = [line.get_ydata() for line in axes.lines]
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            found.append(patch.get_data()[0])
        elif isinstance(patch, Rectangle) and patch.get_fill():
            found.append([patch.get_height()])
    for shown in [*axes.images, *axes.collections]:
        if shown.get_array() is not None and not _is_color(shown):
            found.append(shown.get_array())
    flat: list[np.ndarray] = [
        np.ma.filled(np.ma.asarray(part, dtype=float), np.nan).ravel() for part in found
    ]
    values = np.concatenate(flat) if flat else np.empty(0)
    return values[np.isfinite(values)]
