"""Start a run from finished stages of other runs, or from a checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import load_file

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import EMBEDDED, atomic_file
from tempo_lab.model.checkpoint import read_config
from tempo_lab.model.hub import weight_files
from tempo_lab.nano.training.export import parts
from tempo_lab.nano.training.recipes import Recipe
from tempo_lab.nano.training.stages import SEPARATE_STAGES, read_note, write_tensors
from tempo_lab.nano.training.vision_stage import Probe

BROUGHT = ("vision", "svlm", "form")
"""The stages that a checkpoint provides; joint training does not change their weights."""

STARTED_FROM = "base.json"
"""File next to a run's stages: the training record of the checkpoint that the run started from."""


def start_from(base: str | Path, folder: Path, recipe: Recipe) -> None:
    """Copy finished stages into a run's folder, except those that it already has.

    Args:
        base: an embedded model, a checkpoint's folder, or another run's folder.
        folder: the run's folder.
        recipe: the run's recipe.

    Raises:
        TempoLabError: the base has no finished stage, or is a checkpoint of other sizes.
        CheckpointError: a checkpoint cannot be read.
    """
    found = EMBEDDED.get(str(base), Path(base))
    if (found / "config.json").is_file():
        _from_checkpoint(found, folder, recipe)
    else:
        start_from_run(found, folder)


def start_from_run(base: Path, folder: Path, stages: Sequence[str] = SEPARATE_STAGES) -> None:
    """Copy another run's finished stages into a run's folder, except those that it already has.

    Args:
        base: the other run's folder.
        folder: the run's folder.
        stages: the stages that may be copied.

    Raises:
        TempoLabError: none of them is finished there.
    """
    paths = [base / f"{stage}.safetensors" for stage in stages]
    done = [path for path in paths if path.exists() and read_note(path).get("done")]
    if not done:
        raise TempoLabError(
            "the run to start from has no finished stage",
            asked=f"{', '.join(stages)} of {base}",
            found=", ".join(f"{path.stem} unfinished" for path in paths if path.exists()) or "none",
            fix="let that run finish a stage, or start without it",
        )
    for path in done:
        if not (folder / path.name).exists():  # of this run, or copied before
            for name in (f"{path.stem}.csv", path.name):
                with atomic_file(folder / name) as part:
                    shutil.copyfile(base / name, part)


def _from_checkpoint(base: Path, folder: Path, recipe: Recipe) -> None:
    missing = [name for name in BROUGHT if not (folder / f"{name}.safetensors").exists()]
    if not missing:
        return
    training = read_config(base).training or {}
    files = set(weight_files(base).values())
    modules = parts({k: v for file in files for k, v in load_file(file).items()})
    wanted = (1, recipe.sizes.memory, recipe.sizes.width)
    shape = tuple(modules["memory"]["compression_tokens"].shape)
    if shape != wanted:
        raise TempoLabError(
            "the checkpoint to start from has other sizes than the recipe",
            asked=f"memory tokens of shape {wanted} in {base}",
            found=f"shape {shape}",
            fix="name a checkpoint of this recipe",
        )
    heads = range(1 + len(recipe.sizes.deepstack))
    probes = {f"probe{i}": Probe(recipe.sizes.width).state_dict() for i in heads}
    contents = {
        "vision": {"visual": modules["visual"], **probes},  # the probes are in no checkpoint
        "svlm": {"svlm": modules["svlm"]},
        "form": {"svlm": modules["svlm"]},
    }
    for stage in missing:
        tensors = {
            f"weights/{m}/{k}": v for m, part in contents[stage].items() for k, v in part.items()
        }
        note = {
            "step": training.get("steps", {}).get(stage, getattr(recipe, stage).steps),
            "seconds": 60 * training.get("minutes_by_stage", {}).get(stage, 0.0),
            "done": True,
            "state": {},
            "commits": [training.get("commit", "unknown")],
        }
        write_tensors(folder / f"{stage}.safetensors", tensors, note)
    (folder / STARTED_FROM).write_text(json.dumps({"stages": missing, "training": training}))
