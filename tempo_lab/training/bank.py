"""Visual features of many random segments, computed once when the vision tower is frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from tqdm.auto import tqdm

from tempo_lab.world.scenes import PLACES, SHAPES, Segment, draw_segment

from .stages import read_note, write_tensors
from .vision import FrameTower, frames_of, patchify

CHUNK = 64


class Bank:
    """Random segments with their features; videos are put together from its rows.

    Attributes:
        segments: what each row shows.
        merged: float16 [row, 36, width].
        deep: float16 [level, row, 36, width].
    """

    def __init__(self, segments: list[Segment], merged: Tensor, deep: Tensor) -> None:
        self.segments, self.merged, self.deep = segments, merged, deep
        rows: dict[tuple[str, str], list[int]] = {(p, s): [] for p in PLACES for s in SHAPES}
        for index, segment in enumerate(segments):
            rows[segment.place, segment.shape].append(index)
        self.rows = {key: np.array(value) for key, value in rows.items()}

    def __len__(self) -> int:
        return len(self.segments)

    def pick(self, rng: np.random.Generator, place: str, shape: str) -> int:
        """A random row that shows this shape in this place (any row of a bank without one)."""
        rows = self.rows[place, shape]
        return int(rows[rng.integers(len(rows))]) if len(rows) else int(rng.integers(len(self)))

    def features(self, rows: list[int]) -> tuple[Tensor, list[Tensor]]:
        """Float32 merged features [row, 36, width] and one such for each deepstack level."""
        return self.merged[rows].float(), [level[rows].float() for level in self.deep]


def _segments(rng: np.random.Generator, count: int) -> list[Segment]:
    return [draw_segment(rng) for _ in range(count)]


def make_bank(tower: FrameTower, count: int, seed: int, out: Path, name: str = "bank") -> Bank:
    """The bank of a seed, read from ``out/bank.safetensors`` if it is there."""
    path = out / f"{name}.safetensors"
    wanted: dict[str, Any] = {"count": count, "seed": seed}
    segments: list[Segment] = []
    merged, deep = [], []
    ready = path.exists() and read_note(path) == wanted
    chunks = tqdm(range(0, count, CHUNK), desc=name, mininterval=10, disable=ready)
    with torch.no_grad():
        for start in chunks:
            rng = np.random.default_rng([seed, 1009, start])
            drawn = _segments(rng, min(CHUNK, count - start))
            segments += drawn
            if ready:
                continue
            top, levels = tower(patchify(torch.from_numpy(frames_of(drawn, rng))))
            shape = (len(drawn), -1, top.shape[-1])
            merged.append(top.reshape(shape).half())
            deep.append(torch.stack([level.reshape(shape) for level in levels]).half())
    if not ready:
        tensors = {"merged": torch.cat(merged), "deep": torch.cat(deep, 1)}
        write_tensors(path, tensors, wanted)
    tensors = load_file(path)
    return Bank(segments, tensors["merged"], tensors["deep"])
