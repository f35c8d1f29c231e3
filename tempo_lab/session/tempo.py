"""Tempo: a loaded model, ready to open videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.progress import Progress
from tempo_lab.model.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.prompts import Prompts
from tempo_lab.model.tempo import TempoForConditionalGeneration
from tempo_lab.session.cache import CacheMode
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.session import Session
from tempo_lab.trace.trace import Trace
from tempo_lab.video.video import Video


class Tempo:
    """A loaded model (compressor, projector and LLM) with its prompts, made by `tempo_lab.load`."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint

    def __repr__(self) -> str:
        millions = sum(p.numel() for p in self.model.parameters()) / 1e6
        return (
            f"Tempo({self.checkpoint.name!r}, {millions:.1f} M parameters, "
            f"{self.slots or 'no'} memory tokens per segment, "
            f"{self.model.dtype}, {self.model.device})"
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
        """K, memory tokens per segment; 0 for a plain Qwen3-VL."""
        return self.config.num_compression_tokens

    @renamed_keywords(keep="cache", keep_bytes="cache_bytes")
    def open(
        self,
        source: Any,
        *,
        fps: float = 2.0,
        min_frames: int = 4,
        max_frames: int = 1024,
        decoder: str = "auto",
        stream: int | None = None,
        start: float | None = None,
        end: float | None = None,
        timeout: float = 60.0,
        on_wait: Callable[[], object] | None = None,
        cache: CacheMode = "auto",
        cache_bytes: int | None = None,
        batch_bytes: int | None = None,
        progress: Progress = True,
    ) -> Session:
        """Open a video, a folder of frames, a `.npy` array, a GIF or an image.

        Args:
            source: its path.
            fps: frames sampled per second.
            min_frames: minimum number of sampled frames.
            max_frames: maximum number of sampled frames.
            decoder: "auto", "decord" or "pyav".
            stream: number of a video stream in the file; by default the one that players show.
            start, end: seconds of the file: only frames with `start` <= time < `end` are sampled,
                by the same rule as a video of that length. All times of the trace and of analyses
                are seconds of the file. The timestamps in the prompts, and `clock` in the trace,
                count the sampled frames from 0, as the released code does: they are relative to
                the part, as if it were a file of its own. `trace.provenance["clock_offset"]` is
                the number of seconds to add to them. An `end` beyond the end of the video is cut to
                it, with a warning in the trace.
            timeout: seconds without progress after which decoding fails.
            on_wait: called several times per second while waiting for the decoder. An exception
                that it raises ends the decoder and reaches the caller unchanged.
            cache: what follow-up questions may reuse: "kv" (keys and values of the video),
                "features" (visual features), "nothing", or "auto": the best that fits
                `cache_bytes` (see `Session.price`).
            cache_bytes: bytes that may be cached; by default half of the memory that is free on
                the device now. Where keys and values do not fit, the session's repr says so.
            batch_bytes: approximate bytes for one forward pass of the SVLM. Segments are computed
                together while they fit; one that does not fit is computed alone. By default 16 MiB
                (larger batches are slower on a CPU), or 1 GiB on an accelerator.
            progress: show a progress bar for steps that take longer than a second; or a function
                that is called instead (see `tempo_lab.common.progress`).

        Raises:
            VideoError: the source cannot be opened, or has no frames from `start` to `end`.
            BudgetError: there is no such `cache`, or a limit is not a number of bytes.
        """
        video = self._open_video(
            source,
            fps=fps,
            min_frames=min_frames,
            max_frames=max_frames,
            window=self.config.segment_frames,
            decoder=decoder,
            stream=stream,
            start=start,
            end=end,
            timeout=timeout,
            on_wait=on_wait,
        )
        try:
            engine = CompressorEngine(
                self.checkpoint,
                video,
                cache=cache,
                cache_bytes=cache_bytes,
                batch_bytes=batch_bytes,
            )
        except BaseException:
            video.close()
            raise
        return Session(engine, progress=progress)

    def _open_video(self, source: Any, **options: Any) -> Video:
        return Video(source, **options)

    def ask(self, source: Any, question: str, **options: Any) -> Trace:
        """Open a video, ask one question (options of `Session.ask`), and close it."""
        with self.open(source) as session:
            return session.ask(question, **options)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a self-contained folder, which `load` opens without a base."""
        save_checkpoint(self.checkpoint, folder)


def load(
    name: str | Path = "nano",
    *,
    base: str | Path | None = None,
    revision: str | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    rope: str = "correct",
) -> Tempo:
    """Load a Tempo, or a plain Qwen3-VL as its control.

    A plain Qwen3-VL has no memory tokens: `Session.score` works, `Session.ask` is refused.

    Args:
        name: "nano" (the embedded model), "nano-plain" (its ablation, trained without cutting the
            memory off), a checkpoint's folder, or a hub name, which is fetched through the hub's
            own cache.
        base: folder or hub name of the base Qwen3-VL of a released checkpoint; a folder written by
            `Tempo.save_pretrained` needs none.
        revision: branch, tag or commit of a hub name; the trace's provenance records it.
        device: cpu, cuda or mps; by default the best that is available.
        dtype: by default float32 on CPU (bfloat16, with a warning, where that does not fit into
            memory) and bfloat16 on an accelerator.
        rope: "correct", or "released" to reproduce the rounding of the released code.

    Raises:
        CheckpointError: the checkpoint cannot be found or read, is inconsistent, or does not fit
            into memory.
    """
    return Tempo(
        load_checkpoint(name, base=base, revision=revision, device=device, dtype=dtype, rope=rope)
    )
