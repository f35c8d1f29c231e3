"""Facility location: the greedy order of segments."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from tempo_lab.allocation.facility_location import facility_location


def value(unit: np.ndarray, chosen: tuple[int, ...]) -> float:
    """The sum of the similarities to the most similar chosen segment."""
    return float((unit @ unit[list(chosen)].T).max(axis=1).sum())


def test_the_order_has_every_segment_once_and_copies_come_last() -> None:
    features = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]], float)
    order = facility_location(features).tolist()
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert set(order[:3]) == {0, 1, 3}
    assert facility_location(7 * features).tolist() == order  # lengths do not count


def test_the_greedy_choice_is_close_to_the_best_one() -> None:
    """At least 1 - 1/e of the best set; similarities are not negative here."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        features = rng.random((9, 3))
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        chosen = tuple(facility_location(features)[:3].tolist())
        best = max(value(unit, some) for some in combinations(range(9), 3))
        assert (1 - 1 / np.e) * best <= value(unit, chosen) <= best + 1e-9
        first = max(range(9), key=lambda segment: value(unit, (segment,)))
        assert chosen[0] == first
