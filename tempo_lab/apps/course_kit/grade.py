"""Points for submitted notebooks: the original notebook runs, with the students' cells in it.

Only the cells of exercises and cells that a student added are taken from a submission. All others,
and the checks, are the original ones.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from tempo_lab.apps.course_kit.lessons import Exercise, Lesson, lesson, lesson_names, source_of
from tempo_lab.apps.course_kit.sandbox import IMPORT, Sandbox, Stopped
from tempo_lab.apps.course_kit.submission import (
    Student,
    Submission,
    SubmissionError,
    find_notebook,
    match,
    read_cells,
    students,
)
from tempo_lab.common.text import one_line

NO_ANSWER = "No answer yet."
_FORMULA = ("=", "+", "-", "@")
"""How a cell begins that a spreadsheet would run as a formula."""


@dataclass(frozen=True)
class Row:
    """The points of one exercise.

    Attributes:
        student: name of the folder.
        notebook: name without ".ipynb".
        exercise: number in the notebook, from 1.
        points: 1 for a right answer, else 0.
        of: the most that it can be.
        message: text of the check, or why there are no points.
    """

    student: str
    notebook: str
    exercise: int
    points: int
    of: int
    message: str


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Attributes:
        cell_seconds: time of one of the student's cells, and of a check.
        seconds: time of one notebook, with repetitions.
        max_bytes: memory of the kernel and its processes.
    """

    cell_seconds: float = 120
    seconds: float = 1800
    max_bytes: int = 4 << 30


@dataclass(frozen=True)
class _Step:
    """A cell to run: an original one, or a student's with or without an exercise."""

    source: str
    theirs: bool = False
    exercise: Exercise | None = None


def grade_folder(
    folder: Path,
    *,
    notebooks: Iterable[str] = (),
    limits: Limits | None = None,
    report: Callable[[Sequence[Row]], object] = lambda rows: None,
) -> list[Row]:
    """Return the points of each student, notebook and exercise. It runs the students' code.

    Args:
        folder: submitted notebooks of one student, or a folder per student.
        notebooks: names or numbers of the notebooks to grade; all by default.
        limits: time and memory of a submission.
        report: called with all rows so far after each notebook.

    Raises:
        TempoLabError: the folder holds nothing to grade, or a notebook's name is unknown.
    """
    names, rows = lesson_names(notebooks), []
    for student in students(folder):
        for name in names:
            messages = _grade(lesson(name), student, limits or Limits())
            rows += [
                Row(student.name, name, each.number, int(right), 1, text)
                for each, (right, text) in messages
            ]
            report(rows)
    return rows


def to_csv(rows: Iterable[Row]) -> str:
    """Return the rows as CSV. Text that a spreadsheet would run as a formula begins with '."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([each.name for each in fields(Row)])
    for row in rows:
        writer.writerow([_harmless(value) for value in astuple(row)])
    return text.getvalue()


def _harmless(value: str | int) -> str | int:
    if not isinstance(value, str):
        return value
    line = one_line(value)  # tabs and line ends at the start would hide a formula, too
    return f"'{line}" if line.startswith(_FORMULA) else line


Result = tuple[bool, str]
"""Whether the answer is right, and the message."""


def _grade(each: Lesson, student: Student, limits: Limits) -> list[tuple[Exercise, Result]]:
    try:
        submission = match(each, read_cells(find_notebook(student, each.stem)))
    except (SubmissionError, OSError) as error:
        return [(exercise, (False, str(error))) for exercise in each.exercises]
    results: dict[str, Result] = {}
    for exercise in each.exercises:
        if exercise.name in submission.unchanged:
            results[exercise.name] = False, NO_ANSWER
        elif exercise.name not in submission.answers:
            results[exercise.name] = False, "the cell of this exercise was removed"
    _Grading(each, submission, student.folder, limits, results).run()
    return [(exercise, results[exercise.name]) for exercise in each.exercises]


class _Grading:
    """Runs of one notebook: one, and one more after each cell of the student that broke it.

    A cell breaks a run if it ends the kernel, or if an original cell fails after it. An exercise
    that raises after others ran is tried again without them, since they may be the cause.
    """

    def __init__(
        self,
        each: Lesson,
        submission: Submission,
        folder: Path,
        limits: Limits,
        results: dict[str, Result],
    ) -> None:
        self.lesson, self.folder, self.limits, self.results = each, folder, limits, results
        self.steps = list(_steps(each, submission))
        self.skipped: set[int] = set()
        self.deadline = time.monotonic() + limits.seconds

    def run(self) -> None:
        while self._missing():
            with Sandbox(self.folder, max_bytes=self.limits.max_bytes) as sandbox:
                self._run_once(sandbox)
            if time.monotonic() > self.deadline:
                for name in self._missing():
                    reason = f"the notebook did not finish within {self.limits.seconds:.0f} seconds"
                    self.results[name] = False, reason

    def _missing(self) -> list[str]:
        names = [each.name for each in self.lesson.exercises]
        return [name for name in names if name not in self.results]

    def _run_once(self, sandbox: Sandbox) -> None:
        """Run the cells until all exercises have a result, or until the kernel is of no use."""
        theirs: set[int] = set()
        others_ran = False
        for number, step in enumerate(self.steps):
            if not self._missing() or time.monotonic() > self.deadline:
                return
            if number in self.skipped:
                continue
            if step.theirs:
                theirs.add(number)
            try:
                if step.exercise is not None:
                    raised, result = self._answer(sandbox, step)
                    if raised and others_ran:
                        self._skip_graded()
                        return
                    self.results[step.exercise.name] = result
                    others_ran = True
                elif step.theirs:
                    self._bracketed(sandbox, step.source)
                else:
                    self._original(sandbox, step.source)
            except Stopped as stop:
                if time.monotonic() > self.deadline:
                    return
                if step.theirs:
                    self.skipped.add(number)
                else:
                    self._blame(theirs, str(stop))
                if step.exercise is not None:
                    self.results[step.exercise.name] = False, str(stop)
                self._skip_graded()
                return

    def _original(self, sandbox: Sandbox, source: str) -> None:
        ran = sandbox.run(source, self._seconds_left())
        if ran.error is not None:
            raise Stopped(f"an original cell fails: {ran.error}")

    def _bracketed(
        self, sandbox: Sandbox, source: str, answers: tuple[str, ...] = ()
    ) -> str | None:
        """Run a student's cell and return its exception; the notebook's names are kept."""
        seconds = min(self.limits.cell_seconds, self._seconds_left())
        sandbox.run(f"{IMPORT}; _grader.before(globals(), {answers!r})", seconds)
        ran = sandbox.run(source, seconds)
        restored = sandbox.run(f"{IMPORT}; _grader.after(globals())", seconds)
        return ran.error or restored.error

    def _answer(self, sandbox: Sandbox, step: _Step) -> tuple[bool, Result]:
        """Run an exercise: whether its cell raised an exception, and the result."""
        exercise = step.exercise
        assert exercise is not None
        error = self._bracketed(sandbox, step.source, exercise.answers)
        if error is not None:
            return True, (False, error)
        seconds = min(self.limits.cell_seconds, self._seconds_left())
        call = f"_grader.judge(globals(), {exercise.check!r}, {exercise.name!r})"
        found = sandbox.run("", seconds, expression=call).value
        try:
            verdict = json.loads(found)
            return False, (verdict["right"] is True, str(verdict["text"]))
        except (TypeError, ValueError, KeyError):
            return False, (False, "the check gave no result in this notebook")

    def _blame(self, theirs: set[int], reason: str) -> None:
        """Leave out the student's cells that ran before an original one failed.

        If none did, the notebook itself fails on this machine, and nobody gets points for it.
        """
        if theirs:
            self.skipped |= theirs
            return
        for name in self._missing():
            self.results[name] = False, f"not graded: {reason} (without the student's cells)"

    def _skip_graded(self) -> None:
        self.skipped |= {
            number
            for number, step in enumerate(self.steps)
            if step.exercise is not None and step.exercise.name in self.results
        }

    def _seconds_left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())


def _steps(each: Lesson, submission: Submission) -> Iterator[_Step]:
    """Yield the original cells in order, with the student's cells in their places."""
    exercises = {exercise.cell: exercise for exercise in each.exercises}
    for place, cell in enumerate([None, *each.notebook["cells"]], start=-1):
        exercise = exercises.get(place)
        if exercise is not None:
            if exercise.setup:
                yield _Step(exercise.setup)
            if exercise.name in submission.answers:
                yield _Step(submission.answers[exercise.name], True, exercise)
        elif cell is not None and cell["cell_type"] == "code":
            yield _Step(source_of(cell))
        for source in submission.added.get(place, []):
            yield _Step(source, theirs=True)
