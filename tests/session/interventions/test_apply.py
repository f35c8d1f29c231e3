"""What an intervention changes, and that the trace says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import tempo_lab as tl
from tempo_lab.common.errors import BudgetError, CaptureError
from tempo_lab.nano.world.scenes import MOTIONS
from tempo_lab.session.interventions.apply import kept_memory
from tempo_lab.session.scoring import answer_logprob
from tests.session.interventions.conftest import EVIDENCE, MOON, NEVER, NOISE, STAR, identical

I = tl.Intervention  # noqa: E741


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
    described = trace.provenance["interventions"]
    assert described == json.loads(json.dumps(described))
    assert [one["kind"] for one in described] == [one.kind for one in done]
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
    used, slots = plain.data.attrs["used"], plain.data.attrs["memory_slots"]
    grown = used - int(plain.data["tokens"][0]) + slots
    done = I.allocate({0: slots})
    assert voyage.ask(STAR, budget=grown, interventions=done).data.attrs["used"] <= grown
    many = [I.allocate(dict.fromkeys(range(6), slots))]
    least = voyage.checkpoint.model.config.min_tokens
    with pytest.raises(BudgetError, match="budget of 64") as caught:
        voyage.ask(STAR, budget=64, interventions=many)
    assert f"{6 * (slots + least)} tokens, by allocate(" in str(caught.value)
    # what only the relevance decides is refused when it is known
    with pytest.raises(BudgetError, match=f"a budget of {used}") as caught:
        voyage.ask(STAR, budget=used, interventions=done)
    assert f"a budget of {grown} or more" in str(caught.value)
    with pytest.raises(BudgetError, match="slots") as caught:
        voyage.ask(STAR, budget=640, interventions=I.allocate({3: slots + 1}))
    assert f"{slots + 1} tokens for segment 3" in str(caught.value)
    assert f"found: {slots} slots" in str(caught.value)
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
    whole = kept_memory(voyage.engine, every, every.allocation())
    read = kept_memory(voyage.engine, trace, trace.allocation())
    for i in {*range(12)} - {3}:
        torch.testing.assert_close(read[i], whole[i][[1, 6]])


def test_swapped_memory_stands_at_the_other_place(voyage, plain):
    trace = voyage.ask(STAR, budget=64, interventions=I.swap(2, EVIDENCE))
    source = list(range(12))
    source[2], source[EVIDENCE] = EVIDENCE, 2
    assert trace.data["memory_from"].values.tolist() == source
    before, after = plain.data["tokens"].values, trace.data["tokens"].values
    assert after.tolist() == before[source].tolist() != before.tolist()
    own = kept_memory(voyage.engine, plain, plain.allocation())
    read = kept_memory(voyage.engine, trace, trace.allocation())
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


def test_compressed_for_another_question(voyage, plain):
    other = voyage.ask(MOON, budget=64)
    before = dict(voyage.engine.computed)
    trace = voyage.ask(STAR, budget=64, interventions=I.question(MOON))
    assert voyage.engine.computed == before  # the other one was kept
    for name in ("logit", "relevance", "tokens", "kept"):
        np.testing.assert_array_equal(trace.data[name], other.data[name])
    own = kept_memory(voyage.engine, other, other.allocation())
    read = kept_memory(voyage.engine, trace, trace.allocation())
    assert all(torch.equal(a, b) for a, b in zip(read, own, strict=True))
    assert trace.question == STAR
    for reads, is_read, is_not in (("llm", STAR, MOON), ("svlm", MOON, STAR)):
        prompt = trace.prompts[reads].lower()
        assert is_read.lower() in prompt
        assert is_not.lower() not in prompt
    same = voyage.ask(STAR, budget=64, interventions=I.question(STAR))
    identical(same, plain)


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


@pytest.mark.parametrize(
    ("done", "says"),
    [
        ("drop", "interventions='drop'"),
        ([tl.Capture(memory=True)], "must be one or several Intervention"),
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
        (
            [I.patch(-1, "decision", 0), I.patch(2, "decision", 1, 4)],
            "the same position",
        ),
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
