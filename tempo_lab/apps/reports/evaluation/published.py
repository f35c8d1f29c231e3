"""The published results of the released model, next to those of a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from tempo_lab.common.errors import TraceError
from tempo_lab.evaluation.arm_table import arm_table

if TYPE_CHECKING:
    from tempo_lab.analysis.published_results import PublishedResults
    from tempo_lab.evaluation.run_folder import EvaluationRun

PARTS: Mapping[str, Mapping[str, str]] = {
    "lvbench": {"LVBench": "all"},
    "videomme": {
        "Video-MME": "all",
        "Video-MME, short": "duration=short",
        "Video-MME, medium": "duration=medium",
        "Video-MME, long": "duration=long",
    },
    "mlvu": {"MLVU": "all"},
    "longvideobench": {"LongVideoBench": "all"},
}
"""Groups of a run, by the names of published columns, by dataset."""
MEASURES = {"mlvu": "M-Avg"}
"""The measure that is published, where it is not the accuracy."""
BUDGETS = {4096: "4K", 8192: "8K", 12288: "12K"}
OTHER_SOURCES = {("LVBench", "12K"): 53.7}
"""Right answers in % that the published table does not have: with 2048 frames, without a script."""
ARM = "head"
"""The arm that is the released method."""


def published_comparison(run: EvaluationRun) -> pd.DataFrame | None:
    """Return the published results next to those of the same arm and budget in a run.

    Returns:
        a row per benchmark and budget: right answers in % and tokens per frame, published and of
        this run with its interval; NaN where there is none. None if the dataset is no benchmark
        with published results.
    """
    dataset = run.config["dataset"]
    if dataset not in PARTS:
        return None
    table = _published()
    measure = MEASURES.get(dataset, "accuracy")
    rows = []
    for benchmark, group in PARTS[dataset].items():
        arms = arm_table(run, group)
        own = arms[arms["arm"] == ARM] if len(arms) else arms
        for budget in sorted({*BUDGETS, *(int(one) for one in own.get("budget", ()))}):
            score, tokens = _released(table, benchmark, BUDGETS.get(budget, ""))
            found = own[own["budget"] == budget].to_dict("records") if len(own) else []
            mine: Mapping[str, Any] = found[0] if found else {}
            rows.append({
                "benchmark": benchmark,
                "budget": budget,
                "published (%)": score,
                "published tokens per frame": tokens,
                "this run (%)": 100 * mine.get(measure, math.nan),
                "95 % from": 100 * mine.get(f"{measure}_low", math.nan),
                "to": 100 * mine.get(f"{measure}_high", math.nan),
                "tokens per frame": mine.get("tokens_per_frame", math.nan),
                "questions": mine.get("questions", 0),
            })  # fmt: skip
    return pd.DataFrame(rows)


def published_models(run: EvaluationRun) -> pd.DataFrame | None:
    """Return the published results of all models on the run's benchmark; None if there are none."""
    table, benchmarks = _published(), [*PARTS.get(run.config["dataset"], ())]
    if table is None or not benchmarks:
        return None
    frame = table.data[["score", "tokens", "size"]].to_dataframe().reset_index()
    frame = frame[frame["benchmark"].isin(benchmarks) & frame["score"].notna()]
    return frame.rename(columns={"score": "right answers (%)", "tokens": "tokens per frame"})


def _published() -> PublishedResults | None:
    from tempo_lab.analysis.published_results import published_results

    try:
        return published_results()
    except TraceError:  # it does not come with this installation
        return None


def _released(table: PublishedResults | None, benchmark: str, name: str) -> tuple[float, float]:
    """Right answers in % and tokens per frame of the released model; NaN if not published."""
    if (benchmark, name) in OTHER_SOURCES:
        return OTHER_SOURCES[benchmark, name], math.nan
    model = f"Tempo* ({name} budget)"
    if (
        table is None
        or benchmark not in table.data["benchmark"]
        or model not in table.data["model"]
    ):
        return math.nan, math.nan
    cell = table.data.sel(model=model, benchmark=benchmark)
    return float(cell["score"]), float(cell["tokens"])
