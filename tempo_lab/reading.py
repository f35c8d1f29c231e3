"""How a video is read for a question: in a stream of micro-batches, keeping what can be reused.

    decoded frames -> patches -> visual features -> [system + video] prefix -> relevance
                                    kept: "features"      kept: "kv"              \\-> memory tokens

A second question starts from the best thing kept. With prefixes kept, memory tokens are computed
after the allocation is known, and no more than it wants; without, all K are computed on the way,
because coming back for some would mean reading the video twice.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Literal

import numpy as np
import torch

from tempo_lab.errors import BudgetError, VideoError
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.compressor import Prefix, Relevance, SystemPrefix
from tempo_lab.model.pixels import PatchGrid, image_size, patchify, resize_frames, video_size
from tempo_lab.model.prompts import TokenMap, pair_seconds
from tempo_lab.model.qwen import VisualFeatures
from tempo_lab.resize import ExactResize, ReleasedResize, Resize
from tempo_lab.video import Segment, Video

Keep = Literal["auto", "kv", "features", "nothing"]
QUESTIONS_KEPT = 4
"""Questions whose memory tokens stay at hand, so that a changed budget reruns no SVLM."""
SEGMENTS_AHEAD = 4
"""Segments that are resized and cut into patches while others are computed."""


@dataclass
class Batch:
    """Some segments of one shape, and what is kept of them.

    Attributes:
        segments: their numbers.
        videos: the visual part of each one's prompt.
        grid: patches of each one.
        features: visual features, if kept.
        prefix: keys and values of [system + video], if kept.
    """

    segments: list[int]
    videos: list[TokenMap]
    grid: PatchGrid
    features: VisualFeatures | None = None
    prefix: Prefix | None = None


@dataclass
class Reading:
    """What reading the video for one question has given so far.

    Attributes:
        logit: float32 [segment], Yes - No.
        states: of each micro-batch, ready to write more memory tokens; None if not kept.
        memory: [k, hidden] of each segment, the first k memory tokens computed so far.
    """

    logit: list[float] = field(default_factory=list)
    states: list[tuple[list[int], Relevance | None]] = field(default_factory=list)
    memory: list[torch.Tensor] = field(default_factory=list)


class Reader:
    """Reads one video with one model.

    Args:
        checkpoint: the model.
        video: the video.
        keep: what a second question may reuse: "kv", "features", "nothing", or "auto" for the
            first of these whose price is at most `keep_bytes`.
        keep_bytes: bytes that may be kept.
        batch_bytes: bytes that one micro-batch may take while it is computed, about; by default
            64 MiB (larger ones are slower on a CPU), or 1 GiB on an accelerator.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        video: Video,
        *,
        keep: Keep = "auto",
        keep_bytes: int | None = None,
        batch_bytes: int | None = None,
    ) -> None:
        if keep not in ("auto", "kv", "features", "nothing"):
            raise BudgetError("unknown keep", asked=repr(keep), found="auto, kv, features, nothing")
        self.compressor, self.prompts = checkpoint.model.compressor, checkpoint.prompts
        self.config, self.video = checkpoint.model.config, video
        self.keep = keep
        self.batch_bytes = batch_bytes or (64 << 20 if self._device.type == "cpu" else 1 << 30)
        self.keep_bytes = default_keep_bytes(self._device) if keep_bytes is None else keep_bytes
        self.times: list[np.ndarray] = []
        self.digests: list[str] = []
        self.computed = {"segments decoded": 0, "prefixes": 0, "relevance": 0, "memory": 0}
        self._batches: list[Batch] = []
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._system: SystemPrefix | None = None

    @property
    def _device(self) -> torch.device:
        return self.compressor.compression_tokens.device

    @property
    def resize(self) -> Resize | None:
        """What happens to a frame in the decoder's process."""
        if self.config.frame_size is not None:
            return ExactResize(*self.config.frame_size)
        return None if self.video.is_image else ReleasedResize()

    @property
    def digest(self) -> str:
        """A digest of all decoded frames, as the model saw them."""
        return hashlib.sha256("".join(self.digests).encode()).hexdigest()[:16]

    def price(self) -> dict[str, int]:
        """Bytes that keeping "features" and "kv" costs for the whole video."""
        width, height = self.video.info.width, self.video.info.height
        if self.resize is not None:
            width, height = self.resize.size(width, height)
        if self.config.frame_size is None:
            width, height = (image_size if self.video.is_image else video_size)(width, height)
        config = self.config.compressor_config
        text, vision = config.text_config, config.vision_config
        merged = (width // vision.patch_size) * (height // vision.patch_size)
        merged //= vision.spatial_merge_size**2
        frames = len(self.video.plan.indices)
        visual = -(-frames // 2) * merged
        positions = visual + (-(-frames // 2) * 9) + len(self.video) * len(self.prompts.system())
        itemsize = self.compressor.compression_tokens.element_size()
        levels = 1 + len(vision.deepstack_visual_indexes)
        keys_values = 2 * text.num_hidden_layers * text.num_key_value_heads * text.head_dim
        return {
            "features": visual * levels * text.hidden_size * itemsize,
            "kv": positions * keys_values * itemsize,
        }

    def _decide_keep(self) -> Keep:
        price = self.price()
        if self.keep == "auto":
            affordable = (k for k in ("kv", "features") if price[k] <= self.keep_bytes)
            return next(affordable, "nothing")  # type: ignore[arg-type]
        if price.get(self.keep, 0) > self.keep_bytes:
            raise BudgetError(
                "what is to be kept for a second question does not fit its byte limit",
                asked=f"keep={self.keep!r}: {price[self.keep] >> 20} MiB",
                found=f"keep_bytes = {self.keep_bytes >> 20} MiB",
                fix='a higher keep_bytes, or keep="auto"',
            )
        return self.keep

    @torch.inference_mode()
    def read(self, question: str, step: Callable[[int], object]) -> Reading:
        """Relevance of every segment, and its memory tokens where they cannot come later.

        What an interrupted call has finished is used by the next one.

        Args:
            question: the question.
            step: called with the number of segments that were just read.
        """
        self.keep = self._decide_keep()
        reading = self._readings.setdefault(question, Reading())
        self._readings.move_to_end(question)
        while len(self._readings) > QUESTIONS_KEPT:
            self._readings.popitem(last=False)
        step(len(reading.logit))
        if len(reading.logit) == len(self.video):
            return reading
        tokens = self.prompts.question(question)
        for batch in self._stream(len(reading.logit)):
            assert batch.prefix is not None
            state = self.compressor.relevance(batch.prefix, tokens)
            self.computed["relevance"] += len(batch.segments)
            if self.keep == "kv":
                memory = [state.hidden.new_empty(0, state.hidden.shape[1])] * len(batch.segments)
            else:
                memory = list(self.compressor.memory(state, self.compressor.slots))
                self.computed["memory"] += len(batch.segments) * self.compressor.slots
                self._drop(batch)
            reading.states.append((batch.segments, state if self.keep == "kv" else None))
            reading.memory += memory
            reading.logit += state.logit.tolist()
            step(len(batch.segments))
        return reading

    @torch.inference_mode()
    def memory(self, reading: Reading, needed: np.ndarray) -> list[torch.Tensor]:
        """At least the first `needed` memory tokens of each segment, [k, hidden] each.

        Segments of a micro-batch that want about the same number (within a factor of two) are
        computed together.
        """
        for segments, state in reading.states:
            if state is None:
                continue
            groups: dict[int, list[int]] = {}
            for row, segment in enumerate(segments):
                if needed[segment] > len(reading.memory[segment]):
                    groups.setdefault(int(needed[segment] - 1).bit_length(), []).append(row)
            for rows in groups.values():
                slots = int(max(needed[segments[row]] for row in rows))
                for row, tokens in zip(
                    rows, self.compressor.memory(state, slots, rows=rows), strict=True
                ):
                    reading.memory[segments[row]] = tokens
                self.computed["memory"] += len(rows) * slots
        return reading.memory

    def forget(self) -> None:
        """Drop everything kept."""
        self._batches.clear()
        self._readings.clear()

    def _drop(self, batch: Batch) -> None:
        batch.prefix = None
        if self.keep == "nothing":
            batch.features = None

    def _stream(self, start: int) -> Iterator[Batch]:
        """Micro-batches with their prefixes, from segment `start` on: kept ones, then decoded."""
        if self._system is None:
            self._system = self.compressor.system(self.prompts.system())
        reached = start
        for batch in self._batches:
            if batch.segments[0] >= start:
                if batch.prefix is None:
                    assert batch.features is not None
                    self._read_prefix(batch)
                yield batch
            reached = max(reached, batch.segments[-1] + 1)
        if reached == len(self.video):
            return
        for batch, patches in self._decode(reached):
            batch.features = self.compressor.see(patches, batch.grid)
            self._read_prefix(batch)
            if self.keep == "kv":
                batch.features = None
            if self.keep != "nothing":
                self._batches.append(batch)
            yield batch

    def _read_prefix(self, batch: Batch) -> None:
        assert self._system is not None
        assert batch.features is not None
        batch.prefix = self.compressor.prefix(self._system, batch.videos, batch.features)
        self.computed["prefixes"] += len(batch.segments)

    def _decode(self, start: int) -> Iterator[tuple[Batch, torch.Tensor]]:
        """Decode from segment `start` on, in micro-batches of one shape."""
        waiting: list[tuple[int, np.ndarray, PatchGrid, TokenMap]] = []
        size = 1

        def flush() -> tuple[Batch, torch.Tensor]:
            numbers, patches, grids, videos = zip(*waiting, strict=True)
            waiting.clear()
            batch = Batch(list(numbers), list(videos), grids[0])
            return batch, torch.from_numpy(np.stack(patches))

        for segment, patches, grid in self._prepare(start):
            video = self.prompts.video(grid, self.seconds(segment))
            if not waiting:
                size = self._batch_size(grid, video)
            elif len(waiting) == size or (grid, len(video)) != (waiting[0][2], len(waiting[0][3])):
                yield flush()
                size = self._batch_size(grid, video)
            waiting.append((segment.index, patches, grid, video))
        if waiting:
            yield flush()

    def _prepare(self, start: int) -> Iterator[tuple[Segment, np.ndarray, PatchGrid]]:
        """Segments with their patches; a thread makes those of the next while one is computed."""
        stream = self.video.segments(self.resize, start)
        coming: deque[tuple[Segment, Future[tuple[str, np.ndarray, PatchGrid]]]] = deque()

        def work(segment: Segment) -> tuple[str, np.ndarray, PatchGrid]:
            return hashlib.sha256(segment.frames.tobytes()).hexdigest(), *self.patches(segment)

        with ThreadPoolExecutor(1) as worker, closing(stream):
            for following in chain(stream, repeat(None, SEGMENTS_AHEAD)):
                if following is not None:
                    coming.append((following, worker.submit(work, following)))
                if len(coming) > SEGMENTS_AHEAD or (following is None and coming):
                    segment, made = coming.popleft()
                    digest, patches, grid = made.result()
                    self._remember(segment, digest)
                    yield segment, patches, grid

    def patches(self, segment: Segment) -> tuple[np.ndarray, PatchGrid]:
        """uint8 patches [patch, value] of a decoded segment, and their grid."""
        vision = self.config.compressor_config.vision_config
        frames = segment.frames
        if self.config.frame_size is None:
            is_image = self.video.is_image
            size = (image_size if is_image else video_size)(frames.shape[2], frames.shape[1])
            frames = resize_frames(frames, size, in_float=not is_image)
        return patchify(
            frames,
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal=vision.temporal_patch_size,
        )

    def seconds(self, segment: Segment) -> np.ndarray | None:
        """Seconds written before each temporal pair, [pair]; None for a single image."""
        if self.video.is_image:
            return None
        return pair_seconds(segment.positions, self.video.plan.fps)

    def _remember(self, segment: Segment, digest: str) -> None:
        """Note times and digest; a file that changed since the first question is refused."""
        self.computed["segments decoded"] += 1
        if segment.index < len(self.digests):
            if digest != self.digests[segment.index]:
                raise VideoError(
                    "the video changed since it was opened",
                    asked=f"segment {segment.index} of {self.video.info.path}",
                    found="other frames than at the first question",
                    fix="open it again",
                )
            return
        self.digests.append(digest)
        self.times.append(np.asarray(segment.times, dtype=np.float64))

    def _batch_size(self, grid: PatchGrid, video: TokenMap) -> int:
        """Segments whose activations fit `batch_bytes`: the larger of vision and text."""
        config = self.config.compressor_config
        vision, text = config.vision_config, config.text_config
        itemsize = self.compressor.compression_tokens.element_size()
        patches = grid.pairs * grid.rows * grid.columns
        pixels = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        # about 10 widths of hidden states and twice the MLP's are alive in a layer
        seen = patches * (pixels + 10 * vision.hidden_size + 2 * vision.intermediate_size)
        read = (len(video) + 64) * (10 * text.hidden_size + 3 * text.intermediate_size)
        return int(np.clip(self.batch_bytes // (max(seen, read) * itemsize), 1, 64))


def default_keep_bytes(device: torch.device) -> int:
    """Half of what an accelerator has free; 2 GiB of main memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] // 2)
    return 2 << 30
