"""Stage 2: the SVLM as an ordinary small vision-language model, with a Yes/No instinct.

Several questions about one segment are branches that share its visual prefix through a block mask;
each branch sees exactly what it would see alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.token_map import VISION, TokenMap, concatenate, rope_positions
from tempo_lab.world.questions import DESCRIBE, Question, caption, rephrase
from tempo_lab.world.scenes import COLORS, SHAPES, Scene, Segment

from .bank import Bank
from .naming import actual, seen_loss
from .nano_config import GRID, PATCHES, Sizes
from .text import HINT, KIND_WEIGHTS, answer_loss, draw_questions, hint, hint_loss
from .words import IGNORE, Words

MEMORY_ID = -1
SYSTEMS = ("generic", "compressor", "relevance")
BRANCHES = 5


def build_svlm(sizes: Sizes, vocabulary: int) -> Qwen3VLTextModel:
    """The text half of transformers' Qwen3-VL at nano's size."""
    return Qwen3VLTextModel(Qwen3VLTextConfig(**sizes.text_config(vocabulary)))


@dataclass(frozen=True)
class Layout:
    """Everything about a prefix that does not depend on the segment: ids are filled in later."""

    ids: Tensor
    vision: Tensor
    clocks: Tensor
    positions: Tensor
    following: int


class Reader:
    """Runs the SVLM's text model over a prefix and its branches.

    Args:
        model: the text model.
        words: prompts and tokenizer.
        memory: the memory tokens [1, slot, width], if branches use them.
    """

    def __init__(
        self, model: Qwen3VLTextModel, words: Words, memory: nn.Parameter | None = None
    ) -> None:
        self.model, self.words, self.memory = model, words, memory
        self.layouts = {system: self._layout(system) for system in SYSTEMS}

    def _layout(self, system: str) -> Layout:
        prompts = self.words.prompts
        grid = PatchGrid(PATCHES, GRID, GRID)
        start: TokenMap = (
            prompts.opening()
            if system == "generic"
            else prompts.system(relevance=system == "relevance")
        )
        prompt = concatenate([start, prompts.video(grid, np.arange(PATCHES) + 0.2)])
        positions, following = rope_positions(prompt)
        stamps = np.flatnonzero(prompt.role == 1)
        return Layout(
            torch.from_numpy(prompt.ids.copy()),
            torch.from_numpy(np.flatnonzero(prompt.role == VISION)),
            torch.from_numpy(stamps),
            torch.from_numpy(positions),
            following,
        )

    def __call__(
        self,
        system: str,
        features: tuple[Tensor, list[Tensor]],
        seconds: np.ndarray,
        branches: list[list[list[int]]],
    ) -> tuple[Tensor, Tensor]:
        """Read segments, each with the same number of branches.

        Args:
            system: which system prompt.
            features: merged [segment, 36, width] and deepstack levels alike.
            seconds: [segment, 4], the time before each temporal patch.
            branches: ids of each branch of each segment; ``MEMORY_ID`` stands for the next slot.

        Returns:
            Final-norm states [segment, branch, position, width] and the ids [segment, branch,
            position], padded on the right.
        """
        layout, words, model = self.layouts[system], self.words, self.model
        merged, deep = features
        count, many = len(branches), len(branches[0])
        longest = max(len(ids) for row in branches for ids in row)
        ids = torch.tensor(
            [[b + [words.pad] * (longest - len(b)) for b in row] for row in branches]
        )
        prefix = layout.ids.expand(count, -1).clone()
        prefix[:, layout.clocks] = torch.tensor(
            [[i for second in row for i in words.clock(float(second))] for row in seconds]
        )
        table = model.embed_tokens.weight
        x = table[torch.cat([prefix, ids.view(count, -1).clamp(min=0)], 1)]
        size = layout.ids.shape[0]
        spread = x.new_zeros(count, x.shape[1], x.shape[2])
        x = x.index_copy(1, layout.vision, merged)
        slots = ids == MEMORY_ID
        if self.memory is not None and slots.any():
            order = (slots.cumsum(-1) - 1).view(count, -1)
            at = torch.nn.functional.pad(slots.view(count, -1), (size, 0))
            order = torch.nn.functional.pad(order, (size, 0))
            x = torch.where(at[..., None], self.memory[0][order.clamp(min=0)], x)
        within = torch.arange(longest).repeat(many) + layout.following
        positions = torch.cat([layout.positions, within.expand(3, -1)], 1)
        cos_sin = model.rotary_emb(x, positions[:, None])
        mask = self._mask(size, many, longest)
        for index, layer in enumerate(model.layers):
            x = layer(x, attention_mask=mask, position_embeddings=cos_sin)
            if index < len(deep):
                x = x + spread.index_copy(1, layout.vision, deep[index])
        states = model.norm(x[:, size:])
        return states.view(count, many, longest, -1), ids

    def _mask(self, prefix: int, many: int, longest: int) -> Tensor:
        """[1, 1, position, position]: causal, and branches do not see each other."""
        group = torch.cat([torch.zeros(prefix), torch.arange(many).repeat_interleave(longest) + 1])
        causal = torch.ones(len(group), len(group), dtype=torch.bool).tril()
        same = (group[:, None] == group[None]) | (group[None] == 0)
        return (causal & same)[None, None]


def segment_seconds(index: int, rng: np.random.Generator) -> np.ndarray:
    """Times [4] before the temporal patches of a segment; at times off the usual quarter."""
    shift = 0.25 if rng.random() < 0.8 else float(rng.uniform(0, 0.9))
    return 4.0 * index + np.arange(PATCHES) + shift


def segment_questions(segment: Segment, rng: np.random.Generator, count: int) -> list[Question]:
    """Questions about one segment alone; a caption is the first in three of four."""
    asked = draw_questions(Scene(0, (segment,)), rng, count, KIND_WEIGHTS)
    if rng.random() < 0.75:
        asked[0] = Question(DESCRIBE, caption(segment), "caption", (0,))
    if segment.digit is None and rng.random() < 0.3:
        asked[-1] = Question("", "none", "digit", (0,), segment.shape)
    return asked


def relevance_question(segment: Segment, rng: np.random.Generator) -> tuple[Question, bool]:
    """A question of a whole video, and whether this segment matters to it."""
    roll = rng.random()
    if roll < 0.06:
        return Question(DESCRIBE, "", "caption", (0,)), True
    if roll < 0.14:
        return Question("", "", "most", (0,)), True
    wanted = bool(rng.random() < 0.5)
    if roll < 0.28:
        pool = [segment.color] if wanted else [c for c in COLORS if c != segment.color]
        return Question("", "", "shape", (0,), pool[rng.integers(len(pool))]), wanted
    kinds = ("color", "color", "motion", "digit", "place", "present")
    pool = [segment.shape] if wanted else [s for s in SHAPES if s != segment.shape]
    kind = kinds[rng.integers(len(kinds))]
    return Question("", "", kind, (0,), pool[rng.integers(len(pool))]), wanted


def vlm_batch(
    reader: Reader, bank: Bank, rng: np.random.Generator, batch: int, *, relevance: bool
) -> tuple[Tensor, dict[str, float]]:
    """Loss and first-token accuracies of one batch of ordinary question answering.

    Args:
        relevance: whether the Yes/No prompt with its answer may come (never in joint training).
    """
    words, roll = reader.words, rng.random()
    if relevance:
        system = "generic" if roll < 0.2 else "compressor" if roll < 0.3 else "relevance"
    else:
        system = "generic" if roll < 0.6 else "compressor"
    rows = [int(i) for i in rng.integers(len(bank), size=batch)]
    seconds = np.stack([segment_seconds(int(rng.integers(64)), rng) for _ in rows])
    branches: list[list[list[int]]] = []
    labels: list[list[int]] = []
    spots: list[tuple[int, int, str]] = []
    hints: list[tuple[int, int, int]] = []
    seen: list[tuple[int, int, str]] = []
    matches: list[tuple[int, int, float]] = []
    for row, index in enumerate(rows):
        segment, texts = bank.segments[index], []
        if system == "relevance":
            for _ in range(BRANCHES):
                question, wanted = relevance_question(segment, rng)
                texts.append((question, [words.yes if wanted else words.no]))
        else:
            for question in segment_questions(segment, rng, BRANCHES):
                texts.append((question, words.text(question.answer)))
        branches.append([])
        for branch, (question, answer) in enumerate(texts):
            asked = words.svlm_question(rephrase(question, rng))
            branches[-1].append([*asked, *answer, words.end])
            labels.append([IGNORE] * len(asked) + [*answer, words.end])
            number = row * BRANCHES + branch
            for at, first in hint(words, question, asked, answer):
                shown = actual(segment, question)
                if not shown:
                    hints.append((number, at, first))
                    continue
                seen.append((number, at, shown))
                if system == "relevance":
                    fits = float(shown == question.subject)
                    matches += [(number, i, fits) for i in range(at, len(asked))]
            kind = "relevant" if system == "relevance" else question.kind
            spots.append((number, len(asked), kind))
    states, ids = reader(system, bank.features(rows), seconds, branches)
    longest = ids.shape[-1]
    wanted_ids = torch.tensor([row + [IGNORE] * (longest - len(row)) for row in labels])
    flat, table = states.view(-1, longest, states.shape[-1]), reader.model.embed_tokens.weight
    loss, right = answer_loss(flat, wanted_ids, table)
    loss = loss + HINT * hint_loss(flat, hints, table)
    loss = loss + HINT * seen_loss(flat, seen, table, words)
    if matches:
        rows_at, columns = torch.tensor([m[:2] for m in matches]).T
        logits = flat[rows_at, columns] @ (table[words.yes] - table[words.no])
        fit = torch.tensor([m[2] for m in matches])
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(logits, fit)
    hits: dict[str, list[bool]] = {}
    for row, position, kind in spots:
        if kind == "caption":
            good = right[row][wanted_ids[row] != IGNORE]
            hits.setdefault(kind, []).extend(good.tolist())
        else:
            hits.setdefault(kind, []).append(bool(right[row, position]))
    numbers = {kind: float(np.mean(values)) for kind, values in hits.items()}
    if matches:
        numbers["match"] = float(((logits > 0) == (fit > 0.5)).float().mean())
    return loss, numbers


def svlm_step(reader: Reader, bank: Bank, batch: int) -> Any:
    """The step function of stage 2."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        return vlm_batch(reader, bank, rng, batch, relevance=True)

    return step
