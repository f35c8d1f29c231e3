"""The page's first table: one row a question, with its control and what the interval allows."""

from __future__ import annotations

import pandas as pd

from tempo_lab.analysis.front_loading_result import RANDOM, TAIL
from tempo_lab.analysis.report import measure
from tempo_lab.analysis.report.findings import Findings
from tempo_lab.analysis.report.measure import MULTI, NEEDLE, Measured
from tempo_lab.analysis.report.sections import against_paper
from tempo_lab.evaluation.arms import quarter
from tempo_lab.evaluation.report import Section


def glance(measured: Measured, told: Findings) -> Section:
    """What came out, in a dozen rows."""
    k = quarter(measured.slots)
    rows: list[tuple[str, object, object, object, str]] = []

    gain = told("relevance", "AUC less shuffled")
    shuffled = told("relevance", "AUC, shuffled question")
    rows.append((
        "Does relevance rank the evidence first? AUC", told("relevance", "AUC"),
        f"shuffled question {shuffled}", gain,
        gain.reading("as in the paper", "the opposite of the paper", "not seen here"),
    ))  # fmt: skip
    on = told("allocation", "on evidence less shuffled, head")
    rows.append((
        "Do tokens go to the evidence? Share of ATA's", told("allocation", "on evidence, head"),
        f"shuffled scores {told('allocation', 'on evidence, shuffled question, head')}", on,
        on.reading("as in the paper", "the opposite of the paper", "not seen here"),
    ))  # fmt: skip
    for of in (NEEDLE, MULTI):
        for arm in (TAIL, RANDOM):
            for measured_by in ("accuracy", "logprob"):
                name = f"front_loading, {of}"
                lead = told(name, f"lead in {measured_by} over {arm}, k={k}")
                rows.append((
                    f"Front-loading, {of}: first {k} against {arm} {k}, {measured_by}",
                    told(name, f"{measured_by}, head, k={k}"),
                    f"{arm} {told(name, f'{measured_by}, {arm}, k={k}')}", lead,
                    against_paper(lead),
                ))  # fmt: skip
    name = f"front_loading, {measure.RANDOM}"
    lead = told(name, f"lead in logprob over {TAIL}, k={k}")
    rows.append((
        f"The same of random weights: first {k} against tail {k}, logprob",
        told(name, f"logprob, head, k={k}"), f"tail {told(name, f'logprob, {TAIL}, k={k}')}", lead,
        lead.reading("ahead untrained", "behind untrained", "neither is ahead, as it must be"),
    ))  # fmt: skip
    look = told("attention", "decision on evidence less elsewhere")
    rows.append((
        "Does the decision look more at frames with evidence? Attention, difference", look,
        f"random weights {told('attention', 'decision on evidence less elsewhere, random weights')}",
        "", look.reading("yes", "less at them", "not seen here"),
    ))  # fmt: skip
    for pair in map(str, measured.comparison.data["pair"].to_numpy()):
        gain = told("compare", f"rank correlation less other question, {pair}")
        rows.append((
            f"Do {pair.replace(', ', ' and ')} of segments agree? Rank correlation",
            told("compare", f"rank correlation, {pair}"),
            f"other question {told('compare', f'rank correlation, other question, {pair}')}", gain,
            gain.reading("yes", "less than with another question", "not about the question"),
        ))  # fmt: skip
    names = ["question", "measured", "control", "measured less control", "reading"]
    table = pd.DataFrame([[str(cell) for cell in row] for row in rows], columns=names)
    return Section(
        "What came out",
        ["Each row is a section below, where it is said how it was measured."],
        tables={"Readings follow from the interval of the difference alone": table},
        folded=False,
    )
