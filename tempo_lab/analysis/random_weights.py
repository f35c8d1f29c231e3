"""An untrained model: the control for claims about a trained one."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo


def with_random_weights(tempo: Tempo, seed: int = 0) -> Tempo:
    """Return a model with the same configuration and prompts, and untrained weights.

    The rows of Yes and No, which come from the base model, are drawn with the standard deviation
    of the other embeddings. The new model has no feature statistics, so it does not warn about
    videos that are out of distribution.

    Args:
        tempo: the model, which does not change.
        seed: the seed of the weights; the global random state does not change.
    """
    import torch

    from tempo_lab.model.tempo import TempoForConditionalGeneration
    from tempo_lab.session.tempo import Tempo

    old = tempo.checkpoint
    # a copy, because rotary frequencies and stop tokens are not in the state
    model = copy.deepcopy(old.model)
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
