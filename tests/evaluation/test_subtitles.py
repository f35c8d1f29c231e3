"""An evaluation with subtitles: what the model is asked, and what the rows count."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import tempo_lab as tl
from tests.evaluation.datasets.made_up import LONGVIDEOBENCH, VIDEOMME, write_json, write_lines

SRT = "1\n00:00:00,000 --> 00:00:08,000\nfirst line\n\n2\n00:05:00,000 --> 00:05:01,000\nnever\n"


@pytest.fixture
def folder(tmp_path, frames_file):
    """Videos x1 and x2, of which only x1 has subtitles."""
    for name in ("x1.npy", "x2.npy"):
        shutil.copy(frames_file, tmp_path / name)
    (tmp_path / "subtitles").mkdir()
    (tmp_path / "subtitles" / "x1.srt").write_text(SRT)
    return tmp_path


def with_videos(dataset, folder):
    """The dataset with arrays of frames as its videos."""
    dataset.rows[:] = [replace(row, video=folder / f"{row.video.stem}.npy") for row in dataset.rows]
    return dataset


def rows(tiny, dataset, folder, monkeypatch):
    """The rows of a run by the id of their question, and the traces that they are from."""
    traces = {}
    ask = tl.Session.ask

    def remember(session, question, **options):
        trace = ask(session, question, **options)
        traces[question] = trace
        return trace

    monkeypatch.setattr(tl.Session, "ask", remember)
    run = tl.evaluate(tiny, dataset, arms=["head"], budgets=[60], out=folder, progress=False)
    assert not run.failed
    return {row["item"]: row for row in run.rows}, traces


def test_videomme(tiny, folder, monkeypatch):
    other = {**VIDEOMME, "videoID": "x2", "question_id": "900-3"}
    path = write_lines(folder / "a.jsonl", [VIDEOMME, other])
    dataset = with_videos(tl.datasets.videomme(path, subtitles=folder / "subtitles"), folder)
    found, traces = rows(tiny, dataset, folder / "run", monkeypatch)
    assert [found[item]["subtitle_lines"] for item in ("900-2", "900-3")] == [1, 0]
    with tiny.open(folder / "x1.npy", progress=False) as session:
        for row in dataset:
            trace = session.ask(
                dataset.make_prompt(row),
                subtitles=row.read_subtitles() or (),
                budget=60,
                max_new_tokens=1,
            )
            assert trace.question in traces  # the same text was asked
            assert found[row.id]["subtitle_tokens"] == trace.totals["subtitles"]
            assert found[row.id]["text_tokens"] == trace.totals["text"]


def test_longvideobench(tiny, folder, monkeypatch):
    row = {**LONGVIDEOBENCH, "video_path": "x1.npy", "subtitle_path": "x1.srt"}
    path = write_json(folder / "lvb_val.json", [row])
    for subtitles, names in ((folder / "subtitles", {"subtitle_lines", "subtitle_tokens"}),
                             (None, set())):  # fmt: skip
        dataset = with_videos(tl.datasets.longvideobench(path, subtitles=subtitles), folder)
        found, _ = rows(tiny, dataset, folder / f"run {subtitles is None}", monkeypatch)
        assert {name for name in found["v_0"] if "subtitle" in name} == names


def test_other_subtitles_are_other_questions(tiny, folder, monkeypatch):
    path = write_lines(folder / "a.jsonl", [VIDEOMME])
    said = []
    for text in ("first line", "another line", "another line"):
        (folder / "subtitles" / "x1.srt").write_text(SRT.replace("first line", text))
        dataset = with_videos(tl.datasets.videomme(path, subtitles=folder / "subtitles"), folder)
        _, traces = rows(tiny, dataset, folder / "run", monkeypatch)
        said.append([text in question for question in traces])
    assert said == [[True], [True], []]  # changed subtitles are asked again, the same ones are not
