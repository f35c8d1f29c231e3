"""What a video or a checkpoint is, without decoding the one or loading the other."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tempo_lab.common.files import EMBEDDED
from tempo_lab.video.video import Video


def describe(
    what: str, *, fps: float = 2.0, max_frames: int = 1024, stream: int | None = None
) -> dict[str, Any]:
    """Facts about a checkpoint (embedded, a folder with a config.json, a hub name) or a video.

    Args:
        what: which one.
        fps, max_frames, stream: how a video would be opened (see `Video`).

    Raises:
        VideoError, CheckpointError: it is neither, or cannot be read.
    """
    path = Path(what).expanduser()
    if what in EMBEDDED or (path / "config.json").is_file():
        return describe_checkpoint(what)
    if not path.exists() and not path.parent.exists():
        from tempo_lab.model.hub import is_hub_name  # brings torch, which a video does not need

        if is_hub_name(what):
            return describe_checkpoint(what)
    return describe_video(what, fps=fps, max_frames=max_frames, stream=stream)


def describe_video(source: str, **options: Any) -> dict[str, Any]:
    """What a video is, and how it would be sampled with these options of `Video`."""
    with Video(source, **options) as video:
        facts = {name: value for name, value in asdict(video.info).items() if value not in ("", ())}
        facts.pop("reason", None)  # only what asks for decord needs it
        facts["sampled_frames"] = len(video.plan.indices)
        facts["sampled_fps"] = float(video.plan.fps)
        facts["segments"] = f"{len(video)} of {video.window} frames"
        return facts


def describe_checkpoint(name: str) -> dict[str, Any]:
    """What a checkpoint is; of one on the hub, only its descriptions are fetched."""
    from tempo_lab.model.checkpoint import read_config
    from tempo_lab.model.hub import fetch, find_folder

    local = name in EMBEDDED or Path(name).expanduser().is_dir()
    folder = find_folder(name) if local else fetch(name, patterns=["*.json"])
    config = read_config(folder)
    facts: dict[str, Any] = {
        "checkpoint": name,
        "folder": str(folder),
        "memory_tokens_a_segment": config.num_compression_tokens,
        "frames_a_segment": config.segment_frames,
        "frame_size": "x".join(map(str, config.frame_size)) if config.frame_size else "as released",
        "projector": config.mm_projector_type,
        "context": config.context_length,
        "llm": f"{config.num_hidden_layers} layers, {config.hidden_size} wide",
    }
    svlm = config.compressor_config
    if svlm is None:
        facts["svlm"] = f"of its base, {', '.join(config.mm_vision_tower_aux_list)}"
    else:
        text, vision = svlm.text_config, svlm.vision_config
        facts["svlm"] = f"{text.num_hidden_layers} layers, {text.hidden_size} wide"
        facts["vision"] = f"{vision.depth} layers, {vision.hidden_size} wide"
    if local:
        facts["parameters"] = f"{_parameters(folder) / 1e6:.2f} M"
    for key, value in (config.training or {}).items():
        facts[f"trained_{key}"] = value
    return facts


def _parameters(folder: Path) -> int:
    """How many numbers the weights hold, from the headers of their files."""
    from safetensors import safe_open

    from tempo_lab.model.hub import weight_files

    total = 0
    for path in set(weight_files(folder).values()):
        with safe_open(path, framework="numpy") as file:
            total += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return total
