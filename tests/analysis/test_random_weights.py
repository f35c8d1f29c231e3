"""The untrained model: random weights, and nothing else is changed."""

from __future__ import annotations

import torch

from tempo_lab.analysis import with_random_weights


def test_random_weights_are_random_and_nothing_else_is(tiny):
    before = {name: tensor.clone() for name, tensor in tiny.model.state_dict().items()}
    torch.manual_seed(5)
    wanted = torch.rand(1)
    torch.manual_seed(5)
    one, same, other = (with_random_weights(tiny, seed) for seed in (0, 0, 1))
    assert torch.equal(torch.rand(1), wanted)
    assert one.checkpoint.digest == same.checkpoint.digest != other.checkpoint.digest
    assert tiny.checkpoint.digest != one.checkpoint.digest
    state = one.model.state_dict()
    for name, tensor in before.items():
        assert torch.equal(tiny.model.state_dict()[name], tensor)
        assert torch.equal(same.model.state_dict()[name], state[name])
        if "norm" not in name and not name.endswith("bias"):
            assert not torch.equal(state[name], tensor)
            assert not torch.equal(state[name], other.model.state_dict()[name])
    for (_, old), (_, new) in zip(
        tiny.model.named_buffers(), one.model.named_buffers(), strict=True
    ):
        if old.ndim == 1:  # rotary frequencies
            assert torch.equal(old, new)
