"""The next video is opened while the current one is asked about; its errors stay its own."""

from __future__ import annotations

import inspect
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

import tempo_lab as tl
from tempo_lab.common.errors import VideoError
from tempo_lab.evaluation.engines import LocalEngine, look_ahead, open_engine
from tempo_lab.evaluation.runner import run_on
from tempo_lab.evaluation.store import Store
from tempo_lab.session import tempo as tempo_module
from tests import media


@dataclass(frozen=True)
class OpeningJob:
    """A job that only opens its video.

    Attributes:
        says: options that `opens` announces.
        uses: options that it opens with.
    """

    video: str
    says: dict = field(default_factory=dict)
    uses: dict = field(default_factory=dict)

    def keys(self, models):
        return [(self.video, 0, "main", "open")]

    def opens(self):
        return "main", self.video, self.says


def segments(job, models, done):
    """One row: how many segments the video has."""
    row = dict(zip(("video", "item", "model", "arm"), job.keys(models)[0], strict=True))
    try:
        with models["main"].open(job.video, **job.uses, progress=False) as session:
            yield [{**row, "segments": len(session)}]
    except VideoError as error:
        yield [{**row, "failed": str(error)}]


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture
def clips(tmp_path):
    return [
        str(media.write_video(tmp_path / f"{name}.mp4", frames=frames))
        for name, frames in (("a", 120), ("b", 240), ("c", 360))
    ]


@pytest.fixture
def opened(monkeypatch):
    """(video, whether by this thread) of each video that was opened."""
    entries = []

    class Noted(tempo_module.Video):
        def __init__(self, source, **options):
            entries.append((source, threading.current_thread() is threading.main_thread()))
            super().__init__(source, **options)

    Noted.__signature__ = inspect.signature(tempo_module.Video)
    for module in (tempo_module, look_ahead):
        monkeypatch.setattr(module, "Video", Noted)
    return entries


def rows(jobs, nano, answer=segments):
    with LocalEngine({"main": nano}) as engine:
        return [row for new in engine.rows(jobs, answer, set()) for row in new]


OTHERS: set[psutil.Process] = set()


@pytest.fixture(autouse=True)
def processes_of_other_tests():
    OTHERS.clear()
    OTHERS.update(psutil.Process().children())


def decoders() -> int:
    """How many child processes the running test has started that are still there."""
    return len(set(psutil.Process().children()) - OTHERS)


def test_each_video_is_opened_once_and_all_but_the_first_in_advance(nano, clips, opened):
    counted = [row["segments"] for row in rows([OpeningJob(clip) for clip in clips], nano)]
    assert counted == [1, 2, 3]
    assert sorted(opened) == [(clips[0], True), (clips[1], False), (clips[2], False)]
    assert decoders() == 0


def test_the_next_video_is_open_while_the_current_one_is_answered(nano, clips):
    def answer(job, models, done):
        with models["main"].open(job.video, progress=False):
            while job.video == clips[0] and decoders() < 2:  # this one and the next
                time.sleep(0.01)
            yield from ()

    assert rows([OpeningJob(clip) for clip in clips[:2]], nano, answer) == []
    assert decoders() == 0


def segments_when_the_next_is_open(job, models, done):
    """The first job waits until the process that answers it decodes two videos."""
    first = Path(job.video).parent / "first"
    with models["main"].open(job.video, progress=False):
        while not first.exists() and len(psutil.Process().children()) < 2:
            time.sleep(0.01)
        first.touch()
    yield from segments(job, models, done)


@pytest.mark.parametrize(("engine", "workers"), [("local", 2), ("ray", 1)])
def test_workers_open_their_next_video_in_advance(tmp_path, engine, workers):
    if engine == "ray":
        pytest.importorskip("ray")
    clip = media.write_video(tmp_path / "clip.mp4", frames=120)
    jobs = [OpeningJob(str(tmp_path / f"{number}.mp4")) for number in range(6)]
    for job in jobs:
        Path(job.video).symlink_to(clip)
    with open_engine(engine, {"main": "nano"}, workers) as opened_engine:
        store = Store(tmp_path / "run", {})
        answered = run_on(
            opened_engine, jobs, segments_when_the_next_is_open, store, progress=False
        )
    assert [row["segments"] for row in answered] == [1] * 6


def test_other_options_than_announced_open_the_video_again(nano, clips, opened):
    jobs = [OpeningJob(clips[0]), OpeningJob(clips[2], uses={"max_frames": 8})]
    assert [row["segments"] for row in rows(jobs, nano)] == [1, 1]
    assert sorted(opened) == [(clips[0], True), (clips[2], False), (clips[2], True)]
    assert decoders() == 0
    same = {"fps": 1.0, "start": 2.0}
    jobs = [OpeningJob(clips[0]), OpeningJob(clips[2], says=same, uses=same)]
    assert [row["segments"] for row in rows(jobs, nano)] == [1, 2]
    assert (opened.count((clips[2], False)), opened.count((clips[2], True))) == (2, 1)


def test_a_broken_video_costs_its_own_rows(nano, clips, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    jobs = [
        OpeningJob(video) for video in (clips[0], str(broken), str(tmp_path / "absent"), clips[1])
    ]
    assert ["failed" in row for row in rows(jobs, nano)] == [False, True, True, False]
    assert decoders() == 0


def test_an_interrupt_ends_what_is_being_opened(nano, clips):
    hanging = OpeningJob(clips[1], says={"decoder": "tests.fake_decoders:hangs-at-open"})

    def interrupted(job, models, done):
        while not decoders():
            time.sleep(0.01)
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        rows([OpeningJob(clips[0]), hanging], nano, interrupted)
    assert decoders() == 0


def test_evaluate_opens_the_next_video_in_advance(nano, opened, tmp_path):
    clip = Path(__file__).parents[3] / "data" / "clips" / "voyage.mp4"
    for name in "ab":
        (tmp_path / f"{name}.mp4").symlink_to(clip)
    table = tmp_path / "mine.csv"
    table.write_text("video,question,answer\n" + "".join(
        f"{name}.mp4,What color is the star?,red\n" for name in "ab"
    ))  # fmt: skip
    run = tl.evaluate(nano, tl.datasets.table(table), arms=["head"], out=tmp_path / "run",
                      progress=False)  # fmt: skip
    assert [row["said"] for row in run.rows] == ["red", "red"]
    assert [main for _, main in sorted(opened)] == [True, False]
