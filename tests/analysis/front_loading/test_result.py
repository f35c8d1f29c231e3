"""Knees, areas and the geometry of memory tokens, against numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab.analysis.front_loading.result import area, cosines, effective_rank, knee


def test_the_knee_is_furthest_above_the_chord():
    k = np.array([1, 2, 4, 8, 16])
    assert knee(k, np.array([0.0, 0.2, 0.9, 0.95, 1.0])) == 4
    assert knee(k, 7 - 3 * np.exp(-k / 0.5)) == 2  # no unit matters
    for curve in (k * 1.0, -k * 1.0, np.ones(5), k**2.0):
        assert np.isnan(knee(k, curve))
    assert np.isnan(knee(np.array([1, 16]), np.array([0.0, 1.0])))


def test_the_area_is_a_share_of_what_there_is_to_gain():
    k, video = np.arange(1, 17), np.array(["a", "a", "b"])
    at_once, late = np.ones((3, 16)), np.zeros((3, 16))
    late[:, -1] = 1
    assert area(k, at_once, late, video, 0)[0] == pytest.approx(1, abs=0.05)
    assert area(k, late, at_once, video, 0)[0] == pytest.approx(-1, abs=0.05)
    assert area(k, late, late, video, 0) == (0, 0, 0)
    tenfold = area(k, 10 * at_once, 10 * late, video, 0)
    assert tenfold == pytest.approx(area(k, at_once, late, video, 0))
    assert np.isnan(area(k, at_once, at_once, video, 0)).all()
    late[2] = 1
    mean, low, high = area(k, at_once, late, video, 0)
    assert low < mean < high


def test_effective_rank_counts_directions():
    tokens = np.random.default_rng(0).normal(size=(2, 6, 8))
    spectrum = np.linalg.svd(tokens[1, :4], compute_uv=False) ** 2
    p = spectrum / spectrum.sum()
    assert effective_rank(tokens)[1, 3] == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    np.testing.assert_allclose(effective_rank(np.eye(5) * 3), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(effective_rank(np.ones((4, 3))), 1)
    assert np.isnan(effective_rank(np.zeros((2, 3)))).all()
    assert effective_rank(np.array([[1.0, 0], [1e-3, 1e-3]]))[1] == pytest.approx(1, abs=1e-3)


def test_cosines():
    values = cosines(np.array([[1.0, 0], [0, 2], [3, 3]]))
    np.testing.assert_allclose(values[2], [0.5**0.5, 0.5**0.5, 1])
    assert not np.isnan(cosines(np.zeros((2, 3)))).any()
