"""Stage 1: train the vision tower to name what each merged token shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

from tempo_lab.nano.training.recipes import (
    FRAME,
    GRID,
    MERGE,
    PATCH,
    PATCHES,
    TEMPORAL,
    TOKENS_A_PATCH,
    Sizes,
)
from tempo_lab.nano.world.casting import draw_segment
from tempo_lab.nano.world.renderer import render, sampled
from tempo_lab.nano.world.scenes import (
    CARDS,
    COLORS,
    MOTIONS,
    PLACES,
    SHAPES,
    SIZES,
    UNITS,
    SceneSegment,
)

SIDE = GRID // MERGE
HEIGHTS = ("top", "bottom")
SIDES = ("left", "right")
HEADS = {
    "shape": len(SHAPES) + 1,
    "color": len(COLORS),
    "size": len(SIZES),
    "motion": len(MOTIONS),
    "card": len(CARDS) + 1,
    "height": len(HEIGHTS),
    "side": len(SIDES),
    "place": len(PLACES),
}
TINTED = 0.5
"""Share of segments that are shown in shades of one color."""

Labels = dict[str, npt.NDArray[np.int64]]
"""By head, the label of each merged token [segment, 16]; -100 where the loss ignores the token."""

NOTHING = {"shape": len(SHAPES), "card": len(CARDS)}


def patchify(frames: Tensor) -> Tensor:
    """Return uint8 frames [segment, frame, row, column, rgb] as patches [frame pair, 64, 1536].

    The order within a temporal patch is Qwen3-VL's: merge blocks row by row, with the four patches
    of a block together. A patch is (rgb, frame, row, column).
    """
    pairs = frames.shape[0] * frames.shape[1] // TEMPORAL
    x = (frames.float() - 127.5) / 127.5
    x = x.view(pairs, TEMPORAL, SIDE, MERGE, PATCH, SIDE, MERGE, PATCH, 3)
    x = x.permute(0, 2, 5, 3, 6, 8, 1, 4, 7)
    return x.reshape(pairs, GRID * GRID, 3 * TEMPORAL * PATCH * PATCH)


class FrameTower:
    """Runs Qwen3-VL's own vision modules on a batch of equal temporal patches.

    The modules' own forward pass loops over temporal patches. These never attend to each other, so
    a batch dimension gives the same numbers (a test compares them).
    """

    def __init__(self, model: Qwen3VLVisionModel) -> None:
        self.model = model
        rows, columns = np.divmod(np.arange(GRID * GRID), GRID)
        order = (
            np.arange(GRID * GRID).reshape(SIDE, MERGE, SIDE, MERGE).transpose(0, 2, 1, 3).ravel()
        )
        device = model.pos_embed.weight.device
        self.order = torch.from_numpy(order).to(device)
        self.positions = torch.from_numpy(np.stack([rows[order], columns[order]], 1)).to(device)

    def __call__(self, frames: npt.NDArray[np.uint8]) -> tuple[Tensor, list[Tensor]]:
        """Return merged features [pair, 16, width] of frames, and as many per deepstack level.

        Args:
            frames: sampled frames [segment, frame, row, column, rgb].
        """
        model = self.model
        patches = patchify(torch.from_numpy(frames).to(model.pos_embed.weight.device))
        count = len(patches)
        weight = model.patch_embed.proj.weight
        x = F.linear(patches, weight.view(weight.shape[0], -1), model.patch_embed.proj.bias)
        x = x + model.pos_embed.weight[self.order]
        cos, sin = model.rotary_pos_emb(x, self.positions)
        deep: list[Tensor] = []
        for index, block in enumerate(model.blocks):
            heads, width = block.attn.num_heads, block.attn.head_dim
            qkv = block.attn.qkv(block.norm1(x)).view(count, GRID * GRID, 3, heads, width)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
            x = x + block.attn.proj(mixed.reshape(count, GRID * GRID, heads * width))
            x = x + block.mlp(block.norm2(x))
            if index in model.deepstack_visual_indexes:
                merger = model.deepstack_merger_list[model.deepstack_visual_indexes.index(index)]
                deep.append(merger(x).view(count, TOKENS_A_PATCH, -1))
        return model.merger(x).view(count, TOKENS_A_PATCH, -1), deep


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


def build_vision(sizes: Sizes) -> Qwen3VLVisionModel:
    """Build transformers' vision tower at nano's size."""
    return Qwen3VLVisionModel(Qwen3VLVisionConfig(**sizes.vision_config()))


def add_noise(frames: npt.NDArray[np.uint8], rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Simulate camera and codec on [segment, frame, row, column, rgb]: light, noise, chroma."""
    count = frames.shape[0]
    gain = rng.uniform(0.9, 1.1, (count, 1, 1, 1, 1)).astype(np.float32)
    shift = rng.uniform(-10, 10, (count, 1, 1, 1, 1)).astype(np.float32)
    x = frames.astype(np.float32) * gain + shift
    if rng.random() < 0.5:  # chroma at half resolution, as in yuv420
        light = x.mean(-1, keepdims=True)
        tint = x - light
        small = tint.reshape(*tint.shape[:2], FRAME // 2, 2, FRAME // 2, 2, 3).mean((3, 5))
        x = light + small.repeat(2, axis=2).repeat(2, axis=3)
    if rng.random() < 0.3:  # a slight blur, as from resizing
        x[:, :, 1:-1] = 0.7 * x[:, :, 1:-1] + 0.15 * (x[:, :, :-2] + x[:, :, 2:])
        x[:, :, :, 1:-1] = 0.7 * x[:, :, :, 1:-1] + 0.15 * (x[:, :, :, :-2] + x[:, :, :, 2:])
    if rng.random() < 0.6:
        x += rng.standard_normal(x.shape[1:], dtype=np.float32) * rng.uniform(1, 5)
    return np.clip(x + 0.5, 0, 255).astype(np.uint8)


def tint(
    frames: npt.NDArray[np.uint8], share: float, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """Show a share of [segment, frame, row, column, rgb] in shades of one color; return which, too.

    Their shapes have to be recognized by outline. Without this, one in ten shapes was confused in
    pairs of shape and color that training never shows, and one in five hundred in other pairs.
    """
    chosen = rng.random(len(frames)) < share
    gain = rng.uniform(0.5, 1.3, (int(chosen.sum()), 1, 1, 1, 3)).astype(np.float32)
    shades = frames[chosen].mean(-1, keepdims=True, dtype=np.float32) * gain
    out = frames.copy()
    out[chosen] = np.clip(shades + 0.5, 0, 255).astype(np.uint8)
    return out, chosen


def pairs_of(
    segments: list[SceneSegment], rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return a random frame pair per segment, [segment, 2, 128, 128, rgb], and its number."""
    which = rng.integers(PATCHES, size=len(segments))
    starts = which + rng.uniform(0, 0.45, len(segments))
    pairs = [render(s, [t, t + 0.5], FRAME) for s, t in zip(segments, starts, strict=True)]
    return add_noise(np.stack(pairs), rng), which


def frames_of(
    segments: list[SceneSegment], rng: np.random.Generator | None
) -> npt.NDArray[np.uint8]:
    """Return sampled frames [segment, 8, 128, 128, rgb]; with a generator, noisy and a bit late."""
    if rng is None:
        return np.stack([sampled(segment, FRAME) for segment in segments])
    phases = rng.uniform(0, 0.45, len(segments))
    frames = [sampled(s, FRAME, float(p)) for s, p in zip(segments, phases, strict=True)]
    return add_noise(np.stack(frames), rng)


def token_at(x: float, y: float) -> int:
    """Return the number of the merged token over a point in units."""
    column, row = (int(np.clip(v * SIDE // UNITS, 0, SIDE - 1)) for v in (x, y))
    return row * SIDE + column


def targets(segments: list[SceneSegment], which: npt.NDArray[np.int64]) -> Labels:
    """Return labels of frame pairs ``which``; an item's labels are at the token over its center."""
    labels = {name: np.full((len(segments), SIDE * SIDE), -100, np.int64) for name in HEADS}
    for name, nothing in NOTHING.items():
        labels[name][:] = nothing
    for index, (segment, pair) in enumerate(zip(segments, which, strict=True)):
        labels["place"][index] = PLACES.index(segment.place)
        if segment.card is not None:
            token = token_at(segment.card_x, segment.card_y)
            labels["card"][index, token] = CARDS.index(segment.card)
        middle = float(pair) + 0.25
        for item in segment.items:
            if not item.shown(middle):
                continue
            token = token_at(*item.center(middle))
            labels["shape"][index, token] = SHAPES.index(item.shape)
            labels["color"][index, token] = COLORS.index(item.color_at(middle))
            labels["size"][index, token] = tuple(SIZES).index(item.size)
            labels["motion"][index, token] = MOTIONS.index(item.motion)
            if item.position:
                height, side = item.position.split()
                labels["height"][index, token] = HEIGHTS.index(height)
                labels["side"][index, token] = SIDES.index(side)
    return labels


class Probe(nn.Module):
    """Linear heads on merged tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, n) for name, n in HEADS.items()})

    def loss(self, features: Tensor, labels: Labels) -> tuple[Tensor, dict[str, float]]:
        """Return the summed cross-entropy, and accuracies where an attribute is shown."""
        total = features.new_zeros(())
        numbers: dict[str, float] = {}
        for name, head in self.heads.items():
            label = torch.from_numpy(labels[name]).view(-1).to(features.device)
            logits = head(features).view(len(label), -1)
            each = F.cross_entropy(logits, label, reduction="none", ignore_index=-100)
            shown = label >= 0
            weight = shown.float()
            if name in NOTHING:  # most tokens show none of them
                shown = shown & (label < NOTHING[name])
                weight = torch.where(shown, 1.0, 0.15)
            if name == "place":
                weight = weight * 0.2
            total = total + (each * weight).sum() / weight.sum().clamp(min=1) * (
                2.0 if name == "shape" else 1.0
            )
            right = (logits.argmax(-1) == label)[shown]
            numbers[name] = float(right.float().mean()) if len(right) else float("nan")
        return total, numbers


def draw_pairs(batch: int, rng: np.random.Generator) -> tuple[npt.NDArray[np.uint8], Labels]:
    """Return frame pairs [segment, 2, 128, 128, rgb] of random segments, and their labels."""
    segments = [draw_segment(rng) for _ in range(batch)]
    frames, which = pairs_of(segments, rng)
    frames, colorless = tint(frames, TINTED, rng)
    labels = targets(segments, which)
    labels["color"][colorless] = -100
    return frames, labels


def vision_step(tower: FrameTower, probes: list[Probe]) -> Any:
    """Return the step function of stage 1, for data of :func:`draw_pairs`."""

    def step(
        drawn: tuple[npt.NDArray[np.uint8], Labels], number: int, state: dict[str, Any]
    ) -> Any:
        frames, labels = drawn
        merged, deep = tower(frames)
        loss, numbers = probes[0].loss(merged, labels)
        for probe, features in zip(probes[1:], deep, strict=True):
            extra, _ = probe.loss(features, labels)
            loss = loss + 0.3 * extra
        return loss, numbers

    return step


@torch.no_grad()
def rescale(tower: FrameTower, seed: int, std: float = 0.35) -> None:
    """Scale the mergers' outputs to a standard deviation of ``std``, similar to text embeddings."""
    rng = np.random.default_rng([seed, 7])
    merged, deep = tower(frames_of([draw_segment(rng) for _ in range(64)], rng))
    mergers = [tower.model.merger, *tower.model.deepstack_merger_list]
    for merger, features in zip(mergers, [merged, *deep], strict=True):
        shift, scale = features.mean((0, 1)), std / float(features.std())
        merger.linear_fc2.weight.mul_(scale)
        merger.linear_fc2.bias.sub_(shift).mul_(scale)
