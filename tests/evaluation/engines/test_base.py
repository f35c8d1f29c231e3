"""The registry of engines, and what engines refuse."""

from __future__ import annotations

import socket

import pytest

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation import engines
from tempo_lab.evaluation.engines import LocalEngine, open_engine, ray_data, register_engine
from tempo_lab.evaluation.runner import run, run_on
from tempo_lab.evaluation.store import Store
from tests.evaluation.engines.fakes import FakeJob, answer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lokal", {}), "did you mean 'local'"),
        (("local", {}, 0), "workers"),
        (("local", {"main": object()}, 2), "load their models by name"),
        (("ray", {"main": object()}), "load their models by name"),
        (("local", {}, 1, "127.0.0.1:6379"), 'use engine="ray"'),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, said):
    with pytest.raises(TempoLabError, match=said):
        open_engine(*arguments)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(ray_data.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TempoLabError, match=r"pip install 'tempo-lab\[ray\]'"):
        open_engine("ray", {})


def test_an_address_where_nothing_listens_is_refused():
    pytest.importorskip("ray")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(TempoLabError, match=address), open_engine("ray", {}, 1, address):
            pass
    with pytest.raises(TempoLabError, match="ray start --head"), open_engine("ray", {}, 1, "head"):
        pass


def test_an_engine_of_your_own_is_a_class(tmp_path, monkeypatch):
    monkeypatch.setattr(engines.base, "ENGINES", dict(engines.ENGINES))

    @register_engine("backwards")
    class Backwards(LocalEngine):
        def rows(self, jobs, answer, done):
            return super().rows(jobs[::-1], answer, done)

    jobs = [FakeJob(name, str(tmp_path)) for name in "ab"]
    store = Store(tmp_path / "run", {})
    with open_engine("backwards", {}) as engine:
        rows = run_on(engine, jobs, answer, store, progress=False)
    assert [row["video"] for row in store] == ["b"] * 8 + ["a"] * 8
    assert [row["video"] for row in rows] == ["a"] * 8 + ["b"] * 8


def test_a_function_is_called_with_loaded_models_where_this_process_answers():
    with LocalEngine({"main": "nano"}) as engine:
        assert engine.call(lambda models: models["main"].slots) == 16
    with LocalEngine({"main": "nano"}, workers=2) as engine:
        assert engine.call(dict) == {"main": "nano"}
    with (
        LocalEngine({"main": "no-such-model"}) as engine,
        pytest.raises(TempoLabError, match="no-such-model"),
    ):
        engine.call(dict)


def test_a_model_that_workers_cannot_load_ends_the_run(tmp_path):
    with (
        LocalEngine({"main": "no-such-model"}, workers=2) as engine,
        pytest.raises(TempoLabError, match="no-such-model"),
    ):
        list(engine.rows([FakeJob(name, str(tmp_path)) for name in "ab"], answer, set()))


def test_a_run_continues_on_another_number_of_workers(tmp_path):
    jobs = [FakeJob(name, str(tmp_path)) for name in "abc"]
    store = Store(tmp_path / "run", {})
    first = run(jobs[:1], answer, {}, store, progress=False)
    rows = run(jobs, answer, {}, store, workers=2, progress=False)
    assert rows[:8] == first
    assert len(rows) == len(list(store)) == 24
