"""What each question of a run measures, by arm: means and paired differences are made of it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tempo_lab.allocation.ata import allocate
from tempo_lab.common.errors import BudgetError
from tempo_lab.evaluation.answer_scoring import (
    ROTATION,
    Judged,
    circular,
    complete_rotations,
    judge,
    strict_letter,
)
from tempo_lab.evaluation.measured import COSTS, Measured
from tempo_lab.evaluation.prior_measures import (
    evidence_segments,
    measure_prior,
    recalls_at_equal_tokens,
)
from tempo_lab.evaluation.scoring_rules import Rules
from tempo_lab.evaluation.store import FAILED, Row

ANSWERS, PRIOR = "answers", "prior"
"""Kinds of runs: rows that hold answers, or rows that hold relevance."""
ACCURACIES = ("accuracy", "accuracy_strict", "accuracy_circular", "accuracy_circular_strict")
"""By the rules of the dataset or strictly; circular: right in each rotation of the options."""

Arm = tuple[str, int | None]
"""The family of an arm, and its memory tokens for the whole video or None."""


def rows_by_arm(rows: Sequence[Row]) -> dict[Arm, list[Row]]:
    """Return the rows of each arm, sorted by family and budget."""
    arms: dict[Arm, list[Row]] = defaultdict(list)
    for row in rows:
        arms[row["family"], row["budget"]].append(row)
    return dict(sorted(arms.items(), key=lambda item: (item[0][0], item[0][1] or 0)))


def question_measures(
    rows: Sequence[Row], config: Mapping[str, Any], rules: Rules | None
) -> dict[Arm, list[Measured]]:
    """Return the measures of each question, by arm.

    Relevance has no budget, but the recall of evidence has: it is there as an arm at each budget
    of the configuration.

    Args:
        rows: of one run.
        config: its configuration.
        rules: how to score answers; None for a run that only scored the segments.
    """
    measured: dict[Arm, list[Measured]] = {}
    for (family, budget), part in rows_by_arm(rows).items():
        if rules is not None:
            measured[family, budget] = _of_answers(part, rules, is_circular(config))
            continue
        known = [row for row in part if FAILED not in row and row["evidence"] is not None]
        measured[family, None] = [_measured(row, _relevance_measures(row)) for row in known]
        for tokens in config["budgets"]:
            measured[family, tokens] = [
                _measured(row, _evidence_recall(row, tokens, config)) for row in known
            ]
    return measured


def _measured(row: Row, measures: Mapping[str, float]) -> Measured:
    return Measured(row["item"], row["video"], measures, _categories(row))


def _categories(row: Row) -> dict[str, str | tuple[str, ...]]:
    values = row["categories"].items()
    return {name: value if isinstance(value, str) else tuple(value) for name, value in values}


def costs(row: Row) -> dict[str, float]:
    """Return what a finished row took, by the names in `COSTS`; nothing that it does not record."""
    used, frames = row.get("used"), row.get("frames")
    if used is not None and frames:
        row = {**row, "tokens": used, "tokens_per_frame": used / frames}
    elif used is not None:
        row = {**row, "tokens": used}
    return {name: float(row[name]) for name in COSTS if row.get(name) is not None}


# Answers


def is_circular(config: Mapping[str, Any]) -> bool:
    """Return whether each question was asked once for each rotation of its options."""
    return bool(config.get("circular"))


def judge_rows(rows: Sequence[Row], rules: Rules | None) -> list[Judged]:
    """Return the judged answers of one arm; questions whose truth is unknown are left out.

    Args:
        rows: of one arm.
        rules: of a dataset; None for the strict ones.
    """
    return [_judge(row, rules) for row in rows if row["truth"] is not None]


def first_rotations(rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose options are in their own order."""
    return [row for row in rows if row["item"] in (name := question_id(row), f"{name}{ROTATION}0")]


def question_id(row: Row) -> str:
    """Return the id of a circular run's question: without the number of its rotation."""
    rotated = row["options"] and row["truth"] is not None
    return row["item"].rpartition(ROTATION)[0] if rotated else row["item"]


def _judge(row: Row, rules: Rules | None) -> Judged:
    return judge(
        row.get("said"),
        row["truth"],
        row["options"],
        id=row["item"],
        video=row["video"],
        categories=_categories(row),
        extract=strict_letter if rules is None else rules.extract,
        letters=None if rules is None else rules.letters,
    )


def _of_answers(rows: Sequence[Row], rules: Rules, fold: bool) -> list[Measured]:
    """Return the accuracies and costs of an arm's questions; costs are means over rotations."""
    finished = [row for row in rows if FAILED not in row]
    each: dict[str, list[Row]] = defaultdict(list)
    for row in finished:
        each[question_id(row) if fold else row["item"]].append(row)
    right: dict[str, dict[str, float]] = {}
    options = any(row["options"] for row in rows)
    for rule, end in ((rules, ""), (None, "_strict")):
        if rule is None and not options:
            continue
        own = judge_rows(first_rotations(rows) if fold else rows, rule)
        right[f"accuracy{end}"] = _correct(own, fold)
        if fold:
            rotations = complete_rotations(judge_rows(rows, rule))
            right[f"accuracy_circular{end}"] = _correct(circular(rotations), False)
    measured = []
    for name, part in each.items():
        spent = [costs(row) for row in part]
        measures = {
            **{score: answers[name] for score, answers in right.items() if name in answers},
            **{
                cost: float(np.mean([one[cost] for one in spent if cost in one]))
                for cost in COSTS
                if any(cost in one for one in spent)
            },
        }
        measured.append(Measured(name, part[0]["video"], measures, _categories(part[0])))
    return measured


def _correct(judged: Sequence[Judged], rotated: bool) -> dict[str, float]:
    """Return how right each answered question is, by its id."""
    return {
        one.id.removesuffix(f"{ROTATION}0") if rotated and one.options else one.id: one.correct
        for one in judged
        if one.answered
    }


# Relevance


def _relevance(row: Row) -> np.ndarray:
    """Return float64 [segment], in which different logits stay different."""
    return 1 / (1 + np.exp(-np.asarray(row["logit"], float)))


def _spans(row: Row) -> list[tuple[float, float]]:
    return [(start, end) for start, end in row["evidence"]]


def _relevance_measures(row: Row) -> dict[str, float]:
    """Return the measures that need no budget, and what the row cost."""
    clips = row["saliency"]
    measures = measure_prior(
        _relevance(row),
        row["start"],
        row["end"],
        _spans(row),
        **({} if clips is None else {"saliency": clips["scores"], "clip": clips["clip"]}),
    )
    return {**measures, **costs(row)}


def _evidence_recall(row: Row, budget: int, config: Mapping[str, Any]) -> dict[str, float]:
    """Return the share of the evidence that ATA and a uniform allocation keep at a budget."""
    slots = config["slots"]
    try:
        tokens = allocate(
            _relevance(row), budget, min_tokens=config["min_tokens"], max_tokens=slots
        ).tokens
    except BudgetError:  # more segments than tokens
        return dict.fromkeys(("evidence_recall", "evidence_recall_uniform"), math.nan)
    truth = evidence_segments(row["start"], row["end"], _spans(row))
    return recalls_at_equal_tokens(tokens, truth, slots)
