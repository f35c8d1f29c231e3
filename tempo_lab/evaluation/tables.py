"""Rows of an evaluation as tables, one for each claim, with bootstrap intervals. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from tempo_lab.allocation.arms import ALL, PRIOR, STRICT, ata
from tempo_lab.common.statistics import (
    SHARE,
    Estimate,
    Reliability,
    bootstrap_mean,
    reliability,
)
from tempo_lab.nano.claims.plan import LOADED_KINDS, MAIN, STRICT_KINDS
from tempo_lab.nano.world.kinds import NEEDLE
from tempo_lab.nano.world.questions import PHRASES, phrasing

NEEDLES = "needle"
"""Name of all kinds of questions about one segment, taken together."""

COLUMNS = (
    "video", "segments", "seed", "item", "kind", "model", "arm", "family", "budget", "question",
    "truth", "said", "score", "used", "logprob", "answer_tokens", "auc", "control_auc", "error",
)  # fmt: skip
SHARES = ("score", "auc", "control_auc")
"""Columns of numbers between 0 and 1."""
WAYS = {"first tokens": "first", "last tokens": "last", "random tokens": "random"}


def to_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table with the columns of `results.csv`, and

    group: "needle" for each kind about one segment, else the kind.
    tokens: memory tokens used, a segment of the video.
    """
    frame = pd.DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows])
    frame = frame.reindex(columns=list(COLUMNS))
    numbers = ["score", "used", "logprob", "answer_tokens", "auc", "control_auc", "budget"]
    frame[numbers] = frame[numbers].astype(float)
    frame["group"] = frame["kind"].where(~frame["kind"].isin(NEEDLE), NEEDLES)
    frame["tokens"] = frame["used"] / frame["segments"]
    return frame


def estimate(frame: pd.DataFrame, column: str = "score") -> Estimate:
    """Mean of a column over questions; the interval resamples videos."""
    bounds = SHARE if column in SHARES else None
    return bootstrap_mean(frame[column], frame["video"], bounds=bounds)


def contrast(frame: pd.DataFrame, weights: Mapping[str, float]) -> Estimate:
    """Weighted sum of the scores of arms, on the questions that all of them answered.

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
    """Score of one arm minus that of another, on the questions that both answered."""
    return contrast(frame, {one: 1, other: -1})


def prior_table(frame: pd.DataFrame) -> pd.DataFrame:
    """AUC of relevance by whose it is, length and kind of question, beside its control."""
    rows = []
    prior = frame[(frame["arm"] == PRIOR) & frame["auc"].notna()]
    for (model, segments), part in prior.groupby(["model", "segments"]):
        kinds = [(NEEDLES, part[part["group"] == NEEDLES]), *part.groupby("kind")]
        for kind, some in kinds:
            if len(some):
                found, control = estimate(some, "auc"), estimate(some, "control_auc")
                rows.append(
                    {"model": model, "segments": segments, "kind": kind, **_told(found, "auc")}
                    | {"control": control.value, "control_low": control.low}
                    | {"control_high": control.high}
                )
    return pd.DataFrame(rows)


def calibration(rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int], Reliability]:
    """How relevance as a probability agrees with the evidence, by (model, length).

    Over all segments of all questions whose evidence is some segments, but not all.
    """
    found: dict[tuple[str, int], tuple[list[float], list[bool]]] = {}
    for row in rows:
        if row["arm"] != PRIOR or row.get("auc") is None:
            continue
        logit, flags = found.setdefault((row["model"], row["segments"]), ([], []))
        logit += row["logit"]
        flags += np.isin(np.arange(len(row["logit"])), row["evidence"]).tolist()
    return {
        key: reliability(1 / (1 + np.exp(-np.asarray(logit))), flags)
        for key, (logit, flags) in sorted(found.items())
    }


def allocation_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score against tokens used, by length, kind and arm; each kind on the same questions.

    Questions that only ATA answered (for the precision of a claim) are left out, so that the arms
    of a kind can be compared.
    """
    some = frame[(frame["model"] == MAIN) & ~frame["family"].isin([PRIOR, *WAYS])]
    some = some[~some["family"].isin(STRICT)]
    answered = some[some["arm"] == ALL.name].set_index(["video", "item"]).index
    some = some[some.set_index(["video", "item"]).index.isin(answered)]
    return _by(some, ["segments", "group", "family", "budget"])


def front_loading_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score and log-probability of the right answer (nat a token) with k tokens a segment kept."""
    some = frame[frame["family"].isin(WAYS)].copy()
    some["way"] = some["family"].map(WAYS)
    some["k"] = some["budget"].astype(int)
    some["nats"] = some["logprob"] / some["answer_tokens"]
    return _by(some, ["model", "group", "way", "k"], "nats")


def strictness_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score and tokens of each strictness arm, on absence, presence and needle questions."""
    order = [*STRICT]
    some = frame[frame["family"].isin(order) & frame["group"].isin([*STRICT_KINDS, NEEDLES])]
    table = _by(some, ["segments", "group", "family"])
    return table.sort_values("family", key=lambda names: names.map(order.index), kind="stable")


def phrasing_table(frame: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Score of ATA by kind of question and its wording, at all lengths together.

    Phrases of a kind stand in their order; ``kept_out`` marks the one that training never shows.
    Questions of several parts, and about what is not there, have no wording of their own.
    """
    some = frame[
        (frame["model"] == MAIN) & (frame["arm"] == ata(slots).name) & frame["kind"].isin(PHRASES)
    ]
    said = [phrasing(*asked) for asked in zip(some["kind"], some["question"], strict=True)]
    some = some.assign(phrasing=said).dropna(subset="phrasing")
    some["kept_out"] = some["phrasing"] == some["kind"].map(lambda kind: PHRASES[kind][-1])
    order = [form for group in PHRASES.values() for form in group]
    table = _by(some, ["kind", "phrasing", "kept_out"])
    return table.sort_values("phrasing", key=lambda names: names.map(order.index), kind="stable")


def refused_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Arms that were impossible at some budget or length, and why."""
    some = frame[frame["error"].notna()]
    table = some.groupby(["model", "segments", "arm", "error"]).size()
    return table.rename("questions").reset_index()


def groups_of(table: pd.DataFrame) -> list[str]:
    """The groups in a table: needles first, multi-part next, the others by name."""
    first = [NEEDLES, *LOADED_KINDS]
    found = set(table["group"]) if len(table) else set()
    return [g for g in first if g in found] + sorted(found - set(first))


def _by(frame: pd.DataFrame, columns: list[str], also: str | None = None) -> pd.DataFrame:
    """Mean score with its interval and mean tokens, by these columns; `also` one column more."""
    measures = [name for name in (also, "score") if name is not None]
    rows = []
    for values, part in frame[frame["score"].notna()].groupby(columns, dropna=False):
        row = {**dict(zip(columns, values, strict=True)), "tokens": part["tokens"].mean()}
        for name in measures:
            row |= _told(estimate(part, name), name)
        rows.append(row)
    names = [name + end for name in measures for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*columns, "tokens", *names, "n", "videos"])


def _told(found: Estimate, name: str) -> dict[str, Any]:
    told = asdict(found)
    return {
        name: told.pop("value"),
        f"{name}_low": told.pop("low"),
        f"{name}_high": told.pop("high"),
        **told,
    }
