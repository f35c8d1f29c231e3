"""The plan of the claims: what is asked about which held-out video."""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab.allocation.arms import (
    budgets,
    control_arms,
    noisy_arms,
    strictness_arms,
)
from tempo_lab.allocation.ata import allocate
from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.claims import plan
from tempo_lab.nano.claims.plan import MAIN, draw_jobs
from tempo_lab.nano.world.kinds import NEEDLE
from tempo_lab.nano.world.seeds import EVALUATION
from tests.small_runs import SLOTS, small_jobs


def test_budgets_follow_the_model() -> None:
    """With the released K of 128 and minimum of 4, ATA at a budget of 4 would share evenly."""
    assert (budgets(16), budgets(128)) == ((2, 4, 8), (16, 32, 64))
    scores = np.linspace(0, 1, 32)
    for size in plan.SIZES:
        for part in plan.parts(size, 128):
            for arm in (*part.arms, *part.other_arms, *strictness_arms(128)):
                if arm.family.startswith("ATA"):
                    assert arm.budget is not None
                    shared = allocate(scores, 32 * arm.budget, strategy=arm.strategy, mode=arm.mode)
                    abstains = arm.strategy == "abstain"
                    assert abstains or len(set(shared.tokens.tolist())) > 2, arm


def test_runs_and_lengths_share_no_video() -> None:
    runs = (0, 1, 9, 10, 11, EVALUATION.runs - 1)
    seeds = [job.seed for seed in runs for job in draw_jobs("full", seed, SLOTS)]
    assert len(set(seeds)) == len(seeds)
    for seed in runs:  # the control of a video is about the scene after it
        drawn = {job.seed + more for job in draw_jobs("full", seed, SLOTS) for more in (0, 1)}
        assert drawn <= set(EVALUATION.seeds(seed))
    for size in plan.SIZES:
        parts = plan.parts(size, SLOTS)
        assert max(part.videos for part in parts) < plan.SEEDS_PER_LENGTH
        assert len(parts) * plan.SEEDS_PER_LENGTH <= len(EVALUATION.seeds(0))


def test_a_video_is_always_asked_the_same() -> None:
    one, other = small_jobs(), small_jobs()
    assert [job.items for job in one] == [job.items for job in other]
    for job in one:
        texts = [item.question.text for item in job.items]
        assert len(set(texts)) == len(texts)
        keys = job.keys((MAIN,))
        assert len(set(keys)) == len(keys)


def test_questions_of_several_parts_are_asked_under_all_arms() -> None:
    job = next(job for job in draw_jobs("quick", 5, SLOTS) if job.part.segments == 32)
    asked = [item.arms for item in job.items if item.question.kind == "multi"]
    assert len(asked) == 3
    assert all(arms == control_arms(SLOTS) for arms in asked)
    assert not any(
        item.question.kind == "multi"
        for job in draw_jobs("quick", 5, SLOTS)
        if job.part.segments == 128
        for item in job.items
    )


def test_every_question_of_32_segments_has_every_control() -> None:
    for size in plan.SIZES:
        job = next(job for job in draw_jobs(size, 5, SLOTS) if job.part.segments == 32)
        for item in job.items:
            assert set(control_arms(SLOTS)) <= set(item.arms)
            noisy = set(noisy_arms(SLOTS)) <= set(item.arms)
            assert noisy == (item.question.kind in NEEDLE)


def test_the_control_asks_about_something_else() -> None:
    jobs = [job for job in draw_jobs("quick", 1, SLOTS) if job.part.segments == 8]
    asked = [item for job in jobs for item in job.items if item.control is not None]
    assert asked
    assert all(item.control != item.question.text for item in asked)
    everything = [item for job in jobs for item in job.items]
    for item in everything:
        whole = len(item.question.evidence) in (0, 8)
        assert item.control is None or not whole


def test_a_plan_names_what_it_lacks() -> None:
    with pytest.raises(TempoLabError, match="no such evaluation"):
        draw_jobs("slow", 0, SLOTS)
    for seed in (-1, EVALUATION.runs):
        with pytest.raises(TempoLabError, match="no such seed"):
            draw_jobs("quick", seed, SLOTS)
