"""Provenance of a trace: versions, device, digests of model and video."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from tempo_lab.common.text import escape_control_chars
from tempo_lab.common.version import __version__
from tempo_lab.model.prompts import RELEVANCE_SENTENCE
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.video.video import Video


def part_of(video: Video) -> dict[str, Any]:
    """Return what a trace records of a video's part; empty for a whole video.

    Returns:
        "part": [start, end] in seconds of the file. "clock_offset": the seconds to add to the
        timestamps in the prompts for seconds of the file.
    """
    if video.part is None:
        return {}
    return {"part": [float(limit) for limit in video.part], "clock_offset": video.plan.offset}


def provenance(engine: CompressorEngine) -> dict[str, Any]:
    """Return the provenance of a question for which `engine` has scored the video."""
    import transformers

    checkpoint, video = engine.checkpoint, engine.video
    info, model = video.info, checkpoint.model
    sentence = checkpoint.prompts.sentence
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "tempo_lab": __version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "numpy": np.__version__,
        "model": checkpoint.name,
        "model_digest": checkpoint.digest,
        **({"revision": revision} if (revision := checkpoint.revision) else {}),
        **({"relevance_sentence": sentence} if sentence != RELEVANCE_SENTENCE else {}),
        "rope": checkpoint.rope,
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "video": escape_control_chars(info.path),  # a file name may not be valid text
        "video_digest": engine.batches.digest,
        "decoder": info.decoder,
        "frames": len(video.plan.indices),
        "fps": float(video.plan.fps),
        "source_fps": float(info.fps),
        "duration": float(info.duration),
        **part_of(video),
        "window": video.window,
        "keep": engine.cache_mode,  # the key of recorded traces
        "warnings": video_warnings(engine),
        **engine.ood_monitor.provenance,
    }


def video_warnings(engine: CompressorEngine) -> list[str]:
    """Return what a reader of scores or answers should know about the video."""
    info = engine.video.info
    return [*info.notes, *engine.ood_monitor.warnings(engine.checkpoint.name, info.path)]
