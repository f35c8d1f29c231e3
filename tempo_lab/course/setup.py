"""The first cell of each notebook: load the model, find the clips."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import VideoError, did_you_mean
from tempo_lab.common.files import EMBEDDED, shipped

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

MODEL, BASE = "TEMPO_LAB_MODEL", "TEMPO_LAB_BASE"
"""Environment variables: a checkpoint's folder or hub name, and that of its base if needed."""


def start() -> Tempo:
    """Return the model of the notebooks, and print its name, device and free memory.

    By default this is the embedded model on the CPU. The environment variable `TEMPO_LAB_MODEL`
    names another one, which runs on the best device; `TEMPO_LAB_BASE` names its base if the
    checkpoint's folder does not.

    Raises:
        CheckpointError: the model cannot be loaded.
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
    print(
        f"{Path(name).name}: {millions:.1f} M parameters, {tempo.slots} memory tokens per segment"
    )
    print(f"on {device.type} in {dtype}, {free:.1f} GiB of memory free")
    return tempo


def clip(name: str) -> Path:
    """Return the path of a clip of the package, or in data/clips above the notebook.

    Args:
        name: of the file, without its suffix, such as "voyage".

    Raises:
        VideoError: there is no such clip.
    """
    roots = [Path.cwd(), *Path.cwd().parents]
    folders = [
        shipped("data/clips/voyage.mp4").parent,
        *(root / "data" / "clips" for root in roots),
    ]
    path = next((path for each in folders if (path := each / f"{name}.mp4").is_file()), None)
    if path is None:
        names = sorted({clip.stem for each in folders for clip in each.glob("*.mp4")})
        raise VideoError(
            "there is no such clip",
            asked=name,
            found=", ".join(names),
            fix=did_you_mean(name, names, "use one of these"),
        )
    return path


def truth(name: str) -> dict[str, Any]:
    """Return the ground truth of a clip: "segments", "chapters", and "questions" with answers."""
    text = clip(name).with_suffix(".json").read_text(encoding="utf-8")
    return dict(json.loads(text))
