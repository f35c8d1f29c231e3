"""Output paths are refused before any work: formats, folders that cannot be written to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

import tempo_lab
from tempo_lab.apps import output_paths
from tempo_lab.apps.cli import app
from tempo_lab.apps.output_paths import check_output_folder, check_output_paths, check_video_path
from tempo_lab.apps.terminal import REFUSED
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import shipped
from tests.traces import make_trace

CLIP = str(shipped("data/clips/voyage.mp4"))


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _no_work(monkeypatch):
    """No model is loaded."""
    monkeypatch.setattr(tempo_lab, "load", None, raising=False)


@pytest.mark.parametrize(
    ("option", "name", "fix"),
    [
        ("--save", "a.avi", ".nc"),
        ("--save", "a", ".nc"),
        ("--save", "a.png", ".nc"),
        ("--figure", "a.avi", ".png or .pdf or .svg or .jpg"),
        ("--figure", "a.nc", ".png"),
        ("--html", "a.png", ".html or .htm"),
    ],
)
def test_a_format_that_a_command_does_not_write_is_refused(tmp_path, option, name, fix):
    path = tmp_path / name
    if option == "--html":
        words = ["trace", make_trace().save(tmp_path / "trace.nc")]
    else:
        words = ["ask", CLIP, "What?"]
    result = run(*words, option, path)
    assert result.exit_code == REFUSED
    assert f"{option} does not write this format" in result.stderr
    assert f"a name that ends in {fix}" in result.stderr
    assert not path.exists()


@pytest.mark.parametrize("name", ["x.avi", "x.MKV", "x.v2"])
def test_a_video_is_written_as_mp4_only(tmp_path, name):
    result = run("world", "make", "--segments", 1, "--out", tmp_path / name)
    assert result.exit_code == REFUSED
    assert "--out does not write this format" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_video_goes_to_an_mp4_file_or_a_folder(tmp_path):
    (tmp_path / "run.v2").mkdir()
    (tmp_path / "clips.mp4").mkdir()
    for name in ("a.mp4", "A.MP4", "new/deeper/a.mp4", "new", "run.v2", "clips.mp4"):
        check_video_path(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["clips.mp4", "run.v2"]


@pytest.mark.parametrize(
    "command",
    [
        ["demo"],
        ["report"],
        ["train", "tiny"],
        ["train", "front-loading", "--arm", "none", "--seed", "1"],
        ["evaluate", "world", "--quick"],
        ["evaluate", "table", "mine.csv"],
        ["evaluate", "lvbench", "--data", "data", "--videos", "videos"],
        ["evaluate", "front-loading", "runs"],
    ],
    ids=" ".join,
)
def test_a_folder_with_the_name_of_a_file_is_refused(tmp_path, command):
    (tmp_path / "file").write_text("x")
    places = {
        tmp_path / "x.avi": "the suffix .avi of a file",
        tmp_path / "results.csv": "the suffix .csv of a file",
        tmp_path / "file" / "run": "file is a file",
    }
    for place, found in places.items():
        result = run(*command, "--out", place)
        assert result.exit_code == REFUSED, result.output
        assert "--out needs a folder that can be written to" in result.stderr
        assert found in result.stderr
    assert os.listdir(tmp_path) == ["file"]


def test_folders_may_have_dots_and_those_that_exist_any_name(tmp_path):
    (tmp_path / "old.json").mkdir()
    for name in ("run-0.5", "paper.v2", "new/run", "old.json"):
        check_output_folder(tmp_path / name)
    check_output_folder(Path())


def test_a_folder_that_is_not_writable_is_refused(tmp_path, monkeypatch):
    """A superuser may write everywhere, so that the answer of the system is replaced."""
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(TempoLabError, match="is not writable"):
        check_output_folder(tmp_path / "new" / "run")
    with pytest.raises(TempoLabError, match="is not writable"):
        check_output_paths(tmp_path / "a.nc", None, CLIP)
    with pytest.raises(TempoLabError, match="is not writable"):
        check_video_path(tmp_path / "a.mp4")


def test_a_folder_in_which_nothing_can_be_created_is_refused(tmp_path, monkeypatch):
    """As /proc, whose rights allow everything to a superuser."""

    def refuse(*_, **__):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(output_paths, "TemporaryDirectory", refuse)
    with pytest.raises(TempoLabError, match="No such file") as raised:
        check_output_folder(tmp_path / "q")
    assert raised.value.fix == "use the name of another folder; the command creates it"
    with pytest.raises(TempoLabError, match="No such file"):
        check_output_paths(tmp_path / "a.nc", None)
