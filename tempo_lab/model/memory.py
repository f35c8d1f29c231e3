"""Free and used memory of a device, and the dtype in which a checkpoint fits into it."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

import torch

from tempo_lab.common.errors import CheckpointError, TempoLabWarning
from tempo_lab.common.machine import free_memory, peak_memory, reset_peak_memory
from tempo_lab.model.weights import Header


def free_bytes(device: torch.device) -> int:
    """Return the free bytes of a device; for the CPU, within the limit of its control group."""
    if device.type == "cuda":  # memory that torch has reserved but not allocated is free, too
        ready = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + ready
    free = free_memory()
    if device.type == "mps":
        on_device = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return int(min(free, on_device))
    return free


class PeakMemory:
    """Measures the most memory that is used while its `with` block runs.

    On CUDA it is what tensors take on the device (`torch.cuda.max_memory_allocated`). Elsewhere
    it is the resident memory of this process, without its decoder process; Linux only.

    Args:
        device: of the model.

    Attributes:
        mib: the peak in MiB after the block; None where it cannot be measured.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.mib: float | None = None
        self._measures = False

    def __enter__(self) -> PeakMemory:
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            self._measures = True
        else:
            self._measures = reset_peak_memory()
        return self

    def __exit__(self, *error: object) -> None:
        if not self._measures:
            return
        if self.device.type == "cuda":
            peak: int | None = torch.cuda.max_memory_allocated(self.device)
        else:
            peak = peak_memory()
        self.mib = None if peak is None else peak / 2**20


def needed_bytes(headers: Collection[Header], dtype: torch.dtype, device: torch.device) -> int:
    """Return the bytes that weights in `dtype` need, plus an eighth for computing.

    On a CPU, weights that are stored in `dtype` are memory-mapped and need no memory of their own:
    the system reads them when they are used, and may drop them.
    """
    total = sum(header.numel for header in headers) * dtype.itemsize
    mapped = sum(header.numel for header in headers if header.dtype == dtype) * dtype.itemsize
    return total - (mapped if device.type == "cpu" else 0) + total // 8


def fitting_dtype(
    headers: Collection[Header],
    dtypes: Sequence[torch.dtype],
    device: torch.device,
    free: int,
) -> torch.dtype:
    """Return the first of `dtypes` in which the weights fit into `free` bytes.

    It warns if this is not the first dtype.

    Raises:
        CheckpointError: the weights fit in none of them; says which dtype needs the least memory.
    """
    needs = {dtype: needed_bytes(headers, dtype, device) for dtype in dtypes}
    fits = next((dtype for dtype in dtypes if needs[dtype] <= free), None)
    first = dtypes[0]
    needed, available = f"{needs[first] / 1e9:.1f} GB", f"{free / 1e9:.1f} GB"
    if fits is None:
        others = (torch.bfloat16, torch.float16, torch.float32)
        least = min(others, key=lambda dtype: needed_bytes(headers, dtype, device))
        need = needed_bytes(headers, least, device)
        fix = f"dtype={_name(least)!r}, which needs {need / 1e9:.1f} GB"
        if need > free:
            fix = f"free {need / 1e9:.1f} GB and use dtype={_name(least)!r}, or a smaller model"
        raise CheckpointError(
            "this checkpoint does not fit into memory",
            asked=f"{needed} for the weights as {_name(first)}, and to compute with them",
            found=f"{available} free on {device}",
            fix=fix if device.type == "cpu" else f'{fix}, or device="cpu"',
        )
    if fits != first:
        warnings.warn(
            f"The weights need {needed} as {_name(first)}, and {available} are free on {device}. "
            f"They are loaded as {_name(fits)}, which has fewer digits. Pass dtype={_name(fits)!r} "
            "to load them so without this warning.",
            TempoLabWarning,
            stacklevel=5,  # the caller of `tempo_lab.load`
        )
    return fits


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
