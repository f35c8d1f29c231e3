"""What is computed in one batch, what is never computed again, and what the cache costs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.profiler import ProfilerActivity, profile

import tempo_lab as tl
from tempo_lab.common.errors import BudgetError
from tempo_lab.model import compressor as compressor_module
from tempo_lab.model import qwen
from tempo_lab.model.batch_limit import BatchLimit
from tempo_lab.model.compressor import Compressor
from tempo_lab.session.provenance import provenance

QUESTION = "What color is the moving square?"
LONG = "Which of the many moving shapes is red? " * 60
SHORT = {"max_new_tokens": 2}
QUESTIONS = ("When?", "Where?", "Who?", "Why?", "How?")


@pytest.fixture
def session(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture(scope="module")
def many_segments(tmp_path_factory):
    """24 segments of small frames."""
    path = tmp_path_factory.mktemp("frames") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (192, 24, 24, 3), dtype=np.uint8))
    return path


@pytest.fixture
def passes(monkeypatch):
    """Every pass through the SVLM's text model, as (segments, new tokens, past tokens)."""
    read, seen = qwen.prefill, []

    def noted(model, embeddings, positions, cache=None, *args):
        past = 0 if cache is None else cache.get_seq_length()
        seen.append((*embeddings.shape[:2], past))
        return read(model, embeddings, positions, cache, *args)

    monkeypatch.setattr(compressor_module.qwen, "prefill", noted)
    return seen


def peak_allocated(work: Callable[[], object]) -> int:
    """Peak of the bytes that torch allocates during some work, above those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    events = profiled.profiler.kineto_results.events()
    changes = [(e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]"]
    assert changes
    return int(np.cumsum([nbytes for _, nbytes in sorted(changes)]).max())


@pytest.mark.parametrize("cache_mode", ["kv", "nothing"])
def test_a_long_question_is_read_within_the_byte_limit(nano, many_segments, passes, cache_mode):
    """Segments that fit together while they are seen may not while the question is read."""
    limit, question = 64 << 20, "shape " * 800

    def read(batch_bytes):
        session = nano.open(
            many_segments, progress=False, cache=cache_mode, batch_bytes=batch_bytes
        )
        with session:
            scored = session.engine.score(question)
            session.engine.memory_tokens(scored, np.full(24, nano.slots))
            price = session.price(question)
            kept = {**price, "kv": price["kv"] + price["question"]}.get(cache_mode, scored.nbytes)
            results.append((scored.logit, torch.stack(scored.memory_tokens), kept))

    results: list = []
    read(1 << 40)
    passes.clear()
    peak = peak_allocated(lambda: read(limit))
    (logit, memory, _), (expected, whole, kept) = results
    np.testing.assert_allclose(logit, expected, atol=1e-5)
    assert torch.allclose(memory, whole, atol=1e-5)
    assert peak < kept + limit
    need = BatchLimit(nano.model.compressor.svlm.config, 4, limit).prefill_bytes
    assert all(rows == 1 or rows * need(new, past) <= limit for rows, new, past in passes)
    batches = [rows for rows, new, _ in passes if new == len(nano.prompts.question(question))]
    assert sum(batches) == 24
    assert 1 < max(batches) < 10 < max(rows for rows, *_ in passes)


def test_a_segment_beyond_the_limit_goes_alone(tiny, frames_file, passes):
    with tiny.open(frames_file, progress=False, batch_bytes=1) as session:
        session.ask(LONG, budget=100, **SHORT)
    assert {rows for rows, *_ in passes} == {1}


@pytest.mark.parametrize("new", [20, 600])
def test_what_a_pass_needs_is_what_it_was_said_to_need(tiny, new):
    """An upper bound that is not far away: the cache that grows, the mask, the MLP."""
    compressor, rows, past = tiny.model.compressor, 6, 300
    hidden = compressor.svlm.config.text_config.hidden_size
    with torch.inference_mode():
        cache = compressor_module.DynamicCache()
        first = torch.arange(past).expand(3, -1)
        qwen.prefill(compressor.svlm, torch.zeros(rows, past, hidden), first, cache)
        grown = torch.arange(past, past + new).expand(3, -1)
        more = torch.zeros(rows, new, hidden)
        peak = peak_allocated(
            lambda: qwen.prefill(compressor.svlm, more, grown, qwen.copy_cache(cache)),
        )
    estimate = rows * BatchLimit(compressor.svlm.config, 4, 1).prefill_bytes(new, past)
    assert 0.5 * estimate < peak < estimate


def test_a_larger_budget_computes_the_missing_memory_tokens_and_nothing_else(session, tiny, passes):
    """Budgets that grow, then every strategy: each memory token is computed once."""
    changes = [{"budget": 48}, {"budget": 100}, {"budget": 400}, {"budget": 400}]
    changes += [{"strategy": name, "budget": 400} for name in ("random", "tail", "tome", "topk")]
    session.ask(QUESTION, budget=30, **SHORT)
    once = {name: session.engine.computed[name] for name in ("decoded", "prefix", "relevance")}
    assert once == dict.fromkeys(once, 6)
    for change in changes:
        scored = session.engine.score(QUESTION)
        before = sum(map(len, scored.memory_tokens))
        assert session.engine.computed == {**once, "memory": before}
        passes.clear()
        session.ask(QUESTION, **change, **SHORT)
        computed = sum(rows * new for rows, new, _ in passes)
        assert computed == sum(map(len, scored.memory_tokens)) - before
        assert all(rows * new <= 6 * 128 for rows, new, _ in passes)
    assert sum(map(len, scored.memory_tokens)) == session.engine.computed["memory"] == 6 * 128
    with tiny.open(session.video.info.path, progress=False) as fresh:
        at_once = fresh.engine.memory_tokens(fresh.engine.score(QUESTION), np.full(6, 128))
    for grown, whole in zip(scored.memory_tokens, at_once, strict=True):
        assert torch.allclose(grown, whole, atol=1e-5)


def test_segments_that_were_written_in_different_steps_go_on_together(session):
    engine = session.engine
    scored = engine.score(QUESTION)
    for needed in ([1, 2, 1, 3, 3, 2], [3, 3, 2, 3, 3, 3], [3, 3, 3, 3, 3, 3], [9] * 6):
        engine.memory_tokens(scored, np.array(needed))
    engine.forget()
    at_once = engine.memory_tokens(engine.score(QUESTION), np.full(6, 9))
    for grown, whole in zip(scored.memory_tokens, at_once, strict=True):
        assert len(grown) == len(whole) == 9
        assert torch.allclose(grown, whole, atol=1e-5)


@pytest.mark.parametrize("cache_mode", ["kv", "features", "nothing"])
def test_no_question_computes_a_memory_token_twice(tiny, frames_file, cache_mode):
    """Also where their keys and values do not fit: then all are computed at once."""
    with tiny.open(frames_file, progress=False) as session:
        price = session.price()
    with tiny.open(
        frames_file, progress=False, cache=cache_mode, cache_bytes=price.get(cache_mode, 0)
    ) as session:
        session.ask(QUESTION, budget=48, **SHORT)
        before = dict(session.engine.computed)
        assert before["memory"] == 6 * 128
        for change in ({"budget": 400}, {"strategy": "tail"}, {"strategy": "none"}):
            session.ask(QUESTION, **change, **SHORT)
        assert session.engine.computed == before


def test_the_price_is_what_is_kept(session):
    price = session.price(QUESTION)
    session.ask(QUESTION, strategy="none", **SHORT)
    assert session.engine.nbytes == price["kv"]
    session.engine.forget()
    scored = session.engine.score(QUESTION)
    session.engine.memory_tokens(scored, np.full(6, 127))
    system = len(session.engine.prompts.system())
    assert system > 0
    (question, _) = scored.segments[0].state.suffix
    one = qwen.cache_bytes(question) // question.get_seq_length()
    one_token = scored.memory_tokens[0][0].nbytes
    assert session.engine.nbytes == price["kv"] + price["question"] - 6 * (one + one_token)


def test_the_price_of_features_is_what_is_kept(tiny, frames_file):
    with tiny.open(frames_file, progress=False, cache="features") as session:
        session.ask(QUESTION, budget=48, **SHORT)
        assert session.engine.nbytes == session.price()["features"]


def test_what_is_kept_stays_within_its_limit(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        price = session.price(QUESTION)
    room = price["kv"] + price["question"]
    with tiny.open(frames_file, progress=False, cache_bytes=room) as session:
        for question in (QUESTION, *QUESTIONS, LONG):
            for budget in (30, 48, 400):
                session.ask(question, budget=budget, **SHORT)
                assert session.engine.nbytes <= room
        assert session.engine.computed["prefix"] == 6
        computed = dict(session.engine.computed)
        session.ask(QUESTIONS[-1], budget=400, **SHORT)
        assert session.engine.computed == computed  # the question before the last is cached, too
        # the long question's keys and values would not have fitted
        assert [segment.state for segment in session.engine.score(LONG).segments] == [None] * 6


def test_auto_keeps_the_best_that_is_affordable(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        price = session.price()
    for limit, kept in ((price["kv"], "kv"), (price["features"], "features"), (0, "nothing")):
        with tiny.open(frames_file, progress=False, cache_bytes=limit) as session:
            assert session.ask(QUESTION, budget=48, **SHORT).provenance["keep"] == kept
            assert session.engine.nbytes <= limit or kept == "nothing"
    with (
        tiny.open(frames_file, progress=False, cache="kv", cache_bytes=1) as session,
        pytest.raises(BudgetError, match="cache_bytes"),
    ):
        session.ask(QUESTION)


def test_old_questions_are_dropped_when_their_bytes_do_not_fit(tiny, frames_file):
    with tiny.open(frames_file, progress=False, cache="nothing", cache_bytes=0) as session:
        for question in QUESTIONS:
            session.ask(question, budget=48, **SHORT)
        computed = dict(session.engine.computed)
        session.ask(QUESTIONS[-1], budget=48, **SHORT)
        assert session.engine.computed == computed
        session.ask(QUESTIONS[-2], budget=48, **SHORT)
        assert session.engine.computed["relevance"] == computed["relevance"] + 6
        session.close()
        assert session.engine.nbytes == 0


def test_a_micro_batch_that_was_interrupted_goes_on_where_it_was(tiny, frames_file, monkeypatch):
    relevance, rows = Compressor.relevance, []

    def interrupted(self, prefix, question):
        if rows == [1]:
            rows.append(0)
            raise KeyboardInterrupt
        rows.append(len(prefix))
        return relevance(self, prefix, question)

    monkeypatch.setattr(
        BatchLimit, "prefill_segments", lambda self, new, past: 1 if past > 200 else 64
    )
    monkeypatch.setattr(Compressor, "relevance", interrupted)
    with tiny.open(frames_file, progress=False, batch_bytes=1 << 30) as session:
        with pytest.raises(KeyboardInterrupt):
            session.engine.score(QUESTION)
        assert session.engine.computed["decoded"] == 2
        session.engine.score(QUESTION)
        assert sum(rows) == session.engine.computed["relevance"] == 6
        assert session.engine.computed["prefix"] == 6


@pytest.mark.parametrize(("cache_mode", "decoded"), [("features", 0), ("kv", 6)])
def test_other_words_start_from_the_features_that_are_kept(tiny, frames_file, cache_mode, decoded):
    with tiny.open(frames_file, cache=cache_mode, progress=False) as session:
        engine = session.engine
        own = engine.score(QUESTION).logit
        computed, held = dict(engine.computed), engine.nbytes
        other = engine.with_instruction(" Yes?")
        changed = other.score(QUESTION).logit
        assert other.computed["decoded"] == decoded
        assert other.cache_mode == "features"
        assert np.abs(changed - own).max() > 1e-4
        back = other.with_instruction(engine.prompts.sentence)
        np.testing.assert_allclose(back.score(QUESTION).logit, own, atol=1e-5)
        assert back.computed["decoded"] == 0
        assert engine.computed == computed
        assert engine.nbytes == held
        np.testing.assert_array_equal(engine.score(QUESTION).logit, own)
        assert provenance(other)["relevance_sentence"] == " Yes?"
        assert "relevance_sentence" not in provenance(engine)


def test_other_words_keep_nothing_where_features_do_not_fit(tiny, frames_file):
    with tiny.open(frames_file, cache_bytes=1, progress=False) as session:
        other = session.engine.with_instruction("")
        own, changed = session.engine.score(QUESTION).logit, other.score(QUESTION).logit
        assert other.cache_mode == "nothing"
        assert np.abs(changed - own).max() > 1e-4


def test_features_behind_a_gap_are_not_taken(tiny, frames_file, monkeypatch):
    """An interruption leaves the prefix of the first segment, and features of the second one."""
    prefix, calls = Compressor.prefix, []

    def interrupted(self, *args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return prefix(self, *args)

    with tiny.open(frames_file, cache="kv", batch_bytes=1, progress=False) as session:
        engine = session.engine
        monkeypatch.setattr(Compressor, "prefix", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.score(QUESTION)
        assert (engine.computed["decoded"], engine.computed["prefix"]) == (2, 1)
        scored = engine.with_instruction("").score(QUESTION)
        assert len(scored.segments) == 6
        assert scored.logit[0] != scored.logit[1]


@pytest.mark.parametrize("cache_mode", ["kv", "features", "nothing"])
def test_scoring_writes_no_memory_and_drops_nothing(tiny, frames_file, cache_mode):
    """Scores are those of `ask`, cached only where memory tokens can be written later."""
    with tiny.open(frames_file, cache=cache_mode, progress=False) as session:
        asked = session.ask(QUESTION, budget=48, **SHORT)
        before, nbytes = dict(session.engine.computed), session.engine.nbytes
        other = session.score("Where?")
        assert session.engine.computed["memory"] == before["memory"]
        if cache_mode == "kv":
            before["relevance"] += len(session)
        else:
            assert session.engine.nbytes == nbytes
            before = dict(session.engine.computed)
        scored = session.score(QUESTION)  # still cached, whatever was scored meanwhile
        assert session.engine.computed == before
        np.testing.assert_array_equal(scored.data["logit"], asked.data["logit"])
        later = session.ask("Where?", budget=48, **SHORT)
        np.testing.assert_array_equal(other.data["logit"], later.data["logit"])
        assert later.answer == tiny.ask(frames_file, "Where?", budget=48, **SHORT).answer
