"""MicroBatcher: a video as micro-batches for the compressor, segments of one shape as patches.

    decoder process -> resized frames -> thread: final resize, patches, digest -> micro-batches

Memory does not grow with the length of the video: only a few segments are decoded, resized and cut
into patches ahead of the one that is computed.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, repeat

import numpy as np
import torch

from tempo_lab.common.errors import VideoError
from tempo_lab.model.batch_limit import BatchLimit
from tempo_lab.model.config import TempoConfig
from tempo_lab.model.pixels import PatchGrid, image_size, patchify, resize_frames, video_size
from tempo_lab.model.prompts import Prompts, pair_seconds
from tempo_lab.model.token_map import TokenMap
from tempo_lab.video.resize import ExactResize, ReleasedResize, Resize
from tempo_lab.video.video import Segment, Video

PREFETCH_SEGMENTS = 4
"""Segments that are resized and cut into patches while others are computed."""
MAX_SEGMENTS = 64
"""Segments per micro-batch at most, however small they are."""


@dataclass(frozen=True)
class MicroBatch:
    """Some segments of one shape.

    Attributes:
        segments: their numbers.
        videos: the visual part of each one's prompt.
        grid: patches of each one.
        patches: uint8 [segment, patch, rgb * temporal * patch * patch].
        digest: digest of the frames and of the prompts' visual parts.
    """

    segments: list[int]
    videos: list[TokenMap]
    grid: PatchGrid
    patches: torch.Tensor
    digest: str


def decoder_resize(config: TempoConfig, video: Video) -> Resize | None:
    """Return the resize that the decoder process of a video applies for a model."""
    if config.frame_size is not None:
        return ExactResize(*config.frame_size)
    return None if video.is_image else ReleasedResize()


class MicroBatcher:
    """Cuts one video into micro-batches for one model.

    Args:
        video: the video.
        config: the model's configuration.
        prompts: the model's prompts.
        limit: limits what is computed at once.

    Attributes:
        decoded: for each segment so far, a digest of its frames and their presentation times in
            seconds, float [frame].
    """

    def __init__(
        self, video: Video, config: TempoConfig, prompts: Prompts, limit: BatchLimit
    ) -> None:
        self.video, self.config, self.prompts, self.limit = video, config, prompts, limit
        self.decoded: list[tuple[str, np.ndarray]] = []
        self._prompts: dict[tuple[int, PatchGrid], TokenMap] = {}

    @property
    def resize(self) -> Resize | None:
        """The resize that the decoder process applies to a frame."""
        return decoder_resize(self.config, self.video)

    @property
    def digest(self) -> str:
        """A digest of all decoded frames, after the decoder process has resized them.

        Another part of the same file has another digest, even if its frames look the same.
        """
        frames = "".join(digest for digest, _ in self.decoded)
        if self.video.part is not None:
            frames = f"{self.video.part}{frames}"
        return hashlib.sha256(frames.encode()).hexdigest()[:16]

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels of a frame after the final resize."""
        width, height = self.video.info.width, self.video.info.height
        if self.resize is not None:
            width, height = self.resize.size(width, height)
        return self._final_size(width, height)

    def _final_size(self, width: int, height: int) -> tuple[int, int]:
        if self.config.frame_size is not None:
            return width, height
        return (image_size if self.video.is_image else video_size)(width, height)

    def prompt(self, segment: int) -> TokenMap:
        """Return the visual part of a segment's prompt, without decoding it."""
        vision = self.config.compressor_config.vision_config
        first = segment * self.video.window
        positions = np.arange(first, min(first + self.video.window, len(self.video.plan)))
        pairs = -(-len(positions) // vision.temporal_patch_size)
        width, height = self.frame_size
        rows, columns = height // vision.patch_size, width // vision.patch_size
        grid = PatchGrid(pairs, rows, columns, vision.spatial_merge_size)
        return self._prompt(segment, positions, grid)

    def _prompt(self, segment: int, positions: np.ndarray, grid: PatchGrid) -> TokenMap:
        """Made once per segment: the cost of the cache is computed from all of them beforehand."""
        if (segment, grid) not in self._prompts:
            self._prompts[segment, grid] = self.prompts.video(grid, self._seconds(positions))
        return self._prompts[segment, grid]

    def stream(self, start: int) -> Generator[MicroBatch]:
        """Yield micro-batches from segment `start` on. Close it to end the decoder process."""
        waiting: list[tuple[int, TokenMap, PatchGrid, np.ndarray]] = []
        size = 1

        def flush() -> MicroBatch:
            numbers, videos, grids, patches = zip(*waiting, strict=True)
            waiting.clear()
            digest = hashlib.sha256(np.stack([video.ids for video in videos]).tobytes())
            for number in numbers:
                digest.update(f"{number}:{self.decoded[number][0]}".encode())
            return MicroBatch(
                segments=list(numbers),
                videos=list(videos),
                grid=grids[0],
                patches=torch.from_numpy(np.stack(patches)),
                digest=digest.hexdigest()[:16],
            )

        with closing(self._prepare(start)) as prepared:
            for segment, patches, grid in prepared:
                video = self._prompt(segment.index, segment.positions, grid)
                if waiting and (
                    len(waiting) == size
                    or grid != waiting[0][2]
                    or not np.array_equal(video.role, waiting[0][1].role)
                ):
                    yield flush()
                if not waiting:
                    size = self._batch_size(grid, video)
                waiting.append((segment.index, video, grid, patches))
            if waiting:
                yield flush()

    def _prepare(self, start: int) -> Generator[tuple[Segment, np.ndarray, PatchGrid]]:
        """Yield segments with their patches; a thread prepares the next ones meanwhile."""
        stream = self.video.segments(self.resize, start)
        pending: deque[tuple[Segment, Future[tuple[str, np.ndarray, PatchGrid]]]] = deque()

        def prepare(segment: Segment) -> tuple[str, np.ndarray, PatchGrid]:
            return hashlib.sha256(segment.frames.tobytes()).hexdigest(), *self.patches(segment)

        with ThreadPoolExecutor(1) as worker, closing(stream):
            for following in chain(stream, repeat(None, PREFETCH_SEGMENTS)):
                if following is not None:
                    pending.append((following, worker.submit(prepare, following)))
                ready = bool(pending) and pending[0][1].done()
                if ready or len(pending) > PREFETCH_SEGMENTS or (following is None and pending):
                    segment, prepared = pending.popleft()
                    digest, patches, grid = prepared.result()
                    self._check_unchanged(segment, digest)
                    yield segment, patches, grid

    def patches(self, segment: Segment) -> tuple[np.ndarray, PatchGrid]:
        """Return uint8 patches [patch, value] of a decoded segment, and their grid."""
        vision = self.config.compressor_config.vision_config
        frames = segment.frames
        size = self._final_size(frames.shape[2], frames.shape[1])
        return patchify(
            resize_frames(frames, size, in_float=not self.video.is_image),
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal=vision.temporal_patch_size,
        )

    def seconds(self, segment: Segment) -> np.ndarray | None:
        """Return the seconds of the timestamps before frame pairs [pair]; None for one image."""
        return self._seconds(segment.positions)

    def _seconds(self, positions: np.ndarray) -> np.ndarray | None:
        return None if self.video.is_image else pair_seconds(positions, self.video.plan.fps)

    def _check_unchanged(self, segment: Segment, digest: str) -> None:
        """Record a segment's digest and times; refuse a file that has changed since then."""
        if segment.index < len(self.decoded):
            if digest != self.decoded[segment.index][0]:
                raise VideoError(
                    "the video has changed since it was opened",
                    asked=f"segment {segment.index} of {self.video.info.path}",
                    found="other frames than at the first question",
                    fix="open the video again",
                )
            return
        self.decoded.append((digest, np.asarray(segment.times, dtype=np.float64)))

    def _batch_size(self, grid: PatchGrid, video: TokenMap) -> int:
        """Return how many segments of this shape fit the limits of vision tower and prefix."""
        read = self.limit.prefill_segments(len(video), len(self.prompts.system()))
        return min(self.limit.vision_segments(grid), read, MAX_SEGMENTS)
