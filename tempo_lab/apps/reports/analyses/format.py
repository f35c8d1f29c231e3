"""What sections share: readings of intervals, tables of findings, figures. No torch."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, Finding, Findings
from tempo_lab.apps.reports.html import Picture, picture

DPI = 105
"""Of the page's figures: small enough to be shown elsewhere too."""


def figure(name: str, caption: str, drawn: tuple[Any, Any]) -> Picture:
    """A plot as a picture of the page."""
    return picture(name, caption, drawn, DPI)


def against_claim(difference: Finding) -> str:
    """What a difference says of something that the method claims to be above 0."""
    return difference.reading("as claimed", "the opposite of the claim", "not seen here")


def read_agreement(told: Findings, pair: str, words: tuple[str, str, str, str]) -> str:
    """What the rank correlation of two measures says.

    Args:
        pair: of measures.
        words: where they agree on more than the first segment; on that alone; less than with
            another question; not about the question.
    """
    rho, gain = (
        told("compare", f"rank correlation{of}, {pair}") for of in ("", " less other question")
    )
    beyond = rho.low > told("compare", FIRST_ALONE).value
    return gain.reading(words[0] if beyond else words[1], words[2], words[3])


def table(told: Findings, analysis: str) -> pd.DataFrame:
    """All findings of one analysis."""
    every = told.to_pandas()
    return every[every["analysis"] == analysis].drop(columns=["analysis", "seed"])
