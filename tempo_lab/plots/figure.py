"""The class of the figures that plots create."""

from __future__ import annotations

from typing import Any

import matplotlib
import matplotlib.figure

TRUETYPE: Any = {"pdf.fonttype": 42, "ps.fonttype": 42}
"""Settings that embed fonts as TrueType; Matplotlib's default, Type 3, is rejected by journals."""


class Figure(matplotlib.figure.Figure):
    """A figure whose PDF and PS files embed TrueType fonts, whatever the global settings are."""

    def savefig(self, fname: Any, **options: Any) -> None:  # type: ignore[override]
        """Save the figure; see `matplotlib.figure.Figure.savefig`."""
        with matplotlib.rc_context(TRUETYPE):
            super().savefig(fname, **options)
