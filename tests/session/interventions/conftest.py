"""Fixtures of interventions: two questions about one video, without an intervention."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tempo_lab as tl

VOYAGE = Path(__file__).parents[3] / "data" / "clips" / "voyage.mp4"
STAR, MOON, EVIDENCE = "What color is the star?", "What color is the moon?", 8
NOISE = {"question": "What color is the moving square?", "budget": 36, "max_new_tokens": 3}
NEVER = {**NOISE, "question": "Is this ever read?"}
STATES = tl.Capture(hidden=["decision", "query_last", "memory"])


@pytest.fixture(scope="package")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture(scope="package")
def voyage(nano):
    with nano.open(VOYAGE, progress=False) as session:
        yield session


@pytest.fixture(scope="package")
def plain(voyage):
    return voyage.ask(STAR, budget=64)


@pytest.fixture(scope="package")
def recorded(voyage, plain):
    """States of two questions, [segment, layer, hidden_row, hidden] each."""
    traces = {q: voyage.ask(q, budget=64, capture=STATES) for q in (STAR, MOON)}
    return {question: trace.data for question, trace in traces.items()}


@pytest.fixture(scope="package")
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
