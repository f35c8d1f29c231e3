"""Arms: what they share, and what they are called."""

from __future__ import annotations

import pytest

from tempo_lab.allocation.arms import (
    allocation_arms,
    ata,
    budgets,
    control_arms,
    front_loading_arms,
    kept_lengths,
    quarter,
    strictness_arms,
)
from tempo_lab.allocation.ata import allocate
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
    every += front_loading_arms(range(1, SLOTS + 1))
    assert len({arm.name for arm in every}) == len(every)
    assert set(control_arms(SLOTS)) <= set(every)
    assert ata(SLOTS) in control_arms(SLOTS)


@pytest.mark.parametrize("slots", [1, 2, 6, 16, 24, 128])
def test_kept_lengths_hold_the_ends_and_a_quarter(slots: int) -> None:
    for every in (False, True):
        kept = kept_lengths(slots, every)
        assert {1, quarter(slots), slots} <= set(kept)
        assert list(kept) == sorted(set(kept))
        assert kept[-1] == slots
    assert kept == tuple(range(1, slots + 1))
