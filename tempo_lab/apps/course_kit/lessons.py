"""The notebooks that come with the package, and their exercises."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.files import shipped

EXERCISE = "exercise"
"""Tag of the cells that a learner fills in."""
PAGE = "11_your_own_video"
"""The notebook without exercises."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook: answers by name, and the check that judges them.

    Attributes:
        number: its number in the notebook, from 1.
        name: name of its check, such as "check_words".
        title: its heading, such as "Exercise 2 (easy, 2 minutes)".
        cell: index of its cell in the notebook.
        answers: names of the variables that hold the answer; most exercises have one.
        check: the call that judges it, as source code.
        setup: what the cell computes before the answer, as source code.
    """

    number: int
    name: str
    title: str
    cell: int
    answers: tuple[str, ...]
    check: str
    setup: str


@dataclass(frozen=True)
class Lesson:
    """A notebook of the course, with its exercises.

    Attributes:
        stem: name of its file without ".ipynb".
        notebook: its content, as parsed from JSON.
        exercises: in order.
    """

    stem: str
    notebook: dict[str, Any]
    exercises: tuple[Exercise, ...]


def notebook_folder() -> Path:
    """Return the folder of the notebooks, in the repository or in the installed package."""
    return shipped("notebooks/glossary.md").parent


def notebook_names() -> list[str]:
    """Return the names of all notebooks, without ".ipynb", in order."""
    return sorted(path.stem for path in notebook_folder().glob("[0-9][0-9]_*.ipynb"))


def lesson_names(chosen: Iterable[str] = ()) -> list[str]:
    """Return the names of the notebooks that have exercises.

    Args:
        chosen: names or numbers, such as "02_compression" or "02"; all notebooks by default.

    Raises:
        TempoLabError: a name is unknown.
    """
    names = [name for name in notebook_names() if name != PAGE]
    found = set()
    for each in chosen:
        short = each.removesuffix(".ipynb")
        matches = [name for name in names if short in (name, name[:2])]
        if not matches:
            raise TempoLabError(
                "there is no such notebook with exercises",
                asked=each,
                found=", ".join(names),
                fix=did_you_mean(short, names, "use one of these names, or its number"),
            )
        found.update(matches)
    return sorted(found) or names


@cache
def lesson(stem: str) -> Lesson:
    """Return a notebook that comes with the package, by its name."""
    path = notebook_folder() / f"{stem}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    return Lesson(stem, notebook, _exercises(notebook))


def source_of(cell: Mapping[str, Any]) -> str:
    """Return the source of a cell, which JSON may hold as a list of lines."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def tags_of(cell: Mapping[str, Any]) -> list[str]:
    """Return the tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", []))


def _exercises(notebook: Mapping[str, Any]) -> tuple[Exercise, ...]:
    cells = notebook["cells"]
    places = [place for place, cell in enumerate(cells) if EXERCISE in tags_of(cell)]
    return tuple(
        _exercise(number, place, source_of(cells[place]), source_of(cells[place - 1]))
        for number, place in enumerate(places, start=1)
    )


def _exercise(number: int, place: int, source: str, card: str) -> Exercise:
    """Take an exercise cell apart: set-up, `name = ...` for each answer, and the check."""
    *before, last = ast.parse(source).body
    call = last.value if isinstance(last, ast.Expr) else None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        raise ValueError(f"an exercise ends with its check: {source}")
    names = [_answer(statement) for statement in before]
    answers = tuple(name for name in names if name is not None)
    if not isinstance(call.args[0], ast.Name) or call.args[0].id not in answers:
        raise ValueError(f"a check takes the name of an answer first: {source}")
    titles = re.findall(r"^### (Exercise .+)$", card, re.M)
    setup = [each for each, name in zip(before, names, strict=True) if name is None]
    return Exercise(
        number=number,
        name=call.func.attr,
        title=titles[-1] if titles else f"Exercise {number}",
        cell=place,
        answers=answers,
        check=ast.unparse(call),
        setup="\n".join(ast.unparse(statement) for statement in setup),
    )


def _answer(statement: ast.stmt) -> str | None:
    """Return the name that a statement `name = ...` assigns dots to; None for any other one."""
    if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
        (target,) = statement.targets
        if statement.value.value is ... and isinstance(target, ast.Name):
            return target.id
    return None
