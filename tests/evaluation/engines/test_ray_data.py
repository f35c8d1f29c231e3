"""The ray engine: the same table as the local one, and what deaths and errors cost."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import psutil
import pytest

import tempo_lab as tl
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.engines import RayEngine
from tempo_lab.evaluation.engines.ray_data import core_group
from tempo_lab.evaluation.measured import VARYING
from tempo_lab.evaluation.runner import run, run_on
from tempo_lab.evaluation.store import Store, key_of
from tests.evaluation.engines.fakes import FakeJob, answer, asked, role_of, slowly

pytest.importorskip("ray")
CLIPS = Path(__file__).parents[3] / "data" / "clips"


@pytest.fixture(scope="module")
def cluster():
    """A Ray on this machine, or at the address TEMPO_LAB_RAY; the engines of these tests use it."""
    with RayEngine({}, 2, os.environ.get("TEMPO_LAB_RAY")) as engine:
        yield engine


@pytest.fixture
def jobs(tmp_path):
    """Makes jobs with these names, whose questions are noted in tmp_path/log."""
    (tmp_path / "log").mkdir()
    return lambda *names: [FakeJob(name, str(tmp_path / "log")) for name in names]


@pytest.mark.skipif("TEMPO_LAB_RAY" in os.environ, reason="for a Ray that the engine starts")
def test_it_listens_on_the_loopback_address_only(cluster):
    names = ("raylet", "gcs_server", "ray::", "python")
    listening = [
        (process.name(), connection.laddr.ip)
        for process in psutil.Process().children(recursive=True)
        if process.name().startswith(names)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert {"raylet", "gcs_server"} <= {name for name, _ in listening}
    assert {ip.removeprefix("::ffff:") for _, ip in listening} == {"127.0.0.1"}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_the_same_table_as_the_local_engine(cluster, tmp_path):
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in "ab":
        shutil.copy(CLIPS / "voyage.mp4", videos / f"{name}.mp4")
    (videos / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "mine.csv").write_text(
        "video,question,answer\n"
        "a.mp4,What color is the star?,red\n"
        "a.mp4,What color is the zebra?,red\n"
        "broken.mp4,What color is the star?,red\n"
        "b.mp4,What color is the circle?,white\n"
    )
    table = tl.datasets.table(tmp_path / "mine.csv", videos=videos)

    def evaluate(**options):
        return tl.evaluate("nano", table, arms=["head", "all"], budgets=[24], progress=False,
                           **options)  # fmt: skip

    local = evaluate(out=tmp_path / "local")
    on_ray = evaluate(out=tmp_path / "ray", engine="ray", workers=2)
    assert _without_clocks(on_ray) == _without_clocks(local)
    assert _measures(on_ray) == _measures(local)
    assert on_ray.config == local.config
    assert [row["item"] for row in on_ray.failed] == ["2", "2", "3", "3"]
    before = (tmp_path / "ray" / "answers.jsonl").read_bytes().splitlines()
    again = evaluate(out=tmp_path / "ray")  # only what failed is asked again
    after = (tmp_path / "ray" / "answers.jsonl").read_bytes().splitlines()
    assert after[: len(before)] == before
    assert len(after) == len(before) + len(local.failed)
    assert _measures(again) == _measures(local)


def _without_clocks(run):
    return [{name: row[name] for name in row if name not in VARYING} for row in run.rows]


def _measures(run):
    """As text, because of NaN."""
    return [str(measure) for measure in run.summary if measure.measure not in VARYING]


def test_an_actor_that_kills_itself_costs_nothing(cluster, jobs, tmp_path):
    store = Store(tmp_path / "run", {})
    wanted = jobs("a", "deadly once", "b")
    with pytest.warns(TempoLabWarning, match="died"), RayEngine({}, 2) as engine:
        rows = run_on(engine, wanted, answer, store, progress=False)
    assert rows == run(wanted, answer, {}, Store(tmp_path / "other", {}), progress=False)
    numbers = asked(tmp_path / "log")["deadly once"]
    assert set(numbers) == {0, 1, 2, 3}
    # Twice on Ray, once by the local engine. Others may be repeated, too: a row may have been on
    # its way.
    assert numbers.count(2) == 3
    stored = [key_of(row) for row in store]
    assert len(stored) == len(set(stored)) == len(rows)


def test_an_actor_that_is_killed_costs_nothing(cluster, jobs, tmp_path):
    store = Store(tmp_path / "run", {})
    wanted = jobs("a", "b")
    with RayEngine({}, 2) as engine, pytest.warns(TempoLabWarning, match="died"):
        victim = _answer_and_kill_one(engine, wanted, store, tmp_path / "log")
    rows = {key_of(row): row for row in store}
    whole = run(wanted, answer, {}, Store(tmp_path / "other", {}), progress=False)
    assert [rows[key_of(row)] for row in whole] == whole
    assert len(list(store)) == len(whole)
    assert not psutil.pid_exists(victim)


def _answer_and_kill_one(engine, jobs, store, log) -> int:
    """Kill the process of the first answer that arrives; return its number."""
    victim, done = 0, set()
    for new in engine.rows(jobs, slowly, done):
        store.append(new)
        done.update(map(key_of, new))
        if not victim:
            victim = int((log / new[0]["video"]).read_text().split(":")[-1])
            os.kill(victim, signal.SIGKILL)
    return victim


def test_a_video_that_kills_each_worker_costs_its_own_rows(cluster, jobs, tmp_path):
    with pytest.warns(TempoLabWarning, match="deadly"), RayEngine({}, 1) as engine:
        rows = run_on(
            engine, jobs("deadly", "a"), answer, Store(tmp_path / "run", {}), progress=False
        )
    assert ["failed" in row for row in rows] == [False] * 4 + [True] * 4 + [False] * 8
    assert "died each time" in rows[4]["failed"]
    numbers = asked(tmp_path / "log")["deadly"]
    assert set(numbers) == {0, 1, 2}
    assert numbers.count(2) == 3


def test_a_broken_video_costs_its_own_rows_and_a_fault_ends_the_run(cluster, jobs, tmp_path):
    store = Store(tmp_path / "run", {})
    with RayEngine({}, 1) as engine:
        rows = run_on(engine, jobs("broken", "a"), answer, store, progress=False)
        assert ["failed" in row for row in rows] == [True] * 8 + [False] * 8
        with pytest.raises(TempoLabError, match="ZeroDivisionError"):
            run_on(engine, jobs("fault"), answer, store, progress=False)
        with pytest.raises(TempoLabError, match="no such arm"):
            run_on(engine, jobs("our fault"), answer, store, progress=False)
        kept = [row["item"] for row in store if row["video"] == "fault"]
        assert kept == [0, 0, 1, 1]  # what was answered before
        assert run_on(engine, jobs("a"), answer, store, progress=False) == rows[8:]
    assert asked(tmp_path / "log")["a"] == [0, 1, 2, 3]  # finished rows are not asked again


def test_a_function_is_called_on_a_worker(cluster):
    with RayEngine({"main": "no-such-model"}) as engine:
        roles, process = engine.call(role_of)
        assert roles == "main"
        assert process != str(os.getpid())


@pytest.mark.parametrize(
    ("cores", "workers", "group"),
    [
        ([2], 1, 2),
        ([2], 2, 1),
        ([2], 5, 1),
        ([6, 6], 3, 3),
        ([0, 4, 8], 3, 4),
        ([64], 8, 8),
        ([], 1, 1),
    ],
)
def test_workers_share_the_cores_of_each_machine(cores, workers, group):
    assert core_group(cores, workers) == group
