"""Tempo: a loaded model, ready to open videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tempo_lab.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.prompts import Prompts
from tempo_lab.model.tempo import TempoForConditionalGeneration
from tempo_lab.reading import Keep
from tempo_lab.session import Session
from tempo_lab.trace import Trace
from tempo_lab.video import Video


class Tempo:
    """Compressor, projector and LLM with their prompts. Made by `tempo_lab.load`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        return (
            f"Tempo({self.checkpoint.name!r}, {millions:.1f} M parameters, "
            f"{self.slots} memory tokens a segment, {self.model.dtype}, {self.model.device})"
        )

    @property
    def model(self) -> TempoForConditionalGeneration:
        """The transformers model."""
        return self.checkpoint.model

    @property
    def prompts(self) -> Prompts:
        """The prompts of the SVLM and the LLM."""
        return self.checkpoint.prompts

    @property
    def config(self) -> TempoConfig:
        """The model's configuration."""
        return self.model.config

    @property
    def slots(self) -> int:
        """K, memory tokens a segment."""
        return self.config.num_compression_tokens

    def open(
        self,
        source: Any,
        *,
        fps: float = 2.0,
        min_frames: int = 4,
        max_frames: int = 1024,
        decoder: str = "auto",
        timeout: float | None = None,
        keep: Keep = "auto",
        keep_bytes: int | None = None,
        batch_bytes: int | None = None,
        progress: bool = True,
    ) -> Session:
        """Open a video, a folder of frames, a `.npy` array, a GIF or an image.

        Args:
            source: its path.
            fps: frames sampled a second.
            min_frames: frames sampled at least.
            max_frames: frames sampled at most.
            decoder: "auto", "decord" or "pyav".
            timeout: seconds without a frame after which the decoder is given up.
            keep, keep_bytes, batch_bytes, progress: see `Session`.

        Raises:
            VideoError: the source cannot be opened.
        """
        options = {} if timeout is None else {"timeout": timeout}
        video = Video(
            source,
            fps=fps,
            min_frames=min_frames,
            max_frames=max_frames,
            window=self.config.segment_frames,
            decoder=decoder,
            **options,
        )
        return Session(
            self.checkpoint,
            video,
            keep=keep,
            keep_bytes=keep_bytes,
            batch_bytes=batch_bytes,
            progress=progress,
        )

    def ask(self, source: Any, question: str, **options: Any) -> Trace:
        """Open a video, ask one question (options of `Session.ask`), and close it."""
        with self.open(source) as session:
            return session.ask(question, **options)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a self-contained folder, which `load` reads without a base."""
        save_checkpoint(self.checkpoint, folder)


def load(
    name: str | Path = "nano",
    *,
    base: str | Path | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    rope: str = "correct",
) -> Tempo:
    """Load a Tempo.

    Args:
        name: "nano" (the embedded model), a checkpoint's folder, or a hub name, which is fetched
            through the hub's own cache.
        base: folder or hub name of the base Qwen3-VL of a released checkpoint; a folder that we
            saved needs none.
        device: by default the best there is.
        dtype: by default float32 on CPU and bfloat16 on an accelerator.
        rope: "correct", or "released" to reproduce the rounding of the released code.

    Raises:
        CheckpointError: it cannot be found, read, or does not fit together.
    """
    return Tempo(load_checkpoint(name, base=base, device=device, dtype=dtype, rope=rope))
