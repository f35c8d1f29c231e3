"""The dose-response of allocation: accuracy over the AUC of relevance to which noise was added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tempo_lab.common.errors import TempoLabError
from tempo_lab.plots.style import (
    BLUE,
    GREEN,
    GREY,
    RED,
    SMALLEST,
    error_bars,
    new_axes,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLES = {"ATA": (BLUE, "o", -2.0), "top-k": (GREEN, "^", 2.0), "uniform head": (RED, "s", 0.0)}
"""Colour and marker of each family, and how far beside its AUC it is drawn, in points."""
COLUMNS = ("noise", "family", "auc", "score", "score_low", "score_high")


def relevance_noise(
    table: pd.DataFrame, *, width: float | None = None, ax: Axes | None = None
) -> tuple[Figure, Axes]:
    """Draw accuracy over the AUC of relevance, for growing noise on its logits.

    Args:
        table: `noise.csv` of `tempo-lab evaluate world`: a row for each amount of noise and family,
            with the columns noise, family, auc, score, score_low and score_high.
        width: of the figure, in inches.
        ax: axes to draw in, instead of a new figure.

    Returns:
        the figure and its axes.

    Raises:
        TempoLabError: the table lacks a column, or has no rows.
    """
    from matplotlib.transforms import ScaledTranslation

    missing = [name for name in COLUMNS if name not in table.columns]
    if missing or table.empty:
        raise TempoLabError(
            "this plot needs the table of a dose-response",
            asked=f"columns {', '.join(COLUMNS)}",
            found=f"without {', '.join(missing)}" if missing else "no rows",
            fix="read noise.csv from the folder of `tempo-lab evaluate world`",
        )
    axes = new_axes(ax, width_of(ax, width), 3.4)
    scale = axes.figure.figure.dpi_scale_trans  # type: ignore[union-attr]
    for family, (color, marker, beside) in STYLES.items():
        line = table[table["family"] == family].sort_values("auc")
        bars = error_bars(line["score"], line["score_low"], line["score_high"])
        axes.errorbar(
            line["auc"], line["score"], bars,
            color=color, marker=marker, ms=5, lw=1.3, elinewidth=0.8, label=family,
            transform=axes.transData + ScaledTranslation(beside / 72, 0, scale),
        )  # fmt: skip
    doses = table.drop_duplicates("noise").sort_values("auc")
    for _, dose in doses.iterrows():
        axes.annotate(
            f"{dose['noise']:g}", (dose["auc"], 0), (0, 3), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", color=GREY, fontsize=SMALLEST,
        )  # fmt: skip
    margin = 0.06 * max(float(doses["auc"].max() - doses["auc"].min()), 0.05)
    axes.set_xlim(doses["auc"].min() - margin, doses["auc"].max() + margin)
    axes.set(
        xlabel="AUC of relevance\n(grey: standard deviation of the noise, in logits)",
        ylabel="accuracy", ylim=(0, 1.03),
    )  # fmt: skip
    axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 0.08), fontsize="small")
    tidy(axes)
    return axes.figure.figure, axes
