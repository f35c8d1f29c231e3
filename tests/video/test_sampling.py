"""Which frames are sampled: the recorded plans, and what holds for all plans."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.common.errors import VideoError
from tempo_lab.video import plan_sampling

RECORDED = json.loads((Path(__file__).parents[1] / "golden" / "sampling_cases.json").read_text())


@pytest.mark.parametrize("case", RECORDED["infer_compute_sample_indices"])
def test_plan_equals_the_recorded_one(case):
    plan = plan_sampling(
        case["total_frames"],
        case["original_fps"],
        fps=case["video_fps"],
        min_frames=case["min_frames_num"],
        max_frames=case["max_frames_num"],
    )
    assert plan.indices.dtype == np.int64
    assert plan.indices.tolist() == case["indices"]
    assert len(plan) == case["n"]
    if case["real_fps"] is not None:
        assert plan.fps == case["real_fps"]


@given(
    total=st.integers(0, 200_000),
    source_fps=st.floats(0.1, 240),
    fps=st.floats(0.05, 60),
    low=st.integers(1, 16),
    extra=st.integers(0, 2000),
)
def test_plan_invariants(total, source_fps, fps, low, extra):
    plan = plan_sampling(total, source_fps, fps=fps, min_frames=low, max_frames=low + extra)
    assert (np.diff(plan.indices) >= 0).all()
    assert plan.indices[-1] == max(total - 1, 0)
    assert plan.indices[0] == (0 if len(plan) > 1 or total <= 1 else total - 1)
    assert math.isfinite(plan.fps)
    assert plan.fps > 0
    if total > 1:
        assert low <= len(plan) <= low + extra
        # Evenly spread: no gap is more than one frame wider than another.
        assert len(plan) < 3 or np.ptp(np.diff(plan.indices)) <= 1
        assert plan.fps == pytest.approx(len(plan) * source_fps / total)


@pytest.mark.parametrize("rate", [None, 0.0, -1.0, math.nan, math.inf])
def test_source_without_a_frame_rate_is_taken_as_sampled(rate):
    assert plan_sampling(30, rate, fps=3.0).indices.tolist() == list(range(30))


@pytest.mark.parametrize("total", [-1, 2.5, True, None])
def test_a_total_that_counts_no_frames_is_refused(total):
    with pytest.raises(VideoError, match="total_frames"):
        plan_sampling(total, 30.0)
