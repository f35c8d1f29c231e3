"""The rules that score a run's answers: of its dataset, or those that its configuration names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.answer_scoring import Judged, Score
from tempo_lab.evaluation.datasets.base import Dataset


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
        """Return the rules of a dataset, or without one those that a configuration names.

        Raises:
            TempoLabError: the configuration names rules that are not part of this package.
        """
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
    """Return the function of this package with a name; a configuration cannot name other code."""
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
