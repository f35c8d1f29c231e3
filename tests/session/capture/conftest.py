"""Fixtures of capture: one question, asked with and without a capture."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

import tempo_lab as tl
from tempo_lab.session.capture import attention

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


@pytest.fixture(scope="package")
def plain(tiny, frames_file):
    """The same question, unrecorded."""
    with tiny.open(frames_file, progress=False) as session:
        return session.ask(**ASK)


@pytest.fixture(scope="package")
def full(tiny, frames_file):
    """Every key of every row of every layer."""
    with tiny.open(frames_file, progress=False) as session:
        return session.ask(**ASK, capture=tl.Capture(attention=ALL, reduce="none"))


@pytest.fixture(scope="package")
def grouped(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        return session.ask(**ASK, capture=EVERYTHING)


@pytest.fixture(autouse=True)
def nothing_remains(tiny):
    """Whatever a test does, the model is as it was after it."""
    before = fittings(tiny)
    yield
    assert fittings(tiny) == before
    assert not attention.active_recorders


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
