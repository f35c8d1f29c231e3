"""Where a model runs, and in which kind of numbers."""

from __future__ import annotations

import torch

from tempo_lab.errors import CheckpointError

DEVICES = ("cpu", "cuda", "mps")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """The asked device, or the best one there is.

    Raises:
        CheckpointError: no such device, or none here.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if str(device).partition(":")[0] not in DEVICES:
        raise CheckpointError(
            "unknown device",
            asked=repr(device),
            found=", ".join(DEVICES),
            fix="use one of these, or leave it out for the best there is",
        )
    try:
        picked = torch.device(device)
        torch.empty(1, device=picked)
    except (RuntimeError, AssertionError, TypeError) as err:
        raise CheckpointError(
            "this device cannot be used",
            asked=device,
            found=str(err).splitlines()[0],
            fix='leave device out, or use "cpu"',
        ) from None
    return picked


def pick_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """The asked dtype, or float32 on CPU and bfloat16 elsewhere."""
    if dtype is None:
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found not in (torch.float32, torch.bfloat16, torch.float16):
        raise CheckpointError(
            "unknown dtype",
            asked=dtype,
            found="float32, bfloat16, float16",
            fix="use one of these",
        )
    return found
