"""The page's first table: one row a question, with its control and what the interval allows."""

from __future__ import annotations

import pandas as pd

from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.front_loading.result import HEAD, RANDOM, TAIL
from tempo_lab.apps.reports.analyses import run
from tempo_lab.apps.reports.analyses.findings import Finding, Findings
from tempo_lab.apps.reports.analyses.format import against_claim, read_agreement
from tempo_lab.apps.reports.analyses.run import MULTI, NEEDLE, Measured
from tempo_lab.apps.reports.html import Section

COLUMNS = ("question", "measured", "control", "difference", "reading")
Row = tuple[str, Finding, str, Finding | str, str]


def glance(measured: Measured, told: Findings) -> Section:
    """What came out, in a dozen rows."""
    pairs = map(str, measured.comparison.data["pair"].to_numpy())
    rows = [
        _routing(told),
        _tokens(told),
        *(
            _front(measured, told, of, arm, what)
            for of in (NEEDLE, MULTI)
            for arm in (TAIL, RANDOM)
            for what in ("accuracy", "logprob")
        ),
        _front(measured, told, run.RANDOM, TAIL, "logprob"),
        _evidence(told),
        *(_agreement(told, pair) for pair in pairs),
    ]
    table = pd.DataFrame([[str(cell) for cell in row] for row in rows], columns=list(COLUMNS))
    return Section(
        "What came out",
        ["Sections below say how each row was measured; readings follow from intervals alone."],
        tables={"logprob: log-probability of the right answer": table},
        folded=False,
    )


def _routing(told: Findings) -> Row:
    gain, control = (
        told("relevance", f"AUC{of}") for of in (" less shuffled", ", shuffled question")
    )
    asked = "Does relevance rank the evidence first? AUC"
    return (
        asked,
        told("relevance", "AUC"),
        f"shuffled question: {control}",
        gain,
        against_claim(gain),
    )


def _tokens(told: Findings) -> Row:
    own, control, gain = (
        told("allocation", f"on evidence{of}, head")
        for of in ("", ", shuffled question", " less shuffled")
    )
    asked = "Do tokens go to the evidence? Share of those of ATA"
    return asked, own, f"shuffled question: {control}", gain, against_claim(gain)


def _front(measured: Measured, told: Findings, of: str, arm: str, what: str) -> Row:
    name, k = f"front_loading, {of}", quarter(measured.slots)
    lead = told(name, f"lead in {what} over {arm}, k={k}")
    reading = against_claim(lead)
    if of == run.RANDOM:
        reading = lead.reading("ahead untrained", "behind untrained", "neither is ahead")
    return (
        f"Front-loading, {of}: do the first {k} tokens carry more than {arm} {k}? {what}",
        told(name, f"{what}, {HEAD}, k={k}"),
        f"{arm}: {told(name, f'{what}, {arm}, k={k}')}",
        lead,
        reading,
    )


def _evidence(told: Findings) -> Row:
    name = "decision on evidence less elsewhere"
    apart, control = told("attention", name), told("attention", f"{name}, random weights")
    asked = "Do frames with the evidence get more attention of the decision? Difference"
    reading = apart.reading("yes", "less", "not seen here")
    return asked, apart, f"random weights: {control}", "", reading


def _agreement(told: Findings, pair: str) -> Row:
    own, control, gain = (
        told("compare", f"rank correlation{of}, {pair}")
        for of in ("", ", other question", " less other question")
    )
    asked = f"Do {pair.replace(', ', ' and ')} of segments agree? Rank correlation"
    words = "yes", "on the first", "less than with another question", "not about the question"
    reading = read_agreement(told, pair, words)
    return asked, own, f"other question: {control}", gain, reading
