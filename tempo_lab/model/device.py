"""Where a model runs, and in which kind of numbers."""

from __future__ import annotations

import torch

from tempo_lab.common.errors import CheckpointError

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


def pick_dtypes(dtype: str | torch.dtype | None, device: torch.device) -> list[torch.dtype]:
    """The asked dtype, or the best ones first: float32 on CPU only, and bfloat16.

    Raises:
        CheckpointError: no such dtype.
    """
    if dtype is None:
        return [torch.float32, torch.bfloat16] if device.type == "cpu" else [torch.bfloat16]
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if found not in (torch.float32, torch.bfloat16, torch.float16):
        raise CheckpointError(
            "unknown dtype",
            asked=dtype,
            found="float32, bfloat16, float16",
            fix="use one of these",
        )
    return [found]
