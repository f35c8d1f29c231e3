"""The first cell of each notebook: which model, on what, and how much memory there is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import VideoError, did_you_mean
from tempo_lab.common.files import EMBEDDED

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

MODEL, BASE = "TEMPO_LAB_MODEL", "TEMPO_LAB_BASE"
"""Environment variables: a checkpoint's folder or hub name, and that of its base where needed."""


def start() -> Tempo:
    """Load the model of this notebook, and say which it is.

    The embedded model, on the CPU, unless the environment names another in `TEMPO_LAB_MODEL` (and
    its base in `TEMPO_LAB_BASE`, for a folder that does not lead to it): that runs on the best
    device there is.

    Raises:
        CheckpointError: the named one cannot be loaded.
    """
    from tempo_lab.model.memory import free_bytes
    from tempo_lab.session.tempo import load

    name = os.environ.get(MODEL) or "nano"
    place = "cpu" if name in EMBEDDED else None
    tempo = load(name, base=os.environ.get(BASE) or None, device=place)
    device = tempo.model.device
    millions = sum(p.numel() for p in tempo.model.parameters()) / 1e6
    dtype = str(tempo.model.dtype).removeprefix("torch.")
    free = free_bytes(device) / 2**30
    print(f"{Path(name).name}: {millions:.1f} M parameters, {tempo.slots} memory tokens a segment")
    print(f"on {device.type} in {dtype}, {free:.1f} GiB of memory free")
    return tempo


def clip(name: str) -> Path:
    """The path of a clip that comes with the repository, wherever the notebook runs.

    Args:
        name: without its ending, as "voyage".

    Raises:
        VideoError: no such clip, or no clips (in a package installed without the repository).
    """
    near = [Path(__file__).parents[2], Path.cwd(), *Path.cwd().parents]
    folder = next((place for place in near if (place / "data" / "clips").is_dir()), None)
    if folder is None:
        raise VideoError(
            "the clips of the course are not here",
            asked=name,
            found="no folder data/clips beside the package or above the notebook",
            fix="run the notebook in a clone of the repository",
        )
    path = folder / "data" / "clips" / f"{name}.mp4"
    if not path.is_file():
        names = sorted(found.stem for found in path.parent.glob("*.mp4"))
        raise VideoError(
            "there is no such clip",
            asked=name,
            found=", ".join(names),
            fix=did_you_mean(name, names, "use one of these"),
        )
    return path


def truth(name: str) -> dict[str, Any]:
    """What is really shown in a clip: "segments", "chapters" and "questions" with their answers."""
    text = clip(name).with_suffix(".json").read_text(encoding="utf-8")
    return dict(json.loads(text))
