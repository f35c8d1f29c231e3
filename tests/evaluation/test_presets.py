"""Presets, what overrides them, and the budget of a run that names none."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest

from tempo_lab.common.errors import BudgetError, TempoLabError, VideoError
from tempo_lab.evaluation.presets import (
    PRESETS,
    Sampling,
    choose_budgets,
    choose_sampling,
    default_budget,
)
from tempo_lab.video.sampling import plan_sampling


def model(slots: int, frames: int = 8) -> SimpleNamespace:
    """What a default budget depends on."""
    return SimpleNamespace(slots=slots, config=SimpleNamespace(segment_frames=frames))


@pytest.mark.parametrize(
    ("name", "budget", "limit"),
    [("paper-4k", 4096, 1024), ("paper-8k", 8192, 1024), ("paper-12k", 12288, 2048)],
)
def test_presets_are_the_published_settings(name, budget, limit):
    sampling = choose_sampling(name, None, None)

    def frames(seconds: float) -> int:
        options = vars(sampling)
        return len(plan_sampling(round(25 * seconds), 25.0, **options))

    assert choose_budgets(None, name) == (budget,)
    assert [frames(seconds) for seconds in (1, 60, 4101)] == [8, 120, limit]


def test_what_is_given_wins():
    assert choose_sampling("paper-12k", 1, None) == Sampling(1, 8, 2048)
    assert choose_sampling("paper-8k", None, 64) == Sampling(2, 8, 64)
    assert choose_sampling(None, None, 64) == Sampling(2, 4, 64)
    assert json.dumps(vars(choose_sampling(None, np.int64(3), np.int64(64))))
    assert choose_budgets([16, 32, 16], "paper-8k") == (16, 32)
    assert choose_budgets(None, None) is None


@pytest.mark.parametrize(
    ("slots", "sampling", "budget"),
    [
        (128, Sampling(), 8192),  # the released model
        (128, PRESETS["paper-12k"].sampling, 8192),
        (128, Sampling(max_frames=512), 4096),
        (16, Sampling(), 1024),
        (1, Sampling(max_frames=4), 1),
        (0, Sampling(), 8192),  # a plain Qwen3-VL has no memory tokens
    ],
)
def test_the_default_budget_restricts_the_longest_video(slots, sampling, budget):
    assert default_budget(slots, 8, sampling) == budget
    segments = -(-sampling.max_frames // 8)
    assert slots * segments > budget or slots <= 1


def test_what_makes_no_sense_is_refused():
    with pytest.raises(TempoLabError, match="did you mean 'paper-8k'"):
        choose_sampling("paper8k", None, None)
    with pytest.raises(TempoLabError, match="no preset"):
        choose_budgets(None, 8)
    with pytest.raises(VideoError, match="fps"):
        choose_sampling(None, 0, None)
    with pytest.raises(VideoError, match="max_frames"):
        choose_sampling("paper-8k", None, 2.5)
    with pytest.raises(BudgetError, match="budget"):
        choose_budgets([0], None)
    with pytest.raises(TempoLabError, match="at least one budget"):
        choose_budgets([], None)
