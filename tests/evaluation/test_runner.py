"""The runner: jobs in worker processes, and runs that continue where they were killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.store import Key, Row, Store, key_of

QUESTIONS, ARMS = 5, ("one", "other")


@dataclass(frozen=True)
class Video:
    """A job without a model: two rows for each question."""

    name: str

    def keys(self, models):
        return [(self.name, item, "-", arm) for item in range(QUESTIONS) for arm in ARMS]


def answer(job, models, done) -> Iterator[list[Row]]:
    """Answer a question in some milliseconds."""
    for item in range(QUESTIONS):
        missing: list[Key] = [k for k in job.keys(models) if k[1] == item and k not in done]
        if missing:
            time.sleep(0.01)
            yield [
                {"video": job.name, "item": item, "model": "-", "arm": arm, "score": item / 3}
                for _, _, _, arm in missing
            ]


def fail(job, models, done) -> Iterator[list[Row]]:
    """Fail at the second video."""
    if job.name == "1":
        raise ZeroDivisionError
    yield from answer(job, models, done)


VIDEOS = [Video(str(number)) for number in range(8)]


def test_five_kills_cost_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    code = """
import sys
from tests.evaluation.test_runner import VIDEOS, Store, answer, run
run(VIDEOS, answer, {}, Store(sys.argv[1], {}))
"""
    path = tmp_path / "killed" / "answers.jsonl"
    for _ in range(5):
        size = path.stat().st_size if path.exists() else 0
        with subprocess.Popen(
            [sys.executable, "-c", code, path.parent],
            cwd=Path(__file__).parents[2],
            stderr=subprocess.DEVNULL,
        ) as process:
            while process.poll() is None and not (path.exists() and path.stat().st_size > size):
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    killed = list(Store(path.parent, {}))
    assert 0 < len(killed) < len(VIDEOS) * QUESTIONS * len(ARMS)
    rows = run(VIDEOS, answer, {}, Store(path.parent, {}))
    assert rows == run(VIDEOS, answer, {}, Store(tmp_path / "undisturbed", {}))
    stored = list(map(key_of, Store(path.parent, {})))
    assert len(stored) == len(set(stored)) == len(rows)


def test_a_finished_run_is_not_asked_again(tmp_path: Path) -> None:
    rows = run(VIDEOS[:1], answer, {}, Store(tmp_path, {}))
    assert run(VIDEOS[:1], fail, {"main": "no-such-model"}, Store(tmp_path, {})) == rows


def test_a_worker_that_fails_says_why_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    with pytest.raises(TempoLabError, match="ZeroDivisionError"):
        run(VIDEOS[:2], fail, {}, store, workers=2)
    assert {row["video"] for row in store} <= {"0"}
    with pytest.raises(TempoLabError, match="no-such-model"):
        run(VIDEOS[:2], answer, {"main": str(tmp_path / "no-such-model")}, store, workers=2)
