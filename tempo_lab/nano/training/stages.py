"""Run, save and resume a stage of training; its steps depend only on (seed, stage, step).

The data of a step are drawn from a generator that is seeded with the step's number. A resumed run
needs no generator state, only weights, optimizer tensors, the step and a small JSON state.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.files import atomic_file
from tempo_lab.common.progress import progress_bar
from tempo_lab.nano.training.distributed import (
    device_name,
    prefetch,
    rank,
    wait_for_all,
    world_size,
)
from tempo_lab.nano.training.optimizers import MuonAdamW

SEPARATE_STAGES = ("vision", "svlm", "form", "llm")
JOINT_STAGES = ("align", "single", "short", "long")

StepFunction = Callable[[Any, int, dict[str, Any]], tuple[Tensor, dict[str, float]]]
Draw = Callable[[np.random.Generator], Any]


def write_tensors(path: Path, tensors: dict[str, Tensor], note: dict[str, Any]) -> None:
    """Save tensors and a JSON note in one file, atomically."""
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(note)
    with atomic_file(path) as part:
        save_file(plain, part, metadata={"note": text, "digest": _digest(plain, text)})


def _digest(tensors: dict[str, Tensor], note: str) -> str:
    """Return a digest of everything in a file, which reveals damage."""
    sha = hashlib.sha256(note.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return sha.hexdigest()


def read_note(path: Path) -> dict[str, Any]:
    """Return the JSON note of a file that :func:`write_tensors` wrote.

    Raises:
        TempoLabError: the file cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            note: dict[str, Any] = json.loads((file.metadata() or {})["note"])
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise TempoLabError(
            "the file of a training stage cannot be read",
            asked=path,
            found=f"{type(error).__name__}: {error}",
            fix="resume that run: it sets the damaged file aside and trains the stage again",
        ) from error
    return note


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """Return note and tensors of a file that :func:`write_tensors` wrote; None if there is none.

    A damaged file is set aside with a warning, and the result is None. (Files of earlier versions
    have no digest; only damage that prevents reading is noticed.)
    """
    if not path.exists():
        return None
    try:
        note, tensors = read_note(path), load_file(path)
        with safe_open(path, framework="pt") as file:
            digest = file.metadata().get("digest")
        if digest not in (None, _digest(tensors, json.dumps(note))):
            raise ValueError("its contents are not those that were saved")
    except (OSError, SafetensorError, ValueError, TempoLabError) as error:
        aside = path.with_suffix(".damaged")
        with suppress(FileNotFoundError):  # another worker was first
            os.replace(path, aside)
        found = error.found if isinstance(error, TempoLabError) else error
        warnings.warn(
            f"{path} is damaged ({found}). It was set aside as {aside.name} and is made again.",
            TempoLabWarning,
            stacklevel=2,
        )
        return None
    return note, tensors


COLUMNS = ("step", "seconds", "name", "value")


def _before(row: dict[str, Any], start: int) -> bool:
    """Whether a row of a log is from a step before ``start``; a damaged row is not."""
    try:
        float(row["value"])
        return len(row) == len(COLUMNS) and int(row["step"]) < start
    except (TypeError, ValueError):
        return False


class Log:
    """A CSV file of numbers; rows from the step at which a run resumes are removed."""

    def __init__(self, path: Path, start: int) -> None:
        self.path = path
        rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(newline="", errors="replace") as file:
                rows = [row for row in csv.DictReader(file, COLUMNS) if _before(row, start)]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def add(self, step: int, seconds: float, values: dict[str, float]) -> None:
        """Append a row for each value."""
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            for name, value in values.items():
                writer.writerow([step, f"{seconds:.1f}", name, f"{value:.4f}"])


@cache
def commit() -> str:
    """Return the repository's commit, or ``unknown`` outside a repository."""
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
    """Return a module's parameters by name; tied parameters appear once."""
    return {f"{prefix}{name}": p for name, p in module.named_parameters()}


def _draw(draw: Draw | None, seed: int, name: str, turn: tuple[int, int]) -> Any:
    """Return the data of a batch, or without ``draw`` the generator that the step draws from."""
    step, batch = turn
    rng = np.random.default_rng([seed, sum(map(ord, name)), step, *([batch] * bool(batch))])
    return draw(rng) if draw else rng


def run_stage(
    folder: Path,
    name: str,
    seed: int,
    steps: int,
    modules: dict[str, nn.Module],
    optimizer: MuonAdamW,
    step_function: StepFunction,
    *,
    state: dict[str, Any] | None = None,
    save_seconds: float = 120.0,
    log_every: int = 25,
    after: Callable[[], None] | None = None,
    batches: int = 1,
    draw: Draw | None = None,
) -> dict[str, Any]:
    """Run one stage, resume it, or skip it if it is finished.

    Args:
        folder: folder of ``NAME.safetensors`` and ``NAME.csv``.
        modules: all modules that the stage may change, by the name under which they are saved.
        step_function: (generator or drawn data, step, state) -> loss and numbers to log.
        state: small JSON values that the step function may change (a curriculum's level).
        after: called once after the last step, before the final save.
        batches: batches per step, drawn separately and shared among the workers; at least one each.
        draw: generator -> data that the step function gets instead of the generator. For a GPU,
            other processes draw ahead, which helps if drawing is slow. Data cannot depend on state.

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

    if there := read_tensors(path):
        note, tensors = there
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
    batches = max(batches, world_size())
    mine = range(rank(), batches, world_size())
    turns = [(step, batch) for step in range(start, steps) for batch in mine]
    one = partial(_draw, draw, seed, name)
    drawn = prefetch(one, turns) if draw else map(one, turns)
    began = saved = time.monotonic()
    bar = progress_bar(
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
            (loss * (world_size() / batches)).backward()  # to average over batches
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
