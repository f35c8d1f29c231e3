"""Check that a model computes finite numbers.

NaN and infinity cause no error by themselves: from NaN logits the answer is the vocabulary's first
token, repeated. The weights are searched only if such a number occurs.
"""

from __future__ import annotations

import torch
from torch import nn

from tempo_lab.common.errors import CheckpointError

WIDER = {torch.float16: "bfloat16", torch.bfloat16: "float32"}


def check_finite(numbers: torch.Tensor, what: str, model: nn.Module) -> None:
    """Refuse numbers that are NaN or infinite.

    Args:
        numbers: a tensor of any shape.
        what: what the numbers are, in the plural, for the message.
        model: the model that computed them.

    Raises:
        CheckpointError: names damaged weights, or a dtype with a sufficient range.
    """
    if bool(numbers.isfinite().all()):
        return
    dtype = next(model.parameters()).dtype
    wrong = torch.isnan if dtype == torch.float16 else lambda weights: ~weights.isfinite()
    damaged = [name for name, weights in model.state_dict().items() if wrong(weights).any()]
    wider = None if damaged else WIDER.get(dtype)
    raise CheckpointError(
        f"{what} are not finite numbers",
        asked=f"finite numbers, computed in {str(dtype).removeprefix('torch.')}",
        found=f"{int((~numbers.isfinite()).sum())} of {numbers.numel()} are NaN or infinite"
        + (f"; so are numbers in {len(damaged)} weights, first {damaged[0]}" if damaged else ""),
        fix=f'load the model with dtype="{wider}", which has a wider range or more digits'
        if wider
        else "download or copy the weights again",
    )
