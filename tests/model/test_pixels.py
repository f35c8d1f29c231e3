"""Resize chain and patch order; the recorded pixels themselves are in test_parity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.common.errors import VideoError
from tempo_lab.model.pixels import image_size, normalize, patchify, resize_frames, video_size
from tempo_lab.video.resize import ExactResize, ReleasedResize, from_dict

EDGE = st.integers(1, 4000)


@given(EDGE, EDGE)
def test_chain_ends_in_multiples_of_32_with_enough_pixels(width, height):
    try:
        size = video_size(*ReleasedResize().size(width, height))
    except VideoError:
        assert max(width, height) > 200 * min(width, height)
        return
    assert size[0] % 32 == size[1] % 32 == 0
    assert 131072 <= size[0] * size[1] <= 786432


def test_too_thin_frames_are_refused_with_their_size():
    with pytest.raises(VideoError, match="500x2 px, ratio 250"):
        ReleasedResize().size(500, 2)


@pytest.mark.parametrize("resize", [ReleasedResize(), ExactResize(96, 64)])
def test_resize_survives_its_description(resize):
    again = from_dict(resize.to_dict())
    frame = np.random.default_rng(1).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    assert again == resize
    small = again(frame)
    assert small.shape[1::-1] == resize.size(640, 360)
    assert small.dtype == np.uint8


def test_patch_order_is_frame_pairs_then_blocks_of_two_by_two():
    frames = np.zeros((2, 64, 96, 3), dtype=np.uint8)
    for row in range(4):
        for column in range(6):
            for t in range(2):
                block = frames[t, 16 * row : 16 * row + 16, 16 * column : 16 * column + 16]
                block[:] = 100 * t + 10 * row + column
    patches, grid = patchify(frames)
    assert (grid.pairs, grid.rows, grid.columns, grid.tokens_per_pair) == (1, 4, 6, 6)
    assert grid.merged == (2, 3)
    # [rgb, temporal, y, x] inside a patch: the first frame's value, then the second's
    values = patches.reshape(-1, 3, 2, 256)
    assert (values[:, :, 1] - values[:, :, 0] == 100).all()
    places = [divmod(int(value), 10) for value in values[:, 0, 0, 0]]
    assert places[:4] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert places[4:8] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    assert places[12] == (2, 0)


def test_an_odd_number_of_frames_repeats_the_last():
    frames = np.random.default_rng(2).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    odd, grid = patchify(frames)
    even, _ = patchify(np.concatenate([frames, frames[-1:]]))
    assert grid.pairs == 2
    assert (odd == even).all()


def test_image_and_video_paths_differ_where_the_released_ones_do():
    frame = np.random.default_rng(3).integers(0, 256, (1, 75, 100, 3), dtype=np.uint8)
    size = image_size(100, 75)
    assert size == (320, 224)
    rounded = resize_frames(frame, size, in_float=True)
    integer = resize_frames(frame, size, in_float=False)
    assert rounded.shape == (1, 224, 320, 3)
    # uint8 arithmetic rounds (and clamps) between the two axes
    assert 0.01 < np.abs(rounded.astype(int) - integer).mean() < 1


def test_normalized_range():
    values = normalize(torch.tensor([0, 255], dtype=torch.uint8))
    assert values.tolist() == [-1.0, 1.0]
