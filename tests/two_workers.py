"""Two workers of one training, forked from one process so that the imports are paid for once.

`python two_workers.py FOLDER`: a toy stage and the tiny recipe's joint stages, each run whole in
FOLDER/whole, and stopped in the middle and run again in FOLDER/resumed.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from tempo_lab.nano.training.distributed import free_port
from tempo_lab.nano.training.feature_bank import make_bank
from tempo_lab.nano.training.optimizers import MuonAdamW
from tempo_lab.nano.training.recipes import RECIPES
from tempo_lab.nano.training.stages import named, run_stage
from tempo_lab.nano.training.train import train_joint, train_llm, train_svlm, train_vision

TOY_SEED, TOY_STEPS = 5, 6
STOPPED = 9
Work = Callable[[Path, int], None]


def toy_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 3)


def toy_pair(model: nn.Linear) -> MuonAdamW:
    return MuonAdamW([(named("toy.", model), 0.01, 0.01)], TOY_STEPS)


def toy_loss(model: nn.Linear, rng) -> torch.Tensor:
    return (model(torch.from_numpy(rng.standard_normal((4, 3))).float()) ** 2).mean()


def stop_at(steps: int) -> None:
    """Make the process end, as a killed one does, before optimizer step number `steps`."""
    step, taken = MuonAdamW.step, []

    def counted(self: MuonAdamW, number: int) -> None:
        if len(taken) == steps:
            os._exit(STOPPED)
        taken.append(number)
        step(self, number)

    MuonAdamW.step = counted


def toy(folder: Path, rank: int, batches: int = 1) -> None:
    model = toy_model()

    def step(rng, number, state):
        return toy_loss(model, rng), {}

    modules = {"toy": model}
    options = {"save_seconds": 0.0, "batches": batches}
    run_stage(folder, "toy", TOY_SEED, TOY_STEPS, modules, toy_pair(model), step, **options)


def joint(folder: Path, rank: int) -> None:
    # a stage of nano may be done before its first save is due; what is stopped must have saved
    recipe = replace(RECIPES["tiny"], save_seconds=0.0 if folder.name == "resumed" else 120.0)
    bank = make_bank(train_vision(recipe, folder), recipe.bank, recipe.seed, folder)
    svlm, llm = train_svlm(recipe, folder, bank), train_llm(recipe, folder)
    train_joint(recipe, folder, svlm, llm, bank)
    sha = hashlib.sha256()
    for module in (svlm, llm):
        for value in module.state_dict().values():
            sha.update(value.numpy().tobytes())
    (folder / f"rank{rank}").write_text(sha.hexdigest())


def together(work: Work, folder: Path, steps: int | None = None) -> None:
    """Run two workers to their end, or until both stop before a step."""
    port, children = str(free_port()), []
    for rank in range(2):
        child = os.fork()
        if not child:
            os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "LOCAL_RANK": str(rank)}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            code = 1
            try:
                if steps is not None:
                    stop_at(steps)
                work(folder, rank)
                code = 0
            except BaseException as err:
                print(f"worker {rank}: {type(err).__name__}: {err}", file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    wanted = [0 if steps is None else STOPPED] * 2
    if codes != wanted:
        raise SystemExit(f"{work.__name__}: exit codes {codes}, not {wanted}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for work, steps in ((toy, 4), (joint, 7)):
        together(work, Path(sys.argv[1]) / "whole")
        together(work, Path(sys.argv[1]) / "resumed", steps)
        together(work, Path(sys.argv[1]) / "resumed")
