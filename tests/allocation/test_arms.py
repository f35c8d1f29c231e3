"""Arms: what they share, and what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab.allocation.arms import (
    ALL,
    ATA,
    CONTROLS,
    RIVALS,
    allocation_arms,
    ata,
    budgets,
    control_arms,
    front_loading_arms,
    kept_lengths,
    noisy_arms,
    quarter,
    strictness_arms,
)
from tempo_lab.allocation.ata import allocate
from tempo_lab.allocation.facility_location import facility_location
from tests.small_runs import SLOTS


def test_uniform_arms_share_evenly_and_keep_what_they_say() -> None:
    scores, options = [0.9, 0.1, 0.2], {"max_tokens": 8, "min_tokens": 1}
    tail = allocate(scores, 9, strategy="uniform-tail", **options)
    assert [tail.slots(i).tolist() for i in range(3)] == [[5, 6, 7]] * 3
    drawn = allocate(scores, 9, strategy="uniform-random", **options)
    assert [len(set(drawn.slots(i))) for i in range(3)] == [3, 3, 3]
    merged = allocate(scores, 9, strategy="uniform-tome", **options)
    assert merged.merged
    assert merged.tokens.tolist() == [3, 3, 3]


def test_arms_of_a_question_have_names_of_their_own() -> None:
    every = (*allocation_arms(budgets(SLOTS), budgets(SLOTS)), *strictness_arms(SLOTS))
    every += (*front_loading_arms(range(1, SLOTS + 1)), *noisy_arms(SLOTS))
    assert len({arm.name for arm in every}) == len(every)
    assert set(control_arms(SLOTS)) <= set(every)
    assert ata(SLOTS) in control_arms(SLOTS)


def test_a_hard_router_keeps_all_tokens_of_the_best_segments() -> None:
    scores = [0.1, 0.9, 0.5, 0.7]
    for budget, expected in ((16, [0, 8, 0, 8]), (15, [0, 8, 0, 0]), (5, [0, 5, 0, 0])):
        routed = allocate(scores, budget, strategy="router", max_tokens=8, min_tokens=1)
        assert routed.tokens.tolist() == expected
    assert allocate(scores, 99, strategy="router", max_tokens=8).tokens.tolist() == [8] * 4


def test_control_arms_have_one_budget_and_every_role() -> None:
    arms = control_arms(SLOTS)
    assert {arm.family for arm in arms} == {
        ALL.family, ATA, "oracle routing", *CONTROLS, *RIVALS,
    }  # fmt: skip
    assert {arm.budget for arm in arms} == {None, quarter(SLOTS)}


def test_noise_is_added_to_logits_and_the_same_for_both_families() -> None:
    logit, evidence = np.array([-8.0, 9.0, -7.0]), np.array([False, True, False])
    relevance = 1 / (1 + np.exp(-logit))
    by_noise: dict[float, list[np.ndarray]] = {}
    for arm in noisy_arms(SLOTS):
        draw = np.random.default_rng(3)
        scores = arm.forced(relevance, evidence, draw, logit=logit)
        assert scores is not None
        assert ((scores >= 0) & (scores <= 1)).all()
        by_noise.setdefault(arm.noise, []).append(scores)
    assert len(by_noise) >= 4
    for first, second in by_noise.values():
        np.testing.assert_array_equal(first, second)
    expected = logit + 6 * np.random.default_rng(3).standard_normal(3)
    np.testing.assert_allclose(by_noise[6][0], 1 / (1 + np.exp(-expected)), rtol=1e-5)


def test_facility_location_ranks_segments_without_the_question() -> None:
    (arm,) = [arm for arm in control_arms(SLOTS) if arm.scores == "facility"]
    features = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1], [1.0, 0.2]])
    scores = [
        arm.forced(relevance, np.zeros(4, bool), np.random.default_rng(0), features=features)
        for relevance in (np.zeros(4), np.ones(4))
    ]
    np.testing.assert_array_equal(*scores)
    assert scores[0] is not None
    assert np.argsort(-scores[0]).tolist() == facility_location(features).tolist()


@pytest.mark.parametrize("slots", [1, 2, 6, 16, 24, 128])
def test_kept_lengths_hold_the_ends_and_a_quarter(slots: int) -> None:
    for every in (False, True):
        kept = kept_lengths(slots, every)
        assert {1, quarter(slots), slots} <= set(kept)
        assert list(kept) == sorted(set(kept))
        assert kept[-1] == slots
    assert kept == tuple(range(1, slots + 1))
