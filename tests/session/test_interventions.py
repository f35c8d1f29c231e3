"""Interventions: what was asked for is what was done, it is told, and nothing of it remains."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

import tempo_lab as tl
from tempo_lab.common.errors import BudgetError, CaptureError, QueryError
from tempo_lab.common.text import format_call
from tempo_lab.model.compressor import Compressor
from tempo_lab.nano.world.scenes import MOTIONS
from tempo_lab.session.capture.hidden_states import HiddenPatcher, Patch
from tempo_lab.session.interventions.apply import remembered
from tempo_lab.session.scoring import allocation_of, answer_logprob

VOYAGE = Path(__file__).parents[2] / "data" / "clips" / "voyage.mp4"
STAR, MOON, EVIDENCE = "What color is the star?", "What color is the moon?", 8
NOISE = {"question": "What color is the moving square?", "budget": 36, "max_new_tokens": 3}
NEVER = {**NOISE, "question": "Is this ever read?"}
I = tl.Intervention  # noqa: E741
STATES = tl.Capture(hidden=["decision", "query_last", "memory"])


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture(scope="module")
def voyage(nano):
    with nano.open(VOYAGE, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def plain(voyage):
    return voyage.ask(STAR, budget=64)


@pytest.fixture(scope="module")
def recorded(voyage, plain):
    """States of two questions, [segment, layer, hidden_row, hidden] each."""
    asked = {q: voyage.ask(q, budget=64, capture=STATES) for q in (STAR, MOON)}
    return {question: trace.data for question, trace in asked.items()}


@pytest.fixture(scope="module")
def noise(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        yield session


def hooks(tempo):
    return {
        name: (list(module._forward_hooks), list(module._forward_pre_hooks))
        for name, module in tempo.model.named_modules()
    }


@pytest.fixture(autouse=True)
def nothing_remains(nano, tiny):
    """Whatever a test does, the models are as they were after it."""
    before = hooks(nano), hooks(tiny)
    yield
    assert (hooks(nano), hooks(tiny)) == before


def identical(trace, other):
    for name in ("logit", "tokens", "kept", "timestamp_tokens", "answer_logprob"):
        np.testing.assert_array_equal(trace.data[name], other.data[name], err_msg=name)
    assert trace.answer == other.answer


# Every one is told truly

EACH = {
    "drop": I.drop(3),
    "all dropped": I.drop(range(12)),
    "keep": I.keep([2, EVIDENCE]),
    "allocate": I.allocate({0: 9, EVIDENCE: 1, 4: 0}),
    "swap": I.swap(3, EVIDENCE),
    "swap with a dropped one": [I.swap(3, EVIDENCE), I.drop(3)],
    "tail": I.slots("tail"),
    "random": I.slots("random"),
    "slots": I.slots([4, 0]),
    "slots of a few": [I.slots([1, 5, 7]), I.keep([EVIDENCE, 11]), I.swap(0, EVIDENCE)],
    "question": I.question(MOON),
    "patch": I.patch(1, "query_last", 0.5),
    "patched memory": I.patch(0, "memory 1", np.linspace(-2, 2, 128), [EVIDENCE]),
    "much": [I.question(MOON), I.patch(0, "memory 0", 0), I.swap(1, 2), I.slots("tail"), I.drop(5)],
}


@pytest.mark.parametrize("name", EACH)
def test_the_trace_says_what_was_done(voyage, plain, tmp_path, name):
    done = EACH[name] if isinstance(EACH[name], list) else [EACH[name]]
    trace = voyage.ask(STAR, budget=64, seed=3, interventions=EACH[name])
    assert list(I.of(trace)) == done
    told = trace.provenance["interventions"]
    assert told == json.loads(json.dumps(told))
    assert [one["kind"] for one in told] == [one.kind for one in done]
    for one in done:
        assert one.kind in repr(trace)
        assert f"<b>Interventions</b> {trace.interventions[0].partition('(')[0]}" in (
            trace._repr_html_()
        )
    loaded = tl.Trace.load(trace.save(tmp_path / "trace.nc"))
    assert loaded.data.identical(trace.data)
    assert I.of(loaded) == I.of(trace)
    assert "interventions" not in plain.provenance
    assert "Interventions" not in plain._repr_html_()

    # the ledger, and the prompt that the LLM read
    data, attrs = trace.data, trace.data.attrs
    tokens = data["tokens"].values
    assert tokens.sum() == attrs["used"] <= attrs["budget"] == 64
    assert data["kept"].sum("slot").values.tolist() == tokens.tolist()
    assert ((data["timestamp_tokens"].values > 0) == (tokens > 0)).all()
    stamps = [f"<{clock:.1f} seconds>" for clock in data["clock"].values]
    assert [stamp in trace.prompts["llm"] for stamp in stamps] == (tokens > 0).tolist()
    assert trace.totals["prompt"] == trace.totals["context"] - trace.totals["context_left"]

    # what the LLM read again, by the record alone, gives the same answer with the same probability
    again = answer_logprob(voyage, loaded, trace.answer)
    np.testing.assert_allclose(again, data["answer_logprob"], atol=1e-4)


def test_without_any_nothing_changes(voyage, plain):
    trace = voyage.ask(STAR, budget=64, interventions=[])
    identical(trace, plain)
    assert repr(trace) == f"Trace(question={STAR!r}, answer={plain.answer!r})"


# Tokens


def test_the_answer_is_in_the_evidence(voyage):
    """Not beside it: dropping another segment leaves it, dropping all others too."""

    def asked(*interventions):
        question = "Which way does the star move?"
        return voyage.ask(question, budget=64, interventions=interventions)

    def left(*interventions):
        return float(answer_logprob(voyage, asked(*interventions), "left").sum())

    assert asked().answer == "left"
    with_it = left()
    assert left(I.drop(EVIDENCE)) < with_it - 2
    assert left(I.drop(3)) > with_it - 0.5
    assert left(I.keep(EVIDENCE)) > with_it - 0.5
    assert left(I.drop(range(12))) < np.log(1 / len(MOTIONS))  # of nothing at all a guess is left


def test_the_rest_stays_as_it_was(voyage, plain):
    before = plain.data["tokens"].values
    for done, expected in (
        (I.drop([2, EVIDENCE]), {2: 0, EVIDENCE: 0}),
        (I.allocate({0: 7, EVIDENCE: 3}), {0: 7, EVIDENCE: 3}),
        (I.keep([1]), {i: 0 for i in range(12) if i != 1}),
    ):
        data = voyage.ask(STAR, budget=64, interventions=done).data
        assert data["tokens"].values.tolist() == [expected.get(i, before[i]) for i in range(12)]
        for name in ("logit", "relevance", "score", "wanted"):
            np.testing.assert_array_equal(data[name], plain.data[name])


def test_the_budget_holds(voyage, plain):
    used, most = plain.data.attrs["used"], plain.data.attrs["memory_slots"]
    grown = used - int(plain.data["tokens"][0]) + most
    done = I.allocate({0: most})
    assert voyage.ask(STAR, budget=grown, interventions=done).data.attrs["used"] <= grown
    many = [I.allocate(dict.fromkeys(range(6), most))]
    least = voyage.checkpoint.model.config.min_tokens
    with pytest.raises(BudgetError, match="budget of 64") as caught:
        voyage.ask(STAR, budget=64, interventions=many)
    assert f"{6 * (most + least)} tokens, by allocate(" in str(caught.value)
    # what only the relevance decides is refused when it is known
    with pytest.raises(BudgetError, match=f"a budget of {used}") as caught:
        voyage.ask(STAR, budget=used, interventions=done)
    assert f"a budget of {grown} or more" in str(caught.value)
    with pytest.raises(BudgetError, match="slots") as caught:
        voyage.ask(STAR, budget=640, interventions=I.allocate({3: most + 1}))
    assert f"{most + 1} tokens for segment 3" in str(caught.value)
    assert f"found: {most} slots" in str(caught.value)
    with pytest.raises(BudgetError, match="by slots"):
        voyage.ask(STAR, budget=24, interventions=I.slots([0, 1, 2]))


def test_what_cannot_fit_is_refused_before_any_work(noise):
    before = dict(noise.engine.computed)
    with pytest.raises(BudgetError, match="more than the budget"):
        noise.ask(**NEVER, interventions=I.allocate({0: 33}))
    assert noise.engine.computed == before


def test_a_faithful_overspending_is_not_the_interventions(noise):
    options = {**NOISE, "budget": 4, "mode": "faithful"}
    scores = np.linspace(0, 1, len(noise))
    assert noise.ask(**options, scores=scores).data.attrs["used"] > 4
    trace = noise.ask(**options, scores=scores, interventions=I.drop(0))
    assert trace.data["tokens"].values.tolist()[:2] == [0, 1]
    with pytest.raises(BudgetError, match="budget of 4"):
        noise.ask(**options, scores=scores, interventions=I.allocate({0: 2}))


# Slots


@pytest.mark.parametrize("which", ["tail", "random"])
def test_other_slots_are_those_of_the_strategy_of_that_name(voyage, which):
    chosen = voyage.ask(STAR, budget=64, seed=5, interventions=I.slots(which))
    strategy = voyage.ask(STAR, budget=64, seed=5, strategy=which)
    identical(chosen, strategy)
    assert chosen.data.attrs["strategy"] == "head"


def test_exactly_these_slots(voyage, plain):
    trace = voyage.ask(STAR, budget=64, interventions=[I.slots([6, 1]), I.drop(3)])
    kept = [np.flatnonzero(row).tolist() for row in trace.data["kept"].values]
    assert kept == [[] if i == 3 else [1, 6] for i in range(12)]
    every = voyage.ask(STAR, strategy="none")
    whole = remembered(voyage, every, allocation_of(every))
    read = remembered(voyage, trace, allocation_of(trace))
    for i in {*range(12)} - {3}:
        torch.testing.assert_close(read[i], whole[i][[1, 6]])


# Places


def test_swapped_memory_stands_at_the_other_place(voyage, plain):
    trace = voyage.ask(STAR, budget=64, interventions=I.swap(2, EVIDENCE))
    source = list(range(12))
    source[2], source[EVIDENCE] = EVIDENCE, 2
    assert trace.data["memory_from"].values.tolist() == source
    before, after = plain.data["tokens"].values, trace.data["tokens"].values
    assert after.tolist() == before[source].tolist() != before.tolist()
    own = remembered(voyage, plain, allocation_of(plain))
    read = remembered(voyage, trace, allocation_of(trace))
    for place, segment in enumerate(source):
        assert torch.equal(read[place], own[segment])
    for name in ("logit", "clock", "timestamp_tokens", "start"):
        np.testing.assert_array_equal(trace.data[name], plain.data[name])
    # told when: the evidence is now earlier
    words = trace.prompts["llm"].split("<")
    memory = {word.split(">")[0]: word for word in words if "seconds>" in word}
    assert f"[{before[EVIDENCE]} memory" in memory[f"{float(plain.data['clock'][2]):.1f} seconds"]


def test_memory_is_computed_for_the_place_where_it_stands(noise):
    before = dict(noise.engine.computed)
    scores = [0.0] * (len(noise) - 1) + [1.0]
    first = {**NOISE, "question": "Which one comes first?", "scores": scores}
    trace = noise.ask(**first, interventions=I.swap(0, len(noise) - 1))
    tokens = trace.data["tokens"].values
    assert tokens[0] > 10 > tokens[1:].max()
    assert noise.engine.computed["memory"] - before["memory"] == trace.data.attrs["used"]


@pytest.mark.parametrize("strategy", ["head", "random", "tome"])
def test_swapped_twice_is_as_it_was(voyage, strategy):
    options = {"budget": 64, "strategy": strategy, "seed": 2}
    there = [I.swap(0, EVIDENCE), I.swap(EVIDENCE, 5)]
    back = [I.swap(5, EVIDENCE), I.swap(0, EVIDENCE)]
    once = voyage.ask(STAR, **options, interventions=there)
    assert once.data["memory_from"].values[[0, 5, EVIDENCE]].tolist() == [EVIDENCE, 0, 5]
    identical(voyage.ask(STAR, **options, interventions=there + back), voyage.ask(STAR, **options))


# Another question


def test_compressed_for_another_question(voyage, plain):
    other = voyage.ask(MOON, budget=64)
    before = dict(voyage.engine.computed)
    trace = voyage.ask(STAR, budget=64, interventions=I.question(MOON))
    assert voyage.engine.computed == before  # the other one was kept
    for name in ("logit", "relevance", "tokens", "kept"):
        np.testing.assert_array_equal(trace.data[name], other.data[name])
    own = remembered(voyage, other, allocation_of(other))
    read = remembered(voyage, trace, allocation_of(trace))
    assert all(torch.equal(a, b) for a, b in zip(read, own, strict=True))
    assert trace.question == STAR
    for reads, is_read, is_not in (("llm", STAR, MOON), ("svlm", MOON, STAR)):
        prompt = trace.prompts[reads].lower()
        assert is_read.lower() in prompt
        assert is_not.lower() not in prompt
    same = voyage.ask(STAR, budget=64, interventions=I.question(STAR))
    identical(same, plain)


# Patches


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
    found = after["hidden_state"]
    here = {"segment": EVIDENCE, "layer": 1, "hidden_row": "memory 1"}
    np.testing.assert_allclose(found.sel(here), state, atol=1e-6)
    old = before["hidden_state"].sel(hidden_row=found.hidden_row)
    changed = ((found != old) & ~(found.isnull() & old.isnull())).any("hidden")
    assert changed.any(["layer", "hidden_row"]).values.nonzero()[0].tolist() == [EVIDENCE]
    where = changed.sel(segment=EVIDENCE).transpose("layer", "hidden_row").values
    rows = found.hidden_row.values.tolist()
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
    with patcher.installed(), silent, patcher.watch([0, 1]):
        pass  # the model was not called
    with patcher.installed(), patcher.watch([1]), patcher.watch([0], range(3)):
        pass  # nothing to patch here


def test_memory_that_is_continued_is_patched_where_it_stands(tiny):
    patch = Patch(1, "memory 3", 3, True, False, {7: torch.ones(4)})
    patcher = HiddenPatcher(tiny.model.compressor.svlm.language_model, [patch], "SVLM")
    with patcher.watch([6, 7], range(2, 5)):
        states = patcher._put(1, None, None, torch.zeros(2, 3, 4))
    assert states.sum(dim=-1).tolist() == [[0, 0, 0], [0, 4, 0]]


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


# Together with the rest


def test_together_with_scores_a_strategy_and_a_capture(voyage, recorded):
    scores = np.zeros(12)
    scores[4] = 1
    spec = tl.Capture(attention=["decision", "answer"], layer_relevance=True)
    done = [I.question(MOON), I.swap(4, 0), I.drop(2), I.patch(2, "decision", 0.0, [7])]
    options = {"budget": 48, "strategy": "tail", "scores": scores, "min_tokens": 1}
    trace = voyage.ask(STAR, **options, interventions=done, capture=spec)
    data = trace.data
    assert data["tokens"].values[[0, 4, 2]].tolist() == [16, 1, 0]
    assert data["score"].values.tolist() == scores.tolist()
    others = [i for i in range(12) if i != 7]
    np.testing.assert_allclose(data["logit"][others], recorded[MOON]["logit"][others], atol=1e-4)
    np.testing.assert_array_equal(data["layer_logit"][:, -1], data["logit"])
    assert abs(data["attention"].sum("key_group") - 1).max() < 1e-5
    looked = data["answer_attention"].sel(llm_key_group="memory 2")
    assert (looked == 0).all()  # nothing of it was there
    assert set(trace.provenance) >= {"capture", "interventions"}
    unseen = voyage.ask(STAR, **options, interventions=done)
    np.testing.assert_allclose(unseen.data["answer_logprob"], data["answer_logprob"], atol=1e-4)


def test_a_single_image(tiny, tmp_path):
    from PIL import Image

    pixels = np.random.default_rng(2).integers(0, 256, (75, 100, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    with tiny.open(tmp_path / "image.png", progress=False) as session:
        trace = session.ask("What is it?", max_new_tokens=3, interventions=I.slots([0, 5]))
        assert trace.data.attrs["used"] == 2
        trace = session.ask("What is it?", max_new_tokens=3, interventions=I.drop(0))
        assert "memory" not in trace.prompts["llm"]
        with pytest.raises(CaptureError, match="the nearest is 0"):
            session.ask("What is it?", interventions=I.swap(0, 1))


# What makes no sense


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: I("drops", {}), "did you mean 'drop'"),
        (lambda: I.drop([]), "no segment is named"),
        (lambda: I.drop([1.5]), "whole number"),
        (lambda: I.drop("3"), "whole number"),
        (lambda: I.drop([True]), "whole number"),
        (lambda: I.keep([2, 2]), "segment 2, 2 times"),
        (lambda: I.allocate({}), "allocate says how many"),
        (lambda: I.allocate([3]), "allocate says how many"),
        (lambda: I.allocate({3: -1}), "0 tokens or more"),
        (lambda: I.allocate({3: 2.5}), "a number of tokens is a whole number"),
        (lambda: I.allocate({"star": 3}), "a segment is a whole number"),
        (lambda: I.swap(3, 3), "changes nothing"),
        (lambda: I.slots("tial"), "did you mean 'tail'"),
        (lambda: I.slots([1, 1]), "slot 1, 2 times"),
        (lambda: I.slots([-1]), "counted from 0"),
        (lambda: I.slots([]), "no slot is named"),
        (lambda: I.patch(0, "decison", 0), "did you mean 'decision'"),
        (lambda: I.patch(0, "memory[3]", 0), "did you mean 'memory 0'"),
        (lambda: I.patch(0, "memory", 0), "memory 0"),
        (lambda: I.patch(0, "vision 3", 0), "the video is read before"),
        (lambda: I.patch("last", "decision", 0), "a layer is a whole number"),
        (lambda: I.patch(0, "decision", math.nan), "1 of 1"),
        (lambda: I.patch(0, "decision", [[0.0, math.inf]]), "1 of 2"),
        (lambda: I.patch(0, "decision", "mean"), "a number or an array"),
        (lambda: I.patch(0, "decision", lambda state: state), "a number or an array"),
        (lambda: I.patch(0, "decision", np.zeros((1, 2, 3))), r"shape \(1, 2, 3\)"),
        (lambda: I.patch(0, "decision", []), r"shape \(0,\)"),
        (lambda: I.patch(0, "decision", 0, []), "no segment is named"),
        (lambda: I.patch(0, "decision", 0, "every"), "whole number"),
    ],
)
def test_what_no_video_can_have_is_refused_when_it_is_said(make, says):
    with pytest.raises(CaptureError, match=says):
        make()


def test_a_question_to_compress_for_is_text_that_the_model_knows(voyage):
    with pytest.raises(QueryError, match="is text"):
        I.question(3)
    with pytest.raises(QueryError, match="has a character that is none"):
        voyage.ask(STAR, interventions=I.question("\ud800"))
    with pytest.raises(QueryError, match="does not know"):
        voyage.ask(STAR, interventions=I.question("What color is the zeppelin?"))


@pytest.mark.parametrize(
    ("done", "says"),
    [
        ("drop", "interventions='drop'"),
        ([tl.Capture(memory=True)], "say what is to be different"),
        (None, "interventions=None"),
        (I.drop(6), r"6 segments, 0 to 5\n  fix:   the nearest is 5"),
        (I.keep([0, -1]), "segment -1\n.*\n.*nearest is 0"),
        (I.allocate({9: 3}), "segment 9"),
        (I.swap(2, 8), "segment 8"),
        (I.slots([128]), "128 slots, 0 to 127\n.*nearest is 127"),
        (I.patch(0, "memory 128", 0), "128 slots, 0 to 127"),
        (I.patch(3, "decision", 0), "3 layers, 0 to 2\n.*nearest is 2"),
        (I.patch(0, "decision", 0, 7), "segment 7"),
        (I.patch(0, "query 999", 0), r"tokens of the question, 0 to \d+\n.*nearest is query \d+"),
        (I.patch(0, "decision", np.zeros(5)), r"5 numbers at layer 0, decision\n  found: hidden"),
        (I.patch(0, "decision", np.zeros((2, 64))), "2 rows at .*\n.*6 segments"),
        ([I.drop(1), I.keep(2)], r"drop\(.*\) and keep\("),
        ([I.drop(1), I.allocate({1: 3})], r"about segment 1\n.*drop.* and allocate"),
        ([I.keep(1), I.allocate({2: 3})], r"about segment 2\n.*keep.* and allocate"),
        ([I.allocate({1: 4}), I.allocate({1: 3})], "about segment 1"),
        ([I.slots("tail"), I.slots([1])], r"slots\(which='tail'\) and slots\("),
        ([I.slots([0, 1]), I.allocate({1: 3})], "allocate.* and slots"),
        ([I.question("a"), I.question("b")], "question.* and question"),
        ([I.patch(-1, "decision", 0), I.patch(2, "decision", 1, 4)], "two patches of one place"),
    ],
)
def test_what_this_video_or_model_does_not_have_is_refused_before_any_work(noise, done, says):
    before = dict(noise.engine.computed)
    with pytest.raises(CaptureError, match=says):
        noise.ask(**NEVER, interventions=done)
    assert noise.engine.computed == before


def test_slots_of_a_strategy_that_merges(noise):
    with pytest.raises(CaptureError, match=r"slots\(which='tail'\) with strategy='tome'"):
        noise.ask(**NEVER, strategy="tome", interventions=I.slots("tail"))


def test_equal_interventions_are_equal_and_print_shortly():
    assert I.patch(0, "memory 03", 1) == I.patch(0, "memory 3", np.float64(1))
    long = I.patch(0, "decision", np.zeros(2048))
    assert len(str(long)) < 150
    many = format_call("drop", {"segments": list(range(100))})
    assert many == "drop(segments=[0, 1, 2, 3, 4, 5, 6, 7, ...])"
    assert repr(I.drop(3)) == "Intervention.drop(segments=[3])"
