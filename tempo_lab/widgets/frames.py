"""Frames of an opened video, small enough to be kept while an explorer is open."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

SHARPNESS = 192
"""Pixels of a shown frame's longer side, about."""
KEPT_SEGMENTS = 64
"""Whose frames stay in memory; others are decoded again when they are wanted."""


class Frames:
    """The frames of each segment, decoded when they are first wanted.

    Args:
        session: the video, opened.
    """

    def __init__(self, session: Session) -> None:
        self._video = session.video
        self._kept: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def pictures(self) -> list[np.ndarray]:
        """The middle frame of each segment, uint8 [row, column, 3]; decodes the whole video.

        Raises:
            VideoError: it cannot be decoded.
        """
        found = []
        with closing(self._video.segments()) as segments:
            for segment in segments:
                small = _smaller(segment.frames)
                found.append(small[len(small) // 2].copy())
                if len(self._kept) < KEPT_SEGMENTS:
                    self._kept[segment.index] = small, segment.times
        return found

    def of(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Frames uint8 [frame, row, column, 3] of a segment, and their times, float [frame].

        Raises:
            VideoError: it cannot be decoded.
        """
        if number not in self._kept:
            if len(self._kept) >= KEPT_SEGMENTS:
                del self._kept[next(iter(self._kept))]
            with closing(self._video.segments(start=number)) as segments:
                segment = next(segments)
            self._kept[number] = _smaller(segment.frames), segment.times
        return self._kept[number]


def _smaller(frames: np.ndarray) -> np.ndarray:
    step = max(1, max(frames.shape[1:3]) // SHARPNESS)
    return np.ascontiguousarray(frames[:, ::step, ::step])
