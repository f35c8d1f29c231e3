"""The demonstration: three questions, compared with the ground truth of the video."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import pytest
from typer.testing import CliRunner

from tempo_lab.apps.cli import app
from tempo_lab.apps.demo import VIDEO
from tempo_lab.apps.terminal import REFUSED, SOME_FAILED
from tempo_lab.common.files import shipped
from tempo_lab.trace.trace import Trace


def run(*arguments):
    return CliRunner().invoke(app, ["demo", *map(str, arguments)])


def test_the_three_answers_are_right(tmp_path):
    result = run("--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert "3 of 3 answers are right." in result.stdout
    assert result.stdout.count("expected:") == 3
    for number in (1, 2, 3):
        trace = Trace.load(tmp_path / "new" / f"demo_{number}.nc")
        assert trace.totals["used"] <= trace.totals["budget"] == 64
        figure = tmp_path / "new" / f"demo_{number}.png"
        assert figure.read_bytes().startswith(b"\x89PNG")


def test_a_wrong_answer_has_an_exit_code_of_its_own(tmp_path):
    truth = json.loads(shipped(VIDEO).with_suffix(".json").read_text())
    truth["demo"] = [{**truth["demo"][0], "answer": "violet"}]
    (tmp_path / "clip.json").write_text(json.dumps(truth))
    os.symlink(shipped(VIDEO), tmp_path / "clip.mp4")
    result = run(tmp_path / "clip.mp4", "--out", tmp_path / "out")
    assert result.exit_code == SOME_FAILED, result.output
    assert "0 of 1 answers are right." in result.stdout


LACKING = '{"demo": [{"text": "What?", "answer": "red"}]}'


@pytest.mark.parametrize("content", [None, "no json", "{}", '{"demo": 3}', LACKING])
def test_a_video_without_its_truth_is_refused(tmp_path, content):
    video = tmp_path / "clip.mp4"
    if content is not None:
        video.with_suffix(".json").write_text(content)
    result = run(video, "--out", tmp_path)
    assert result.exit_code == REFUSED
    assert str(video.with_suffix(".json")) in result.stderr


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper"):
        result = run("--out", place)
        assert result.exit_code == REFUSED
        assert result.stdout == ""
        assert f"found: {tmp_path / 'file'} is a file" in result.stderr


def test_an_installed_package_has_the_demo_without_the_repository(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    work = tmp_path / "work"
    work.mkdir()
    code = "import sys; from tempo_lab.apps.cli import app; app(sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "3 of 3 answers are right." in done.stdout
    assert len(list((work / "results").iterdir())) == 6
