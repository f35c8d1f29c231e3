"""Random kills of a whole run: the run that continues ends in the table of an undisturbed one.

`TEMPO_LAB_KILLS=20 pytest -s tests/evaluation/engines/test_kills.py` kills twenty times per engine
and prints what it did. With five kills or more, every second run on Ray starts its own Ray, which
is killed, too.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tempo_lab.evaluation.engines import RayEngine, open_engine
from tempo_lab.evaluation.runner import run, run_on
from tempo_lab.evaluation.store import Store, key_of
from tests.evaluation.engines.fakes import QUESTIONS, FakeJob, answer, asked

KILLS = int(os.environ.get("TEMPO_LAB_KILLS", "2"))
SEED = int(os.environ.get("TEMPO_LAB_SEED", "20"))
ROOT = Path(__file__).parents[3]
VIDEOS = 12
RUN = """
import sys
from tempo_lab.evaluation.engines import open_engine
from tempo_lab.evaluation.runner import run_on
from tempo_lab.evaluation.store import Store
from tests.evaluation.engines.fakes import answer
from tests.evaluation.engines.test_kills import jobs

folder, log, engine, workers, address = sys.argv[1:]
with open_engine(engine, {}, int(workers), address or None) as opened:
    run_on(opened, jobs(log), answer, Store(folder, {}), progress=False)
"""


def jobs(log: str) -> list[FakeJob]:
    return [FakeJob(f"video {number}", log) for number in range(VIDEOS)]


@pytest.fixture(scope="module")
def address():
    """Of a Ray on this machine that outlives the runs."""
    ray = pytest.importorskip("ray")
    with RayEngine({}, workers=2):
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
        words = [str(run_folder), str(log), engine, str(workers), "" if own else cluster]
        stored, before = _stored(run_folder), asked(log)
        limit = _rows(run_folder) + draw.randrange(0, 2 * VIDEOS * QUESTIONS // KILLS)
        with subprocess.Popen(
            [sys.executable, "-c", RUN, *words],
            cwd=ROOT,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None and _rows(run_folder) <= limit:
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.05))
            with suppress(ProcessLookupError):  # it had finished
                os.killpg(process.pid, signal.SIGKILL)
        code = process.returncode
        assert code in (0, -signal.SIGKILL)
        _end_of_workers(log)
        print(f"kill {number + 1}: {len(_stored(run_folder))} rows were stored, status {code}")
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
