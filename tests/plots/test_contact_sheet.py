"""All sampled frames of a video at a glance."""

import numpy as np
import pytest
from matplotlib import pyplot

import tempo_lab as tl


@pytest.fixture
def sheet(frames_file):
    with tl.Video(frames_file) as video:
        segments = list(video.segments())
    figure, axes = tl.plots.contact_sheet(segments, marked=[2])
    yield segments, axes
    pyplot.close(figure)


def test_every_frame_stands_in_its_segment_s_column(sheet):
    segments, axes = sheet
    shown = axes.images[0].get_array()
    (row, column), (high, wide), gap = (3, 1), (24, 32), 3
    top, left = row * (high + gap), column * (wide + gap)
    np.testing.assert_array_equal(
        shown[top : top + high, left : left + wide], segments[column].frames[row]
    )


def test_a_short_last_segment_leaves_its_place_white(sheet):
    segments, axes = sheet
    assert len(segments[-1].frames) == 4
    assert (axes.images[0].get_array()[4 * 27 :, 5 * 35 :] == 255).all()


def test_axes_name_segments_and_the_marked_one_is_framed(sheet):
    segments, axes = sheet
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == [f"{n}\n{4 * n} s" for n in range(len(segments))]
    assert len(axes.patches) == 1


def test_none_and_too_many_are_refused(sheet):
    segments, _ = sheet
    with pytest.raises(tl.VideoError, match="asked: 0 segments"):
        tl.plots.contact_sheet([])
    with pytest.raises(tl.VideoError, match="asked: 33 segments"):
        tl.plots.contact_sheet(segments[:1] * 33)
