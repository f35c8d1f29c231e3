"""A cache of downscaled frames for explorers."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

LONGER_SIDE = 192
"""Pixels of a shown frame's longer side, approximately."""
KEPT_SEGMENTS = 64
"""Number of segments whose frames are kept; others are decoded again when they are needed."""


class FrameCache:
    """Frames of the segments of a video, decoded when they are first needed.

    Args:
        session: the video, opened.
    """

    def __init__(self, session: Session) -> None:
        self._video = session.video
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def middle_frames(self) -> list[np.ndarray]:
        """Return the middle frame of each segment, uint8 [row, column, 3].

        Decodes the whole video.

        Raises:
            VideoError: the video cannot be decoded.
        """
        middle = []
        with closing(self._video.segments()) as segments:
            for segment in segments:
                small = _downscale(segment.frames)
                middle.append(small[len(small) // 2].copy())
                if len(self._kept) < KEPT_SEGMENTS:
                    self._kept[segment.index] = small, segment.times
        return middle

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a segment's frames, uint8 [frame, row, column, 3], and their times, float [frame].

        Raises:
            VideoError: the video cannot be decoded.
        """
        if number not in self._kept:
            if len(self._kept) >= KEPT_SEGMENTS:
                del self._kept[next(iter(self._kept))]
            with closing(self._video.segments(start=number)) as segments:
                segment = next(segments)
            self._kept[number] = _downscale(segment.frames), segment.times
        return self._kept[number]


def _downscale(frames: np.ndarray) -> np.ndarray:
    step = max(1, max(frames.shape[1:3]) // LONGER_SIDE)
    return np.ascontiguousarray(frames[:, ::step, ::step])
