"""Patched hidden states: what follows is computed from them, and nothing of them remains."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError
from tempo_lab.model.compressor import Compressor
from tempo_lab.session.interventions.patches import HiddenPatcher, Patch
from tests.session.interventions.conftest import EVIDENCE, MOON, NOISE, STAR, hooks, identical

I = tl.Intervention  # noqa: E741


def test_zero_at_the_last_layer_is_what_the_norm_of_zeros_gives(nano, voyage, plain):
    compressor = nano.model.compressor
    with torch.inference_mode():
        zeros = torch.zeros(compressor.svlm.config.text_config.hidden_size)
        expected = compressor.logit(compressor.svlm.language_model.norm(zeros))
    trace = voyage.ask(STAR, budget=64, interventions=I.patch(-1, "decision", 0))
    assert trace.data["logit"].values.tolist() == [float(expected)] * 12
    assert plain.data["logit"].values.tolist() != trace.data["logit"].values.tolist()
    some = voyage.ask(STAR, budget=64, interventions=I.patch(-1, "decision", 0, [1, 4])).data
    changed = (some["logit"] != plain.data["logit"]).values
    assert np.flatnonzero(changed).tolist() == [1, 4]


@pytest.mark.parametrize("row", ["decision", "query_last", "memory 0", "memory 1"])
@pytest.mark.parametrize("layer", [0, 2])
def test_its_own_state_changes_nothing(voyage, plain, recorded, row, layer):
    own = recorded[STAR]["hidden_state"].sel(layer=layer, hidden_row=row)
    assert own.notnull().all()
    trace = voyage.ask(STAR, budget=64, interventions=I.patch(layer, row, own))
    for name in ("logit", "tokens", "answer_logprob"):
        np.testing.assert_allclose(trace.data[name], plain.data[name], atol=1e-5)


def test_the_decision_of_another_question_gives_its_relevance(voyage, recorded):
    states = recorded[MOON]["hidden_state"].isel(layer=-1).sel(hidden_row="decision")
    done = I.patch(-1, "decision", states)
    trace = voyage.ask(STAR, budget=64, interventions=done)
    np.testing.assert_allclose(trace.data["logit"], recorded[MOON]["logit"], atol=1e-4)
    assert trace.data["tokens"].values.tolist() == recorded[MOON]["tokens"].values.tolist()


def test_a_patch_reaches_what_follows_it_and_nothing_else(voyage, recorded):
    before = recorded[STAR]
    spec = tl.Capture(hidden=["decision", "memory"], memory=True)
    state = np.linspace(-1, 1, before.sizes["hidden"])
    done = I.patch(1, "memory 1", state, [EVIDENCE])
    after = voyage.ask(STAR, budget=64, interventions=done, capture=spec).data
    np.testing.assert_array_equal(after["logit"], before["logit"])
    states = after["hidden_state"]
    site = {"segment": EVIDENCE, "layer": 1, "hidden_row": "memory 1"}
    np.testing.assert_allclose(states.sel(site), state, atol=1e-6)
    old = before["hidden_state"].sel(hidden_row=states.hidden_row)
    changed = ((states != old) & ~(states.isnull() & old.isnull())).any("hidden")
    assert changed.any(["layer", "hidden_row"]).values.nonzero()[0].tolist() == [EVIDENCE]
    where = changed.sel(segment=EVIDENCE).transpose("layer", "hidden_row").values
    rows = states.hidden_row.values.tolist()
    expected = np.zeros_like(where)
    expected[1:, rows.index("memory 1")] = True
    expected[2:, rows.index("memory 2") :] = True  # by attention, one layer later
    assert (where == expected).all()


def test_positions_have_the_token_maps_names(voyage, recorded):
    last = len(voyage.prompt(STAR).positions("query")) - 1
    by_number, by_name = (
        voyage.ask(STAR, budget=64, interventions=I.patch(0, position, 0.3))
        for position in (f"query {last}", "query_last")
    )
    identical(by_number, by_name)
    first = voyage.ask(STAR, budget=64, interventions=I.patch(0, "query 0", 0.3))
    assert (first.data["logit"] != by_name.data["logit"]).all()


@pytest.mark.parametrize("cache_mode", ["kv", "features", "nothing"])
def test_a_patched_run_is_not_remembered(tiny, frames_file, tmp_path, cache_mode):
    np.save(tmp_path / "short.npy", np.load(frames_file)[:12])  # two segments
    path = tmp_path / "short.npy"
    with tiny.open(path, progress=False, cache=cache_mode, batch_bytes=1) as session:
        done = [I.patch(0, "decision", 0.1), I.patch(1, "memory 2", 0.1)]
        first_of_all = session.ask(**NOISE, interventions=done)
        first = session.ask(**NOISE)
        assert (first.data["logit"] != first_of_all.data["logit"]).all()
        held, before = session.engine.nbytes, dict(session.engine.computed)
        patched = session.ask(**NOISE, interventions=done)
        np.testing.assert_allclose(patched.data["logit"], first_of_all.data["logit"], atol=1e-5)
        again = {name: n - before[name] for name, n in session.engine.computed.items()}
        assert again["decoded"] == (2 if cache_mode == "nothing" else 0)
        assert again["relevance"] == 2
        assert session.engine.nbytes == held
        after = dict(session.engine.computed)
        identical(session.ask(**NOISE), first)
        assert session.engine.computed == after  # and what was kept is still there


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("stage", ["relevance", "memory", "answer"])
def test_nothing_remains_after_an_end_in_the_middle(tiny, noise, monkeypatch, stage, error):
    first, before = noise.ask(**NOISE), hooks(tiny)

    def ends(*args, **kwargs):
        assert hooks(tiny) != before  # it was installed
        raise error

    with monkeypatch.context() as patch:
        if stage != "answer":
            patch.setattr(Compressor, stage, ends)
        with pytest.raises(error):
            noise.ask(**NOISE, stream=ends, interventions=I.patch(0, "decision", 0.0))
    assert hooks(tiny) == before
    identical(noise.ask(**NOISE), first)


def test_questions_asked_meanwhile_are_not_patched(noise):
    first, inner = noise.ask(**NOISE), []

    def ask_inside(piece):
        if not inner:
            inner.append(noise.ask(**NOISE))

    noise.ask(**NOISE, stream=ask_inside, interventions=I.patch(0, "decision", 0.0))
    identical(inner[0], first)


def test_a_patch_that_never_fires_is_an_error(tiny):
    model = tiny.model.compressor.svlm.language_model
    patch = Patch(1, "decision", 0, False, False, {0: torch.zeros(4)})
    patcher = HiddenPatcher(model, [patch], "SVLM")
    silent = pytest.raises(CaptureError, match="patch of layers 1 of the SVLM")
    with patcher.installed(), silent, patcher.observe([0, 1]):
        pass  # the model was not called
    with patcher.installed(), patcher.observe([1]), patcher.observe([0], range(3)):
        pass  # nothing to patch here


def test_memory_that_is_continued_is_patched_where_it_stands():
    model = SimpleNamespace(layers=[nn.Identity(), nn.Identity()])
    patch = Patch(1, "memory 3", 3, True, False, {7: torch.ones(4)})
    patcher = HiddenPatcher(model, [patch], "SVLM")
    zeros = torch.zeros(2, 3, 4)
    with patcher.installed(), patcher.observe([6, 7], range(2, 5)):
        unchanged, changed = (layer(zeros) for layer in model.layers)
    assert unchanged.sum() == 0
    assert changed.sum(dim=-1).tolist() == [[0, 0, 0], [0, 4, 0]]


def test_memory_that_nobody_needs(voyage, plain):
    few = int(plain.data["tokens"][0])
    with pytest.raises(CaptureError, match="not needed") as caught:
        done = I.patch(0, f"memory {few}", 0.0, [EVIDENCE, 0])
        voyage.ask(STAR, budget=64, interventions=done)
    assert f"memory {few} of segment 0" in str(caught.value)
    assert f"needed there: {few} at most" in str(caught.value)
    voyage.ask(STAR, budget=64, interventions=I.patch(0, f"memory {few}", 0.0))
    with pytest.raises(CaptureError, match="not needed"):
        done = [I.drop(EVIDENCE), I.patch(0, "memory 12", 0.0)]
        voyage.ask(STAR, budget=64, interventions=done)
