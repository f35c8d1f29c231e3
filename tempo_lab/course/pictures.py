"""A figure as text, for readers who cannot see it and for tests of notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


HIDDEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)"
"""Style of a text that screen readers read and nobody sees."""
CLASS = "tempo-lab-alt"
"""Class of the paragraph in which a notebook keeps the alternative text of the next picture."""


class Drawn(str):
    """The alternative text of a figure: a page hides it, and a screen reader reads it.

    JupyterLab has no alternative text for pictures. In stored notebooks the picture has it, too:
    see `tests/notebook_store.py`.
    """

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f'<p class="{CLASS}" style="{HIDDEN}">{html.escape(str(self), quote=False)}</p>'


def drawn(figure: Figure) -> Drawn:
    """Return a description of a figure, one line per panel: labels, number of values, their range.

    Args:
        figure: any figure of this library.

    Returns:
        text that is hidden where pictures are shown, and printed without quotes elsewhere.
    """
    lines = []
    for number, axes in enumerate(figure.axes, start=1):
        names = [_one(axes.get_ylabel()), _one(axes.get_xlabel())]
        label = " over ".join(name for name in names if name)
        title = _one(axes.get_title("left") or axes.get_title())
        labels = ", ".join(part for part in (title, label) if part)
        contents = [
            f"a picture of {_pixels(image)} pixels" for image in axes.images if _is_color(image)
        ]
        values = _values(axes)
        if len(values) or not contents:
            contents.append(_summary(values))
        lines.append(f"{number}. {labels or 'no labels'}: {', '.join(contents)}")
    return Drawn("\n".join(lines))


def _one(text: str) -> str:
    return " ".join(text.replace("\\$", "$").split())


def _summary(values: np.ndarray) -> str:
    if not len(values):
        return "no numbers"
    low, high, mean = (
        _short(float(value)) for value in (values.min(), values.max(), values.mean())
    )
    return f"{len(values)} numbers, {low} to {high}, mean {mean}"


def _short(value: float) -> str:
    """Return a number with two decimals, so that noise of the last bit does not change the text."""
    text = f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
    return text.replace("-0.00", "0.00")


def _is_color(image: Any) -> bool:
    array = image.get_array()
    return array is not None and array.ndim == 3


def _pixels(image: Any) -> str:
    high, wide = image.get_array().shape[:2]
    return f"{wide} x {high}"


def _values(axes: Axes) -> np.ndarray:
    """Return all finite numbers that are drawn in a panel: heights, lines, points, cells."""
    from matplotlib.patches import Rectangle, StepPatch

    parts: list[Any] = [line.get_ydata() for line in axes.lines]
    for patch in axes.patches:
        if isinstance(patch, StepPatch):
            parts.append(patch.get_data()[0])
        elif isinstance(patch, Rectangle) and patch.get_fill():
            parts.append([patch.get_height()])
    for mappable in [*axes.images, *axes.collections]:
        if mappable.get_array() is not None and not _is_color(mappable):
            parts.append(mappable.get_array())
    flat: list[np.ndarray] = [
        np.ma.filled(np.ma.asarray(part, dtype=float), np.nan).ravel() for part in parts
    ]
    values = np.concatenate(flat) if flat else np.empty(0)
    return values[np.isfinite(values)]
