"""Rows of an evaluation of the world as tables, one for each claim. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from tempo_lab.allocation.arms import ALL, CONTROLS, NOISY, PRIOR, RIVALS, STRICT, ata, quarter
from tempo_lab.common.statistics import Estimate
from tempo_lab.evaluation import tables
from tempo_lab.evaluation.tables import as_columns, estimate, paired_difference, score_by
from tempo_lab.nano.claims.plan import LOADED_KINDS, MAIN, STRICT_KINDS
from tempo_lab.nano.world.kinds import NEEDLE
from tempo_lab.nano.world.questions import PHRASES, phrasing

NEEDLES = "needle"
"""Group of all kinds of questions about one segment."""
QUESTIONS = {
    NEEDLES: "needles", "multi": "several parts", "time": "time", "order": "order",
    "absence": "absence", "most": "the place shown most", "count": "counts", "two_hop": "two hops",
}  # fmt: skip
"""Groups that claims are about, as text."""
CONTROL_COLUMNS = (
    "group", "family", "role", "score", "tokens", "ata_minus", "ata_minus_low", "ata_minus_high",
    "n", "videos",
)  # fmt: skip
NOISE_COLUMNS = (
    "noise", "family", "auc", "auc_low", "auc_high", "score", "score_low", "score_high", "tokens",
    "n", "videos",
)  # fmt: skip
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

    Questions that only ATA was asked are left out.
    """
    others = [PRIOR, *WAYS, *STRICT, *NOISY]
    some = frame[(frame["model"] == MAIN) & ~frame["family"].isin(others)]
    answered = some[some["arm"] == ALL.name].set_index(["video", "item"]).index
    some = some[some.set_index(["video", "item"]).index.isin(answered)]
    return score_by(some, ["segments", "group", "family", "budget"])


def controls_table(frame: pd.DataFrame, slots: int, segments: int = 32) -> pd.DataFrame:
    """ATA beside every other arm of its budget, by kind of question: score, tokens, difference.

    Its columns are group, family, role ("control", "rival", "upper bound" or "all tokens"), score,
    tokens, and ata_minus with its interval and the number of questions and videos.

    Args:
        frame: of `to_frame`.
        slots: K, memory tokens per segment.
        segments: length of the videos.
    """
    roles = {ALL.family: "all tokens"} | dict.fromkeys(CONTROLS, "control")
    roles |= dict.fromkeys(RIVALS, "rival") | {"oracle routing": "upper bound"}
    own, rows = ata(slots), []
    some = frame[(frame["model"] == MAIN) & (frame["segments"] == segments)]
    asked = some[some["arm"] == own.name]
    for group in groups_of(asked):
        part = some[some["group"] == group]
        for family, role in {own.family: "", **roles}.items():
            budget = part["budget"].isna() if family == ALL.family else part["budget"] == own.budget
            arm = part[(part["family"] == family) & budget & part["score"].notna()]
            if len(arm):
                difference = paired_difference(part, own.name, arm["arm"].iloc[0])
                lead = as_columns(difference, "ata_minus") if role else {"n": len(arm)}
                score = {"score": arm["score"].mean(), "tokens": arm["tokens"].mean()}
                rows.append({"group": group, "family": family, "role": role} | score | lead)
    return pd.DataFrame(rows, columns=list(CONTROL_COLUMNS))


def noise_table(frame: pd.DataFrame, slots: int) -> pd.DataFrame:
    """Score of needles by noise on the logits of relevance, with the AUC of the noisy relevance.

    A row for each amount of noise and family: ATA, top-k, and uniform head, which does not read the
    relevance. Its columns are noise, family, auc, score and their intervals, tokens, n and videos.
    Without noise, the AUC is that of the model's own relevance.

    Args:
        frame: of `to_frame`.
        slots: K, memory tokens per segment.
    """
    some = frame[(frame["model"] == MAIN) & (frame["group"] == NEEDLES)]
    asked = some[some["family"].isin(NOISY)].set_index(["video", "item"]).index
    some = some[some.set_index(["video", "item"]).index.isin(asked)]
    without = {"ATA": ata(slots).family, "top-k": "top-k", "uniform head": "uniform head"}
    prior = estimate(some[some["arm"] == PRIOR], "auc")
    rows = []
    for noise in sorted({0.0, *(noise for _, noise in NOISY.values())}) if len(some) else ():
        for name, family in without.items():
            noisy = name != "uniform head" and noise
            wanted = f"{name}, noise {noise:g}" if noisy else family
            arm = some[(some["family"] == wanted) & (some["budget"] == quarter(slots))]
            area: Estimate = estimate(some[some["family"] == f"ATA, noise {noise:g}"], "auc")
            row = {"noise": noise, "family": name, **as_columns(area if noise else prior, "auc")}
            row |= {"tokens": arm["tokens"].mean(), **as_columns(estimate(arm), "score")}
            rows.append(row)
    return pd.DataFrame(rows, columns=list(NOISE_COLUMNS))


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
