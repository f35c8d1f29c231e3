"""A model that has learnt nothing: the control of whatever a trained one is said to do."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo


def with_random_weights(tempo: Tempo, seed: int = 0) -> Tempo:
    """The same configuration and prompts, with weights as they are before training.

    The rows of Yes and No, which come from no training of this model, are drawn as wide as the
    other embeddings. It does not know what its videos should look like, and warns of none.

    Args:
        tempo: the model; it stays as it is.
        seed: of the weights; that of the rest of the program is not touched.
    """
    import torch

    from tempo_lab.model.tempo import TempoForConditionalGeneration
    from tempo_lab.session.tempo import Tempo

    old = tempo.checkpoint
    model = copy.deepcopy(old.model)  # for what no state has: rotary frequencies, stop tokens
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = TempoForConditionalGeneration(copy.deepcopy(model.config))
        spread = model.config.compressor_config.text_config.initializer_range
        torch.nn.init.normal_(fresh.compressor.yes_no_rows, std=spread)
    model.load_state_dict(fresh.state_dict())
    model.model.familiar = None
    digest = hashlib.sha256(f"{old.digest} random weights {seed}".encode()).hexdigest()
    name = f"{old.name}, random weights, seed {seed}"
    return Tempo(replace(old, model=model.eval(), name=name, digest=digest))
