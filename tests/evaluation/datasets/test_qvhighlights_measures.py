"""QVHighlights' measures: numbers that its owners' evaluation code gives for made-up predictions.

The code is standalone_eval of github.com/jayleicn/moment_detr. On 4,000 random cases its mAP of
moments, IoU of the first window, mAP of saliency and HIT@1 were equal to those here.
"""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab.evaluation.prior_measures import (
    best,
    moment_average_precision,
    saliency_average_precision,
    saliency_hit,
)

MOMENTS = (  # relevant windows, predicted windows with scores
    ([(0, 10), (20, 40)], [(2, 10, 0.9), (18, 36, 0.8), (50, 60, 0.7), (0, 12, 0.6)]),
    ([(30, 34)], [(0, 20, 0.9), (28, 34, 0.5), (30, 36, 0.4)]),
    ([(10, 30), (12, 28), (60, 62)],
     [(10, 26, 0.7), (12, 30, 0.6), (58, 66, 0.5), (61, 62, 0.1)]),
)  # fmt: skip
HIGHLIGHTS = (  # predicted scores of clips, scores of three raters
    ([0.1, 0.8, 0.4, 0.9, 0.2], [[4, 2, 0], [4, 4, 3], [0, 0, 0], [2, 3, 4], [1, 0, 2]]),
    ([0.5, 0.4, 0.3, 0.2, 0.1], [[1, 2, 2], [4, 2, 3], [3, 3, 2], [0, 4, 0], [4, 4, 4]]),
)


def test_moments() -> None:
    found = [moment_average_precision(predicted, windows) for windows, predicted in MOMENTS]
    by_threshold = np.mean(found, axis=0)
    expected = [29 / 36, 13 / 18, 13 / 18, 13 / 18, 5 / 9, 7 / 18, 7 / 18, 1 / 18, 1 / 18, 0]
    np.testing.assert_allclose(by_threshold, expected, atol=1e-6)
    first = [best("iou", predicted, windows) for windows, predicted in MOMENTS]
    np.testing.assert_allclose(first, [0.8, 0, 0.8])


@pytest.mark.parametrize(
    ("minimum", "precision", "hit"), [(2, 118 / 135, 1), (3, 0.690741, 0.5), (4, 0.5, 0.5)]
)
def test_highlights(minimum: int, precision: float, hit: float) -> None:
    found = [saliency_average_precision(scores, raters, minimum) for scores, raters in HIGHLIGHTS]
    assert np.mean(found) == pytest.approx(precision, abs=1e-6)
    assert np.mean([saliency_hit(s, raters, minimum) for s, raters in HIGHLIGHTS]) == hit
