"""Attention: the rows are what the model computed, and the model is left as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError
from tempo_lab.session.capture import attention
from tempo_lab.session.capture.key_groups import AllKeys
from tests.session.capture.conftest import ASK, EVERYTHING, QUESTION, TOLERANCE, eager_maps, same


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
            recorded = full.data["attention"].sel(segment=segment)
            needed = int(full.data["tokens"][segment])
            where = {"decision": prompt.decision, "query_last": prompt.positions("query")[-1]}
            where |= {f"memory {i}": p for i, p in enumerate(prompt.positions("memory")[:needed])}
            assert set(where) == set(recorded.row.values[~np.isnan(recorded[0, 0, :, 0])])
            for layer in recorded.layer.values:
                for name, position in where.items():
                    ours = recorded.sel(layer=layer, row=name).values
                    ours = ours[:, ~np.isnan(ours[0])]
                    theirs = maps[layer][0][0, :, position].numpy()
                    assert np.abs(ours - theirs[:, : ours.shape[1]]).max() < TOLERANCE
                    assert np.abs(theirs[:, ours.shape[1] :]).max(initial=0) == 0
            numbers.pop(segment)
    assert not numbers


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


def test_changing_a_recorded_probability_changes_the_output(tiny, session, plain):
    """The decision's row in the middle layer, put in place of what the kernel computed."""
    config = tiny.model.compressor.svlm.language_model.config
    change = [1.0]

    def replaced(module, query, key, value, mask, **kwargs):
        output, _ = sdpa_attention_forward(module, query, key, value, mask, **kwargs)
        if module.layer_idx == 1:
            last, own = torch.tensor([-1]), torch.tensor([key.shape[2] - 1])
            bias = attention.mask_bias(mask, last, own, key.shape[2])
            p = attention.probabilities(query[:, :, -1:], key, bias, kwargs["scaling"])
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


def test_rows_that_are_not_the_models_are_an_error(tiny):
    config = tiny.model.compressor.svlm.language_model.config
    heads, key_heads, width = 4, config.num_key_value_heads, config.head_dim
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(1, n, 5, width, generator=draw) for n in (heads, key_heads, key_heads)
    )
    right = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)

    def record(output, scaling=width**-0.5):
        model = tiny.model.compressor.svlm.language_model
        recorder = attention.AttentionRecorder(model, [0], "SVLM")
        request = attention.AttentionRequest("call", torch.tensor([1, -1]), AllKeys())
        with recorder.recording(request):
            recorder.record(0, query, key, value, None, scaling, output.transpose(1, 2))
        return request.recorded[0][0]

    assert record(right).shape == (1, heads, 2, 5)
    with pytest.raises(CaptureError, match="not what the model computed"):
        record(right, scaling=1.1 * width**-0.5)
    with pytest.raises(CaptureError, match="layer 0 of the SVLM, call"):
        record(right + 0.01)


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


def test_rows_are_computed_a_few_at_a_time(session, grouped, monkeypatch):
    monkeypatch.setitem(attention.WORK_BYTES, "cpu", 1)
    trace = session.ask(**ASK, capture=EVERYTHING)
    np.testing.assert_allclose(trace.data["attention"], grouped.data["attention"], atol=TOLERANCE)


def test_recorders_may_end_in_any_order(tiny):
    model = tiny.model.compressor.svlm.language_model
    before = model.config._attn_implementation
    first, second = (attention.AttentionRecorder(model, [0], "SVLM").installed() for _ in range(2))
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert model.config._attn_implementation != before  # the second one still records
    second.__exit__(None, None, None)
    assert model.config._attn_implementation == before


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
