"""Rows of an evaluation as tables, with bootstrap intervals. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from tempo_lab.allocation.arms import PRIOR
from tempo_lab.common.statistics import (
    SHARE,
    Estimate,
    Reliability,
    bootstrap_mean,
    reliability,
)

COLUMNS = (
    "video", "segments", "seed", "item", "kind", "model", "arm", "family", "budget", "question",
    "truth", "said", "score", "used", "logprob", "answer_tokens", "auc", "control_auc", "error",
)  # fmt: skip
SHARES = ("score", "auc", "control_auc")
"""Columns of numbers between 0 and 1."""


def to_frame(
    rows: Iterable[Mapping[str, Any]], groups: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Return a table with a row for each row, the columns of `results.csv`, and

    group: of the question's kind.
    tokens: memory tokens used per segment of the video.

    Args:
        rows: of a run.
        groups: name of the group of a kind; by default each kind is its own group.
    """
    frame = pd.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows])
    frame = frame.reindex(columns=list(COLUMNS))
    numbers = ["score", "used", "logprob", "answer_tokens", "auc", "control_auc", "budget"]
    frame[numbers] = frame[numbers].astype(float)
    frame["group"] = frame["kind"].map(lambda kind: (groups or {}).get(kind, kind))
    frame["tokens"] = frame["used"] / frame["segments"]
    return frame


def estimate(frame: pd.DataFrame, column: str = "score") -> Estimate:
    """Return the mean of a column over questions; its interval resamples videos."""
    bounds = SHARE if column in SHARES else None
    return bootstrap_mean(frame[column], frame["video"], bounds=bounds)


def contrast(frame: pd.DataFrame, weights: Mapping[str, float]) -> Estimate:
    """Return the weighted sum of the scores of arms, on the questions that all of them answered.

    Args:
        frame: rows of one model.
        weights: by the name of an arm.
    """
    chosen = frame[frame["arm"].isin(weights)]
    table = chosen.pivot(index=["video", "item"], columns="arm", values="score")
    values = sum(weight * table.reindex(columns=[arm])[arm] for arm, weight in weights.items())
    signs = np.array([*weights.values()])
    bounds = float(signs.clip(max=0).sum()), float(signs.clip(min=0).sum())
    return bootstrap_mean(values, table.index.get_level_values("video"), bounds=bounds)


def paired_difference(frame: pd.DataFrame, one: str, other: str) -> Estimate:
    """Return the score of one arm minus that of another, on the questions that both answered."""
    return contrast(frame, {one: 1, other: -1})


def calibration(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Reliability]:
    """Return how well relevance, as a probability, agrees with the evidence, by (model, length).

    All segments count of all questions whose evidence is some segments, but not all.
    """
    pooled: dict[tuple[str, int], tuple[list[float], list[bool]]] = {}
    for row in rows:
        if row["arm"] != PRIOR or row.get("auc") is None:
            continue
        logit, flags = pooled.setdefault((row["model"], row["segments"]), ([], []))
        logit += row["logit"]
        flags += np.isin(np.arange(len(row["logit"])), row["evidence"]).tolist()
    return {
        key: reliability(1 / (1 + np.exp(-np.asarray(logit))), flags)
        for key, (logit, flags) in sorted(pooled.items())
    }


def refused_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the arms that were refused at some budget or length, and why."""
    some = frame[frame["error"].notna()]
    table = some.groupby(["model", "segments", "arm", "error"]).size()
    return table.rename("questions").reset_index()


def score_by(frame: pd.DataFrame, columns: list[str], also: str | None = None) -> pd.DataFrame:
    """Return the mean score with its interval, and mean tokens, by these columns.

    Args:
        frame: of `to_frame`.
        columns: to group by.
        also: another column whose mean and interval are wanted.
    """
    measures = [name for name in (also, "score") if name is not None]
    rows = []
    for values, part in frame[frame["score"].notna()].groupby(columns, dropna=False):
        row = {**dict(zip(columns, values, strict=True)), "tokens": part["tokens"].mean()}
        for name in measures:
            row |= as_columns(estimate(part, name), name)
        rows.append(row)
    names = [name + end for name in measures for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*columns, "tokens", *names, "n", "videos"])


def as_columns(mean: Estimate, name: str) -> dict[str, Any]:
    """Return an estimate as the columns NAME, NAME_low, NAME_high, n and videos of one row."""
    columns = asdict(mean)
    return {
        name: columns.pop("value"),
        f"{name}_low": columns.pop("low"),
        f"{name}_high": columns.pop("high"),
        **columns,
    }
