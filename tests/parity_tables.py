"""Recorded tables of the released implementation: allocations, sampling plans, frame sizes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tempo_lab.allocation.ata import allocate, keep_tokens
from tempo_lab.common.errors import TempoLabError
from tempo_lab.model.pixels import image_size, video_size
from tempo_lab.model.prompts import pair_seconds, segment_seconds
from tempo_lab.model.prompts import timestamp as stamp
from tempo_lab.video.resize import ReleasedResize
from tempo_lab.video.sampling import plan_sampling
from tests.parity_cases import worst

EMPTY = "no cases in the table"
SAMPLING = ("infer_compute_sample_indices", "segment_timestamps_llm", "frame_timestamps_svlm")


class Refused(str):
    """A case that Tempo Lab refuses by name, and why: no difference, but counted."""


def compared(name: str, equal: Callable[[], bool]) -> Iterator[str]:
    """What there is to say about one case: its name where it differs or ends in an error.

    The cases after it are compared, whatever this one ends in.
    """
    try:
        if not equal():
            yield name
    except TempoLabError as error:
        yield Refused(f"{name}: {str(error).splitlines()[0]}")
    except Exception as error:
        yield f"{name}: {type(error).__name__}: {error}"


def check_allocation(path: Path) -> Iterator[str]:
    """Names of allocation cases that differ."""
    recorded = json.loads(path.read_text())
    cases = [case for case in recorded.get("cases", []) if not case.get("error")]
    numeric = recorded.get("strategy_numeric") or {"results": []}
    if not cases and not numeric["results"]:
        yield EMPTY
    for case in cases:
        yield from compared(case["name"], partial(same_tokens, case))
    for result in numeric["results"]:
        name = f"features kept by {result['strategy']}"
        yield from compared(name, partial(same_features, numeric, result))


def same_tokens(case: dict[str, Any]) -> bool:
    """Whether the allocation is the recorded one: tokens, not how many vectors a cut by them left.

    (The released code cuts at a negative number, which leaves all vectors but so many.)
    """
    slots = case["n_tokens"]
    tokens = allocate(
        [float(score) for score in case["scores"]],
        case["max_budget"],
        strategy=case["strategy"],
        mode="faithful",
        min_tokens=case["min_tokens"],
        max_tokens=min(case["max_tokens"] or slots, slots),
    ).tokens.tolist()
    recorded = case["allocations"]
    if "TIE_AT_REMAINDER_CUT" in case.get("flags", ()):
        tokens, recorded = sorted(tokens), sorted(recorded)
    return bool(tokens == recorded)


def same_features(numeric: dict[str, Any], result: dict[str, Any]) -> bool:
    """Whether the memory tokens kept are the recorded ones."""
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
    return bool(equal and (strategy == "random" or max(far) <= 1e-6))


def check_sampling(path: Path) -> Iterator[str]:
    """Descriptions of sampling and timestamp cases that differ."""
    cases = json.loads(path.read_text())
    if not any(map(cases.get, SAMPLING)):
        yield EMPTY
    for case in cases.get(SAMPLING[0], []):
        name = f"plan of {case['total_frames']} frames at {case['original_fps']} fps"
        yield from compared(name, partial(same_plan, case))
    for case in cases.get(SAMPLING[1], []):
        name = f"clock of {case['num_segments']} segments at {case['real_fps']} fps"
        yield from compared(name, partial(same_clock, case))
    for case in cases.get(SAMPLING[2], []):
        name = f"timestamps of {case['frames']} frames from {case['frame_offset']}"
        yield from compared(name, partial(same_timestamps, case))


def same_plan(case: dict[str, Any]) -> bool:
    """Whether the same frames are sampled, at the same rate."""
    plan = plan_sampling(
        case["total_frames"],
        case["original_fps"],
        fps=case["video_fps"],
        min_frames=case["min_frames_num"],
        max_frames=case["max_frames_num"],
    )
    clock = plan.fps if case["real_fps"] is None else case["real_fps"]
    return plan.indices.tolist() == case["indices"] and bool(abs(plan.fps - clock) <= 1e-9)


def same_clock(case: dict[str, Any]) -> bool:
    """Whether the LLM reads the same times of segments."""
    window, stride = case["window"] or 8, case["stride"]
    seconds = segment_seconds(case["num_segments"], case["real_fps"] or 1.0, window, stride)
    return [stamp(each) for each in seconds] == case["text"]


def same_timestamps(case: dict[str, Any]) -> bool:
    """Whether the SVLM reads the same times of frames."""
    positions = case["frame_offset"] + np.arange(case["frames"])
    return [stamp(s) for s in pair_seconds(positions, case["fps"])] == case["text"]


def check_resize(path: Path) -> Iterator[str]:
    """Frame sizes whose chain differs."""
    cases = json.loads(path.read_text()).get("cases", [])
    if not cases:
        yield EMPTY
    for case in cases:
        for found in compared(f"{case['w']}x{case['h']}", partial(same_sizes, case)):
            if not (case["error"] and isinstance(found, Refused)):  # the released code failed, too
                yield found


def same_sizes(case: dict[str, Any]) -> bool:
    """Whether a frame takes the same sizes."""
    size = (case["w"], case["h"])
    first, second = ReleasedResize().steps(*size)
    found = [first, second, video_size(*second)]
    image = image_size(*size)
    recorded = [tuple(case[key]) for key in ("after_resize_images", "after_fetch_image", "final")]
    grid = [1, image[1] // 16, image[0] // 16]
    return found == recorded and grid == case.get("image_path_grid_thw", grid)


CHECKS: dict[str, Callable[[Path], Iterator[str]]] = {
    "alloc_cases.json": check_allocation,
    "sampling_cases.json": check_sampling,
    "resize_cases.json": check_resize,
}
