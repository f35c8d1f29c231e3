"""Capture: what is recorded is what the model computed, and nothing of it remains."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError
from tempo_lab.model import qwen
from tempo_lab.model.compressor import Compressor
from tempo_lab.session.capture import answer as answer_module
from tempo_lab.session.capture import attention, recorder

QUESTION = "What color is the moving square?"
ASK = {"question": QUESTION, "budget": 100, "max_new_tokens": 6}
ALL = tl.Rows(["decision", "query_last", "memory", "answer"])
EVERYTHING = tl.Capture(
    attention=ALL, hidden=tl.Rows(["decision", "memory"]), memory=True, layer_relevance=True
)
TOLERANCE = 1e-5


@pytest.fixture
def session(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        yield session


@pytest.fixture(scope="module")
def plain(tiny, frames_file):
    """The same question, unrecorded."""
    with tiny.open(frames_file, progress=False) as session:
        return session.ask(**ASK)


@pytest.fixture(scope="module")
def full(tiny, frames_file):
    """Every key of every row of every layer."""
    with tiny.open(frames_file, progress=False) as session:
        return session.ask(**ASK, capture=tl.Capture(attention=ALL, reduce="none"))


@pytest.fixture(scope="module")
def grouped(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        return session.ask(**ASK, capture=EVERYTHING)


@pytest.fixture(autouse=True)
def nothing_remains(tiny):
    """Whatever a test does, the model is as it was after it."""
    before = fittings(tiny)
    yield
    assert fittings(tiny) == before
    assert not attention._recorders


def fittings(tempo):
    """Everything that a capture could leave on a model."""
    model = tempo.model
    svlm = model.compressor.svlm
    hooks = {
        name: (list(module._forward_hooks), list(module._forward_pre_hooks))
        for name, module in model.named_modules()
    }
    configs = (model.config, svlm.language_model.config, svlm.visual.config)
    return [config._attn_implementation for config in configs], hooks


def same(trace, other):
    for name in ("logit", "tokens", "answer_logprob"):
        np.testing.assert_array_equal(trace.data[name], other.data[name])
    assert trace.answer == other.answer


# What is recorded is what the model computed


@contextmanager
def eager_maps(model):
    """Attention maps [segment, head, query, key] of every layer, by eager attention itself."""
    config, before = model.config, model.config._attn_implementation
    maps: dict[int, list] = {}
    hooks = [
        layer.self_attn.register_forward_hook(
            lambda module, _, output: maps.setdefault(module.layer_idx, []).append(output[1])
        )
        for layer in getattr(model, "model", model).layers
    ]
    config._attn_implementation = "eager"
    try:
        yield maps
    finally:
        config._attn_implementation = before
        for hook in hooks:
            hook.remove()


@torch.inference_mode()
def test_rows_equal_those_of_eager_attention_in_one_pass(tiny, session, full):
    compressor, prompts = tiny.model.compressor, tiny.prompts
    numbers = {0: 0, len(session) - 1: 1}  # the first segment, and the short last one
    for batch in session.engine.batches.stream(0):
        for row, segment in enumerate(batch.segments):
            if segment not in numbers:
                continue
            with eager_maps(compressor.svlm.language_model) as maps:
                compressor.in_one_pass(
                    batch.patches[row],
                    batch.grid,
                    prompts.system(),
                    batch.videos[row],
                    prompts.question(QUESTION),
                )
            prompt = session.prompt(QUESTION, segment)
            found = full.data["attention"].sel(segment=segment)
            needed = int(full.data["tokens"][segment])
            where = {"decision": prompt.decision, "query_last": prompt.positions("query")[-1]}
            where |= {f"memory {i}": p for i, p in enumerate(prompt.positions("memory")[:needed])}
            assert set(where) == set(found.row.values[~np.isnan(found[0, 0, :, 0])])
            for layer in found.layer.values:
                for name, position in where.items():
                    ours = found.sel(layer=layer, row=name).values
                    ours = ours[:, ~np.isnan(ours[0])]
                    theirs = maps[layer][0][0, :, position].numpy()
                    assert np.abs(ours - theirs[:, : ours.shape[1]]).max() < TOLERANCE
                    assert np.abs(theirs[:, ours.shape[1] :]).max(initial=0) == 0
            numbers.pop(segment)
    assert not numbers


def test_the_answers_rows_equal_those_of_eager_attention(tiny, frames_file, full):
    with tiny.open(frames_file, progress=False) as session, eager_maps(tiny.model) as maps:
        session.ask(**ASK)
    found = full.data["answer_attention"]
    assert found.sizes["answer_token"] == len(full.data["answer_logprob"]) > 1
    for layer in found.llm_layer.values:
        for token, theirs in enumerate(maps[int(layer)]):
            ours = found.sel(llm_layer=layer).isel(answer_token=token).values
            last = theirs[0, :, -1].numpy()
            assert np.abs(ours[:, : last.shape[1]] - last).max() < TOLERANCE
            assert np.isnan(ours[:, last.shape[1] :]).all()


def test_rows_sum_to_one(full, grouped):
    for trace, last in ((full, "key"), (grouped, "key_group")):
        rows = trace.data["attention"]
        sums = rows.sum(last).where(~rows.isnull().all(last))
        needed = trace.data["tokens"].values
        per_segment = rows.sizes["layer"] * rows.sizes["head"] * (2 + needed)
        assert int((~sums.isnull()).sum()) == per_segment.sum()
        assert float(abs(sums - 1).max()) < TOLERANCE
        sums = trace.data["answer_attention"].sum(f"llm_{last}")
        assert float(abs(sums - 1).max()) < TOLERANCE


def test_outputs_are_those_of_the_unrecorded_run(full, grouped, plain):
    same(full, plain)
    same(grouped, plain)


def test_changing_a_recorded_probability_changes_the_output(tiny, session, plain):
    """The decision's row in the middle layer, put in place of what the kernel computed."""
    config = tiny.model.compressor.svlm.language_model.config
    change = [1.0]

    def replaced(module, query, key, value, mask, **kwargs):
        output, _ = sdpa_attention_forward(module, query, key, value, mask, **kwargs)
        if module.layer_idx == 1:
            last, own = torch.tensor([-1]), torch.tensor([key.shape[2] - 1])
            hidden = attention.hidden_keys(mask, last, own, key.shape[2])
            p = attention.probabilities(query[:, :, -1:], key, hidden, kwargs["scaling"])
            p[..., 0] *= change[0]
            values = value.repeat_interleave(query.shape[1] // key.shape[1], dim=1)
            output[:, -1:] = (p @ values).transpose(1, 2)
        return output, None

    AttentionInterface.register("test_replaced", replaced)
    AttentionMaskInterface.register("test_replaced", sdpa_mask)
    before = config._attn_implementation
    config._attn_implementation = "test_replaced"
    try:
        kept = session.ask(**ASK).data["logit"].values
        change[0] = 0.5
        session.engine.forget()
        changed = session.ask(**ASK).data["logit"].values
    finally:
        config._attn_implementation = before
    assert np.abs(kept - plain.data["logit"]).max() < TOLERANCE
    assert np.abs(changed - kept).min() > 10 * TOLERANCE


def test_rows_that_are_not_the_models_are_an_error(session, monkeypatch):
    right = attention.probabilities
    monkeypatch.setattr(
        attention, "probabilities", lambda *a, **k: right(*a[:-1], 1.1 * a[-1], **k)
    )
    with pytest.raises(CaptureError, match="not what the model computed"):
        session.ask(**ASK, capture=tl.Capture(attention=ALL))


def test_recording_beside_eager_attention(tiny, session, grouped):
    configs = (tiny.model.config, tiny.model.compressor.svlm.language_model.config)
    before = [config._attn_implementation for config in configs]
    try:
        for config in configs:
            config._attn_implementation = "eager"
        trace = session.ask(**ASK, capture=EVERYTHING)
        assert [config._attn_implementation for config in configs] == ["eager"] * 2
    finally:
        for config, name in zip(configs, before, strict=True):
            config._attn_implementation = name
    for name in ("attention", "answer_attention"):
        np.testing.assert_allclose(trace.data[name], grouped.data[name], atol=TOLERANCE)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_in_half_precision_rows_are_still_float32(golden, frames_file, dtype):
    base = golden / "svlm" / "qwen3-vl-tiny"
    tempo = tl.load(golden / "tempo", base=base, device="cpu", dtype=dtype)
    with tempo.open(frames_file, progress=False) as session:
        plain = session.ask(**ASK)
        trace = session.ask(**ASK, capture=EVERYTHING)
    same(trace, plain)
    rows = trace.data["attention"]
    sums = rows.sum("key_group").where(~rows.isnull().all("key_group"))
    assert rows.dtype == np.float32
    assert float(abs(sums - 1).max()) < TOLERANCE


# Reductions


def test_groups_are_sums_of_keys(session, full, grouped):
    groups, every = grouped.data["attention"], full.data["attention"]
    for segment in (0, len(session) - 1):
        prompt = session.prompt(QUESTION, segment)
        row = every.sel(segment=segment, row="memory 2")
        ours = groups.sel(segment=segment, row="memory 2")
        slots = prompt.positions("memory")
        assert full.data["key_name"].values[segment, slots[0]] == "memory[0]"
        pairs = prompt.index[prompt.positions("vision")].max() + 1
        for name, keys in {
            "system": prompt.positions("system"),
            "query": prompt.positions("query"),
            "earlier memory": slots[:2],
            "self": slots[2:3],
            **{f"pair {t}": prompt.positions("vision", t) for t in range(pairs)},
        }.items():
            theirs = row.isel(key=keys).sum("key")
            np.testing.assert_allclose(ours.sel(key_group=name), theirs, atol=TOLERANCE)
    # the short last segment has two pairs, and says so
    absent = groups.isel(segment=-1).sel(key_group=["pair 2", "pair 3"], row="decision")
    assert absent.isnull().all()


def test_what_the_answer_saw_of_each_segment(full, grouped):
    names, every = full.data["llm_key_name"].values, full.data["answer_attention"]
    for segment in range(full.data.sizes["segment"]):
        keys = [i for i, name in enumerate(names) if name.startswith(f"memory[segment {segment},")]
        assert len(keys) == full.data["tokens"].values[segment]
        group = grouped.data["answer_attention"].sel(llm_key_group=f"memory {segment}")
        np.testing.assert_allclose(group, every.isel(llm_key=keys).sum("llm_key"), atol=TOLERANCE)
    earlier = grouped.data["answer_attention"].sel(llm_key_group="earlier answer")
    assert (earlier[:, :, 0] == 0).all()
    assert (earlier[:, :, 2:].max("llm_layer") > 0).all()


def test_patch_grid(session, full):
    rows = tl.Rows(["decision", "memory"], slots=[1])
    trace = session.ask(**ASK, capture=tl.Capture(attention=rows, reduce="patch_grid"))
    grid, every = trace.data["attention"], full.data["attention"]
    assert grid.row.values.tolist() == ["decision", "memory 1"]
    prompt = session.prompt(QUESTION, 0)
    for position in prompt.positions("vision")[::37]:
        place = {
            "pair": prompt.index[position],
            "patch_row": prompt.row[position],
            "patch_column": prompt.column[position],
        }
        for row in grid.row.values:
            np.testing.assert_allclose(
                grid.isel(segment=0, **place).sel(row=row),
                every.isel(segment=0, key=position).sel(row=row),
                atol=TOLERANCE,
            )
    assert grid.isel(segment=-1, pair=slice(2, None)).isnull().all()


def test_top_k(session, full):
    trace = session.ask(**ASK, capture=tl.Capture(attention=ALL, reduce="top_k", top=3))
    top, keys = trace.data["attention"], trace.data["attention_key"]
    every = np.nan_to_num(full.data["attention"].values, nan=-1.0)
    expected = -np.sort(-every, axis=-1)[..., :3]
    np.testing.assert_allclose(np.nan_to_num(top, nan=-1.0), expected, atol=TOLERANCE)
    there = keys.values[..., 0] >= 0
    picked = np.take_along_axis(every, keys.values.clip(0), axis=-1)
    np.testing.assert_allclose(picked[there], expected[there], atol=TOLERANCE)
    assert (there == ~np.isnan(top.values[..., 0])).all()
    assert trace.data["answer_attention"].dims[-1] == "rank"


def test_rows_are_computed_a_few_at_a_time(session, grouped, monkeypatch):
    monkeypatch.setitem(attention.WORK, "cpu", 1)
    trace = session.ask(**ASK, capture=EVERYTHING)
    np.testing.assert_allclose(trace.data["attention"], grouped.data["attention"], atol=TOLERANCE)


@pytest.mark.parametrize("reduce", ["key_group", "patch_grid", "none"])
def test_chosen_heads_are_those_of_all(session, full, reduce):
    rows = tl.Rows(["decision", "memory"], slots=[0, 2])
    few, every = (
        tl.Capture(attention=rows, heads=heads, reduce=reduce) for heads in ([-1, 1], "all")
    )
    assert few.price(session, QUESTION).total == every.price(session, QUESTION).total / 2
    some, whole = (session.ask(**ASK, capture=spec).data["attention"] for spec in (few, every))
    assert some["head"].values.tolist() == [1, 3]
    np.testing.assert_allclose(some, whole.sel(head=[1, 3]), atol=TOLERANCE)


# Hidden states


def test_the_last_layer_is_what_the_model_used(tiny, grouped):
    data, norm = grouped.data, tiny.model.compressor.svlm.language_model.norm
    assert np.abs(data["layer_logit"][:, -1] - data["logit"]).max() < TOLERANCE
    assert np.abs(data["layer_logit"][:, 0] - data["logit"]).max() > 10 * TOLERANCE
    states = data["hidden_state"].isel(layer=-1)
    with torch.inference_mode():
        decision = norm(torch.from_numpy(states.sel(hidden_row="decision").values))
        logit = tiny.model.compressor.logit(decision).numpy()
        third = norm(torch.from_numpy(states.sel(hidden_row="memory 3").values)).numpy()
    assert np.abs(logit - data["logit"].values).max() < TOLERANCE
    assert np.abs(third - data["memory_token"].values[:, 3]).max() < TOLERANCE


def test_memory_tokens_before_and_after_the_projector(tiny, grouped):
    data = grouped.data
    there = ~np.isnan(data["memory_token"].values[..., 0])
    assert (there == data["kept"].values).all()  # head: the needed ones are the kept ones
    with torch.inference_mode():
        after = tiny.model.project(torch.from_numpy(data["memory_token"].values[there])).numpy()
    assert np.abs(after - data["memory_projected"].values[there]).max() < TOLERANCE


# What is kept, and a second question


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


def test_the_answers_rows_alone_read_nothing_again(session):
    session.ask(**ASK)
    before = dict(session.engine.computed)
    spec = tl.Capture(attention=["answer"], memory=True)
    assert "answer_attention" in session.ask(**ASK, capture=spec).data
    assert session.engine.computed == before


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


# Saved with the trace


def test_a_saved_capture_is_the_same_and_opens_without_torch(full, grouped, tmp_path):
    for trace in (full, grouped):
        loaded = tl.Trace.load(trace.save(tmp_path / "trace.nc"))
        assert loaded.data.identical(trace.data)
        assert loaded.provenance["capture"] == trace.provenance["capture"]
    assert loaded.provenance["capture"]["attention"]["names"] == list(ALL.names)
    program = (
        "import sys, tempo_lab as tl\n"
        f"data = tl.Trace.load({str(tmp_path / 'trace.nc')!r}).data\n"
        "row = data['attention'].sel(segment=0, layer=2, row='decision', key_group='query')\n"
        "assert row.sizes == {'head': 4}, row.sizes\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# Scoped


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


def test_recorders_may_end_in_any_order(tiny):
    model = tiny.model.compressor.svlm.language_model
    first, second = (attention.AttentionRecorder(model, [0], "SVLM") for _ in range(2))
    one, two = first.installed(), second.installed()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert attention._recorders[id(model.config)] == [second]
    assert model.config._attn_implementation == attention._recorded_name(qwen.CONTINUED_SDPA)
    two.__exit__(None, None, None)


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


def test_nothing_of_a_capture_is_kept_alive(session, monkeypatch):
    alive = weakref.WeakSet()

    def noted(kind):
        class Noted(kind):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs)
                alive.add(self)

        return Noted

    for module, name in (
        (recorder, "AttentionRecorder"),
        (recorder, "HiddenRecorder"),
        (recorder, "AttentionRequest"),
        (recorder, "ByGroup"),
        (answer_module, "AttentionRecorder"),
    ):
        monkeypatch.setattr(module, name, noted_hashable(noted(getattr(module, name))))
    trace = session.ask(**ASK, capture=EVERYTHING)
    gc.collect()
    assert trace is not None
    assert list(alive) == []
    with pytest.raises(Stop):
        session.ask(**ASK, capture=EVERYTHING, stream=_stop)
    gc.collect()
    assert list(alive) == []


def noted_hashable(kind):
    kind.__hash__ = object.__hash__  # a dataclass with an __eq__ has none
    return kind


def _stop(piece):
    raise Stop


# A site that never fires; what cannot be recorded


def test_a_layer_that_never_fires_is_an_error_that_names_the_others(tiny, session, plain):
    layer = tiny.model.compressor.svlm.language_model.layers[1].self_attn
    own, kernel = type(layer).forward, layer.config._attn_implementation

    def beside_the_interface(hidden_states, **kwargs):
        config, layer.config = layer.config, type("Config", (), {"_attn_implementation": kernel})
        try:
            return own(layer, hidden_states, **kwargs)
        finally:
            layer.config = config

    layer.forward = beside_the_interface
    try:
        with pytest.raises(CaptureError, match="never fired") as caught:
            session.ask(**ASK, capture=tl.Capture(attention=["decision"]))
        assert "layers 1 of the SVLM" in str(caught.value)
        assert "fired: layers 0, 2" in str(caught.value)
        session.ask(**ASK, capture=tl.Capture(attention=["decision"], layers=[0, 2]))
    finally:
        del layer.forward
    same(session.ask(**ASK), plain)


def test_what_is_no_capture_is_refused(session):
    with pytest.raises(CaptureError, match="says what to record"):
        session.ask(**ASK, capture="attention")


@pytest.mark.parametrize(
    ("options", "prefill"),
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


@pytest.mark.parametrize("whose", ["SVLM", "LLM"])
def test_attention_of_a_kernel_that_has_none_is_refused(tiny, session, whose):
    svlm, llm = tiny.model.compressor.svlm.language_model.config, tiny.model.config
    config = svlm if whose == "SVLM" else llm
    before, config._attn_implementation = config._attn_implementation, "flex_attention"
    try:
        with pytest.raises(CaptureError, match=f"attention of the {whose}.*'flex_attention'"):
            session.ask(**ASK, capture=EVERYTHING)
        assert config._attn_implementation == "flex_attention"
        assert session.engine.computed["decoded"] == 0
    finally:
        config._attn_implementation = before


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tl.Rows(["decison"]), "did you mean 'decision'"),
        (lambda: tl.Rows([]), "no row"),
        (lambda: tl.Rows(["memory"], slots=[-1]), "whole numbers from 0"),
        (lambda: tl.Rows(["memory"], slots=[1.5]), "whole numbers"),
        (lambda: tl.Rows(["decision"], slots=[1]), 'name "memory" too'),
        (lambda: tl.Rows(["memory"], slots="tail"), "whole numbers"),
        (lambda: tl.Capture(), "nothing is to be recorded"),
        (lambda: tl.Capture(attention=["decision"], reduce="key_groups"), "did you mean"),
        (lambda: tl.Capture(attention=["decision"], layers="last"), "whole numbers"),
        (lambda: tl.Capture(attention=["decision"], layers=[]), "at least one"),
        (lambda: tl.Capture(attention=["decision"], heads="some"), "whole numbers"),
        (lambda: tl.Capture(attention=["answer"], heads=[0]), "none of it is asked for"),
        (lambda: tl.Capture(attention=["decision"], top=0), "1 key or more"),
        (lambda: tl.Capture(hidden=["answer"]), "of the SVLM only"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_said(make, says):
    with pytest.raises(CaptureError, match=says):
        make()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"attention": ["decision"], "layers": [0, 3]}, "nearest is 2"),
        ({"attention": ["decision"], "layers": [-4]}, "nearest is 0"),
        ({"attention": ["decision"], "heads": [4]}, "heads: 4[\\s\\S]*nearest is 3"),
        ({"attention": ["decision"], "heads": [-5]}, "nearest is 0"),
        ({"attention": ["answer"], "llm_layers": [9]}, "llm_layers: 9"),
        ({"attention": tl.Rows(["memory"], slots=[128])}, "nearest is 127"),
        ({"attention": ["memory"], "limit_mib": 0.1}, r"limit_mib = 0\.1"),
    ],
)
def test_what_this_model_does_not_have_is_refused_before_any_work(session, spec, says):
    with pytest.raises(CaptureError, match=says):
        session.ask(**ASK, capture=tl.Capture(**spec))
    assert session.engine.computed["decoded"] == 0


# Price


@pytest.mark.parametrize("reduce", ["none", "key_group", "patch_grid", "top_k"])
def test_the_price_holds_before_anything_runs(session, reduce):
    spec = tl.Capture(
        attention=ALL, hidden=["decision", "memory"], memory=True, layer_relevance=True,
        reduce=reduce,
    )  # fmt: skip
    price = spec.price(session, QUESTION, max_new_tokens=6)
    assert session.engine.computed["decoded"] == 0
    trace = session.ask(QUESTION, strategy="none", max_new_tokens=6, capture=spec)
    for name, mib in price.parts.items():
        found = trace.data[name].nbytes
        if f"{name}_key" in trace.data:
            found += trace.data[f"{name}_key"].nbytes
        assert found / 2**20 <= mib + 1e-9, name
        if name != "answer_attention":  # the answer may end earlier
            assert found / 2**20 > 0.97 * mib, name


def test_each_dial_shrinks_the_price_as_it_says(session):
    price = tl.Capture(attention=["decision", "memory"], reduce="none").price(session)
    dials = ["layers=[-1]", "heads=[0]", 'reduce="key_group"', "one slot in attention"]
    assert list(price.dials) == dials
    answer = tl.Capture(attention=["answer"], reduce="none").price(session)
    assert list(answer.dials) == ["llm_layers=[-1]", 'reduce="key_group"']
    one = tl.Capture(attention=["decision", "memory"], reduce="none", layers=[-1]).price(session)
    assert price.dials["layers=[-1]"] == one.total < price.total
    assert f"{price.total:.2f} MiB at most" in str(price)
    assert f"layers=[-1]: {one.total:.2f} MiB" in str(price)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": True}, "rows are named"),
        ({"memory": True, "limit_mib": "1"}, "a limit is more than 0 MiB"),
        ({"memory": True, "limit_mib": float("nan")}, "a limit is more than 0 MiB"),
        ({"memory": True, "limit_mib": 0}, "a limit is more than 0 MiB"),
    ],
)
def test_options_that_are_none(options, words):
    with pytest.raises(CaptureError, match=words):
        tl.Capture(**options)


def test_a_price_is_of_an_opened_video():
    with pytest.raises(CaptureError, match=r"asked: 'a\.mp4'"):
        tl.Capture(memory=True).price("a.mp4")
