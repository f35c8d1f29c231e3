"""Run all stages of a recipe: `tempo-lab train nano --out runs/nano`.

Every stage writes ``STAGE.safetensors`` and ``STAGE.csv`` into the run's folder. A stage whose file
says that it is done is skipped, so a killed run continues from its last save.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.training.branched_forward import BranchedForward
from tempo_lab.nano.training.curves import training_figure
from tempo_lab.nano.training.distributed import device, finish, gpus, rank, start
from tempo_lab.nano.training.export import export, familiar_tensors, released_keys
from tempo_lab.nano.training.feature_bank import FeatureBank, make_bank
from tempo_lab.nano.training.init_and_aux_losses import match_like_with_like, name_what_is_seen
from tempo_lab.nano.training.joint_stage import JointModel, MemoryParameters, joint_step
from tempo_lab.nano.training.llm_stage import build_llm, text_step
from tempo_lab.nano.training.optimizers import MuonAdamW
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import RECIPES, Recipe
from tempo_lab.nano.training.sampling import SEVERAL, Shape
from tempo_lab.nano.training.segment_pool import SegmentPool
from tempo_lab.nano.training.stages import (
    JOINT_STAGES,
    SEPARATE_STAGES,
    named,
    read_note,
    run_stage,
)
from tempo_lab.nano.training.svlm_stage import build_svlm, form, svlm_step
from tempo_lab.nano.training.vision_stage import (
    FrameTower,
    Probe,
    build_vision,
    draw_pairs,
    rescale,
    vision_step,
)
from tempo_lab.nano.training.warm_start import STARTED_FROM, start_from

CPU_ENVIRONMENT = {
    # otherwise glibc's malloc returns pages after every step and requests them again: 10x slower
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "500000000",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OMP_NUM_THREADS": "1",
}


def shapes(recipe: Recipe) -> dict[str, Shape]:
    """Return the shapes of the videos of each joint stage."""
    drawn = {
        "align": Shape(recipe.align.batch, 1, 1, 5, 0.3, SEVERAL),
        "single": Shape(recipe.single.batch, 1, 1, 5, 0.5, SEVERAL),
        "short": Shape(recipe.short.batch, 2, 8, 4, 0.75, SEVERAL),
        "long": Shape(recipe.long.batch, 6, 40, 4, 0.8, SEVERAL, partial=True, recalled=2),
    }
    if recipe.truncation:
        return drawn
    return {name: replace(shape, truncate=0.0) for name, shape in drawn.items()}


def train_vision(recipe: Recipe, out: Path) -> FrameTower:
    """Run stage 1; return the tower, frozen, with rescaled outputs."""
    torch.manual_seed(recipe.seed)
    tower = FrameTower(build_vision(recipe.sizes).to(device()))
    heads = range(1 + len(recipe.sizes.deepstack))
    probes = [Probe(recipe.sizes.width).to(device()) for _ in heads]
    modules = {"visual": tower.model, **{f"probe{i}": p for i, p in enumerate(probes)}}
    parameters = {n: p for key, m in modules.items() for n, p in named(f"{key}.", m).items()}
    steps, batch = recipe.vision.steps, recipe.vision.batch
    run_stage(
        out,
        "vision",
        recipe.seed,
        steps,
        modules,
        MuonAdamW([(parameters, 0.01, 2e-3)], steps),
        vision_step(tower, probes),
        save_seconds=recipe.save_seconds,
        draw=partial(draw_pairs, batch),
        after=lambda: rescale(tower, recipe.seed),
    )
    tower.model.requires_grad_(False)
    return tower


def train_svlm(
    recipe: Recipe, out: Path, bank: FeatureBank, stages: Sequence[str] = ("svlm", "form")
) -> Qwen3VLTextModel:
    """Run stages 2 and 3 on the frozen tower's features: notes word after word, then in a form.

    Args:
        stages: names of the stages; ``("svlm",)`` to stop before the form.
    """
    torch.manual_seed(recipe.seed + 2)
    words = PromptIds()
    model = build_svlm(recipe.sizes, len(words))
    name_what_is_seen(model, bank, words)
    match_like_with_like(model.layers)
    model.to(device())
    reader = BranchedForward(model, words)
    for name in stages:
        length, slots = getattr(recipe, name), recipe.sizes.memory if name == "form" else 0
        run_stage(
            out,
            name,
            recipe.seed,
            length.steps,
            {"svlm": model},
            MuonAdamW([(named("svlm.", model), 0.015, 3e-3)], length.steps),
            svlm_step(reader, bank, length.batch, slots),
            save_seconds=recipe.save_seconds,
        )
    return model


def train_llm(recipe: Recipe, out: Path) -> Qwen3ForCausalLM:
    """Run stage 4, which needs no other stage."""
    torch.manual_seed(recipe.seed + 1)
    words = PromptIds()
    model = build_llm(recipe.sizes, len(words))
    match_like_with_like(model.model.layers)
    model.to(device())
    steps, batch = recipe.llm.steps, recipe.llm.batch
    run_stage(
        out,
        "llm",
        recipe.seed,
        steps,
        {"llm": model.model},
        MuonAdamW([(named("llm.", model.model), 0.008, 1.5e-3)], steps),
        text_step(model, words, SegmentPool(recipe.seed + 1, recipe.bank), batch),
        state={"level": 0, "mean": 0.0, "times": 0.0},
        save_seconds=recipe.save_seconds,
    )
    return model


def train_joint(
    recipe: Recipe, out: Path, svlm: Qwen3VLTextModel, llm: Qwen3ForCausalLM, bank: FeatureBank
) -> None:
    """Run stages 5 to 8, each with new optimizers, and export a checkpoint after each.

    The models before joint training are exported, too, as ``before``: `tempo-lab evaluate world
    --before` compares with the relevance scores of their SVLM.
    """
    torch.manual_seed(recipe.seed + 3)
    words = PromptIds()
    memory = MemoryParameters(recipe.sizes).to(device())
    with torch.no_grad():
        begin = torch.tensor(form(words, recipe.sizes.memory)).to(device())
        memory.compression_tokens[0] = svlm.embed_tokens(begin)
    joint = JointModel(svlm, llm, memory, words, bank)
    modules = {"svlm": svlm, "llm": llm.model, "memory": memory}
    if not rank():
        begun = {name: module.state_dict() for name, module in modules.items()}
        _export(recipe, out, out / "before", SEPARATE_STAGES, begun)
    for number, name in enumerate(JOINT_STAGES):
        steps = getattr(recipe, name).steps
        aligning = name == "align"
        tuning = recipe.tune_svlm and not aligning
        svlm.requires_grad_(tuning)
        llm.requires_grad_(not aligning)
        alone = name in ("align", "single")  # many notes per step; fewer with videos
        groups = [(named("memory.", memory), *((0.015, 3e-3) if alone else (4e-3, 8e-4)))]
        if not aligning:
            groups.append((named("llm.", llm.model), *((5e-3, 1e-3) if alone else (3e-3, 6e-4))))
        if tuning:
            groups.append((named("svlm.", svlm), 3e-3, 6e-4))
        run_stage(
            out,
            name,
            recipe.seed,
            steps,
            modules,
            MuonAdamW(groups, steps, decay=0.4 if number < 3 else 0.7),
            joint_step(joint, shapes(recipe)[name], keep_prior=tuning),
            save_seconds=recipe.save_seconds,
            batches=recipe.workers,
        )
        if not rank():
            export_run(recipe, out, out / "checkpoint")


def weights_of(out: Path, stage: str, module: str) -> dict[str, Tensor]:
    """Return a module's weights from a stage's file."""
    lead = f"weights/{module}/"
    tensors = load_file(out / f"{stage}.safetensors")
    return {k.removeprefix(lead): v for k, v in tensors.items() if k.startswith(lead)}


def yes_no_rows(out: Path) -> Tensor:
    """Return the SVLM's Yes and No embeddings before joint training, [2, width]."""
    words = PromptIds()
    return weights_of(out, "form", "svlm")["embed_tokens.weight"][[words.yes, words.no]].clone()


def export_run(recipe: Recipe, out: Path, folder: Path) -> None:
    """Export the newest joint weights of a run, whether it is finished or not."""
    stages = [name for name in JOINT_STAGES if (out / f"{name}.safetensors").exists()]
    if not stages:
        raise TempoLabError(
            "this run has nothing to export yet",
            asked=str(out),
            found="no joint stage has been saved",
            fix="wait for the training's first joint save, or resume the training",
        )
    modules = {name: weights_of(out, stages[-1], name) for name in ("svlm", "llm", "memory")}
    _export(recipe, out, folder, (*SEPARATE_STAGES, *stages), modules)
    figure, _ = training_figure(out, (*SEPARATE_STAGES, *JOINT_STAGES))
    figure.savefig(out / "training.png", dpi=120)


def _export(
    recipe: Recipe,
    out: Path,
    folder: Path,
    stages: Sequence[str],
    modules: Mapping[str, dict[str, Tensor]],
) -> None:
    """Export a checkpoint of these stages, with the run's vision tower and these weights."""
    notes = {
        name: {"commits": ["unknown"], **read_note(out / f"{name}.safetensors")} for name in stages
    }
    training: dict[str, Any] = {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "commit": ", ".join(dict.fromkeys(c for n in notes.values() for c in n["commits"])),
        "minutes": round(sum(n["seconds"] for n in notes.values()) / 60, 1),
        "minutes_by_stage": {name: round(n["seconds"] / 60, 1) for name, n in notes.items()},
        "steps": {name: n["step"] for name, n in notes.items()},
        "finished": stages[-1] == "long" and bool(notes["long"]["done"]),
        "device": ", ".join(dict.fromkeys(n.get("device", "cpu") for n in notes.values())),
        "torch": torch.__version__,
    }
    if (out / STARTED_FROM).exists():
        training["base"] = json.loads((out / STARTED_FROM).read_text())
    tensors = released_keys(
        weights_of(out, "vision", "visual"),
        **modules,
        yes_no_rows=yes_no_rows(out),
    )
    tensors |= familiar_tensors(out / "bank.safetensors")
    export(folder, recipe.sizes, tensors, training)


def run(recipe: Recipe, out: Path, part: str) -> None:
    """Run one part of the recipe in this process: ``eyes``, ``llm`` or ``joint``.

    Raises:
        TempoLabError: a file cannot be written.
    """
    torch.set_num_threads(1)
    with saving_to(out):
        if part == "llm":
            train_llm(recipe, out)
            return
        tower = train_vision(recipe, out)
        bank = make_bank(tower, recipe.bank, recipe.seed, out)
        svlm = train_svlm(recipe, out, bank)
        if part == "joint":
            train_joint(recipe, out, svlm, train_llm(recipe, out), bank)


@contextmanager
def saving_to(out: Path) -> Iterator[None]:
    """Raise a `TempoLabError` if the disk is full or a folder is not writable."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise TempoLabError(
            "the run cannot be saved; earlier saves are intact",
            asked=out,
            found=str(error),
            fix="make room in a writable folder; the same command resumes the run",
        ) from error


def train(
    name: str = "nano",
    out: str | Path = "runs/nano",
    *,
    resume: bool = True,
    base: Sequence[str | Path] = (),
    in_process: bool = False,
) -> Path:
    """Train a recipe from random weights, or finish a run that was stopped.

    Two single-thread processes run in parallel: one trains the vision tower and the SVLM, the other
    trains the LLM on text. Then both run joint training. If there is a GPU, the first two processes
    share it, as each draws its data while the other computes, and joint training has one process
    per GPU. ``ACCELERATE_USE_CPU=true`` in the environment keeps all training on the CPU.

    Args:
        name: name of the recipe (``nano``, ``nano-plain``; ``small``, ten times as large and not
            trained yet; or ``tiny`` for tests).
        out: the run's folder.
        resume: whether to continue a run in this folder; otherwise such a folder is refused.
        base: runs and checkpoints to start from. A run provides its finished stages before joint
            training, a checkpoint its vision tower and SVLM. Each stage comes from the first base
            that has it, and is trained if none has it. The recipes must agree in these stages, as
            ``nano`` and ``nano-plain`` do.
        in_process: whether to train in this process, one part after another.

    Returns:
        The folder of the exported checkpoint.

    Raises:
        TempoLabError: there is no such recipe, the folder has a run, or a process failed.
    """
    if name not in RECIPES:
        raise TempoLabError(
            "no such recipe", asked=name, found=", ".join(RECIPES), fix="use one of these"
        )
    folder = Path(out)
    found = sorted(path.name for path in folder.glob("*.safetensors"))
    if found and not resume:
        raise TempoLabError(
            "a run is already in this folder",
            asked=f"a new run in {folder}",
            found=", ".join(found),
            fix="resume it, or use another folder",
        )
    with saving_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for each in base:
            start_from(each, folder, RECIPES[name])
    if in_process:
        for part in ("llm", "joint"):
            run(RECIPES[name], folder, part)
        return folder / "checkpoint"

    def begin(part: str, workers: int) -> list[subprocess.Popen[bytes]]:
        arguments = ["tempo_lab.nano.training.train", name, str(folder), part]
        return start(arguments, workers, CPU_ENVIRONMENT)

    finish([*begin("llm", 1), *begin("eyes", 1)])
    workers = RECIPES[name].workers
    finish(begin("joint", min(gpus() or workers, workers)))
    return folder / "checkpoint"


if __name__ == "__main__":
    try:
        run(RECIPES[sys.argv[1]], Path(sys.argv[2]), sys.argv[3])
    except TempoLabError as refused:
        sys.exit(f"tempo-lab: {refused}")
