"""Compare two runs of one dataset: paired differences per arm and group. No model is needed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.measured import Measured, paired_differences
from tempo_lab.evaluation.question_measures import (
    ANSWERS,
    Arm,
    is_circular,
    question_id,
    question_measures,
)
from tempo_lab.evaluation.run_files import read_config, read_rows
from tempo_lab.evaluation.scoring_rules import Rules
from tempo_lab.evaluation.store import Row

if TYPE_CHECKING:
    import pandas as pd

CONTENT = ("question", "choices", "options", "truth", "evidence")
"""Columns of a row that make two questions with the same id the same question."""


class Run(Protocol):
    """A run that was read: an `EvaluationRun`."""

    @property
    def folder(self) -> Path: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def rows(self) -> list[Row]: ...


@dataclass(frozen=True)
class Difference:
    """One measure of an arm in two runs, on the questions that are measured in both.

    Attributes:
        arm, budget: as in `summary.csv`. Where the runs have one arm at different budgets, this is
            the budget of the first run, and `Comparison.settings` names both.
        group: "all", or a category and its value: "kind=color".
        measure: "accuracy", "tokens", "seconds", "auroc", ...
        first, second: the means of both runs.
        difference: the first minus the second.
        low, high: 95 % interval of the difference, clustered by video; NaN for one video.
        questions, videos: how many count.
    """

    arm: str
    budget: int | None
    group: str
    measure: str
    first: float
    second: float
    difference: float
    low: float
    high: float
    questions: int
    videos: int


@dataclass(frozen=True)
class Comparison:
    """The paired differences of two runs: the first minus the second.

    Attributes:
        first, second: folders of the runs.
        differences: one for each arm, group and measure that both have.
        settings: what differs in their configurations and arms, by name: (first, second).
        shared: questions that are the same in both runs; only these are compared.
        changed: questions with one id, but another text, answer, evidence or video.
        only_first, only_second: questions that the other run does not have.
    """

    first: Path
    second: Path
    differences: list[Difference]
    settings: dict[str, tuple[Any, Any]]
    shared: int
    changed: int
    only_first: int
    only_second: int

    def __repr__(self) -> str:
        return (
            f"Comparison({str(self.first)!r} minus {str(self.second)!r}, {self.shared} shared "
            f"questions, {self.only_first} only in the first, {self.only_second} only in the "
            f"second, {self.changed} changed, {len(self.settings)} different settings)"
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the differences as a DataFrame with the columns of `Difference`."""
        import pandas as pd

        columns = [field.name for field in fields(Difference)]
        return pd.DataFrame([asdict(one) for one in self.differences], columns=columns)


def compare(
    first: Run | str | os.PathLike[str],
    second: Run | str | os.PathLike[str],
    dataset: Dataset | None = None,
) -> Comparison:
    """Return the paired differences of two runs of one dataset: the first minus the second.

    Questions are paired by their id. A question whose text, options, answer, evidence or video
    file is not the same in both runs is counted, but not compared. Nothing is written.

    Args:
        first, second: runs, or their folders. They may be unfinished.
        dataset: its rules score the answers; None for the rules that each run names.

    Raises:
        TempoLabError: a folder holds no run, the runs are of different kinds or datasets, they
            have no question or no arm in common, or their rules are not part of this package.
    """
    folders, configs, rows = zip(*map(_read, (first, second)), strict=True)
    for name, what in (("kind", "kinds"), ("dataset", "datasets")):
        if configs[0][name] != configs[1][name]:
            raise TempoLabError(
                f"runs of different {what} cannot be compared",
                asked=" and ".join(map(str, folders)),
                found=f"{configs[0][name]!r} and {configs[1][name]!r}",
                fix="give two runs of one dataset, both with answers or both of the prior",
            )
    questions = [_questions(*each) for each in zip(rows, configs, strict=True)]
    both = questions[0].keys() & questions[1].keys()
    shared = {name for name in both if _same(questions[0][name], questions[1][name])}
    if not shared:
        raise TempoLabError(
            "the runs have no question in common",
            asked=" and ".join(map(str, folders)),
            found=f"{len(questions[0])} and {len(questions[1])} questions, of which {len(both)} "
            "have the same id, but another text, answer, evidence or video",
            fix="give two runs on the same rows of the dataset",
        )
    measured = [
        _measured(part, config, dataset, shared) for part, config in zip(rows, configs, strict=True)
    ]
    pairs = list(_pairs(*(list(one) for one in measured)))
    if not pairs:
        raise TempoLabError(
            "the runs have no arm in common",
            asked=" and ".join(map(str, folders)),
            found=" and ".join(_names(one) for one in measured),
            fix="run one of them again with the arms of the other: it keeps its answers",
        )
    return Comparison(
        folders[0],
        folders[1],
        [
            Difference(
                *one, pair.difference.group, pair.difference.measure, pair.first, pair.second,
                pair.difference.value, pair.difference.low, pair.difference.high,
                pair.difference.questions, pair.difference.videos,
            )
            for one, other in pairs
            for pair in paired_differences(measured[0][one], measured[1][other])
        ],
        _settings(*configs, *measured),
        len(shared),
        len(both) - len(shared),
        len(questions[0]) - len(both),
        len(questions[1]) - len(both),
    )  # fmt: skip


def _read(run: Run | str | os.PathLike[str]) -> tuple[Path, dict[str, Any], list[Row]]:
    if isinstance(run, (str, os.PathLike)):
        folder = Path(run)
        return folder, read_config(folder), read_rows(folder)
    return run.folder, run.config, run.rows


# Questions


def _questions(rows: Sequence[Row], config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the content of each question by its id; of a circular run, of the first rotation."""
    fold = is_circular(config)
    questions: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: str(row["item"])):
        content = {name: row[name] for name in CONTENT if name in row}
        video = Path(row["video"]).name  # the folder of the videos may be another one
        questions.setdefault(question_id(row) if fold else row["item"], {**content, "video": video})
    return questions


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two questions have equal content, as far as both runs recorded it."""
    return all(one[name] == other[name] for name in one.keys() & other.keys())


def _measured(
    rows: Sequence[Row], config: dict[str, Any], dataset: Dataset | None, questions: set[str]
) -> dict[Arm, list[Measured]]:
    rules = Rules.of(dataset, config["rules"]) if config["kind"] == ANSWERS else None
    return {
        arm: [one for one in part if one.id in questions]
        for arm, part in question_measures(rows, config, rules).items()
    }


# Arms and settings


def _pairs(first: Sequence[Arm], second: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    """Arms of both runs with equal budgets, or with the only budget that is left in each."""
    for family in dict.fromkeys(name for name, _ in first):
        one, other = (
            [budget for name, budget in arms if name == family] for arms in (first, second)
        )
        yield from (((family, budget), (family, budget)) for budget in one if budget in other)
        left = [[x for x in one if x not in other], [x for x in other if x not in one]]
        if len(left[0]) == len(left[1]) == 1:
            yield (family, left[0][0]), (family, left[1][0])


def _names(arms: Mapping[Arm, object]) -> str:
    return ", ".join(sorted({family for family, _ in arms})) or "no arm"


def _settings(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    first_arms: Mapping[Arm, object],
    second_arms: Mapping[Arm, object],
) -> dict[str, tuple[Any, Any]]:
    """Return what differs, by name; of a setting inside another one, as "rules.extract"."""
    one, other = _flat(first), _flat(second)
    one["arms"], other["arms"] = (
        [family if budget is None else f"{family} {budget}" for family, budget in arms]
        for arms in (first_arms, second_arms)
    )
    return {
        name: (one.get(name), other.get(name))
        for name in dict.fromkeys((*one, *other))
        if one.get(name) != other.get(name)
    }


def _flat(config: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= (
            _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
        )
    return flat
