"""Information about a video or a checkpoint, without decoding the video or loading the model."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tempo_lab.common.files import EMBEDDED
from tempo_lab.video.video import Video


def describe(
    name: str,
    *,
    fps: float = 2.0,
    max_frames: int = 1024,
    stream: int | None = None,
    start: float | None = None,
    end: float | None = None,
) -> dict[str, Any]:
    """Return facts about a checkpoint or a video.

    Args:
        name: a checkpoint (embedded, a folder with a config.json, a Hugging Face name) or a video.
        fps, max_frames, stream, start, end: options for opening a video (see `Video`).

    Raises:
        VideoError, CheckpointError: it is neither, or cannot be read.
    """
    path = Path(name).expanduser()
    if name in EMBEDDED or (path / "config.json").is_file():
        return describe_checkpoint(name)
    if not path.exists() and not path.parent.exists():
        from tempo_lab.model.hub import is_hub_name  # imports torch, which a video does not need

        if is_hub_name(name):
            return describe_checkpoint(name)
    return describe_video(name, fps=fps, max_frames=max_frames, stream=stream, start=start, end=end)


def describe_video(source: str, **options: Any) -> dict[str, Any]:
    """Return facts about a video, and how these options of `Video` would sample it."""
    with Video(source, **options) as video:
        facts = {name: value for name, value in asdict(video.info).items() if value not in ("", ())}
        facts.pop("reason", None)  # only requests for decord need it
        if video.part is not None:
            facts["sampled_part"] = "{:g} to {:g} s".format(*video.part)
        facts["sampled_frames"] = len(video.plan.indices)
        facts["sampled_fps"] = float(video.plan.fps)
        facts["segments"] = f"{len(video)} of {video.window} frames"
        return facts


def describe_checkpoint(name: str) -> dict[str, Any]:
    """Return facts about a checkpoint; from the hub, only its JSON files are downloaded."""
    from tempo_lab.model.checkpoint import read_config
    from tempo_lab.model.hub import fetch, find_folder

    local = name in EMBEDDED or Path(name).expanduser().is_dir()
    folder = find_folder(name) if local else fetch(name, patterns=["*.json"])
    config = read_config(folder)
    facts: dict[str, Any] = {
        "checkpoint": name,
        "folder": str(folder),
        "memory_tokens_per_segment": config.num_compression_tokens,
        "frames_per_segment": config.segment_frames,
        "frame_size": "x".join(map(str, config.frame_size)) if config.frame_size else "as released",
    }
    if config.num_compression_tokens == 0:
        facts["kind"] = "a plain Qwen3-VL: session.score works, session.ask does not"
    else:
        facts["projector"] = config.mm_projector_type
        facts["context"] = config.context_length
        facts["llm"] = f"{config.num_hidden_layers} layers, {config.hidden_size} wide"
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
    """Return the number of parameters, from the headers of the weight files."""
    from safetensors import safe_open

    from tempo_lab.model.hub import weight_files

    total = 0
    for path in set(weight_files(folder).values()):
        with safe_open(path, framework="numpy") as file:
            total += sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return total
