"""Train one model in several processes: one per GPU, or some on a CPU.

Accelerate finds the device and connects the processes; ``start`` sets the environment variables
that its launcher would set.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from torch import nn
from torch.utils.data import DataLoader, Dataset

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.interrupts import children_ignore_interrupts

CPU_ONLY = "ACCELERATE_USE_CPU"
"""Accelerate's own environment variable: train on the CPU even if there is a GPU."""


def gpus() -> int:
    """Return the number of GPUs to train on."""
    return 0 if parse_flag_from_env(CPU_ONLY) else torch.accelerator.device_count()


@cache
def _accelerator() -> Accelerator:
    return Accelerator(cpu=not gpus())


def device() -> torch.device:
    """Return this process's GPU, or the CPU if there is none."""
    return _accelerator().device


def device_name(device: torch.device) -> str:
    """Return the name of the device that a run records."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def rank() -> int:
    """Return the number of this worker; worker 0 saves and logs."""
    return _accelerator().process_index


def world_size() -> int:
    """Return the number of workers."""
    return _accelerator().num_processes


class _Drawn(Dataset[Any]):
    def __init__(self, draw: Callable[[Any], Any]) -> None:
        self.draw = draw

    def __getitem__(self, key: Any) -> Any:
        return self.draw(key)


def _as_drawn(drawn: Any) -> Any:
    return drawn


def num_workers() -> int:
    """Return how many processes draw data for a GPU; none on a CPU, whose cores all train."""
    return 0 if device().type == "cpu" else max(1, min(4, (os.cpu_count() or 1) - 2))


def prefetch(draw: Callable[[Any], Any], keys: Sequence[Any]) -> Iterator[Any]:
    """Return ``draw`` of each key, in order; it is called ahead, while a GPU computes.

    Args:
        draw: a module's function, or a partial of one, as it is sent to other processes.
        keys: the arguments of ``draw``; nothing else may change its result.
    """
    return iter(
        DataLoader(
            _Drawn(draw),
            sampler=keys,
            batch_size=None,
            num_workers=num_workers(),
            collate_fn=_as_drawn,
            generator=torch.Generator(),  # without it, the loader draws from torch's own
        )
    )


def wait_for_all() -> None:
    """Wait until every worker has called this function."""
    _accelerator().wait_for_everyone()


@torch.no_grad()
def average(parameters: Sequence[nn.Parameter]) -> None:
    """Average the workers' gradients, in one message; a missing gradient counts as zero."""
    if world_size() == 1:
        return
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = _accelerator().reduce(torch.cat([g.reshape(-1) for g in grads]), reduction="mean")
    parts = flat.split([g.numel() for g in grads])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def free_port() -> int:
    """Return a TCP port of this machine that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    arguments: Sequence[str], count: int, environment: Mapping[str, str]
) -> list[subprocess.Popen[bytes]]:
    """Start ``count`` processes of ``python -m ARGUMENTS`` that train together."""
    port, processes = str(free_port()), []
    for number in range(count):
        env = {**os.environ, **environment}
        if count > 1:
            env |= {"WORLD_SIZE": str(count), "RANK": str(number), "LOCAL_RANK": str(number)}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        with children_ignore_interrupts():  # `finish` stops them
            processes.append(subprocess.Popen([sys.executable, "-m", *arguments], env=env))
    return processes


def finish(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for all processes; when one fails, or this one is interrupted, stop the others.

    Raises:
        TempoLabError: a process failed.
    """
    try:
        while None in (codes := [process.poll() for process in processes]) and not any(codes):
            time.sleep(0.2)
        for process in processes:
            if process.returncode:
                raise TempoLabError(
                    "a process of the training failed",
                    asked=str(process.args),
                    found=f"exit status {process.returncode}",
                    fix="read its last lines above; the same command resumes the training",
                )
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
