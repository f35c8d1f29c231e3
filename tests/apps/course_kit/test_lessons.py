"""The notebooks as the grader sees them, and the syllabus that describes them."""

import re
from pathlib import Path

import pytest

from tempo_lab import TempoLabError, course
from tempo_lab.apps.course_kit.lessons import lesson, lesson_names, source_of

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", lesson_names())
def test_every_check_of_a_lesson_is_an_exercise_with_a_named_answer(name):
    course.lessons()
    exercises = lesson(name).exercises
    checks = [each for each in course.CHECKS.values() if each.lesson == name[3:]]
    assert {each.name for each in exercises} <= {each.name for each in checks}
    assert [each.number for each in exercises] == list(range(1, len(exercises) + 1))
    for each in exercises:
        assert each.title.startswith(f"Exercise {each.number} (")
        assert each.check.startswith(f"course.{each.name}({each.answers[0]}")
        source = source_of(lesson(name).notebook["cells"][each.cell])
        assert source.count(" = ...\n") == len(each.answers)
        assert all(f"{answer} = ...\n" in source for answer in each.answers)


def test_what_an_exercise_cell_computes_first_is_kept_apart():
    first = lesson("07_end_to_end_answering").exercises[0]
    assert first.setup.startswith("trace = session.ask(")
    assert first.check == "course.check_prompt_left(positions, trace)"


def test_notebooks_are_chosen_by_name_or_number():
    assert lesson_names(["02", "00_quickstart.ipynb", "02_compression"]) == [
        "00_quickstart",
        "02_compression",
    ]
    with pytest.raises(TempoLabError, match="did you mean '02_compression'"):
        lesson_names(["02_compresion"])
    with pytest.raises(TempoLabError, match="no such notebook"):
        lesson_names(["11"])  # the page has no exercises


def test_the_syllabus_has_a_row_with_the_minutes_of_each_lesson():
    text = (ROOT / "docs" / "syllabus.md").read_text(encoding="utf-8")
    row = r"^\| \[{name}\]\(.*\| (\d+) min \| (\d+) min \| (\d+) min \|$"
    for name in lesson_names():
        read, solve, total = map(int, re.search(row.format(name=name), text, re.M).groups())
        cards = (re.search(r", (\d+) minutes?\)", each.title) for each in lesson(name).exercises)
        assert solve == sum(int(card[1]) for card in cards), name
        assert total == read + solve, name
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
