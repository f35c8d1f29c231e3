"""A whole capture: the outputs do not change, caches are used, and nothing of it remains."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError
from tempo_lab.model.compressor import Compressor
from tests.session.capture.conftest import ASK, EVERYTHING, QUESTION, TOLERANCE, fittings, same


def test_outputs_are_those_of_the_unrecorded_run(full, grouped, plain):
    same(full, plain)
    same(grouped, plain)


def test_memory_tokens_before_and_after_the_projector(tiny, grouped):
    data = grouped.data
    there = ~np.isnan(data["memory_token"].values[..., 0])
    assert (there == data["kept"].values).all()  # head: the needed ones are the kept ones
    with torch.inference_mode():
        after = tiny.model.project(torch.from_numpy(data["memory_token"].values[there])).numpy()
    assert np.abs(after - data["memory_projected"].values[there]).max() < TOLERANCE


@pytest.mark.parametrize("cache_mode", ["kv", "features", "nothing"])
def test_a_question_that_is_kept_is_recorded_from_the_best_thing_kept(
    tiny, frames_file, grouped, plain, cache_mode
):
    with tiny.open(frames_file, progress=False, cache=cache_mode, batch_bytes=1) as session:
        session.ask(**ASK)
        before = dict(session.engine.computed)
        trace = session.ask(**ASK, capture=EVERYTHING)
        again = {name: n - before[name] for name, n in session.engine.computed.items()}
        assert again["decoded"] == (6 if cache_mode == "nothing" else 0)
        assert again["prefix"] == (0 if cache_mode == "kv" else 6)
        assert again["relevance"] == 6
        assert again["memory"] == before["memory"]
        after = dict(session.engine.computed)
        session.ask(**ASK)  # what was recorded is kept as any other question
        assert session.engine.computed == after
    np.testing.assert_allclose(trace.data["logit"], plain.data["logit"], atol=TOLERANCE)
    assert trace.answer == plain.answer
    for name in set(grouped.data) - set(plain.data):
        np.testing.assert_allclose(
            trace.data[name], grouped.data[name], atol=3 * TOLERANCE, err_msg=name
        )


@pytest.mark.parametrize("strategy", ["tail", "tome", "topk"])
def test_slots_are_those_that_the_allocation_needed(session, strategy):
    spec = tl.Capture(attention=["memory"], layers=[-1], memory=True)
    trace = session.ask(**ASK, strategy=strategy, capture=spec)
    rows = trace.data["attention"].isel(layer=0, head=0, key_group=0)
    counts = (~rows.isnull()).sum("row").values
    slots = (~trace.data["memory_token"].isnull()).any("hidden").sum("slot").values
    assert counts.tolist() == slots.tolist()
    tokens = trace.data["tokens"].values
    expected = tokens if strategy == "topk" else np.where(tokens > 0, 128, 0)
    assert counts.tolist() == expected.tolist()


def test_a_single_image(tiny, tmp_path):
    from PIL import Image

    noise = np.random.default_rng(2).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "image.png")
    with tiny.open(tmp_path / "image.png", progress=False) as session:
        trace = session.ask(QUESTION, max_new_tokens=4, capture=EVERYTHING)
    assert abs(trace.data["attention"].sum("key_group") - 1).max() < TOLERANCE


class Stop(Exception):
    pass


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt])
@pytest.mark.parametrize("stage", ["relevance", "memory", "answer"])
def test_nothing_remains_after_an_end_in_the_middle(
    tiny, session, plain, monkeypatch, stage, error
):
    before = fittings(tiny)

    def ends(*args, **kwargs):
        assert fittings(tiny) != before  # it was installed
        raise error

    with monkeypatch.context() as patch:
        if stage != "answer":
            patch.setattr(Compressor, stage, ends)
        with pytest.raises(error):
            session.ask(**ASK, capture=EVERYTHING, stream=ends)
    assert fittings(tiny) == before
    same(session.ask(**ASK), plain)


def test_captures_nested_in_each_other(session, grouped, plain):
    """The stream's callback asks, recorded and not, while the answer is recorded."""
    inner = []

    def ask_inside(piece):
        if not inner:
            inner.append(session.ask(**ASK, capture=EVERYTHING))
            session.ask("When does it appear?", budget=60, max_new_tokens=3)

    outer = session.ask(**ASK, capture=EVERYTHING, stream=ask_inside)
    for trace in (outer, *inner):
        same(trace, plain)
        for name in ("attention", "answer_attention", "hidden_state"):
            np.testing.assert_allclose(trace.data[name], grouped.data[name], atol=TOLERANCE)


def test_a_users_own_hooks_survive_and_fire_as_often(tiny, session):
    text = tiny.model.compressor.svlm.language_model
    fired = {"layer": 0, "norm": 0}

    def count(name):
        return lambda *_: fired.__setitem__(name, fired[name] + 1)

    hooks = [
        text.layers[1].register_forward_hook(count("layer")),
        text.norm.register_forward_hook(count("norm")),
    ]
    try:
        session.ask(**ASK)
        once = dict(fired)
        session.engine.forget()
        session.ask(**ASK, capture=EVERYTHING)
        assert fired == {name: 2 * n for name, n in once.items()}
        session.engine.forget()
        session.ask(**ASK)
        assert fired == {name: 3 * n for name, n in once.items()}
    finally:
        for hook in hooks:
            hook.remove()


def _objects_of_captures():
    """Names of the classes of `session.capture` that have an instance now, except for the spec."""
    gc.collect()
    room = "tempo_lab.session.capture."
    kinds = {type(item) for item in gc.get_objects()}
    return {k.__name__ for k in kinds if str(k.__module__).startswith(room)} - {"Capture", "Rows"}


def test_nothing_of_a_capture_is_kept_alive(session):
    alive = []

    def look(piece):
        alive.append(_objects_of_captures())
        raise Stop

    assert session.ask(**ASK, capture=EVERYTHING).data.sizes["row"]
    assert _objects_of_captures() == set()
    with pytest.raises(Stop):
        session.ask(**ASK, capture=EVERYTHING, stream=look)
    assert alive[0] >= {"Recorder", "AttentionRecorder", "HiddenRecorder", "AttentionRequest"}
    assert _objects_of_captures() == set()


def test_what_is_no_capture_is_refused(session):
    with pytest.raises(CaptureError, match="must be a Capture"):
        session.ask(**ASK, capture="attention")


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({"budget": 100}, 0),  # no segment is given more than there is
        ({"budget": 300, "strategy": "uniform"}, 0),
        ({"budget": 300, "scores": [0.0, 0.2, 0.1, 0.4, 0.5, 0.6]}, 0),
        ({"budget": 200, "strategy": "head", "mode": "faithful"}, 6),  # relevance decides
    ],
)
def test_a_slot_that_no_segment_needs_is_refused_as_early_as_it_is_known(session, options, read):
    spec = tl.Capture(attention=tl.Rows(["decision", "memory"], slots=[0, 100]))
    with pytest.raises(CaptureError, match="never fires") as caught:
        session.ask(QUESTION, **options, capture=spec)
    assert "attention of memory 100" in str(caught.value)
    assert "fire: decision, memory 0;" in str(caught.value)
    assert session.engine.computed["relevance"] == read
    assert session.engine.computed["memory"] == 0
    assert (
        session.ask(QUESTION, strategy="none", max_new_tokens=2, capture=spec).data.sizes["row"]
        == 3
    )
