"""What the evaluate commands print: tables that fit 80 columns, and messages on stderr."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tempo_lab.apps.terminal import print_error, print_table
from tempo_lab.common.text import escape_control_chars

if TYPE_CHECKING:
    from tempo_lab.evaluation.compare import Comparison
    from tempo_lab.evaluation.run_folder import EvaluationRun
    from tempo_lab.nano.claims.claims import ClaimVerdict

INTERVAL = "95 %"
COSTS = {
    "tokens": "tokens", "tokens_per_frame": "/frame", "unparsed": "unparsed", "failed": "failed",
}  # fmt: skip
RANKINGS = {
    "average_precision": "AP", "hit@1": "hit@1", "hit@5": "hit@5", "R1@0.5": "R1@.5",
    "failed": "failed",
}  # fmt: skip
"""Measures that follow the headline, with the heads of their columns; all are in the report."""
HEADLINES = {
    "auroc": "AUROC", "accuracy_circular": "circular", "M-Avg_circular": "circular",
}  # fmt: skip
COMPARED = {
    "accuracy": "accuracy", "auroc": "AUROC", "average_precision": "AP", "hit@1": "hit@1",
}  # fmt: skip
"""Measures that the comparison of two runs shows."""
DIGITS = {"budget": 0, "unparsed": 0, "failed": 0, "tokens": 1, "tokens_per_frame": 2}
VERDICT_COLORS = {"shown": "green", "refuted": "red"}


def show_run(run: EvaluationRun) -> None:
    """Print the arms of a run, and on stderr what was not answered."""
    from tempo_lab.evaluation.arm_table import arm_table, headline
    from tempo_lab.evaluation.summary import PRIOR

    arms, main = arm_table(run).to_dict("records"), headline(run)
    columns = {} if main is None else {main: HEADLINES.get(main, main), INTERVAL: INTERVAL}
    for arm in arms:
        arm[INTERVAL] = _interval(arm.get(f"{main}_low"), arm.get(f"{main}_high"))
    if run.config["kind"] == PRIOR:
        columns |= RANKINGS
    else:
        columns = {"budget": "budget", **columns, **COSTS}
    if arms:
        print_table(_table(arms, columns))
    for what, messages in (
        ("rows failed", [row["failed"] for row in run.failed]),
        ("rows of the dataset were skipped", [row.message for row in run.skipped]),
    ):
        if messages:
            print_error(f"{len(messages)} {what}; the first one: {messages[0]}")


def run_record(run: EvaluationRun, page: Path) -> dict[str, Any]:
    """Return a run as values for JSON: one row per arm, and what was not answered.

    Args:
        run: a finished run.
        page: its report.
    """
    from tempo_lab.evaluation.arm_table import arm_table, headline

    return {
        "folder": str(run.folder),
        "report": str(page),
        "headline": headline(run),
        "arms": arm_table(run).to_dict("records"),
        "failed": [row["failed"] for row in run.failed],
        "skipped": [row.message for row in run.skipped],
    }


def comparison_record(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison of two runs as values for JSON, with every group and measure."""
    return {
        **asdict(comparison),
        "first": str(comparison.first),
        "second": str(comparison.second),
        "settings": {
            name: {"first": first, "second": second}
            for name, (first, second) in comparison.settings.items()
        },
    }


def show_comparison(comparison: Comparison) -> None:
    """Print the paired differences of two runs, what differs between them, and their questions."""
    shown = [
        one for one in comparison.differences if one.group == "all" and one.measure in COMPARED
    ]
    measures = {COMPARED[one.measure] for one in shown}
    rows = []
    for one in shown:
        rows.append({
            "arm": one.arm,
            "budget": one.budget,
            "measure": COMPARED[one.measure] if len(measures) > 1 else "",
            "first": one.first,
            "second": one.second,
            "diff": one.difference,
            INTERVAL: _interval(one.low, one.high, " to "),
            "n": str(one.questions),
        })  # fmt: skip
    what = measures.pop() if len(measures) == 1 else "measures"
    lines = [f"{what} on the {comparison.shared} questions that are the same in both runs"]
    for count, where in (
        (comparison.only_first, "only in the first run"),
        (comparison.only_second, "only in the second run"),
        (comparison.changed, "not the same in both runs, and not compared"),
    ):
        lines += [f"{count} questions are {where}"] if count else []
    lines += ["diff: the first run minus the second, with its paired interval", ""]
    print("\n".join(lines))
    columns = ("budget", "measure", "first", "second", "diff", INTERVAL, "n")
    print_table(_table(rows, dict(zip(columns, columns, strict=True))))
    for name, values in comparison.settings.items():
        first, second = (", ".join(map(str, v)) if isinstance(v, list) else v for v in values)
        print(escape_control_chars(f"\n{name}: {first}\n  in the second run: {second}"))


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> Table:
    """Return a table of the columns that have values. Only names of arms may be wrapped."""
    shown = {name: head for name, head in columns.items() if any(_cell(r, name) for r in rows)}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("arm", overflow="fold")
    for head in shown.values():
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        name = Text(escape_control_chars(row["arm"]))
        table.add_row(name, *(_cell(row, column) for column in shown))
    return table


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    if value is None or isinstance(value, str):
        return value or ""
    return "" if math.isnan(value) else f"{value:.{DIGITS.get(column, 3)}f}"


def _interval(low: float | None, high: float | None, between: str = "-") -> str:
    if low is None or high is None or math.isnan(low):
        return ""
    return f"{low:.3f}{between}{high:.3f}"


def verdict_table(verdicts: list[ClaimVerdict]) -> Table:
    """Return the verdicts on the claims as a table."""
    from tempo_lab.apps.reports.html import VERDICT_COLUMNS

    table = Table(*VERDICT_COLUMNS, box=None, pad_edge=False, header_style="bold")
    for found in verdicts:
        verdict = Text(found.verdict, style=VERDICT_COLORS.get(found.verdict, "dim"))
        table.add_row(found.claim.name, found.claim.threshold, found.measured, verdict)
    return table
