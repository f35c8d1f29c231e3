"""The measures of an evaluation's rows, each with its 95 % interval. No torch.

A run has the measures of each arm, and the paired differences between its arms: "uniform minus
head" is the arm uniform minus the first arm, head, on the questions that both answered. In a run
that only scored the segments it is the question's own relevance minus each of its controls.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from tempo_lab.allocation.arms import PRIOR as OWN
from tempo_lab.evaluation.answer_scoring import Score, accuracy, circular_scores
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.measured import COSTS, Measured, groups, paired_differences, summarize
from tempo_lab.evaluation.question_measures import (
    ACCURACIES,
    ANSWERS,
    PRIOR,
    Arm,
    first_rotations,
    is_circular,
    judge_rows,
    question_measures,
    rows_by_arm,
)
from tempo_lab.evaluation.scoring_rules import Rules, rule_names
from tempo_lab.evaluation.store import FAILED, Row, key_of

__all__ = ["ANSWERS", "COLUMNS", "MINUS", "PRIOR", "Measure", "measure_rows", "rule_names"]

MINUS = " minus "
"""Between the names of two arms in a row that holds their difference."""
BLIND = "blind"
"""The arm that sees no video: others are not compared with it, it is compared with them."""
UNIFORM = "evidence_recall_uniform"
"""What equally many tokens keep if they are spread evenly: no measure of the relevance."""


@dataclass(frozen=True)
class Measure:
    """One row of `summary.csv`.

    Attributes:
        arm: how the question was answered; "" for counts of the whole dataset; for a difference
            both arms: "uniform minus head".
        budget: memory tokens of the whole video; None for arms and measures without one.
        group: "all", or a category and its value: "kind=color".
        measure: "accuracy", "tokens", "seconds", "auroc", ...
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
    rows: Sequence[Row], config: Mapping[str, Any], dataset: Dataset | None, skipped: int = 0
) -> list[Measure]:
    """Return the measures of all arms and groups, and the differences between arms.

    Args:
        rows: of one run, in the order in which they were asked: the first arm is compared with
            the others.
        config: its configuration.
        dataset: its rules score the answers; None for the rules that the configuration names.
        skipped: rows of the dataset that were not asked.

    Raises:
        TempoLabError: the configuration names rules that are not part of this package.
    """
    rules = Rules.of(dataset, config["rules"]) if config["kind"] == ANSWERS else None
    reference = OWN if rules is None else _first_arm(rows)
    rows = sorted(rows, key=lambda row: tuple(map(str, key_of(row))))
    measured = question_measures(rows, config, rules)
    measures = [Measure("", None, "all", "skipped", skipped, math.nan, math.nan, skipped, 0)]
    for arm, part in rows_by_arm(rows).items():
        answered = [row for row in part if FAILED not in row]
        measures.append(_count(arm, FAILED, part, len(part) - len(answered)))
        if rules is None:
            known = sum(row["evidence"] is not None for row in answered)
            measures.append(_count(arm, "no_evidence", answered, len(answered) - known))
            measures += _of_prior(arm[0], measured)
        else:
            measures += _of_answers(arm, part, rules, is_circular(config))
            spent = [replace(one, measures=_only(one, COSTS)) for one in measured[arm]]
            measures += [_measure(arm, score) for score in summarize(spent)]
    return measures + list(_differences(measured, reference, rules is None))


def _measure(arm: Arm, score: Score) -> Measure:
    return Measure(
        *arm, score.group, score.measure, score.value, score.low, score.high,
        score.questions, score.videos,
    )  # fmt: skip


def _count(arm: Arm, name: str, rows: Sequence[Row], count: int) -> Measure:
    videos = len({row["video"] for row in rows})
    return Measure(*arm, "all", name, count, math.nan, math.nan, len(rows), videos)


def _only(one: Measured, names: Collection[str]) -> dict[str, float]:
    return {name: value for name, value in one.measures.items() if name in names}


def _of_answers(arm: Arm, rows: Sequence[Row], rules: Rules, fold: bool) -> Iterator[Measure]:
    """Yield the scores that the dataset's owners report, by their rules and by the strict ones."""
    known = [row for row in rows if row["truth"] is not None]
    if not known:
        return
    if fold:
        for scored_by, end in ((rules, ""), (None, "_strict")):
            for score in circular_scores(judge_rows(known, scored_by), rules.aggregate):
                yield _measure(arm, replace(score, measure=f"{score.measure}{end}"))
        known = first_rotations(known)
    released = judge_rows(known, rules)
    for score in rules.aggregate(released):
        yield _measure(arm, score)
    yield _count(arm, "unparsed", known, accuracy(released).unparsed)
    if any(row["options"] for row in known):
        strict = judge_rows(known, None)
        for score in rules.aggregate(strict):
            yield _measure(arm, replace(score, measure=f"{score.measure}_strict"))
        yield _count(arm, "unparsed_strict", known, accuracy(strict).unparsed)


def _of_prior(family: str, measured: Mapping[Arm, Sequence[Measured]]) -> Iterator[Measure]:
    for arm, each in measured.items():
        if arm[0] == family:
            for group, part in groups(each).items():
                yield from (_measure(arm, score) for score in summarize(part, group))


# Differences


def _first_arm(rows: Sequence[Row]) -> str:
    """Return the family that was asked first about most questions; "" without rows.

    A question whose first answer was damaged, and therefore asked again at last, is outvoted.
    """
    first: dict[tuple[str, str], str] = {}
    for row in rows:
        if row["family"] != BLIND:
            first.setdefault((row["video"], row["item"]), row["family"])
    votes = Counter(first.values())
    return min(votes, key=lambda family: (-votes[family], family), default="")


def _differences(
    measured: Mapping[Arm, Sequence[Measured]], reference: str, prior: bool
) -> Iterator[Measure]:
    """Yield the other arms minus the reference; of relevance the reference minus its controls."""
    budgets: dict[str, list[int | None]] = {}
    for family, budget in measured:
        budgets.setdefault(family, []).append(budget)
    of_reference = budgets.pop(reference, [])
    for family, own in budgets.items():
        for budget, other in _pairs(own, of_reference):
            part, first = measured[family, budget], measured[reference, other]
            shown = other if budget is None else budget
            if prior:
                control = f"({family})" if " - " in family else family
                names = {name for one in part for name in one.measures} - {*COSTS, UNIFORM}
                name = f"{reference}{MINUS}{control}"
                pairs = paired_differences(first, part, names)
            else:
                name = f"{family}{MINUS}{reference}"
                pairs = paired_differences(part, first, ACCURACIES)
            yield from (_measure((name, shown), pair.difference) for pair in pairs)


def _pairs(
    own: Collection[int | None], others: Collection[int | None]
) -> list[tuple[int | None, int | None]]:
    """Equal budgets of two arms; one without a budget is compared at each budget of the other."""
    pairs = [(budget, budget) for budget in own if budget in others]
    if None in own and None not in others:
        pairs += [(None, budget) for budget in others]
    if None in others and None not in own:
        pairs += [(budget, None) for budget in own]
    return pairs
