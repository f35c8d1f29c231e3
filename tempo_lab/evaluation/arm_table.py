"""One row per arm of a run, with its measures side by side, for tables and figures. No torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tempo_lab.evaluation.summary import MINUS, PRIOR

if TYPE_CHECKING:
    import pandas as pd

    from tempo_lab.evaluation.run_folder import EvaluationRun

HEADLINES = ("M-Avg_circular", "accuracy_circular", "M-Avg", "accuracy", "auroc")
"""Measures that stand for a run; the first one that the run has is its headline."""


def headline(run: EvaluationRun) -> str | None:
    """Return the measure that stands for a run; None if nothing was compared with a truth."""
    measured = {one.measure for one in run.summary if one.questions}
    return next((name for name in HEADLINES if name in measured), None)


def arm_table(run: EvaluationRun, group: str = "all") -> pd.DataFrame:
    """Return a table with one row for each arm and budget; the model's own prior comes first.

    Its columns are arm, budget (NaN for arms without one), for each measure NAME, NAME_low and
    NAME_high (the 95 % interval), and of the headline the number of questions and videos. A
    measure of a relevance run that depends on a budget has it in its name:
    "evidence_recall@8192". Differences between arms are left out.

    Args:
        run: a run.
        group: "all", or a category and its value, as in `summary.csv`.
    """
    import pandas as pd

    main, prior = headline(run), run.config["kind"] == PRIOR
    arms: dict[tuple[str, int | None], dict[str, Any]] = {}
    for one in run.summary:
        if not one.arm or MINUS in one.arm or one.group != group:
            continue
        budget = None if prior else one.budget
        name = one.measure if budget == one.budget else f"{one.measure}@{one.budget}"
        row = arms.setdefault(
            (one.arm, budget), {"arm": one.arm, "budget": math.nan if budget is None else budget}
        )
        row |= {name: one.value, f"{name}_low": one.low, f"{name}_high": one.high}
        if name == main:
            row |= {"questions": one.questions, "videos": one.videos}
    rows = sorted(arms.values(), key=lambda row: not row["arm"].startswith("prior"))
    return pd.DataFrame(rows)
