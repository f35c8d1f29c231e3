"""Submitted notebooks: found, refused with a reason, matched."""

import json

import pytest

from tempo_lab import TempoLabError
from tempo_lab.apps.course_kit.lessons import lesson, source_of
from tempo_lab.apps.course_kit.submission import (
    MAX_BYTES,
    Student,
    SubmissionError,
    find_notebook,
    match,
    read_cells,
    students,
)
from tests.apps.course_kit.submissions import QUICKSTART, RIGHT, code, hand_in, submitted

LESSON = lesson(QUICKSTART)


def test_a_folder_is_one_student_or_one_per_subfolder(tmp_path):
    hand_in(tmp_path / "class" / "ann", submitted({}))
    hand_in(tmp_path / "class" / "bob", submitted({}))
    (tmp_path / "class" / ".git").mkdir()
    (tmp_path / "class" / "link").symlink_to(tmp_path / "class" / "ann")
    assert [each.name for each in students(tmp_path / "class")] == ["ann", "bob"]
    assert [each.name for each in students(tmp_path / "class" / "ann")] == ["ann"]
    for folder in (tmp_path / "nothing", tmp_path / "class" / ".git"):
        with pytest.raises(TempoLabError):
            students(folder)


def test_a_notebook_may_be_in_a_folder_of_the_students_folder(tmp_path):
    path = hand_in(tmp_path / "ann" / "kit", submitted({}))
    hand_in(tmp_path / "ann" / ".ipynb_checkpoints", submitted({}))
    ann = Student("ann", tmp_path / "ann")
    assert find_notebook(ann, QUICKSTART) == path
    hand_in(tmp_path / "ann" / "copy", submitted({}))
    with pytest.raises(SubmissionError, match="there are 2 files"):
        find_notebook(ann, QUICKSTART)


def test_a_missing_notebook_names_one_with_a_similar_name(tmp_path):
    ann = Student("ann", tmp_path)
    with pytest.raises(SubmissionError, match=r"^there is no 00_quickstart\.ipynb$"):
        find_notebook(ann, QUICKSTART)
    hand_in(tmp_path, submitted({}), "00_quickstart (1)")
    with pytest.raises(SubmissionError, match=r"file '00_quickstart \(1\)\.ipynb' has a"):
        find_notebook(ann, QUICKSTART)


def test_a_link_is_not_followed(tmp_path):
    path = hand_in(tmp_path / "other", submitted({}))
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / path.name).symlink_to(path)
    with pytest.raises(SubmissionError, match="is a link"):
        find_notebook(Student("ann", tmp_path / "ann"), QUICKSTART)


def other_language(notebook):
    notebook["metadata"]["language_info"] = {"name": "R"}


def kernel_of_another_language(notebook):
    del notebook["metadata"]["language_info"]
    notebook["metadata"]["kernelspec"] = {"name": "ir", "language": "R"}


def no_cells(notebook):
    del notebook["cells"]


def a_cell_without_source(notebook):
    del notebook["cells"][3]["source"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (other_language, "is for r, not for Python"),
        (kernel_of_another_language, "is for r, not for Python"),
        (no_cells, "no list of cells"),
        (a_cell_without_source, "a cell has no valid source"),
    ],
)
def test_what_is_no_python_notebook_has_a_reason(tmp_path, change, reason):
    notebook = submitted({})
    change(notebook)
    with pytest.raises(SubmissionError, match=reason):
        read_cells(hand_in(tmp_path, notebook))


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\xff", "[" * 100_000])
def test_broken_json_has_a_reason(tmp_path, text):
    path = tmp_path / "00_quickstart.ipynb"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SubmissionError, match="the file is not"):
        read_cells(path)


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "00_quickstart.ipynb"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(SubmissionError, match="clear its outputs"):
        read_cells(path)


def test_a_kernel_of_another_name_is_fine(tmp_path):
    notebook = submitted({})
    notebook["metadata"] = {"kernelspec": {"name": "conda-env-mine"}}
    assert len(read_cells(hand_in(tmp_path, notebook))) == len(notebook["cells"])


def test_answers_unchanged_and_removed_cells_are_told_apart():
    notebook = submitted({"check_words": RIGHT["check_words"]})
    last = LESSON.exercises[-1]
    notebook["cells"] = [
        cell
        for cell in notebook["cells"]
        if cell["metadata"].get("tempo_lab", {}).get("exercise") != last.name
    ]
    found = match(LESSON, notebook["cells"])
    assert found.answers == {"check_words": RIGHT["check_words"]}
    assert found.unchanged == {"check_segment_at", "check_smallest_budget"}
    assert found.added == {}


def test_exercises_are_found_without_metadata_and_ids():
    notebook = submitted(RIGHT)
    for cell in notebook["cells"]:
        cell["metadata"] = {}
        cell.pop("id", None)
    assert match(LESSON, notebook["cells"]).answers == RIGHT


def test_an_exercise_is_found_if_its_check_was_edited():
    source = "segment = 5\nTrue  # course check"
    assert match(LESSON, submitted({"check_segment_at": source})["cells"]).answers == {
        "check_segment_at": source
    }


def test_the_last_changed_cell_of_an_exercise_counts():
    notebook = submitted({})
    (place,) = (
        place
        for place, cell in enumerate(notebook["cells"])
        if cell["metadata"].get("tempo_lab", {}).get("exercise") == "check_words"
    )
    notebook["cells"].insert(place + 1, code(RIGHT["check_words"]))
    notebook["cells"].append(json.loads(json.dumps(notebook["cells"][place])))
    found = match(LESSON, notebook["cells"])
    assert found.answers == {"check_words": RIGHT["check_words"]}
    assert "check_words" not in found.unchanged


def test_added_cells_follow_their_place_and_edited_originals_do_not_count():
    notebook = submitted({})
    notebook["cells"][2]["source"] = "trace = None"
    notebook["cells"].insert(3, code("def helper():\n    return 5"))
    notebook["cells"].insert(0, code("first = 1"))
    notebook["cells"].insert(0, code("%pip install x", tags=["install"]))
    found = match(LESSON, notebook["cells"])
    assert found.added == {-1: ["first = 1"], 2: ["def helper():\n    return 5"]}
    assert source_of(LESSON.notebook["cells"][2]).startswith("video = tempo.open")
