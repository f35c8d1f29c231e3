"""Which frames of a source are sampled (METHOD section 1): arithmetic, without decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from tempo_lab.common.errors import VideoError
from tempo_lab.common.validation import check_number, check_whole

MAX_FPS = 1_000_000
"""Maximum number of sampled frames per second; no camera has more."""


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """Which frames of a source are sampled.

    Attributes:
        indices: int64 [frame] 0-based numbers of source frames, ascending; a number may repeat.
        total_frames: number of frames in the source.
        source_fps: frames per second of the source.
        fps: sampled frames per second of the source's length. The timestamps in the prompts count
            on this clock.
    """

    indices: np.ndarray
    total_frames: int
    source_fps: float
    fps: float

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
    count = min(max(round(seconds * fps), min_frames), max_frames)
    if total <= 1:
        indices = np.zeros(1, dtype=np.int64)
    elif count == 1:
        indices = np.array([total - 1], dtype=np.int64)
    else:
        indices = np.round(np.linspace(0, total - 1, count)).astype(np.int64)
    real_fps = len(indices) / seconds if seconds else float(fps)
    return SamplingPlan(indices, total, rate, real_fps)


def check_sampling(fps: float, min_frames: int, max_frames: int) -> None:
    """Refuse settings with which nothing can be sampled.

    Raises:
        VideoError: `fps` is not a positive number, or a frame count is below 1 or not whole.
    """
    check_number("fps", fps, above=0, maximum=MAX_FPS, error=VideoError)
    check_whole("min_frames", min_frames, 1, error=VideoError)
    check_whole("max_frames", max_frames, 1, error=VideoError)
