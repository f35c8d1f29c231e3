"""Train the runs of the study: `tempo-lab train front-loading --arm prefix --seed 1`.

Memory tokens and projector start at random, and no loss says what memory should contain: the loss
of the LLM's answers alone trains them, with the LLM. The SVLM is frozen as it is before the
``form`` stage, and reads the question as in inference. Arms differ only in the memory tokens that
the LLM reads. Runs of one seed have the same initial weights, and the same data in the same order.

This project's study starts from stages in the repository's history:
``git archive c4c126e data/stages | tar x``, and then ``--base data/stages`` for each run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import Qwen3ForCausalLM

from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.front_loading.cuts import ARMS, kept_slots
from tempo_lab.nano.training.distributed import device, finish, start
from tempo_lab.nano.training.feature_bank import FeatureBank, make_bank, weights_digest
from tempo_lab.nano.training.joint_stage import (
    JointModel,
    MemoryParameters,
    right_by_kind,
)
from tempo_lab.nano.training.llm_stage import HINT
from tempo_lab.nano.training.optimizers import MuonAdamW
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import NANO, Recipe
from tempo_lab.nano.training.sampling import Shape, draw_video
from tempo_lab.nano.training.stages import named, read_note, run_stage
from tempo_lab.nano.training.train import (
    CPU_ENVIRONMENT,
    saving_to,
    shapes,
    train_llm,
    train_svlm,
    train_vision,
)
from tempo_lab.nano.training.vision_stage import FrameTower
from tempo_lab.nano.training.warm_start import start_from_run

FRONT_LOADING = replace(NANO, name="front-loading", workers=1)
"""Nano's recipe up to the ``svlm`` and ``llm`` stages, then its ``single`` stage for each run, with
500 steps of 12 segments with 5 questions each."""

BASE_STAGES = ("vision", "svlm", "llm")
"""Stages from which all runs start."""

STAGE = "single"
"""Name of a run's only stage, and of the stage's file."""


def cut_step(joint: JointModel, shape: Shape, arm: str) -> Callable[..., Any]:
    """Return the step function of a run: questions about single segments, truncated by the arm."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        cut = rng.spawn(1)[0]  # its own generator, so that the arms draw the same data
        videos = [draw_video(joint.bank, rng, shape) for _ in range(shape.videos)]
        system = "relevance" if rng.random() < 0.5 else "compressor"
        memory = joint.compress_videos(system, videos, rng, partial=False)
        slots = iter(kept_slots(arm, shape.videos * shape.asked, joint.slots, cut))
        kept = [[[next(slots)] for _ in video.questions] for video in videos]
        answers, hinted, right, labels = joint.answers(videos, memory, kept)
        losses = {"answers": float(answers.detach()), "hint": float(hinted.detach())}
        return answers + HINT * hinted, losses | right_by_kind(videos, right, labels)

    return step


class Base(NamedTuple):
    """The models and data from which all runs of a study start.

    Attributes:
        tower: the vision tower, frozen.
        bank: segments to train on, with their visual features.
        joint: SVLM, LLM, memory tokens and projector at the start of a seed's run.
        digest: digest of the weights of vision tower, SVLM and LLM.
    """

    tower: FrameTower
    bank: FeatureBank
    joint: JointModel
    digest: str


def load_base(recipe: Recipe, out: Path, seed: int) -> Base:
    """Return a study's base, after training what is missing, with a seed's initial memory."""
    tower = train_vision(recipe, out)
    bank = make_bank(tower, recipe.bank, recipe.seed, out)
    svlm = train_svlm(recipe, out, bank, ("svlm",)).requires_grad_(False)
    llm: Qwen3ForCausalLM = train_llm(recipe, out)
    torch.manual_seed(seed)
    memory = MemoryParameters(recipe.sizes).to(device())
    joint = JointModel(svlm, llm, memory, PromptIds(), bank)
    return Base(tower, bank, joint, weights_digest(tower.model, svlm, llm.model))


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Return the folder of a run within the study's folder."""
    return out / f"{arm}-{seed}"


def run_arm(recipe: Recipe, out: Path, arm: str, seed: int) -> Path:
    """Train one run in this process, or finish it; return its folder.

    Raises:
        TempoLabError: a file cannot be written, or the run started from another base.
    """
    torch.set_num_threads(1)
    folder = run_folder(out, arm, seed)
    with saving_to(out):
        folder.mkdir(parents=True, exist_ok=True)
        base = load_base(recipe, out, seed)
        joint, length = base.joint, recipe.single
        file = folder / f"{STAGE}.safetensors"
        if file.exists() and (was := read_note(file)["state"]["base"]) != base.digest:
            raise TempoLabError(
                "the run started from another base",
                asked=f"to continue {folder} from the base {base.digest}",
                found=f"the base {was}",
                fix="restore its base, or use another folder",
            )
        groups = [
            (named("memory.", joint.memory), 0.015, 3e-3),
            (named("llm.", joint.llm.model), 5e-3, 1e-3),
        ]
        run_stage(
            folder,
            STAGE,
            seed,
            length.steps,
            {"llm": joint.llm.model, "memory": joint.memory},
            MuonAdamW(groups, length.steps, decay=0.4),
            cut_step(joint, replace(shapes(recipe)["single"], truncate=0.0), arm),
            state={"arm": arm, "seed": seed, "base": base.digest},
            save_seconds=recipe.save_seconds,
        )
    return folder


def train_arm(
    arm: str,
    seed: int,
    out: str | Path = "runs/front-loading",
    *,
    resume: bool = True,
    base: Sequence[str | Path] = (),
) -> Path:
    """Train one run of the study, or finish a run that was stopped, on one core.

    Args:
        arm: a key of :data:`ARMS`.
        seed: seed of the initial memory tokens and projector, and of the data.
        out: the study's folder, with the base and a folder for each run.
        resume: whether to continue a run that is there; otherwise it is refused.
        base: runs whose finished ``vision``, ``svlm`` and ``llm`` stages all runs start from. Each
            stage comes from the first base that has it, and is trained if none has it. (A run that
            started from a checkpoint is no base: its ``svlm`` stage is the SVLM after ``form``.)

    Returns:
        The run's folder.

    Raises:
        TempoLabError: there is no such arm, the run exists already, or the training failed.
    """
    if arm not in ARMS:
        raise TempoLabError("no such arm", asked=arm, found=", ".join(ARMS), fix="use one of these")
    study = Path(out)
    folder = run_folder(study, arm, seed)
    if not resume and (folder / f"{STAGE}.safetensors").exists():
        raise TempoLabError(
            "this run already exists",
            asked=f"a new run in {folder}",
            found=f"{STAGE}.safetensors",
            fix="resume it, or use another folder",
        )
    with saving_to(study):
        study.mkdir(parents=True, exist_ok=True)
        for each in base:
            start_from_run(Path(each), study, BASE_STAGES)
    module = "tempo_lab.nano.front_loading.training"
    finish(start([module, str(study), arm, str(seed)], 1, CPU_ENVIRONMENT))
    return folder


if __name__ == "__main__":
    try:
        run_arm(FRONT_LOADING, Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
    except TempoLabError as refused:
        sys.exit(f"tempo-lab: {refused}")
