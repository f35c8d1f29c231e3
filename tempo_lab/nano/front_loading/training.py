"""The runs of the study: `tempo-lab train front-loading --arm prefix --seed 1`.

Memory tokens and projector begin at random, and no loss says what memory should hold: the LLM's
answers alone train them, with the LLM. The SVLM is frozen as it is before the ``form`` stage, and
reads the question as in the product. Arms differ only in which memory tokens the LLM reads; runs of
one seed begin with the same weights and draw the same data in the same order.

The study of this project starts from stages that are kept in the repository's history:
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
"""Nano's recipe up to the ``svlm`` and ``llm`` stages, then its ``single`` stage for each run: 500
steps of 12 segments with 5 questions each."""

BASE_STAGES = ("vision", "svlm", "llm")
"""What all runs start from."""

STAGE = "single"
"""Name of a run's only stage and of its file."""


def cut_step(joint: JointModel, shape: Shape, arm: str) -> Callable[..., Any]:
    """The step function of a run: questions about single segments, whose memory the arm cuts."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        cut = rng.spawn(1)[0]  # by itself: the arms draw the same data
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
    """What all runs of a study start from.

    Attributes:
        tower: the vision tower, frozen.
        bank: segments to train on, with their visual features.
        joint: SVLM, LLM, memory tokens and projector as a run of a seed begins.
        digest: of the weights of vision tower, SVLM and LLM.
    """

    tower: FrameTower
    bank: FeatureBank
    joint: JointModel
    digest: str


def load_base(recipe: Recipe, out: Path, seed: int) -> Base:
    """The base in a study's folder, trained where it is not there, and a seed's first memory."""
    tower = train_vision(recipe, out)
    bank = make_bank(tower, recipe.bank, recipe.seed, out)
    svlm = train_svlm(recipe, out, bank, ("svlm",)).requires_grad_(False)
    llm: Qwen3ForCausalLM = train_llm(recipe, out)
    torch.manual_seed(seed)
    memory = MemoryParameters(recipe.sizes).to(device())
    joint = JointModel(svlm, llm, memory, PromptIds(), bank)
    return Base(tower, bank, joint, weights_digest(tower.model, svlm, llm.model))


def run_folder(out: Path, arm: str, seed: int) -> Path:
    """Folder of a run within the study's folder."""
    return out / f"{arm}-{seed}"


def run_arm(recipe: Recipe, out: Path, arm: str, seed: int) -> Path:
    """Train one run in this process, or finish it; returns its folder.

    Raises:
        TempoLabError: something cannot be written, or the run began from another base.
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
                "the run began from another base",
                asked=f"to continue {folder} from the base {base.digest}",
                found=f"the base {was}",
                fix="put its base back, or choose another folder",
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
    """Train one run of the study, or finish one that was stopped. It uses one core.

    Args:
        arm: a key of :data:`ARMS`.
        seed: of the first memory tokens and projector, and of the data.
        out: the study's folder: the base, and a folder for each run.
        resume: continue the run if it is there; otherwise it is refused.
        base: runs whose finished ``vision``, ``svlm`` and ``llm`` stages all runs start from; the
            first that has a stage gives it. What none has is trained. (Not a run that began from a
            checkpoint: what it has as its ``svlm`` stage is the SVLM after ``form``.)

    Returns:
        The run's folder.

    Raises:
        TempoLabError: no such arm, a run is in the way, or the training failed.
    """
    if arm not in ARMS:
        raise TempoLabError("no such arm", asked=arm, found=", ".join(ARMS), fix="name one")
    study = Path(out)
    folder = run_folder(study, arm, seed)
    if not resume and (folder / f"{STAGE}.safetensors").exists():
        raise TempoLabError(
            "this run is already there",
            asked=f"a new run in {folder}",
            found=f"{STAGE}.safetensors",
            fix="resume it, or name another folder",
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
