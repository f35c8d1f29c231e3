"""The cost of a capture is known before anything runs."""

from __future__ import annotations

import pytest

import tempo_lab as tl
from tests.session.capture.conftest import ALL, QUESTION


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
        nbytes = trace.data[name].nbytes
        if f"{name}_key" in trace.data:
            nbytes += trace.data[f"{name}_key"].nbytes
        assert nbytes / 2**20 <= mib + 1e-9, name
        if name != "answer_attention":  # the answer may end earlier
            assert nbytes / 2**20 > 0.97 * mib, name


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
