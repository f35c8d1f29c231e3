"""Convert frames to patches: the last resize and Qwen3-VL's patch order, without torchvision.

The decoder's process has done the resizing before (see `tempo_lab.video.resize`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from tempo_lab.video.resize import smart_size

VIDEO_MIN_PIXELS = 128 * 32 * 32
VIDEO_MAX_PIXELS = 768 * 32 * 32
IMAGE_MIN_PIXELS = 65536
IMAGE_MAX_PIXELS = 16777216


@dataclass(frozen=True)
class PatchGrid:
    """Number of patches in a segment: temporal pairs x rows x columns, before merging."""

    pairs: int
    rows: int
    columns: int
    merge: int = 2

    @property
    def tokens_per_pair(self) -> int:
        """Number of visual tokens per temporal patch (two frames), after merging."""
        return self.rows * self.columns // self.merge**2

    @property
    def merged(self) -> tuple[int, int]:
        """(rows, columns) of visual tokens after merging."""
        return self.rows // self.merge, self.columns // self.merge


def video_size(width: int, height: int) -> tuple[int, int]:
    """Return the size after the released chain's last step: multiples of 32, 131072 px or more."""
    return smart_size(
        width, height, factor=32, min_pixels=VIDEO_MIN_PIXELS, max_pixels=VIDEO_MAX_PIXELS
    )


def image_size(width: int, height: int) -> tuple[int, int]:
    """Return the size after the resize of a single image: multiples of 32, 65536 px or more."""
    return smart_size(
        width, height, factor=32, min_pixels=IMAGE_MIN_PIXELS, max_pixels=IMAGE_MAX_PIXELS
    )


def resize_frames(frames: np.ndarray, size: tuple[int, int], *, in_float: bool) -> np.ndarray:
    """Resize frames with antialiased bicubic interpolation.

    Args:
        frames: uint8 [frame, row, column, rgb].
        size: (width, height) in pixels.
        in_float: compute in float32 and round once (the released path for videos), or in uint8
            (its path for images).

    Returns:
        uint8 [frame, row, column, rgb].
    """
    if frames.shape[2] == size[0] and frames.shape[1] == size[1]:
        return frames
    # one frame at a time: the float copy of a whole segment is eight times as large
    resized = []
    for frame in frames:
        # channels first in memory, too: the kernel is half as fast on a transposed view
        x = torch.from_numpy(np.ascontiguousarray(frame.transpose(2, 0, 1)))[None]
        x = F.interpolate(
            x.float() if in_float else x,
            size=(size[1], size[0]),
            mode="bicubic",
            antialias=True,
        )
        if in_float:
            x = x.clamp_(0, 255).round_().to(torch.uint8)
        resized.append(x[0].permute(1, 2, 0).numpy())
    return np.stack(resized)


def patchify(
    frames: np.ndarray, *, patch: int = 16, merge: int = 2, temporal: int = 2
) -> tuple[np.ndarray, PatchGrid]:
    """Cut frames into patches in Qwen3-VL's order: pairs of frames, blocks of merge x merge.

    If the number of frames is odd, the last one is repeated (a temporal patch has two frames).

    Args:
        frames: uint8 [frame, row, column, rgb], edges multiples of patch * merge.

    Returns:
        uint8 [patch, rgb * temporal * patch * patch], and the grid.
    """
    missing = -len(frames) % temporal
    if missing:
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
    count, height, width, channels = frames.shape
    pairs, rows, columns = count // temporal, height // patch, width // patch
    # [pair, temporal, block row, in-block row, y, block column, in-block column, x, rgb]
    x = frames.reshape(
        pairs, temporal, rows // merge, merge, patch, columns // merge, merge, patch, channels
    )
    # -> [pair, block row, block column, in-block row, in-block column | rgb, temporal, y, x]
    x = x.transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return (
        np.ascontiguousarray(x).reshape(pairs * rows * columns, -1),
        PatchGrid(pairs, rows, columns, merge),
    )


def normalize(patches: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return (x - 127.5) / 127.5 of uint8 x, computed in float32 as in the released processor."""
    return patches.to(torch.float32, copy=True).sub_(127.5).div_(127.5).to(dtype)
