"""The page's first table: a row per question, with its control and what its interval supports."""

from __future__ import annotations

import pandas as pd

from tempo_lab.allocation.arms import quarter
from tempo_lab.analysis.front_loading.result import HEAD, RANDOM, TAIL
from tempo_lab.apps.reports.analyses.findings import Finding, Findings
from tempo_lab.apps.reports.analyses.format import compare_with_claim, interpret_agreement
from tempo_lab.apps.reports.analyses.run import MULTI, NEEDLE, RANDOM_WEIGHTS, ReportResults
from tempo_lab.apps.reports.html import Section

LABELS = {TAIL: "the last ones", RANDOM: "random ones"}
"""Arms that the first tokens are compared with, as text."""
COLUMNS = ("question", "measured", "control", "difference", "reading")
Row = tuple[str, Finding, str, Finding | str, str]


def summary(results: ReportResults, findings: Findings) -> Section:
    """Return the results of all analyses in a dozen rows."""
    pairs = map(str, results.comparison.data["pair"].to_numpy())
    rows = [
        _routing(findings),
        _tokens(findings),
        *(
            _front_loading(results, findings, condition, arm, measure)
            for condition in (NEEDLE, MULTI)
            for arm in (TAIL, RANDOM)
            for measure in ("accuracy", "logprob")
        ),
        _front_loading(results, findings, RANDOM_WEIGHTS, TAIL, "logprob"),
        _evidence(findings),
        *(_agreement(findings, pair) for pair in pairs),
    ]
    table = pd.DataFrame([[str(cell) for cell in row] for row in rows], columns=list(COLUMNS))
    return Section(
        "Results",
        [
            "The sections below say how each row was measured. The last column follows from the"
            " interval alone."
        ],
        tables={"logprob: log-probability of the right answer": table},
        folded=False,
    )


def _routing(findings: Findings) -> Row:
    gain, control = (
        findings("relevance", f"AUC{of}") for of in (" minus shuffled", ", shuffled question")
    )
    return (
        "Does relevance rank the evidence first? AUC",
        findings("relevance", "AUC"),
        f"shuffled question: {control}",
        gain,
        compare_with_claim(gain),
    )


def _tokens(findings: Findings) -> Row:
    own, control, gain = (
        findings("allocation", f"on evidence{of}, head")
        for of in ("", ", shuffled question", " minus shuffled")
    )
    question = "Do tokens go to the evidence? Share of ATA's tokens"
    return question, own, f"shuffled question: {control}", gain, compare_with_claim(gain)


def _front_loading(
    results: ReportResults, findings: Findings, condition: str, arm: str, measure: str
) -> Row:
    name, k = f"front_loading, {condition}", quarter(results.slots)
    lead = findings(name, f"lead in {measure} over {arm}, k={k}")
    reading = compare_with_claim(lead)
    if condition == RANDOM_WEIGHTS:
        reading = lead.interpret("ahead untrained", "behind untrained", "neither is ahead")
    return (
        f"Front-loading, {condition}: do the first {k} tokens carry more than {LABELS[arm]}?"
        f" {measure}",
        findings(name, f"{measure}, {HEAD}, k={k}"),
        f"{LABELS[arm]}: {findings(name, f'{measure}, {arm}, k={k}')}",
        lead,
        reading,
    )


def _evidence(findings: Findings) -> Row:
    name = "decision on evidence minus elsewhere"
    difference = findings("attention", name)
    control = findings("attention", f"{name}, random weights")
    question = "Do frames with the evidence get more attention of the decision? Difference"
    reading = difference.interpret("yes", "no, less", "not seen here")
    return question, difference, f"random weights: {control}", "", reading


def _agreement(findings: Findings, pair: str) -> Row:
    own, control, gain = (
        findings("compare", f"rank correlation{of}, {pair}")
        for of in ("", ", other question", " minus other question")
    )
    question = f"Do {pair.replace(', ', ' and ')} of segments agree? Rank correlation"
    texts = (
        "yes", "on the first segment", "less than with another question", "not about the question",
    )  # fmt: skip
    reading = interpret_agreement(findings, pair, texts)
    return question, own, f"other question: {control}", gain, reading
