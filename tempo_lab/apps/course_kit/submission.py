"""Submitted notebooks: find them, read them without trust, match them with the originals."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tempo_lab.apps.course_kit.launch import INSTALL
from tempo_lab.apps.course_kit.lessons import Lesson, source_of, tags_of
from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.text import one_line

MAX_BYTES = 32 << 20
"""Size of a notebook that is read. Those of the course, with outputs, have less than 1 MiB."""


class SubmissionError(Exception):
    """A notebook that cannot be graded; the message is the reason in the table."""


@dataclass(frozen=True)
class Student:
    """A folder with notebooks; its name is the student's."""

    name: str
    folder: Path


@dataclass
class Submission:
    """What a student added to a notebook.

    Attributes:
        answers: source of the exercise cells, by the name of the exercise. Cells that were removed
            are not in it, and neither are unchanged ones.
        unchanged: names of the exercises whose cells are as they were.
        added: source of the other new cells, by the index of the original cell that they follow;
            -1 for those before all.
    """

    answers: dict[str, str] = field(default_factory=dict)
    unchanged: set[str] = field(default_factory=set)
    added: dict[int, list[str]] = field(default_factory=dict)


def students(folder: Path) -> list[Student]:
    """Return the students of a folder: itself if it holds notebooks, else one per subfolder.

    Raises:
        TempoLabError: there is no such folder, or nothing to grade in it.
    """
    if not folder.is_dir():
        raise TempoLabError(
            "there is no such folder",
            asked=folder,
            fix="give a folder with notebooks, or with a folder per student",
        )
    if any(folder.glob("*.ipynb")):
        return [Student(folder.resolve().name, folder)]
    inside = [path for path in sorted(folder.iterdir()) if not path.name.startswith((".", "__"))]
    found = [Student(path.name, path) for path in inside if path.is_dir() and not path.is_symlink()]
    if not found:
        raise TempoLabError(
            "there is nothing to grade",
            asked=folder,
            found="no notebooks and no folders",
            fix="give a folder with notebooks, or with a folder per student",
        )
    return found


def find_notebook(student: Student, stem: str) -> Path:
    """Return the path of a student's notebook, in their folder or below it.

    Raises:
        SubmissionError: there is none, or several, or it is a link.
    """
    wanted, others, places = f"{stem}.ipynb", [], []
    for parent, folders, files in os.walk(student.folder):
        folders[:] = sorted(each for each in folders if not each.startswith((".", "__")))
        for name in files:
            if name == wanted:
                places.append(Path(parent) / name)
            elif name.endswith(".ipynb"):
                others.append(name)
    if not places:
        near = did_you_mean(wanted, others, "")
        raise SubmissionError(f"there is no {wanted}{_near(near)}")
    if len(places) > 1:
        raise SubmissionError(f"there are {len(places)} files {wanted}; keep one")
    if places[0].is_symlink() or not places[0].is_file():
        raise SubmissionError(f"{wanted} is a link or not a regular file")
    return places[0]


def _near(hint: str) -> str:
    name = hint.removeprefix("did you mean ").removesuffix("?")
    return f"; the file {name} has a similar name" if name else ""


def read_cells(path: Path) -> list[Mapping[str, Any]]:
    """Return the cells of a submitted notebook, after checking that it is one for Python.

    Raises:
        SubmissionError: it is too large, no JSON, no notebook, or for another language.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise SubmissionError(
            f"the file has {size / 2**20:.0f} MiB, more than {MAX_BYTES >> 20}; clear its outputs"
        )
    try:
        notebook = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SubmissionError(f"the file is not valid JSON ({one_line(str(error), 80)})") from error
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise SubmissionError("the file is not a notebook of format 4: it has no list of cells")
    language = _language(notebook.get("metadata"))
    if language != "python":
        raise SubmissionError(f"the notebook is for {one_line(language, 40)}, not for Python")
    cells = notebook["cells"]
    if not all(_is_cell(cell) for cell in cells):
        raise SubmissionError("the file is not a notebook of format 4: a cell has no valid source")
    return cells


def _language(metadata: Any) -> str:
    """Return the language of a notebook in lower case; Python if it names none."""
    for part, key in (("language_info", "name"), ("kernelspec", "language")):
        values = metadata.get(part) if isinstance(metadata, dict) else None
        if isinstance(values, dict) and isinstance(values.get(key), str):
            return values[key].lower()
    return "python"


def _is_cell(cell: Any) -> bool:
    if not isinstance(cell, dict) or not isinstance(cell.get("metadata", {}), dict):
        return False
    source = cell.get("source")
    lines = source if isinstance(source, list) else [source]
    return isinstance(cell.get("cell_type"), str) and all(isinstance(line, str) for line in lines)


def match(lesson: Lesson, cells: Sequence[Mapping[str, Any]]) -> Submission:
    """Compare submitted cells with the original ones: answers, added cells, removed cells.

    An original cell is recognized by its id or its source, and an exercise also by its metadata or
    by the name of its check. If an exercise has several cells, the last changed one counts.
    """
    originals = lesson.notebook["cells"]
    ids = {cell.get("id"): place for place, cell in enumerate(originals) if cell.get("id")}
    sources = {source_of(cell).strip(): place for place, cell in enumerate(originals)}
    by_name = {each.name: each for each in lesson.exercises}
    by_cell = {each.cell: each for each in lesson.exercises}
    result, last = Submission(), -1
    for cell in cells:
        source = source_of(cell)
        text = source.strip()
        place = sources.get(text, ids.get(_text_or_none(cell.get("id"))))
        name = _exercise_name(cell, text, list(by_name))
        exercise = by_cell.get(place) if place is not None else None
        exercise = exercise or by_name.get(name or "")
        if cell["cell_type"] != "code" or INSTALL in _tags(cell):
            last = last if place is None else place
        elif exercise is not None:
            last = exercise.cell
            if text == source_of(originals[exercise.cell]).strip():
                result.unchanged.add(exercise.name)
            else:
                result.answers[exercise.name] = source
        elif place is not None:
            last = place
        elif text:
            result.added.setdefault(last, []).append(source)
    result.unchanged -= set(result.answers)
    return result


def _tags(cell: Mapping[str, Any]) -> list[str]:
    tags = cell.get("metadata", {}).get("tags", [])
    return tags_of(cell) if isinstance(tags, list) else []


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _exercise_name(cell: Mapping[str, Any], text: str, names: Sequence[str]) -> str | None:
    """Return the name of the exercise that a cell says it holds."""
    called = [name for name in names if f"{name}(" in text]
    if called:
        return called[-1]
    mark = cell.get("metadata", {}).get("tempo_lab")
    return _text_or_none(mark.get("exercise")) if isinstance(mark, dict) else None
