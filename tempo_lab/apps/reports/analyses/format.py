"""What sections share: texts that follow from intervals, tables of findings, pictures. No torch."""

from __future__ import annotations

from typing import Any

import pandas as pd

from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE, Finding, Findings
from tempo_lab.apps.reports.html import Picture, render_picture

DPI = 105
"""Of the page's figures: small enough to be shown elsewhere too."""


def plot_picture(name: str, caption: str, drawn: tuple[Any, Any]) -> Picture:
    """Return a plot as a picture of the page."""
    return render_picture(name, caption, drawn, DPI)


def compare_with_claim(difference: Finding) -> str:
    """Return what a difference says about a claim that it is above 0."""
    return difference.interpret("as claimed", "the opposite of the claim", "not seen here")


def interpret_agreement(findings: Findings, pair: str, texts: tuple[str, str, str, str]) -> str:
    """Return the text that the rank correlation of two measures supports.

    Args:
        findings: those of the analysis "compare".
        pair: the two measures.
        texts: for agreement on more than the first segment; on the first segment alone; for less
            agreement than with another question; for agreement that is not about the question.
    """
    correlation, gain = (
        findings("compare", f"rank correlation{of}, {pair}") for of in ("", " minus other question")
    )
    beyond_first = correlation.low > findings("compare", FIRST_ALONE).value
    return gain.interpret(texts[0] if beyond_first else texts[1], texts[2], texts[3])


def findings_table(findings: Findings, analysis: str) -> pd.DataFrame:
    """Return all findings of one analysis."""
    rows = findings.to_pandas()
    return rows[rows["analysis"] == analysis].drop(columns=["analysis", "seed"])
