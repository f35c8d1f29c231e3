"""What a run starts from: finished stages of other runs, or a checkpoint."""

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
"""The stages that a checkpoint brings: joint training leaves both as they are."""

STARTED_FROM = "base.json"
"""Next to a run's stages: what the checkpoint that it started from says of its own training."""


def start_from(base: str | Path, folder: Path, recipe: Recipe) -> None:
    """Let a run's folder begin with finished stages, those that it does not have yet.

    Args:
        base: an embedded model, a checkpoint's folder, or another run's.
        folder: of the run.
        recipe: that it follows.

    Raises:
        TempoLabError: the base has none, or a checkpoint of other sizes.
        CheckpointError: a checkpoint cannot be read.
    """
    found = EMBEDDED.get(str(base), Path(base))
    if (found / "config.json").is_file():
        _from_checkpoint(found, folder, recipe)
    else:
        start_from_run(found, folder)


def start_from_run(base: Path, folder: Path, stages: Sequence[str] = SEPARATE_STAGES) -> None:
    """Let a run's folder begin with another run's finished stages, those that it does not have yet.

    Args:
        base: the other run's folder.
        folder: of the run.
        stages: which may be taken over.

    Raises:
        TempoLabError: none of them is finished there.
    """
    paths = [base / f"{stage}.safetensors" for stage in stages]
    done = [path for path in paths if path.exists() and read_note(path).get("done")]
    if not done:
        raise TempoLabError(
            "a run to start from has no finished stage",
            asked=f"{', '.join(stages)} of {base}",
            found=", ".join(f"{path.stem} unfinished" for path in paths if path.exists()) or "none",
            fix="let that run finish one, or start without it",
        )
    for path in done:
        if not (folder / path.name).exists():  # of this run, or taken over before
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
            "a checkpoint to start from has other sizes than the recipe",
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
