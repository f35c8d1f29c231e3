"""Rows of an evaluation of the world as tables, one for each claim. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tempo_lab.allocation.arms import ALL, PRIOR, STRICT, ata
from tempo_lab.evaluation import tables
from tempo_lab.evaluation.tables import as_columns, estimate, score_by
from tempo_lab.nano.claims.plan import LOADED_KINDS, MAIN, STRICT_KINDS
from tempo_lab.nano.world.kinds import NEEDLE
from tempo_lab.nano.world.questions import PHRASES, phrasing

NEEDLES = "needle"
"""Group of all kinds of questions about one segment."""
WAYS = {"first tokens": "first", "last tokens": "last", "random tokens": "random"}


def to_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A table of rows (see `evaluation.tables.to_frame`); kinds about one segment are one group."""
    return tables.to_frame(rows, dict.fromkeys(NEEDLE, NEEDLES))


def prior_table(frame: pd.DataFrame) -> pd.DataFrame:
    """AUC of relevance, and of its control, by model, length and kind of question."""
    rows = []
    prior = frame[(frame["arm"] == PRIOR) & frame["auc"].notna()]
    for (model, segments), part in prior.groupby(["model", "segments"]):
        kinds = [(NEEDLES, part[part["group"] == NEEDLES]), *part.groupby("kind")]
        for kind, some in kinds:
            if len(some):
                area, control = estimate(some, "auc"), estimate(some, "control_auc")
                rows.append(
                    {"model": model, "segments": segments, "kind": kind, **as_columns(area, "auc")}
                    | {"control": control.value, "control_low": control.low}
                    | {"control_high": control.high}
                )
    return pd.DataFrame(rows)


def allocation_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score and tokens used, by length, kind and arm. All arms of a kind have the same questions.

    Questions that only ATA was asked (for a more precise claim) are left out.
    """
    some = frame[(frame["model"] == MAIN) & ~frame["family"].isin([PRIOR, *WAYS])]
    some = some[~some["family"].isin(STRICT)]
    answered = some[some["arm"] == ALL.name].set_index(["video", "item"]).index
    some = some[some.set_index(["video", "item"]).index.isin(answered)]
    return score_by(some, ["segments", "group", "family", "budget"])


def front_loading_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score, and log-probability of the right answer (nat per token), with k tokens per segment."""
    some = frame[frame["family"].isin(WAYS)].copy()
    some["way"] = some["family"].map(WAYS)
    some["k"] = some["budget"].astype(int)
    some["nats"] = some["logprob"] / some["answer_tokens"]
    return score_by(some, ["model", "group", "way", "k"], "nats")


def strictness_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score and tokens of each strictness arm, on absence, presence and needle questions."""
    order = [*STRICT]
    some = frame[frame["family"].isin(order) & frame["group"].isin([*STRICT_KINDS, NEEDLES])]
    table = score_by(some, ["segments", "group", "family"])
    return table.sort_values("family", key=lambda names: names.map(order.index), kind="stable")


def phrasing_table(frame: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Score of ATA by kind of question and its wording, over all lengths.

    Wordings of a kind keep their order. ``kept_out`` marks the one that training never shows.
    Questions of several parts, and about something absent, have no wording of their own.
    """
    some = frame[
        (frame["model"] == MAIN) & (frame["arm"] == ata(slots).name) & frame["kind"].isin(PHRASES)
    ]
    wordings = map(phrasing, some["kind"], some["question"])
    some = some.assign(phrasing=list(wordings)).dropna(subset="phrasing")
    some["kept_out"] = some["phrasing"] == some["kind"].map(lambda kind: PHRASES[kind][-1])
    order = [form for group in PHRASES.values() for form in group]
    table = score_by(some, ["kind", "phrasing", "kept_out"])
    return table.sort_values("phrasing", key=lambda names: names.map(order.index), kind="stable")


def groups_of(table: pd.DataFrame) -> list[str]:
    """The groups in a table: needles first, then multi-part questions, then the others by name."""
    first = [NEEDLES, *LOADED_KINDS]
    groups = set(table["group"]) if len(table) else set()
    return [group for group in first if group in groups] + sorted(groups - set(first))
