"""Hidden states, and the relevance logits read from them."""

from __future__ import annotations

import numpy as np
import torch

from tests.session.capture.conftest import TOLERANCE


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
