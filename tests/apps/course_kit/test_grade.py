"""Grading: each exercise has its point and its reason."""

import csv
import io

import pytest

from tempo_lab.apps.course_kit.grade import Limits, Row, grade_folder, to_csv
from tests.apps.course_kit.submissions import RIGHT, code, hand_in, submitted

LIMITS = Limits(cell_seconds=20, seconds=900)


def points(rows):
    return {(row.student, row.exercise): (row.points, row.message) for row in rows}


def grade(folder):
    rows = grade_folder(folder, notebooks=["00"], limits=LIMITS)
    assert {(row.notebook, row.of) for row in rows} == {("00_quickstart", 1)}
    return points(rows)


def test_right_answers_get_their_points_with_a_helper_in_an_added_cell(tmp_path):
    notebook = submitted({**RIGHT, "check_segment_at": "segment = helper(21)"})
    notebook["cells"].insert(3, code("trace = 'mine'\ndef helper(second):\n    return second // 4"))
    hand_in(tmp_path / "ann", notebook)
    assert grade(tmp_path) == {("ann", number): (1, "Right.") for number in (1, 2, 3, 4)}


def test_wrong_answers_exceptions_and_endless_loops_cost_their_own_point(tmp_path):
    wrong = {"check_segment_at": "segment = 7", "check_words": "words = 1 / 0"}
    hand_in(tmp_path / "wrong", submitted({**RIGHT, **wrong}))
    stopped = {"check_segment_at": "while True: pass", "check_words": "import os; os._exit(1)"}
    hand_in(tmp_path / "stopped", submitted({**RIGHT, **stopped}))
    found = grade(tmp_path)
    assert found["wrong", 1][0] == 0
    assert found["wrong", 1][1].startswith("Not yet. Segments are counted from 0")
    assert found["wrong", 2] == (0, "ZeroDivisionError: division by zero")
    assert found["stopped", 1] == (0, "it did not finish within 20 seconds")
    assert found["stopped", 2] == (0, "it ended the kernel")
    for name in ("wrong", "stopped"):
        assert found[name, 3] == found[name, 4] == (1, "Right.")


REDEFINED = """
from tempo_lab.course import checking
course.check_segment_at = lambda answer: checking.CheckResult("", True, "Right.")
checking.Check.__call__ = lambda *about: checking.CheckResult("", True, "Right.")
segment = 99
"""
OTHER_TOTALS = """
trace.totals  # the original
class trace: totals = {"prompt": 10, "used": 3}
words = 7
course.check_words(words, trace.totals)
"""
OTHER_LENGTH = """
import builtins
builtins.len = lambda of: 1
smallest = 1
course.check_smallest_budget(smallest, len(video))
"""
OWN_RUN = """
from types import SimpleNamespace
predicted = 5
run = SimpleNamespace(totals={"used": 5}, question="What color is the star?")
run.provenance = {"interventions": [{"kind": "drop", "segments": [8]}]}
"""


def test_redefined_checks_and_names_earn_nothing(tmp_path):
    cheat = dict(zip(RIGHT, (REDEFINED, OTHER_TOTALS, OTHER_LENGTH, OWN_RUN), strict=True))
    hand_in(tmp_path / "cheat", submitted(cheat))
    found = grade(tmp_path)
    assert [each for each, _ in found.values()] == [0, 0, 0, 0]
    assert found["cheat", 1][1].startswith("Not yet. Segments are counted")
    assert found["cheat", 2][1].startswith("Not yet. Two entries of the totals")


def test_an_original_cell_that_a_student_broke_is_run_again_without_the_students_cells(tmp_path):
    notebook = submitted({**RIGHT, "check_segment_at": "video.close()\nsegment = 5"})
    notebook["cells"].insert(4, code("import numpy as np\nnp.roll = None"))
    hand_in(tmp_path / "ann", notebook)
    found = grade(tmp_path)
    for number in (2, 3, 4):
        assert found["ann", number] == (1, "Right.")


def test_what_cannot_be_run_has_a_row_and_a_reason_per_exercise(tmp_path):
    hand_in(tmp_path / "empty", submitted({}))
    (tmp_path / "missing").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "00_quickstart.ipynb").write_text("{")
    removed = submitted({})
    removed["cells"] = removed["cells"][:3]
    hand_in(tmp_path / "removed", removed)
    found = grade(tmp_path)
    assert len(found) == 16
    for number in (1, 2, 3, 4):
        assert found["empty", number] == (0, "No answer yet.")
        assert found["missing", number] == (0, "there is no 00_quickstart.ipynb")
        assert found["broken", number][1].startswith("the file is not valid JSON")
        assert found["removed", number] == (0, "the cell of this exercise was removed")


def test_a_notebook_has_a_limit_of_time_as_well(tmp_path):
    hand_in(tmp_path / "ann", submitted(RIGHT))
    rows = grade_folder(tmp_path, notebooks=["00"], limits=Limits(seconds=0.001))
    assert {row.message for row in rows} == {"the notebook did not finish within 0 seconds"}


def test_every_row_is_reported_as_soon_as_it_is_known(tmp_path):
    for name in ("ann", "bob"):
        hand_in(tmp_path / name, submitted({}))
    seen = []
    grade_folder(tmp_path, notebooks=["00"], report=lambda rows: seen.append(len(rows)))
    assert seen == [4, 8]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", " =1+1", "\t=1", "\r=1"])
def test_a_spreadsheet_runs_no_formula_of_a_student(text):
    row = Row(text, "00_quickstart", 1, 0, 1, text)
    header, cells = csv.reader(io.StringIO(to_csv([row])))
    assert header == ["student", "notebook", "exercise", "points", "of", "message"]
    harmless = f"'{text.strip()}"
    assert cells == [harmless, "00_quickstart", "1", "0", "1", harmless]


def test_harmless_text_is_written_as_it_is():
    row = Row("ann", "00_quickstart", 1, 1, 1, 'Right, "ann" = 1.')
    _, cells = csv.reader(io.StringIO(to_csv([row])))
    assert cells == ["ann", "00_quickstart", "1", "1", "1", 'Right, "ann" = 1.']
