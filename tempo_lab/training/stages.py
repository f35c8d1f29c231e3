"""A stage of training: steps that depend only on (seed, stage, step), saved and resumed.

The data of a step is drawn from a generator seeded with the step's number, so a resumed run needs
no generator state: weights, optimizer tensors, the step and a small JSON state are everything.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from .optimizers import Pair
from .workers import ahead, device_name, rank, together, wait_for_all

SEPARATE_STAGES = ("vision", "svlm", "form", "llm")
JOINT_STAGES = ("align", "single", "short", "long")

StepFunction = Callable[[Any, int, dict[str, Any]], tuple[Tensor, dict[str, float]]]
Draw = Callable[[np.random.Generator], Any]


def write_tensors(path: Path, tensors: dict[str, Tensor], note: dict[str, Any]) -> None:
    """Save tensors and a JSON note in one file, atomically."""
    temporary = path.with_suffix(".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, temporary, metadata={"note": json.dumps(note)})
    os.replace(temporary, path)


def read_note(path: Path) -> dict[str, Any]:
    """The JSON note of a file that :func:`write_tensors` made."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        note: dict[str, Any] = json.loads((file.metadata() or {}).get("note", "{}"))
    return note


class Log:
    """Rows of numbers, appended to a CSV file and cut back to the step a run resumes from."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) < start]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["step", "seconds", "name", "value"])
            writer.writeheader()
            writer.writerows(rows)

    def add(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """One line for each value."""
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            for name, value in values.items():
                writer.writerow([step, f"{seconds:.1f}", name, f"{value:.4f}"])


@cache
def commit() -> str:
    """The repository's commit, or ``unknown`` where there is none."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def named(prefix: str, module: nn.Module) -> dict[str, nn.Parameter]:
    """A module's parameters by name; tied ones once."""
    return {f"{prefix}{name}": p for name, p in module.named_parameters()}


def _draw(draw: Draw | None, seed: int, name: str, turn: tuple[int, int]) -> Any:
    """What a batch of a step is about: drawn, or the generator with which the step will draw."""
    step, batch = turn
    rng = np.random.default_rng([seed, sum(map(ord, name)), step, *([batch] * bool(batch))])
    return draw(rng) if draw else rng


def run_stage(
    folder: Path,
    name: str,
    seed: int,
    steps: int,
    modules: dict[str, nn.Module],
    optimizer: Pair,
    step_function: StepFunction,
    *,
    state: dict[str, Any] | None = None,
    save_seconds: float = 120.0,
    log_every: int = 25,
    after: Callable[[], None] | None = None,
    batches: int = 1,
    draw: Draw | None = None,
) -> dict[str, Any]:
    """Run (or finish, or skip when finished) one stage.

    Args:
        folder: where ``NAME.safetensors`` and ``NAME.csv`` live.
        modules: everything the stage may change, saved under its name.
        step_function: (generator or what was drawn, step, state) -> loss and numbers to log.
        state: small JSON values that the step function may change (a curriculum's level).
        after: called once when the last step is done, before the final save.
        batches: of a step, drawn apart and shared among the workers; at least one for each.
        draw: generator -> what the step function is given in its place. Beside a GPU other
            processes draw, ahead of it: for what takes the CPU long and depends on no state.

    Returns:
        The state at the end.
    """
    path = folder / f"{name}.safetensors"
    state = dict(state or {})
    start, spent = 0, 0.0
    commits = dict.fromkeys([commit()])
    device = device_name(next(p.device for m in modules.values() for p in m.parameters()))

    def weights() -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for prefix, module in modules.items():
            for key, value in module.state_dict().items():
                found[f"weights/{prefix}/{key}"] = value
        return found

    def save(step: int, seconds: float, done: bool) -> None:
        if rank():
            return
        tensors = weights()
        if not done:
            tensors.update({f"optimizer/{k}": v for k, v in optimizer.state().items()})
        note: dict[str, Any] = {"step": step, "seconds": seconds, "done": done, "state": state}
        note |= {"device": device, "commits": list(commits)}
        write_tensors(path, tensors, note)

    if path.exists():
        note = read_note(path)
        tensors = load_file(path)
        for prefix, module in modules.items():
            lead = f"weights/{prefix}/"
            own = {k.removeprefix(lead): v for k, v in tensors.items() if k.startswith(lead)}
            module.load_state_dict(own)
        state = note["state"]
        if note["done"]:
            return state
        lead = "optimizer/"
        optimizer.load_state(
            {k.removeprefix(lead): v for k, v in tensors.items() if k.startswith(lead)}
        )
        start, spent = int(note["step"]), float(note["seconds"])
        commits = dict.fromkeys(note.get("commits", ["unknown"])) | commits

    log = None if rank() else Log(folder / f"{name}.csv", start)
    sums: dict[str, list[float]] = {}
    batches = max(batches, together())
    mine = range(rank(), batches, together())
    turns = [(step, batch) for step in range(start, steps) for batch in mine]
    one = partial(_draw, draw, seed, name)
    drawn = ahead(one, turns) if draw else map(one, turns)
    began = saved = time.monotonic()
    bar = tqdm(
        range(start, steps),
        desc=name,
        initial=start,
        total=steps,
        mininterval=10,
        disable=log is None,
    )
    for step in bar:
        for _ in mine:
            loss, numbers = step_function(next(drawn), step, state)
            (loss * (together() / batches)).backward()  # the workers' mean is then the batches'
            for key, value in {"loss": float(loss.detach()), **numbers}.items():
                sums.setdefault(key, []).append(value)
        optimizer.step(step)
        now = time.monotonic()
        if (step + 1) % log_every == 0 or step + 1 == steps:
            means = {
                key: float(np.nanmean(v)) for key, v in sums.items() if not np.all(np.isnan(v))
            }
            if log:
                log.add(step, spent + now - began, means)
            bar.set_postfix({k: f"{v:.3f}" for k, v in list(means.items())[:8]}, refresh=False)
            sums.clear()
        if now - saved >= save_seconds and step + 1 < steps:
            save(step + 1, spent + now - began, False)
            saved = time.monotonic()
    if after is not None:
        with torch.no_grad():
            after()
    save(steps, spent + time.monotonic() - began, True)
    wait_for_all()
    return state
