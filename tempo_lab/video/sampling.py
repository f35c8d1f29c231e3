"""Which frames of a source are sampled (docs/method.md section 1): arithmetic, without decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.common.validation import check_number, check_whole
from tempo_lab.video.part import Part

MAX_FPS = 1_000_000
"""Maximum number of sampled frames per second; no camera has more."""


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """Which frames of a source are sampled.

    Attributes:
        indices: int64 [frame] 0-based numbers of source frames, ascending; a number may repeat.
        total_frames: number of frames in the source.
        source_fps: frames per second of the source.
        fps: sampled frames per second of the source's length, or of the part's. The timestamps in
            the prompts count on this clock, from 0.
        offset: second of the file at which this clock begins; 0 unless only a part is sampled.
    """

    indices: np.ndarray
    total_frames: int
    source_fps: float
    fps: float
    offset: float = 0.0

    def __len__(self) -> int:
        return len(self.indices)


def plan_sampling(
    total_frames: int,
    source_fps: float | None,
    *,
    fps: float = 2.0,
    min_frames: int = 4,
    max_frames: int = 1024,
) -> SamplingPlan:
    """Return evenly spaced frames: `fps` per second, at least `min_frames`, at most `max_frames`.

    As in the released code, both roundings are half to even, `max_frames` wins over `min_frames`,
    a single sample of a longer video is its last frame, a source without a frame rate counts as
    already sampled, and an empty source still gives frame 0.

    Args:
        total_frames: number of frames in the source.
        source_fps: frames per second of the source; None, 0 or less if unknown.
        fps: samples per second.
        min_frames, max_frames: limits on the number of samples.

    Raises:
        VideoError: `fps` is not a positive number, or a frame count is negative or not whole.

    >>> plan_sampling(60, 30.0).indices.tolist()
    [0, 20, 39, 59]
    """
    check_sampling(fps, min_frames, max_frames)
    total = check_whole("total_frames", total_frames, 0, error=VideoError)
    rate = float(source_fps or 0)
    if not (math.isfinite(rate) and rate > 0):
        rate = float(fps)
    seconds = total / rate
    indices = _evenly_spaced(total, min(max(round(seconds * fps), min_frames), max_frames))
    real_fps = len(indices) / seconds if seconds else float(fps)
    return SamplingPlan(indices, total, rate, real_fps)


def plan_part(
    total_frames: int,
    source_fps: float,
    part: Part,
    *,
    fps: float,
    min_frames: int,
    max_frames: int,
) -> SamplingPlan:
    """Return evenly spaced frames of a part, by the rule of `plan_sampling` for its own length.

    Args:
        total_frames, source_fps: of the whole source.
        part: the part, which has at least one frame.
        fps, min_frames, max_frames: see `plan_sampling`.
    """
    count = min(max(round(part.seconds * fps), min_frames), max_frames)
    indices = part.first + _evenly_spaced(part.stop - part.first, count)
    real_fps = len(indices) / part.seconds
    return SamplingPlan(indices, total_frames, source_fps, real_fps, part.origin)


def _evenly_spaced(total: int, count: int) -> np.ndarray:
    """Return int64 [frame]: `count` of the numbers from 0 to `total - 1`, at least one."""
    if total <= 1:
        return np.zeros(1, dtype=np.int64)
    if count == 1:
        return np.array([total - 1], dtype=np.int64)
    return np.round(np.linspace(0, total - 1, count)).astype(np.int64)


def check_sampling(fps: float, min_frames: int, max_frames: int) -> None:
    """Refuse settings with which nothing can be sampled.

    Raises:
        VideoError: `fps` is not a positive number, or a frame count is below 1 or not whole.
    """
    check_number("fps", fps, above=0, maximum=MAX_FPS, error=VideoError)
    check_whole("min_frames", min_frames, 1, error=VideoError)
    check_whole("max_frames", max_frames, 1, error=VideoError)
