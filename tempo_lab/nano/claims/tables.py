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
    """AUC of relevance by whose it is, length and kind of question, beside its control."""
    rows = []
    prior = frame[(frame["arm"] == PRIOR) & frame["auc"].notna()]
    for (model, segments), part in prior.groupby(["model", "segments"]):
        kinds = [(NEEDLES, part[part["group"] == NEEDLES]), *part.groupby("kind")]
        for kind, some in kinds:
            if len(some):
                found, control = estimate(some, "auc"), estimate(some, "control_auc")
                rows.append(
                    {"model": model, "segments": segments, "kind": kind, **as_columns(found, "auc")}
                    | {"control": control.value, "control_low": control.low}
                    | {"control_high": control.high}
                )
    return pd.DataFrame(rows)


def allocation_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score against tokens used, by length, kind and arm; each kind on the same questions.

    Questions that only ATA answered (for the precision of a claim) are left out, so that the arms
    of a kind can be compared.
    """
    some = frame[(frame["model"] == MAIN) & ~frame["family"].isin([PRIOR, *WAYS])]
    some = some[~some["family"].isin(STRICT)]
    answered = some[some["arm"] == ALL.name].set_index(["video", "item"]).index
    some = some[some.set_index(["video", "item"]).index.isin(answered)]
    return score_by(some, ["segments", "group", "family", "budget"])


def front_loading_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Score and log-probability of the right answer (nat a token) with k tokens a segment kept."""
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
    table = score_by(some, ["kind", "phrasing", "kept_out"])
    return table.sort_values("phrasing", key=lambda names: names.map(order.index), kind="stable")


def groups_of(table: pd.DataFrame) -> list[str]:
    """The groups in a table: needles first, multi-part next, the others by name."""
    first = [NEEDLES, *LOADED_KINDS]
    found = set(table["group"]) if len(table) else set()
    return [g for g in first if g in found] + sorted(found - set(first))
