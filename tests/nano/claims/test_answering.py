"""The claims' videos through the real pipeline: arms, relevance, runs that were stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tempo_lab.allocation.arms import ALL, PRIOR, strictness_arms
from tempo_lab.common.statistics import auc
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.store import Store, key_of
from tempo_lab.nano.claims.answering import answer_video
from tempo_lab.nano.claims.plan import MAIN
from tests.small_files import with_small_files
from tests.small_runs import SLOTS, small, small_jobs


def test_a_video_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    code = """
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.nano.claims.answering import answer_video
from tempo_lab.nano.claims.plan import draw_jobs
try:
    list(answer_video(draw_jobs("quick", 0, 16)[0], {"main": None}, ()))
except TempoLabError as error:
    print(error)
"""
    told = with_small_files(code, tmp_path)
    assert "the video could not be written" in told
    assert "TMPDIR" in told
    assert "File too large" in told


def test_every_arm_stays_within_its_budget(world_rows: list[dict]) -> None:
    arms = {row["arm"] for row in world_rows}
    assert {arm.name for arm in (*small().arms, *strictness_arms(2))} | {PRIOR} <= arms
    refused = [row for row in world_rows if "error" in row]
    assert {(row["family"], row["error"]) for row in refused} <= {
        ("sparse frames", "the budget does not hold one segment")
    }
    for row in world_rows:
        if row in refused:
            continue
        if row["arm"] == ALL.name:
            assert row["used"] == SLOTS * row["segments"]
        elif row["budget"] is not None:
            assert 0 < row["used"] <= row["budget"] * row["segments"]
            assert 0 <= row["score"] <= 1
    answered = [row for row in world_rows if row not in refused]
    sparse = [row["used"] for row in answered if row["family"] == "sparse frames"]
    assert set(sparse) == {SLOTS}  # 8 tokens for each of two segments hold one segment


def test_prior_rows_hold_a_relevance_for_each_segment(world_rows: list[dict]) -> None:
    rows = [row for row in world_rows if row["arm"] == PRIOR]
    assert all(len(row["logit"]) == row["segments"] for row in rows)
    some = [row for row in rows if row.get("auc") is not None]
    assert some
    for row in some:
        flags = np.isin(np.arange(2), row["evidence"])
        assert row["auc"] == auc(row["logit"], flags)


class Stopped(BaseException):
    """The end of a process."""


class StoppingStore(Store):
    """A store whose process ends after four questions."""

    questions = 0

    def append(self, rows):
        if self.questions == 4:
            raise Stopped
        self.questions += 1
        super().append(rows)


def test_a_stopped_run_continues_and_repeats_nothing(
    world_rows: list[dict], tmp_path: Path
) -> None:
    with pytest.raises(Stopped):
        run(small_jobs(), answer_video, {MAIN: "nano"}, StoppingStore(tmp_path, {}))
    before = list(Store(tmp_path, {}))
    assert 0 < len(before) < len(world_rows)
    answered = []

    def noted(job, models, done):
        for rows in answer_video(job, models, done):
            answered.extend(key_of(row) for row in rows)
            yield rows

    assert run(small_jobs(), noted, {MAIN: "nano"}, Store(tmp_path, {})) == world_rows
    stored = list(Store(tmp_path, {}))
    assert stored[: len(before)] == before
    assert sorted(map(key_of, stored)) == sorted(map(key_of, world_rows))
    assert answered == [key_of(row) for row in stored[len(before) :]]


def test_worker_processes_answer_the_same(world_rows: list[dict], tmp_path: Path) -> None:
    job = small_jobs()[0]
    rows = run([job], answer_video, {MAIN: "nano"}, Store(tmp_path, {}), workers=2)
    expected = [row for row in world_rows if row["video"] == job.video]
    for row, other in zip(rows, expected, strict=True):  # threads may differ: the last bits too
        assert row == {
            name: pytest.approx(value, abs=1e-4) if name == "logprob" else value
            for name, value in other.items()
        }
