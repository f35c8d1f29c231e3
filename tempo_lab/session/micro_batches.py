"""A video as micro-batches that the compressor reads: segments of one shape, as patches.

    decoder's process -> resized frames -> a thread: last resize, patches, digest -> micro-batches

Memory does not grow with the video: a few segments are decoded, resized and cut ahead of the one
that is computed.
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

SEGMENTS_AHEAD = 4
"""Segments that are resized and cut into patches while others are computed."""
MOST_AT_ONCE = 64
"""Segments of a micro-batch at most, however small they are."""


@dataclass(frozen=True)
class MicroBatch:
    """Some segments of one shape.

    Attributes:
        segments: their numbers.
        videos: the visual part of each one's prompt.
        grid: patches of each one.
        patches: uint8 [segment, patch, rgb * temporal * patch * patch].
        digest: of the frames and of what the prompts say about them.
    """

    segments: list[int]
    videos: list[TokenMap]
    grid: PatchGrid
    patches: torch.Tensor
    digest: str


class MicroBatcher:
    """Cuts one video into micro-batches for one model.

    Args:
        video: the video.
        config: the model's configuration.
        prompts: the model's prompts.
        limit: of what is computed at once.

    Attributes:
        decoded: of each segment so far, a digest of its frames and their true presentation seconds,
            float [frame].
    """

    def __init__(
        self, video: Video, config: TempoConfig, prompts: Prompts, limit: BatchLimit
    ) -> None:
        self.video, self.config, self.prompts, self.limit = video, config, prompts, limit
        self.decoded: list[tuple[str, np.ndarray]] = []
        self._prompts: dict[tuple[int, PatchGrid], TokenMap] = {}

    @property
    def resize(self) -> Resize | None:
        """What happens to a frame in the decoder's process."""
        if self.config.frame_size is not None:
            return ExactResize(*self.config.frame_size)
        return None if self.video.is_image else ReleasedResize()

    @property
    def digest(self) -> str:
        """A digest of all decoded frames, as the model saw them."""
        return hashlib.sha256("".join(digest for digest, _ in self.decoded).encode()).hexdigest()[
            :16
        ]

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels of a frame as the model sees it."""
        width, height = self.video.info.width, self.video.info.height
        if self.resize is not None:
            width, height = self.resize.size(width, height)
        return self._last_size(width, height)

    def _last_size(self, width: int, height: int) -> tuple[int, int]:
        if self.config.frame_size is not None:
            return width, height
        return (image_size if self.video.is_image else video_size)(width, height)

    def prompt(self, segment: int) -> TokenMap:
        """The visual part of a segment's prompt, without decoding it."""
        vision = self.config.compressor_config.vision_config
        first = segment * self.video.window
        positions = np.arange(first, min(first + self.video.window, len(self.video.plan)))
        pairs = -(-len(positions) // vision.temporal_patch_size)
        width, height = self.frame_size
        rows, columns = height // vision.patch_size, width // vision.patch_size
        grid = PatchGrid(pairs, rows, columns, vision.spatial_merge_size)
        return self._prompt(segment, positions, grid)

    def _prompt(self, segment: int, positions: np.ndarray, grid: PatchGrid) -> TokenMap:
        """Made once: what keeping costs is known from all of them before they are read."""
        if (segment, grid) not in self._prompts:
            self._prompts[segment, grid] = self.prompts.video(grid, self._seconds(positions))
        return self._prompts[segment, grid]

    def stream(self, start: int) -> Generator[MicroBatch]:
        """Decode from segment `start` on. Close it to end the decoder's process."""
        waiting: list[tuple[int, TokenMap, PatchGrid, np.ndarray]] = []
        size = 1

        def flush() -> MicroBatch:
            numbers, videos, grids, patches = zip(*waiting, strict=True)
            waiting.clear()
            seen = hashlib.sha256(np.stack([video.ids for video in videos]).tobytes())
            for number in numbers:
                seen.update(f"{number}:{self.decoded[number][0]}".encode())
            stacked = torch.from_numpy(np.stack(patches))
            return MicroBatch(list(numbers), list(videos), grids[0], stacked, seen.hexdigest()[:16])

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
        """Segments with their patches; a thread makes those of the next while one is computed."""
        stream = self.video.segments(self.resize, start)
        coming: deque[tuple[Segment, Future[tuple[str, np.ndarray, PatchGrid]]]] = deque()

        def work(segment: Segment) -> tuple[str, np.ndarray, PatchGrid]:
            return hashlib.sha256(segment.frames.tobytes()).hexdigest(), *self.patches(segment)

        with ThreadPoolExecutor(1) as worker, closing(stream):
            for following in chain(stream, repeat(None, SEGMENTS_AHEAD)):
                if following is not None:
                    coming.append((following, worker.submit(work, following)))
                ready = bool(coming) and coming[0][1].done()
                if ready or len(coming) > SEGMENTS_AHEAD or (following is None and coming):
                    segment, made = coming.popleft()
                    digest, patches, grid = made.result()
                    self._remember(segment, digest)
                    yield segment, patches, grid

    def patches(self, segment: Segment) -> tuple[np.ndarray, PatchGrid]:
        """uint8 patches [patch, value] of a decoded segment, and their grid."""
        vision = self.config.compressor_config.vision_config
        frames = segment.frames
        size = self._last_size(frames.shape[2], frames.shape[1])
        return patchify(
            resize_frames(frames, size, in_float=not self.video.is_image),
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            temporal=vision.temporal_patch_size,
        )

    def seconds(self, segment: Segment) -> np.ndarray | None:
        """Seconds written before each temporal pair, [pair]; None for a single image."""
        return self._seconds(segment.positions)

    def _seconds(self, positions: np.ndarray) -> np.ndarray | None:
        return None if self.video.is_image else pair_seconds(positions, self.video.plan.fps)

    def _remember(self, segment: Segment, digest: str) -> None:
        """Note times and digest; a file that changed since the first question is refused."""
        if segment.index < len(self.decoded):
            if digest != self.decoded[segment.index][0]:
                raise VideoError(
                    "the video changed since it was opened",
                    asked=f"segment {segment.index} of {self.video.info.path}",
                    found="other frames than at the first question",
                    fix="open it again",
                )
            return
        self.decoded.append((digest, np.asarray(segment.times, dtype=np.float64)))

    def _batch_size(self, grid: PatchGrid, video: TokenMap) -> int:
        """Segments of this shape whose passes fit the limit: the vision tower's, the prefix's."""
        read = self.limit.prefill_segments(len(video), len(self.prompts.system()))
        return min(self.limit.vision_segments(grid), read, MOST_AT_ONCE)
