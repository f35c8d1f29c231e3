"""How long a recipe would train on this machine: a few steps of every stage, multiplied.

    python benchmarks/training.py [--recipe nano] [--steps 75]

One process does all stages, one after another, with all batches of a step. A run does the LLM's own
stage beside those of the SVLM, and shares the joint ones among its processes (one a GPU, or the
recipe's workers on a CPU): the total is of that, as if they did not slow each other down.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from tempo_lab.nano.training.distributed import device, device_name, gpus
from tempo_lab.nano.training.feature_bank import make_bank
from tempo_lab.nano.training.recipes import RECIPES, Recipe
from tempo_lab.nano.training.stages import JOINT_STAGES, SEPARATE_STAGES
from tempo_lab.nano.training.train import (
    CPU_ENVIRONMENT,
    train_joint,
    train_llm,
    train_svlm,
    train_vision,
)

STAGES = (*SEPARATE_STAGES, *JOINT_STAGES)
LOGGED = 25
"""Steps between two lines of a stage's log; what comes before the first is warming up."""
BANK = 1024


def seconds_a_step(log: Path) -> float:
    """Of all steps but the first 25."""
    seconds = pd.read_csv(log).groupby("step")["seconds"].first()
    return float((seconds.iloc[-1] - seconds.iloc[0]) / (seconds.index[-1] - seconds.index[0]))


def measure(recipe: Recipe, steps: int, folder: Path) -> dict[str, float]:
    """Minutes of each stage of the recipe, and of its bank of features."""
    lengths = {name: replace(getattr(recipe, name), steps=steps) for name in STAGES}
    short = replace(recipe, bank=BANK, save_seconds=1e9, **lengths)
    tower = train_vision(short, folder)
    began = time.monotonic()
    bank = make_bank(tower, short.bank, short.seed, folder)
    minutes = {"bank": (time.monotonic() - began) / 60 * recipe.bank / BANK}
    train_joint(short, folder, train_svlm(short, folder, bank), train_llm(short, folder), bank)
    for name in STAGES:
        each = seconds_a_step(folder / f"{name}.csv")
        minutes[name] = each / 60 * getattr(recipe, name).steps
    return minutes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="nano", choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, default=3 * LOGGED)
    asked = parser.parse_args()
    if asked.steps < 2 * LOGGED:
        parser.error(f"--steps {asked.steps}: at least {2 * LOGGED}, the first {LOGGED} warm up")
    if not os.environ.items() >= CPU_ENVIRONMENT.items():  # read when a process starts
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **CPU_ENVIRONMENT})
    torch.set_num_threads(1)
    recipe = RECIPES[asked.recipe]
    with tempfile.TemporaryDirectory() as folder:
        minutes = measure(recipe, asked.steps, Path(folder))
    processes = min(gpus() or recipe.workers, recipe.workers)
    eyes = sum(minutes[name] for name in ("vision", "bank", "svlm", "form"))
    joint = sum(minutes[name] for name in JOINT_STAGES) / processes
    for name, each in minutes.items():
        print(f"{name:8}{each:7.1f} min")
    total = max(eyes, minutes["llm"]) + joint
    print(f"{recipe.name} on {device_name(device())}, {processes} at a time: {total:.0f} min")


if __name__ == "__main__":
    main()
