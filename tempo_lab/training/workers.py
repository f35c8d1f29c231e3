"""Several processes that train one model: each draws its own data, gradients are averaged.

Accelerate brings them together; ``start`` gives it what its launcher would set in the environment.
One process alone needs none of this.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from accelerate import Accelerator
from torch import nn

from tempo_lab.errors import TempoLabError


@cache
def _accelerator() -> Accelerator | None:
    return Accelerator(cpu=True) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else None


def rank() -> int:
    """Number of this worker; 0 is the one that saves and logs."""
    workers = _accelerator()
    return workers.process_index if workers else 0


def wait_for_all() -> None:
    """Go on when every worker is here."""
    workers = _accelerator()
    if workers:
        workers.wait_for_everyone()


@torch.no_grad()
def average(parameters: Sequence[nn.Parameter]) -> None:
    """Mean of the workers' gradients, in one message; a missing gradient counts as zero."""
    workers = _accelerator()
    if not workers:
        return
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = workers.reduce(torch.cat([g.reshape(-1) for g in grads]), reduction="mean")
    parts = flat.split([g.numel() for g in grads])
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.grad = part.view_as(parameter)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    arguments: Sequence[str], count: int, environment: Mapping[str, str]
) -> list[subprocess.Popen[bytes]]:
    """Start ``count`` processes of ``python -m ARGUMENTS`` that work together."""
    port, processes = str(_free_port()), []
    for number in range(count):
        env = {**os.environ, **environment}
        if count > 1:
            env |= {"WORLD_SIZE": str(count), "RANK": str(number), "LOCAL_RANK": str(number)}
            env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        processes.append(subprocess.Popen([sys.executable, "-m", *arguments], env=env))
    return processes


def finish(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait for all; when one fails, or this process is interrupted, stop the others.

    Raises:
        TempoLabError: a process failed.
    """
    try:
        while None in (codes := [process.poll() for process in processes]) and not any(codes):
            time.sleep(0.2)
        for process in processes:
            if process.returncode:
                raise TempoLabError(
                    "a part of the training stopped",
                    asked=str(process.args),
                    found=f"exit status {process.returncode}",
                    fix="read its last lines above; the same command resumes it",
                )
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
                process.wait()
