"""The demonstration exits with 0 if all answers are right, and with 1 otherwise."""

import json
import os
from pathlib import Path

import pytest

from tempo_lab.apps import demo
from tempo_lab.trace.trace import Trace


def test_the_three_answers_are_right(tmp_path, capsys):
    assert demo.main(["--out", str(tmp_path)]) == 0
    output = capsys.readouterr().out
    assert "3 of 3 answers are right." in output
    assert output.count("expected:") == 3
    for number in (1, 2, 3):
        trace = Trace.load(tmp_path / f"demo_{number}.nc")
        assert trace.totals["used"] <= trace.totals["budget"] == 64
        assert (tmp_path / f"demo_{number}.png").read_bytes().startswith(b"\x89PNG")


def test_a_wrong_answer_ends_with_1(tmp_path, capsys):
    truth = json.loads(demo.VIDEO.with_suffix(".json").read_text())
    truth["demo"] = [{**truth["demo"][0], "answer": "violet"}]
    (tmp_path / "clip.json").write_text(json.dumps(truth))
    os.symlink(demo.VIDEO, tmp_path / "clip.mp4")
    assert demo.main([str(tmp_path / "clip.mp4"), "--out", str(tmp_path / "out")]) == 1
    assert "0 of 1 answers are right." in capsys.readouterr().out


LACKING = '{"demo": [{"text": "What?", "answer": "red"}]}'


@pytest.mark.parametrize("content", [None, "no json", "{}", '{"demo": 3}', LACKING])
def test_a_video_without_its_truth_is_refused(tmp_path, capsys, content):
    video = tmp_path / "clip.mp4"
    if content is not None:
        Path(video.with_suffix(".json")).write_text(content)
    assert demo.main([str(video), "--out", str(tmp_path)]) == 2
    assert str(video.with_suffix(".json")) in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper"):
        assert demo.main(["--out", str(place)]) == 2
        output = capsys.readouterr()
        assert output.out == ""
        assert output.err.startswith("the folder for the results cannot be created")
        assert str(place) in output.err
