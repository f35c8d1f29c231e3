"""The measures of an evaluation's rows, each with its 95 % interval. No torch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from typing import Any

import numpy as np

from tempo_lab.allocation.ata import allocate
from tempo_lab.common.errors import BudgetError, TempoLabError
from tempo_lab.common.statistics import bootstrap_mean
from tempo_lab.evaluation.answer_scoring import (
    ROTATION,
    Judged,
    Score,
    accuracy,
    circular_scores,
    judge,
    strict_letter,
)
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.prior_measures import Measured, measure_prior
from tempo_lab.evaluation.prior_measures import summarize as mean_measures
from tempo_lab.evaluation.store import Row

ANSWERS, PRIOR = "answers", "prior"
"""Kinds of runs: rows that hold answers, or rows that hold relevance."""


@dataclass(frozen=True)
class Measure:
    """One row of `summary.csv`.

    Attributes:
        arm: how the question was answered; "" for counts of the whole dataset.
        budget: memory tokens of the whole video; None for arms and measures without one.
        group: "all", or a category and its value: "kind=color".
        measure: "accuracy", "tokens", "auroc", ...
        value: the mean over questions, or a count.
        low, high: 95 % interval, clustered by video; NaN for counts and for fewer than two videos.
        questions: how many count.
        videos: how many different ones.
    """

    arm: str
    budget: int | None
    group: str
    measure: str
    value: float
    low: float
    high: float
    questions: int
    videos: int


COLUMNS = tuple(field.name for field in fields(Measure))


def measure_rows(
    rows: Sequence[Row], config: dict[str, Any], dataset: Dataset | None, skipped: int = 0
) -> list[Measure]:
    """Return the measures of all arms and groups.

    Args:
        rows: of one run.
        config: its configuration.
        dataset: its rules score the answers; None for the rules that the configuration names.
        skipped: rows of the dataset that were not asked.

    Raises:
        TempoLabError: the configuration names rules that are not part of this package.
    """
    arms: dict[tuple[str, int | None], list[Row]] = defaultdict(list)
    for row in rows:
        arms[row["family"], row["budget"]].append(row)
    measures = [Measure("", None, "all", "skipped", skipped, math.nan, math.nan, skipped, 0)]
    rules = Rules.of(dataset, config["rules"]) if config["kind"] == ANSWERS else None
    for (arm, budget), part in sorted(arms.items(), key=lambda item: (item[0][0], item[0][1] or 0)):
        answered = [row for row in part if "failed" not in row]
        measures.append(_count(arm, budget, "failed", part, len(part) - len(answered)))
        if rules is None:
            measures += _of_prior(arm, answered, config)
        else:
            measures += _of_answers(arm, budget, part, rules, config.get("circular", False))
            for name, frames in (("tokens", False), ("tokens_per_frame", True)):
                each = [row for row in answered if row["frames"] or not frames]  # blind: no frames
                values = [row["used"] / (row["frames"] if frames else 1) for row in each]
                mean = bootstrap_mean(values, [row["video"] for row in each])
                measures.append(_measure(arm, budget, Score.of("all", name, mean)))
    return measures


def _measure(arm: str, budget: int | None, score: Score) -> Measure:
    return Measure(
        arm, budget, score.group, score.measure, score.value, score.low, score.high,
        score.questions, score.videos,
    )  # fmt: skip


def _count(arm: str, budget: int | None, name: str, rows: Sequence[Row], count: int) -> Measure:
    videos = len({row["video"] for row in rows})
    return Measure(arm, budget, "all", name, count, math.nan, math.nan, len(rows), videos)


# Answers


@dataclass(frozen=True)
class Rules:
    """A dataset's rules for scores.

    Attributes:
        extract, letters, aggregate: see `Dataset`.
    """

    extract: Callable[[str, str], str | None]
    letters: str | None
    aggregate: Callable[[Sequence[Judged]], list[Score]]

    @classmethod
    def of(cls, dataset: Dataset | None, names: dict[str, Any]) -> Rules:
        """Return the rules of a dataset, or without one those that a configuration names."""
        if dataset is not None:
            return cls(dataset.extract, dataset.letters, dataset.aggregate)
        return cls(_find(names["extract"]), names["letters"], _find(names["aggregate"]))


def rule_names(dataset: Dataset) -> dict[str, Any]:
    """Return the names of a dataset's rules, as JSON, by which `Rules.of` finds them again."""

    def name(rule: Any) -> str:
        return f"{getattr(rule, '__module__', '?')}:{getattr(rule, '__qualname__', repr(rule))}"

    return {
        "extract": name(dataset.extract),
        "letters": dataset.letters,
        "aggregate": name(dataset.aggregate),
    }


def _find(name: str) -> Any:
    """The function of this package with a name; a configuration cannot name other code."""
    module, _, function = str(name).partition(":")
    if module.startswith("tempo_lab.evaluation.") and function.isidentifier():
        try:
            return getattr(import_module(module), function)
        except (ImportError, AttributeError):
            pass
    raise TempoLabError(
        "the rule that scores these answers is not part of Tempo Lab",
        asked=name,
        fix="pass the dataset: rescore(out, dataset)",
    )


def _of_answers(
    arm: str, budget: int | None, rows: Sequence[Row], rules: Rules, rotated: bool
) -> Iterator[Measure]:
    known = [row for row in rows if row["truth"] is not None]
    if not known:
        return
    if rotated:
        for scored_by, end in ((rules, ""), (None, "_strict")):
            each = [_judge(row, scored_by) for row in known]
            for score in circular_scores(each, rules.aggregate):
                yield _measure(arm, budget, replace(score, measure=f"{score.measure}{end}"))
        first = f"{ROTATION}0"  # of the options in their own order
        known = [row for row in known if not row["options"] or row["item"].endswith(first)]
    released = [_judge(row, rules) for row in known]
    for score in rules.aggregate(released):
        yield _measure(arm, budget, score)
    yield _count(arm, budget, "unparsed", known, accuracy(released).unparsed)
    if any(row["options"] for row in known):
        strict = [_judge(row, None) for row in known]
        for score in rules.aggregate(strict):
            yield _measure(arm, budget, replace(score, measure=f"{score.measure}_strict"))
        yield _count(arm, budget, "unparsed_strict", known, accuracy(strict).unparsed)


def _judge(row: Row, rules: Rules | None) -> Judged:
    """A row, judged by a dataset's rules, or strictly without them."""
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


def _categories(row: Row) -> dict[str, str | tuple[str, ...]]:
    values = row["categories"].items()
    return {name: value if isinstance(value, str) else tuple(value) for name, value in values}


# Relevance


def _of_prior(arm: str, rows: Sequence[Row], config: dict[str, Any]) -> Iterator[Measure]:
    known = [row for row in rows if row["evidence"] is not None]
    yield _count(arm, None, "no_evidence", rows, len(rows) - len(known))
    groups: dict[str, list[Row]] = {"all": known} if known else {}
    for row in known:
        for name, value in sorted(_categories(row).items()):
            for one in dict.fromkeys((value,) if isinstance(value, str) else value):
                groups.setdefault(f"{name}={one}", []).append(row)
    measured = {row["item"]: _measured(row) for row in known}
    recalls = {
        budget: {row["item"]: _recall(row, budget, config) for row in known}
        for budget in config["budgets"]
    }
    for group in sorted(groups, key=lambda group: (group != "all", group)):
        for budget, each in ((None, measured), *recalls.items()):
            for score in mean_measures([each[row["item"]] for row in groups[group]], group):
                yield _measure(arm, budget, score)


def _relevance(row: Row) -> np.ndarray:
    """float64 [segment], in which different logits stay different."""
    return 1 / (1 + np.exp(-np.asarray(row["logit"], float)))


def _spans(row: Row) -> list[tuple[float, float]]:
    return [(start, end) for start, end in row["evidence"]]


def _measured(row: Row) -> Measured:
    """The measures that need no budget."""
    clips = row["saliency"]
    measures = measure_prior(
        _relevance(row),
        row["start"],
        row["end"],
        _spans(row),
        **({} if clips is None else {"saliency": clips["scores"], "clip": clips["clip"]}),
    )
    return Measured(row["item"], row["video"], measures)


def _recall(row: Row, budget: int, config: dict[str, Any]) -> Measured:
    """The share of the evidence that ATA and a uniform allocation keep at a budget."""
    names, slots = ("evidence_recall", "evidence_recall_uniform"), config["slots"]
    relevance = _relevance(row)
    try:
        tokens = allocate(
            relevance, budget, min_tokens=config["min_tokens"], max_tokens=slots
        ).tokens
    except BudgetError:  # more segments than tokens
        return Measured(row["item"], row["video"], dict.fromkeys(names, math.nan))
    measures = measure_prior(
        relevance, row["start"], row["end"], _spans(row), tokens=tokens, slots=slots
    )
    return Measured(row["item"], row["video"], {name: measures[name] for name in names})
