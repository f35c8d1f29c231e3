"""Recorded tables of the released implementation: allocations, sampling plans, frame sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from tempo_lab.allocation import allocate, keep_tokens
from tempo_lab.errors import TempoLabError
from tempo_lab.model.pixels import image_size, video_size
from tempo_lab.model.prompts import pair_seconds, segment_clock
from tempo_lab.model.prompts import timestamp as stamp
from tempo_lab.resize import ReleasedResize
from tempo_lab.video import plan_sampling
from tests.parity_cases import worst

EMPTY = "no cases in the table"
SAMPLING = ("infer_compute_sample_indices", "segment_timestamps_llm", "frame_timestamps_svlm")


def check_allocation(path: Path) -> Iterator[str]:
    """Names of allocation cases that differ."""
    recorded = json.loads(path.read_text())
    cases = [case for case in recorded.get("cases", []) if not case.get("error")]
    numeric = recorded.get("strategy_numeric") or {"results": []}
    if not cases and not numeric["results"]:
        yield EMPTY
    for case in cases:
        slots = case["n_tokens"]
        tokens = allocate(
            [float(score) for score in case["scores"]],
            case["max_budget"],
            strategy=case["strategy"],
            mode="faithful",
            min_tokens=case["min_tokens"],
            max_tokens=min(case["max_tokens"] or slots, slots),
        ).tokens.tolist()
        lengths = case["result_lens"]
        if "TIE_AT_REMAINDER_CUT" in case.get("flags", ()):
            tokens, lengths = sorted(tokens), sorted(lengths)
        if tokens != lengths:
            yield case["name"]
    for result in numeric["results"]:
        strategy = result["strategy"]
        features = np.asarray(numeric["features"], dtype=np.float32)
        allocation = allocate(
            numeric["scores"],
            numeric["max_budget"],
            strategy=strategy,
            mode="faithful",
            min_tokens=numeric["min_tokens"],
            max_tokens=features.shape[1],
        )
        kept = [keep_tokens(tokens, allocation, i) for i, tokens in enumerate(features)]
        far = (worst(found, wanted) for found, wanted in zip(kept, result["result"], strict=True))
        equal = allocation.tokens.tolist() == result["allocations"]
        # which tokens a random draw keeps is another generator's matter; how many is not
        if not equal or (strategy != "random" and max(far) > 1e-6):
            yield f"features kept by {strategy}"


def check_sampling(path: Path) -> Iterator[str]:
    """Descriptions of sampling and timestamp cases that differ."""
    cases = json.loads(path.read_text())
    if not any(map(cases.get, SAMPLING)):
        yield EMPTY
    for case in cases.get(SAMPLING[0], []):
        plan = plan_sampling(
            case["total_frames"],
            case["original_fps"],
            fps=case["video_fps"],
            min_frames=case["min_frames_num"],
            max_frames=case["max_frames_num"],
        )
        clock = plan.fps if case["real_fps"] is None else case["real_fps"]
        if plan.indices.tolist() != case["indices"] or abs(plan.fps - clock) > 1e-9:
            yield f"plan of {case['total_frames']} frames at {case['original_fps']} fps"
    for case in cases.get(SAMPLING[1], []):
        window, stride = case["window"] or 8, case["stride"]
        texts = [
            stamp(segment_clock(i, case["real_fps"] or 1.0, window, stride))
            for i in range(case["num_segments"])
        ]
        if texts != case["text"]:
            yield f"clock of {case['num_segments']} segments at {case['real_fps']} fps"
    for case in cases.get(SAMPLING[2], []):
        positions = case["frame_offset"] + np.arange(case["frames"])
        if [stamp(s) for s in pair_seconds(positions, case["fps"])] != case["text"]:
            yield f"timestamps of {case['frames']} frames from {case['frame_offset']}"


def check_resize(path: Path) -> Iterator[str]:
    """Frame sizes whose chain differs."""
    cases = json.loads(path.read_text()).get("cases", [])
    if not cases:
        yield EMPTY
    for case in cases:
        size = (case["w"], case["h"])
        try:
            first, second = ReleasedResize().steps(*size)
            found = [first, second, video_size(*second)]
            image = image_size(*size)
        except TempoLabError:
            if not case["error"]:
                yield f"{size[0]}x{size[1]}"
            continue
        recorded = [
            tuple(case[key]) for key in ("after_resize_images", "after_fetch_image", "final")
        ]
        grid = [1, image[1] // 16, image[0] // 16]
        if found != recorded or grid != case.get("image_path_grid_thw", grid):
            yield f"{size[0]}x{size[1]}"


CHECKS: dict[str, Callable[[Path], Iterator[str]]] = {
    "alloc_cases.json": check_allocation,
    "sampling_cases.json": check_sampling,
    "resize_cases.json": check_resize,
}
