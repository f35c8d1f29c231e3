"""The course as one folder: notebooks, glossary, syllabus and clips."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tempo_lab.apps.course_kit import launch
from tempo_lab.apps.course_kit.lessons import (
    PAGE,
    Exercise,
    Lesson,
    lesson,
    notebook_names,
    source_of,
)
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import shipped
from tempo_lab.common.version import __version__

Kind = Literal["student", "instructor"]
CLIPS = ("voyage", "expedition")
FIGURES = ("three_calls.svg",)
SYLLABUS = "docs/syllabus.md"
_SOLUTION = re.compile(r"<details><summary>Solution</summary>.*?</details>\n?", re.S)


def export_kit(
    kind: Kind, folder: Path, *, repository: str | None = None, notebooks: str = "notebooks"
) -> list[Path]:
    """Write the course to a new or empty folder, and return the paths of the notebooks.

    The notebooks have no outputs. The metadata of each exercise cell names the exercise and its
    points ("tempo_lab"), which `grade_folder` reads.

    Args:
        kind: "student": without solutions; "instructor": with solutions, folded and as files.
        folder: the new folder; its parents are made, too.
        repository: address of a Git repository with Tempo Lab and these notebooks, for the buttons
            that open them on Colab and Binder. None: that of Tempo Lab, if its metadata has one,
            else no buttons.
        notebooks: folder of the notebooks in that repository.

    Raises:
        TempoLabError: the folder is not empty, is a file, or cannot be written; or the address is
            not an https address.
    """
    address = repository or launch.own_repository()
    if address is not None:
        address = launch.check_repository(address)
    _check_empty(folder)
    try:
        return _write(kind, folder, address, notebooks.strip("/"))
    except OSError as error:
        raise TempoLabError(
            "the course could not be written",
            asked=folder,
            found=error.strerror or error,
            fix="use a folder that can be written and has room",
        ) from error


def _check_empty(folder: Path) -> None:
    if folder.is_dir():
        held = sorted(path.name for path in folder.iterdir())
        found = f"{len(held)} files and folders, such as {held[0]}" if held else None
    else:
        found = "a file" if folder.exists() or folder.is_symlink() else None
    if found is not None:
        raise TempoLabError(
            "the course is written to a new or empty folder only",
            asked=folder,
            found=found,
            fix="use the name of a new folder",
        )


def _write(kind: Kind, folder: Path, address: str | None, place: str) -> list[Path]:
    clips = folder / "data" / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    for clip in CLIPS:
        for suffix in (".mp4", ".json"):
            name = f"{clip}{suffix}"
            (clips / name).write_bytes(shipped(f"data/clips/{name}").read_bytes())
    for figure in FIGURES:
        (folder / figure).write_bytes(shipped(f"notebooks/{figure}").read_bytes())
    _write_text(folder / "glossary.md", _text("notebooks/glossary.md"))
    _write_text(folder / "syllabus.md", _text(SYLLABUS).replace("(../notebooks/", "("))
    written = []
    for name in notebook_names():
        each = lesson(name)
        cells = launch.launch_cells(address, f"{place}/{name}.ipynb") if address else []
        notebook = kit_notebook(each, solutions=kind == "instructor", first=cells)
        written.append(folder / f"{name}.ipynb")
        _write_text(written[-1], json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        if kind == "instructor" and name != PAGE:
            (folder / "solutions").mkdir(exist_ok=True)
            solved = f"solutions/{name}.py"
            _write_text(folder / solved, _text(f"notebooks/{solved}"))
    _write_text(folder / "README.md", _readme(kind, address))
    return written


def kit_notebook(
    each: Lesson, *, solutions: bool, first: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return a notebook of the kit: without outputs, with its exercises named in the metadata.

    Args:
        each: the lesson.
        solutions: keep the folded solutions.
        first: cells to put before all others.
    """
    notebook = copy.deepcopy(each.notebook)
    for exercise in each.exercises:
        notebook["cells"][exercise.cell]["metadata"]["tempo_lab"] = _mark(each, exercise)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
        elif not solutions:
            cell["source"] = _SOLUTION.sub("", source_of(cell))
    notebook["cells"] = [*(first or []), *notebook["cells"]]
    return notebook


def _mark(each: Lesson, exercise: Exercise) -> Mapping[str, Any]:
    return {
        "lesson": each.stem,
        "exercise": exercise.name,
        "number": exercise.number,
        "points": 1,
    }


def _text(name: str) -> str:
    return shipped(name).read_text(encoding="utf-8")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _readme(kind: Kind, address: str | None) -> str:
    lessons = [lesson(name) for name in notebook_names()]
    rows = [
        f"| [{each.stem}]({each.stem}.ipynb) | {len(each.exercises) or '-'} |" for each in lessons
    ]
    install = f"    pip install 'tempo-lab[lab] @ git+{address}'\n" if address else ""
    return _README.format(
        version=__version__,
        about="without solutions" if kind == "student" else "with solutions",
        install=install,
        rows="\n".join(rows),
        points=_STUDENT if kind == "student" else _INSTRUCTOR,
    )


_README = """# Tempo Lab: the course

These are the notebooks of Tempo Lab {version}, {about}. They need the package and its extra
`lab`, which includes JupyterLab. Open this folder:

{install}    jupyter lab .

Begin with [00_quickstart](00_quickstart.ipynb). The [syllabus](syllabus.md) has the order and the
times, and the [glossary](glossary.md) explains the terms. Nothing needs a network or a GPU.
`data/clips` holds the clips. Other paths in the text that begin with `data/`, such as
`data/nano_report`, are in the repository of Tempo Lab.

| notebook | exercises |
|---|---|
{rows}

An exercise has a heading, such as "Exercise 1", and a cell with `...` in place of the answer. Put
your answer there and run the cell. The check says whether the answer is right.

{points}
"""

_STUDENT = """To submit a notebook, save it under its name. Each right answer is worth one point.
Only the exercise cells and the cells that you add count; changes of other cells do not. Do not
rename the variable of an answer, and do not remove its cell."""

_INSTRUCTOR = """To grade, put the notebooks of each student into a folder with the student's name,
and run

    tempo-lab course grade SUBMISSIONS --out points.csv

Grading runs the students' code on this machine, with the rights of your account. Read
`tempo-lab course grade --help` first."""
