"""tempo-lab course: files, messages, refusals."""

import csv

import pytest
from typer.testing import CliRunner

from tempo_lab.apps.cli import app
from tests.apps.course_kit.submissions import hand_in, submitted


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["course", *words])


def test_export_says_how_to_open_the_folder(run, tmp_path):
    done = run("export", "student", "kit")
    assert done.exit_code == 0
    assert done.stdout == "13 notebooks. Open them with: jupyter lab kit\n"
    assert (tmp_path / "kit" / "00_quickstart.ipynb").is_file()
    again = run("export", "student", "kit")
    assert again.exit_code != 0
    assert "fix:   use the name of a new folder" in again.stderr


def test_grade_writes_points_and_says_whose_code_runs(run, tmp_path):
    hand_in(tmp_path / "class" / "=ann", submitted({}))
    done = run("grade", "class", "--notebook", "00", "--out", "points.csv")
    assert done.exit_code == 0, done.stderr
    assert "runs the students' code with the rights of your account" in done.stderr
    assert done.stdout.split()[-1] == "points.csv"
    with (tmp_path / "points.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == ["'=ann"] * 4
    assert {row["message"] for row in rows} == {"No answer yet."}


@pytest.mark.parametrize(
    "words",
    [
        ["grade", "nothing"],
        ["grade", ".", "--out", "points.txt"],
        ["grade", ".", "--out", "nowhere/points.csv"],
        ["grade", ".", "--notebook", "99"],
        ["export", "student", "kit", "--repository", "nonsense"],
        ["export", "teacher", "kit"],
    ],
)
def test_bad_input_is_refused(run, tmp_path, words):
    done = run(*words)
    assert done.exit_code != 0
    assert done.stderr
    assert list(tmp_path.iterdir()) == []
