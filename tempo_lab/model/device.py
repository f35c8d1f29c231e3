"""Choose the device on which a model runs, and its dtype."""

from __future__ import annotations

import torch

from tempo_lab.common.errors import CheckpointError

DEVICES = ("cpu", "cuda", "mps")


def pick_device(device: str | torch.device | None = None) -> torch.device:
    """Return the requested device, or by default the best one available.

    Raises:
        CheckpointError: the device is unknown or not available.
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
            fix="use one of these, or omit device= for the best one",
        )
    try:
        picked = torch.device(device)
        torch.empty(1, device=picked)
    except (RuntimeError, AssertionError, TypeError) as err:
        raise CheckpointError(
            "this device cannot be used",
            asked=device,
            found=str(err).splitlines()[0],
            fix='omit device=, or use device="cpu"',
        ) from None
    return torch.device("cpu") if picked.type == "cpu" else picked  # safetensors knows no cpu:0


def pick_dtypes(dtype: str | torch.dtype | None, device: torch.device) -> list[torch.dtype]:
    """Return the requested dtype, or by default the preferred ones, best first.

    Raises:
        CheckpointError: the dtype is unknown.
    """
    if dtype is None:
        return [torch.float32, torch.bfloat16] if device.type == "cpu" else [torch.bfloat16]
    picked = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if picked not in (torch.float32, torch.bfloat16, torch.float16):
        raise CheckpointError(
            "unknown dtype",
            asked=dtype,
            found="float32, bfloat16, float16",
            fix="use one of these",
        )
    return [picked]
