"""Visual features of many random segments, computed once the vision tower is frozen."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from tempo_lab.common.progress import progress_bar
from tempo_lab.nano.training.distributed import prefetch
from tempo_lab.nano.training.segment_pool import CHUNK, SegmentPool
from tempo_lab.nano.training.stages import read_tensors, write_tensors
from tempo_lab.nano.training.vision_stage import FrameTower, frames_of
from tempo_lab.nano.world.scenes import WORLD_VERSION, SceneSegment


class FeatureBank(SegmentPool):
    """A pool with the visual features of its segments, on the CPU, as a step needs few of them.

    Attributes:
        merged: float16 [row, 64, width].
        deep: float16 [level, row, 64, width].
    """

    def __init__(self, seed: int, count: int) -> None:
        super().__init__(seed, count)
        self.merged = self.deep = torch.empty(0)

    def features(self, rows: list[int]) -> tuple[Tensor, list[Tensor]]:
        """Return float32 merged features [row, 64, width], and as many per deepstack level."""
        return self.merged[rows].float(), [level[rows].float() for level in self.deep]


def weights_digest(*modules: nn.Module) -> str:
    """Return a digest of modules' weights, so that results of other weights are not reused."""
    sha = hashlib.sha256()
    for module in modules:
        for tensor in module.state_dict().values():
            sha.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()[:16]


def _chunk(segments: list[SceneSegment], seed: int, start: int) -> npt.NDArray[np.uint8]:
    """Return the frames of a chunk of segments from number ``start`` on."""
    rng = np.random.default_rng([seed, 1019, start])
    return frames_of(segments[start : start + CHUNK], rng)


def make_bank(
    tower: FrameTower, count: int, seed: int, out: Path, name: str = "bank"
) -> FeatureBank:
    """Return the bank of a seed; its features are read from ``out/NAME.safetensors`` if there."""
    path = out / f"{name}.safetensors"
    wanted: dict[str, Any] = {
        "count": count,
        "seed": seed,
        "world": WORLD_VERSION,
        "tower": weights_digest(tower.model),
    }
    bank = FeatureBank(seed, count)
    there = read_tensors(path)
    if there is None or there[0] != wanted:
        merged, deep = [], []
        with torch.no_grad():
            starts = range(0, count, CHUNK)
            drawn = prefetch(partial(_chunk, bank.segments, seed), starts)
            for frames in progress_bar(drawn, desc=name, total=len(starts), mininterval=10):
                top, levels = tower(frames)
                shape = (len(frames), -1, top.shape[-1])
                merged.append(top.reshape(shape).half().cpu())
                stacked = torch.stack([level.reshape(shape) for level in levels])
                deep.append(stacked.half().cpu())
        tensors = {"merged": torch.cat(merged), "deep": torch.cat(deep, 1)}
        write_tensors(path, tensors, wanted)
    else:
        tensors = there[1]
    bank.merged, bank.deep = tensors["merged"], tensors["deep"]
    return bank
