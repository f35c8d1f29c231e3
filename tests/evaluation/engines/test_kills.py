"""Random kills of a whole run: the run that continues ends in the table of an undisturbed one.

`TEMPO_LAB_KILLS=20 pytest -s tests/evaluation/engines/test_kills.py` kills twenty times per engine
and prints what it did. With five kills or more, every second run on Ray starts its own Ray, which
is killed, too. `TEMPO_LAB_RAY` names a running Ray to use instead of a new one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tempo_lab.evaluation.engines import RayEngine, open_engine
from tempo_lab.evaluation.runner import run, run_on
from tempo_lab.evaluation.store import Store, key_of
from tests.evaluation.engines.fakes import QUESTIONS, FakeJob, answer, asked

KILLS = int(os.environ.get("TEMPO_LAB_KILLS", "2"))
SEED = int(os.environ.get("TEMPO_LAB_SEED", "20"))
ROOT = Path(__file__).parents[3]
VIDEOS = KILLS + 4
MOMENTS = ("before", "torn", "after", "later")
RUN = """
import os, signal, sys, threading
from tempo_lab.evaluation.engines import open_engine
from tempo_lab.evaluation.runner import run_on
from tempo_lab.evaluation.store import Store
from tests.evaluation.engines.fakes import answer
from tests.evaluation.engines.test_kills import jobs

folder, log, engine, workers, address, count, moment, delay = sys.argv[1:]


def die():
    os.killpg(0, signal.SIGKILL)


class Dying(Store):
    left = int(count)

    def append(self, rows):
        self.left -= 1
        if self.left == 0 and moment == "before":
            die()
        before = self.path.read_bytes() if self.path.exists() else b""
        super().append(rows)
        if self.left == 0 and moment == "torn":
            new = self.path.read_bytes()[len(before):]
            self.path.write_bytes(before + new[: len(new) // 3])
        if self.left == 0 and moment == "later":
            threading.Timer(float(delay), die).start()
        elif self.left == 0:
            die()


with open_engine(engine, {}, int(workers), address or None) as opened:
    run_on(opened, jobs(log), answer, Dying(folder, {}), progress=False)
"""
"""A run that kills its process group around the row with this number: before it is written, when a
third of it is, afterwards, or some milliseconds later."""


def jobs(log: str) -> list[FakeJob]:
    return [FakeJob(f"video {number}", log) for number in range(VIDEOS)]


@pytest.fixture(scope="module")
def address():
    """Of a Ray on this machine that outlives the runs."""
    ray = pytest.importorskip("ray")
    with RayEngine({}, 2, os.environ.get("TEMPO_LAB_RAY")):
        yield ray.get_runtime_context().gcs_address


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "workers"), [("local", 1), ("local", 2), ("ray", 2)], ids="local local-2 ray".split()
)
def test_random_kills_lose_nothing_and_repeat_nothing(engine, workers, tmp_path, request):
    print(f"\n{engine}, {workers} workers, seed {SEED}, {KILLS} kills")
    draw = random.Random(SEED)
    cluster = request.getfixturevalue("address") if engine == "ray" else ""
    run_folder, log = tmp_path / "run", tmp_path / "log"
    log.mkdir()
    for number in range(KILLS):
        own = engine == "ray" and KILLS > 4 and number % 2
        count, moment = str(draw.randrange(1, 5)), draw.choice(MOMENTS)
        words = [str(run_folder), str(log), engine, str(workers), "" if own else cluster]
        words += [count, moment, str(draw.uniform(0, 0.03))]
        stored, before = _stored(run_folder), asked(log)
        code = subprocess.run(
            [sys.executable, "-c", RUN, *words],
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ).returncode
        assert code == -signal.SIGKILL or (code, moment) == (0, "later")
        _end_of_workers(log)
        print(
            f"{number + 1}: {moment} answer {count}, status {code}, {_rows(run_folder)} rows stored"
        )
        _check_nothing_was_repeated(stored, before, asked(log))
        assert _stored(run_folder)[: len(stored)] == stored
    stored, before = _stored(run_folder), asked(log)
    with open_engine(engine, {}, workers) as opened:
        rows = run_on(opened, jobs(str(log)), answer, Store(run_folder, {}), progress=False)
    _check_nothing_was_repeated(stored, before, asked(log))
    other = tmp_path / "other log"
    other.mkdir()
    assert rows == run(
        jobs(str(other)), answer, {}, Store(tmp_path / "undisturbed", {}), progress=False
    )
    keys = [key_of(row) for row in Store(run_folder, {})]
    assert len(keys) == len(set(keys)) == len(rows)
    questions = [len(set(numbers)) for numbers in asked(log).values()]
    assert questions == [QUESTIONS] * VIDEOS
    print(f"undisturbed: {VIDEOS * QUESTIONS} questions asked; with the kills: "
          f"{sum(map(len, asked(log).values()))}")  # fmt: skip


def _rows(folder: Path) -> int:
    path = folder / "answers.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def _stored(folder: Path) -> list[bytes]:
    """The whole lines."""
    path = folder / "answers.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def _end_of_workers(log: Path) -> None:
    """Wait until no worker writes to the log: those of a cluster end after their driver."""
    size = -1
    while size != (new := sum(path.stat().st_size for path in log.iterdir())):
        size = new
        time.sleep(0.5)


def _check_nothing_was_repeated(stored, before, after) -> None:
    """No question whose rows were stored before was asked since."""
    finished = {(row["video"], row["item"]) for row in map(json.loads, stored)}
    new = {
        (video, item)
        for video, numbers in after.items()
        for item in numbers[len(before.get(video, [])) :]
    }
    assert not finished & new
