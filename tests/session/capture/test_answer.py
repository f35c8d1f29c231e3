"""The attention of the answer's tokens."""

from __future__ import annotations

import numpy as np

import tempo_lab as tl
from tests.session.capture.conftest import ASK, TOLERANCE, eager_maps


def test_the_answers_rows_equal_those_of_eager_attention(tiny, frames_file, full):
    with tiny.open(frames_file, progress=False) as session, eager_maps(tiny.model) as maps:
        session.ask(**ASK)
    recorded = full.data["answer_attention"]
    assert recorded.sizes["answer_token"] == len(full.data["answer_logprob"]) > 1
    for layer in recorded.llm_layer.values:
        for token, theirs in enumerate(maps[int(layer)]):
            ours = recorded.sel(llm_layer=layer).isel(answer_token=token).values
            last = theirs[0, :, -1].numpy()
            assert np.abs(ours[:, : last.shape[1]] - last).max() < TOLERANCE
            assert np.isnan(ours[:, last.shape[1] :]).all()


def test_the_answers_rows_alone_read_nothing_again(session):
    session.ask(**ASK)
    before = dict(session.engine.computed)
    spec = tl.Capture(attention=["answer"], memory=True)
    assert "answer_attention" in session.ask(**ASK, capture=spec).data
    assert session.engine.computed == before
