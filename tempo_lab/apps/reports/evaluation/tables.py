"""The tables of an evaluation's report: arms, groups, recall, and rows without a result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from tempo_lab.common.text import one_line
from tempo_lab.evaluation.answer_scoring import judge
from tempo_lab.evaluation.arm_table import arm_table, headline
from tempo_lab.evaluation.scoring_rules import Rules
from tempo_lab.evaluation.store import FAILED
from tempo_lab.evaluation.summary import MINUS, PRIOR

if TYPE_CHECKING:
    from tempo_lab.evaluation.run_folder import EvaluationRun

WITH_INTERVAL = (
    "M-Avg_circular", "accuracy_circular", "M-Avg", "accuracy", "accuracy_strict", "auroc",
    "average_precision", "hit@1", "hit@5",
)  # fmt: skip
"""Measures that the table of arms shows with their intervals."""
COSTS = {
    "tokens": "tokens", "tokens_per_frame": "tokens per frame", "seconds": "seconds",
    "memory_mib": "memory (MiB)", "context_left": "context left (tokens)",
}  # fmt: skip
"""Means over questions that have no truth."""
COUNTS = ("unparsed", "failed", "no_evidence")
SPANS = ("R1@0.3", "R1@0.5", "R1@0.7", "mAP", "mIoU", "mIoP", "rec@IoU")
"""Measures of predicted spans."""
MOST_ROWS = 200
"""Rows that a table of unanswered questions shows at most."""


def estimate_text(value: float, low: float, high: float) -> str:
    """Return a mean with its interval; "" where there is no mean."""
    if math.isnan(value):
        return ""
    return f"{value:.3f}" if math.isnan(low) else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def arms(run: EvaluationRun) -> pd.DataFrame:
    """Return a row per arm and budget: its measures with intervals, and what was not scored."""
    table = arm_table(run)
    if not len(table):
        return table
    shown = _names(run, table)
    for measure in WITH_INTERVAL:
        if measure in table:
            shown[_title(measure)] = _estimates(table, measure)
    for measure in (*COUNTS, "questions", "videos"):
        if measure in table:
            shown[_title(measure)] = [_whole(value) for value in table[measure]]
    return shown


def costs(run: EvaluationRun) -> pd.DataFrame:
    """Return a row per arm and budget: what a question costs. It has no rows if nothing is known.

    The columns are tokens, tokens per frame, seconds, memory and context left, as far as the run
    has them.
    """
    table = arm_table(run)
    known = [measure for measure in COSTS if measure in table and table[measure].notna().any()]
    if not known:
        return pd.DataFrame()
    shown = _names(run, table)
    for measure in known:
        digits = 2 if measure in ("tokens_per_frame", "seconds") else 1
        shown[COSTS[measure]] = [
            "" if math.isnan(value) else f"{value:.{digits}f}" for value in table[measure]
        ]
    return shown


def _names(run: EvaluationRun, table: pd.DataFrame) -> pd.DataFrame:
    """Return the arms of a table, and their budgets where they have any."""
    names = pd.DataFrame({"arm": table["arm"]})
    if run.config["kind"] != PRIOR:
        names["budget"] = [_whole(budget) for budget in table["budget"]]
    return names


def _estimates(table: pd.DataFrame, measure: str) -> list[str]:
    columns = (table[measure], table[f"{measure}_low"], table[f"{measure}_high"])
    return [estimate_text(*values) for values in zip(*columns, strict=True)]


def _title(measure: str) -> str:
    return "AUROC" if measure == "auroc" else measure.replace("_", " ")


def differences(run: EvaluationRun) -> pd.DataFrame:
    """Return the paired differences between arms; no rows if there are none."""
    main = "auroc" if run.config["kind"] == PRIOR else "accuracy"
    return pd.DataFrame(
        [
            {
                "difference": one.arm,
                "budget": "" if one.budget is None else str(one.budget),
                _title(one.measure): estimate_text(one.value, one.low, one.high),
                "questions": one.questions,
                "videos": one.videos,
            }
            for one in run.summary
            if MINUS in one.arm and one.group == "all" and one.measure == main
        ]
    )


def spans(run: EvaluationRun) -> pd.DataFrame:
    """Return a row per arm of a relevance run: how well the predicted spans fit the evidence."""
    table = arm_table(run)
    return table[["arm", *(name for name in SPANS if name in table)]]


def recall(run: EvaluationRun) -> pd.DataFrame:
    """Return a row per arm and budget: the share of the evidence that ATA keeps, and uniform."""
    table = arm_table(run)
    parts = []
    for budget in run.config["budgets"]:
        if f"evidence_recall@{budget}" in table:
            part = pd.DataFrame({"arm": table["arm"], "budget": str(budget)})
            part["ATA"] = _estimates(table, f"evidence_recall@{budget}")
            part["uniform"] = _estimates(table, f"evidence_recall_uniform@{budget}")
            parts.append(part)
    return pd.concat(parts) if parts else pd.DataFrame()


def by_category(run: EvaluationRun) -> dict[str, pd.DataFrame]:
    """Return by category a table with a row per value, and the headline of each arm."""
    main = headline(run)
    main = "accuracy" if main == "M-Avg" else main
    chosen = [
        one
        for one in run.summary
        if one.measure == main and "=" in one.group and MINUS not in one.arm
    ]
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for one in chosen:
        category, _, value = one.group.partition("=")
        row = tables.setdefault(category, {}).setdefault(value, {category: value, "questions": 0})
        row["questions"] = max(row["questions"], one.questions)
        arm = one.arm if one.budget is None else f"{one.arm} {one.budget}"
        row[arm] = estimate_text(one.value, one.low, one.high)
    return {name: pd.DataFrame([*rows.values()]).fillna("") for name, rows in tables.items()}


def _whole(value: float) -> str:
    return "" if math.isnan(value) else str(int(value))


# Rows without a result


def failed(run: EvaluationRun) -> pd.DataFrame:
    """Return the rows without an answer, and why."""
    return _rows(run.failed, {"why": lambda row: row[FAILED]})


def unparsed(run: EvaluationRun) -> pd.DataFrame:
    """Return the answers to questions with options in which the dataset's rule finds no letter."""
    if run.config["kind"] == PRIOR:
        return pd.DataFrame()
    rules = Rules.of(None, run.config["rules"])
    rows = [
        row
        for row in run.rows
        if row.get("options") and row.get("truth") is not None and row.get("said") is not None
        and not judge(
            row["said"], row["truth"], row["options"], id=row["item"], video=row["video"],
            extract=rules.extract, letters=rules.letters,
        ).parsed
    ]  # fmt: skip
    return _rows(rows, {"answer": lambda row: row["said"]})


def skipped(run: EvaluationRun) -> pd.DataFrame:
    """Return the rows of the dataset that were not asked, and why."""
    return pd.DataFrame(
        [
            {"row": one.place, "reason": one.reason, "message": one_line(one.message, 300)}
            for one in run.skipped[:MOST_ROWS]
        ]
    )


def _rows(
    rows: Iterable[Mapping[str, Any]], more: Mapping[str, Callable[[Mapping[str, Any]], Any]]
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "video": row["video"],
                "id": row["item"],
                "arm": row["arm"],
                "question": one_line(row["question"], 200),
                **{name: one_line(str(value(row)), 300) for name, value in more.items()},
            }
            for row in [*rows][:MOST_ROWS]
        ]
    )
