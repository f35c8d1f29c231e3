"""Scores of rankings and probabilities, ranks, and how sure a mean is."""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab.common.statistics import (
    DIFFERENCE,
    SHARE,
    auc,
    bootstrap_mean,
    correlation,
    ranks,
    recall_at,
    reliability,
    roc_curve,
    spearman,
)


def test_auc_counts_ties_half() -> None:
    assert auc([0.9, 0.1, 0.2], [True, False, False]) == 1.0
    assert auc([0.1, 0.1, 0.2], [True, False, False]) == 0.25
    assert np.isnan(auc([0.1, 0.2], [True, True]))


def test_a_roc_curve_has_a_point_per_score_and_the_area_of_auc() -> None:
    false, true = roc_curve([0.9, 0.1, 0.2], [True, False, False])
    assert (false.tolist(), true.tolist()) == ([0, 0, 0.5, 1], [0, 1, 1, 1])
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, relevant = rng.integers(0, 5, 12) / 4, np.arange(12) < rng.integers(1, 12)
        false, true = roc_curve(scores, relevant)
        assert np.trapezoid(true, false) == pytest.approx(auc(scores, relevant))
        assert len(true) == len(set(scores)) + 1


def test_calibration_by_hand() -> None:
    found = reliability([0.1, 0.1, 0.9, 1.0], [False, True, True, True], bins=2)
    np.testing.assert_allclose(found.predicted, [0.1, 0.95])
    np.testing.assert_allclose(found.observed, [0.5, 1.0])
    assert found.count.tolist() == [2, 2]
    assert found.error == pytest.approx((2 * 0.4 + 2 * 0.05) / 4)
    assert reliability([0.5], [True], bins=2).count.tolist() == [0, 1]
    assert np.isnan(reliability([], []).error)


def test_the_bootstrap_of_independent_questions_is_the_normal_interval() -> None:
    values = np.arange(400) % 4 == 0
    found = bootstrap_mean(values, np.arange(400))
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert found.value == 0.25
    assert (found.n, found.videos) == (400, 400)
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.004)
    assert found == bootstrap_mean(values, np.arange(400))


def test_questions_of_one_video_are_drawn_together() -> None:
    values = np.repeat(np.arange(40) % 2, 10)
    apart = bootstrap_mean(values, np.arange(400))
    together = bootstrap_mean(values, np.repeat(np.arange(40), 10))
    width = (apart.high - apart.low, together.high - together.low)
    assert width[1] == pytest.approx(np.sqrt(10) * width[0], rel=0.1)


def test_nothing_and_a_single_video_have_no_interval() -> None:
    assert np.isnan(bootstrap_mean([], []).value)
    assert np.isnan(bootstrap_mean([np.nan], ["a"]).value)
    one = bootstrap_mean([0.0, 1.0, np.nan], ["a", "a", "b"])
    assert one.value == 0.5
    assert np.isnan(one.low)


def test_a_score_at_its_ceiling_has_the_exact_binomial_interval() -> None:
    """Clopper-Pearson of 10 of 10 and 0 of 10, from tables: [.692, 1] and [0, .308]."""
    videos = np.repeat(np.arange(5), 2)
    right = bootstrap_mean(np.ones(10), videos, bounds=SHARE)
    assert (right.low, right.high) == (pytest.approx(0.6915, abs=1e-4), 1)
    wrong = bootstrap_mean(np.zeros(10), videos, bounds=SHARE)
    assert (wrong.low, wrong.high) == (0, pytest.approx(0.3085, abs=1e-4))
    equal = bootstrap_mean(np.zeros(10), videos, bounds=DIFFERENCE)
    assert (equal.low, equal.high) == pytest.approx((-0.3085, 0.3085), abs=1e-4)
    same = bootstrap_mean(np.full(10, 0.125), videos, bounds=SHARE)  # no chance is in it
    assert (same.low, same.high) == (0.125, 0.125)
    some = bootstrap_mean([1.0, 0.0, 1.0], [0, 1, 2], bounds=SHARE)
    assert some == bootstrap_mean([1.0, 0.0, 1.0], [0, 1, 2])


def test_ranks_are_along_the_last_axis_and_ties_share_theirs() -> None:
    values = np.array([[3.0, 1.0, 3.0, np.inf], [0.0, -0.0, 0.0, 0.0]])
    assert ranks(values).tolist() == [[2.5, 1, 2.5, 4], [2.5] * 4]
    assert ranks([]).tolist() == []


def test_spearman_is_the_correlation_of_ranks_along_the_last_axis() -> None:
    one = np.array([[1.0, 2, 3, 4], [1, 1, 2, 2], [5, 5, 5, 5]])
    other = np.array([[1.0, 4, 9, 1000], [4, 3, 2, 1], [1, 2, 3, 4]])
    found = spearman(one, other)
    np.testing.assert_allclose(found, [1, -4 / np.sqrt(20), np.nan])
    assert [float(spearman(*pair)) for pair in zip(one, other, strict=True)] == pytest.approx(
        found.tolist(), nan_ok=True
    )


def test_correlations_by_hand() -> None:
    assert correlation([1, 2, 3], [6, 4, 2]) == pytest.approx(-1)
    assert spearman([1, 2, 3, 4], [1, 4, 9, 1000]) == 1
    # d = 0, 1, 1 of three: 1 - 6 * 2 / (3 * 8)
    assert spearman([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)
    assert np.isnan(spearman([1, 2, 3], [0.1, 0.1, 0.1]))


def test_recall_breaks_ties_by_lot() -> None:
    values, truth = [5, 1, 1, 0], [False, True, False, True]
    found = recall_at(values, truth, 4)
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 1])
    rng = np.random.default_rng(0)
    drawn = [
        [truth[i] for i in np.lexsort((rng.random(4), -np.array(values)))][:2] for _ in range(4000)
    ]
    assert np.mean([sum(each) / 2 for each in drawn]) == pytest.approx(found[1], abs=0.02)
    assert np.isnan(recall_at(values, [False] * 4, 2)).all()
