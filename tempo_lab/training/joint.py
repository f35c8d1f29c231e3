"""Stages 4 to 7: memory tokens and projector tie the SVLM to the LLM.

Alignment, single segments, short videos, long videos are one step function with different shapes.
The relevance answer is never trained here; the SVLM's own question answering is, in half of the
steps, so that the prior it brought along stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.world.questions import Question, rephrase
from tempo_lab.world.scenes import Scene, draw_places, draw_shapes

from .bank import Bank
from .nano_config import Sizes
from .svlm import MEMORY_ID, Reader, segment_questions, segment_seconds, vlm_batch
from .text import HINT, KIND_WEIGHTS, answer_loss, draw_questions, hint, hint_loss, pad
from .words import IGNORE, Words

Rows = npt.NDArray[np.int64]


class Memory(nn.Module):
    """The learnable memory tokens and the projector."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.compression_tokens = nn.Parameter(torch.randn(1, sizes.memory, sizes.width) * 0.3)
        self.mm_projector = nn.Sequential(
            nn.Linear(sizes.width, sizes.width), nn.GELU(), nn.Linear(sizes.width, sizes.width)
        )


@dataclass(frozen=True)
class Shape:
    """What the videos of a stage look like.

    Attributes:
        videos, shortest, longest: videos a step and their lengths in segments.
        asked: questions a video.
        truncate: share of questions whose memory is truncated.
        partial: gradient only through relevant and some random segments.
    """

    videos: int
    shortest: int
    longest: int
    asked: int
    truncate: float
    partial: bool = False


@dataclass(frozen=True)
class Video:
    """A training video: rows of the bank, what they show, what is asked."""

    rows: list[int]
    scene: Scene
    start: int
    questions: list[Question]
    texts: list[str]


def draw(bank: Bank, rng: np.random.Generator, shape: Shape) -> Video:
    """A video put together from the bank's rows, with its questions."""
    count = int(rng.integers(shape.shortest, shape.longest + 1))
    if count == 1:
        rows = [int(rng.integers(len(bank)))]
    else:
        shapes = draw_shapes(rng, count, int(rng.integers(1, 4)))
        places = draw_places(rng, count)
        rows = [bank.pick(rng, p, s) for p, s in zip(places, shapes, strict=True)]
    scene = Scene(0, tuple(bank.segments[row] for row in rows))
    if count == 1:
        asked = segment_questions(scene.segments[0], rng, shape.asked)
    else:
        asked = draw_questions(scene, rng, shape.asked, KIND_WEIGHTS)
    start = int(rng.integers(64)) if count == 1 or rng.random() < 0.3 else 0
    return Video(rows, scene, start, asked, [rephrase(q, rng) for q in asked])


def kept(
    question: Question, segments: int, slots: int, truncate: float, rng: np.random.Generator
) -> Rows:
    """How many memory tokens the LLM gets of each segment [segment].

    Mostly the shape that ATA gives: all of a relevant segment, one to four of the others, now and
    then more for one that was taken for relevant. Else one length for all, as a uniform budget has.
    """
    full = np.full(segments, slots)
    if rng.random() >= truncate:
        return full
    common = 2 ** int(rng.integers(0, 5))
    if segments == 1 or question.kind == "most" or rng.random() < 0.2:
        return np.minimum(full, common if segments > 1 else int(rng.integers(1, slots + 1)))
    lengths = rng.integers(1, 5, segments)
    lengths[rng.random(segments) < 0.08] = slots
    if rng.random() < 0.4:
        lengths[:] = rng.integers(1, 5)
    evidence = list(question.evidence)
    lengths[evidence] = slots if rng.random() < 0.7 else int(rng.integers(4, slots + 1))
    if not evidence:
        lengths[rng.integers(segments)] = slots
    return np.minimum(lengths, slots)


class Joint:
    """Everything that is trained together.

    Args:
        svlm, llm: both language models.
        memory: memory tokens and projector.
        words: prompts.
        bank: visual features.
    """

    def __init__(
        self,
        svlm: Qwen3VLTextModel,
        llm: Qwen3ForCausalLM,
        memory: Memory,
        words: Words,
        bank: Bank,
    ) -> None:
        self.reader = Reader(svlm, words, memory.compression_tokens)
        self.llm, self.memory, self.words, self.bank = llm, memory, words, bank
        self.slots = memory.compression_tokens.shape[1]

    def compress(
        self, system: str, rows: list[int], seconds: npt.NDArray[Any], texts: list[list[str]]
    ) -> Tensor:
        """Projected memory [segment, question, slot, width] of segments with their questions."""
        tail = [MEMORY_ID] * self.slots
        branches = [[self.words.svlm_question(t) + tail for t in row] for row in texts]
        states, ids = self.reader(system, self.bank.features(rows), seconds, branches)
        found = states[ids == MEMORY_ID]
        shape = (len(rows), len(texts[0]), self.slots, -1)
        projected: Tensor = self.memory.mm_projector(found).view(shape)
        return projected

    def compress_videos(
        self, system: str, videos: list[Video], rng: np.random.Generator, partial: bool
    ) -> Tensor:
        """Projected memory of all segments of all videos, one after another.

        With ``partial``, gradients flow only through segments that hold evidence and a random
        quarter of the rest.
        """
        rows = [row for video in videos for row in video.rows]
        texts = [video.texts for video in videos for _ in video.rows]
        seconds = np.stack(
            [segment_seconds(v.start + i, rng) for v in videos for i in range(len(v.rows))]
        )
        if not partial:
            return self.compress(system, rows, seconds, texts)
        chosen = rng.random(len(rows)) < rng.uniform(0.15, 0.35)
        first = 0
        for video in videos:
            for question in video.questions:
                if len(question.evidence) <= 4:
                    chosen[[first + i for i in question.evidence]] = True
            first += len(video.rows)
        chosen[0] = True
        parts, order = [], []
        for wanted in (True, False):
            index = np.flatnonzero(chosen == wanted)
            if not len(index):
                continue
            with torch.set_grad_enabled(wanted):
                parts.append(
                    self.compress(
                        system, [rows[i] for i in index], seconds[index], [texts[i] for i in index]
                    )
                )
            order.append(index)
        back = torch.from_numpy(np.argsort(np.concatenate(order)))
        return torch.cat(parts)[back]

    def answers(
        self, videos: list[Video], memory: Tensor, lengths: list[list[Rows]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """LLM loss over all questions, loss of the hints, which tokens are right, the labels."""
        words = self.words
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        slots: list[tuple[int, int, int]] = []
        hints: list[tuple[int, int, int]] = []
        first, asked = 0, memory.shape[1]
        for video, counts in zip(videos, lengths, strict=True):
            for q, question in enumerate(video.questions):
                row = list(words.opening)
                for index, count in enumerate(counts[q]):
                    if not count:
                        continue
                    row += words.clock((8 * (video.start + index) + 4) / 2.0)
                    at = ((first + index) * asked + q) * self.slots
                    slots += [(len(ids), len(row) + k, at + k) for k in range(count)]
                    row += [words.pad] * int(count)
                piece = words.llm_question(video.texts[q])
                answer = [*words.text(question.answer), words.end]
                hints += [
                    (len(ids), len(row) + at, i) for at, i in hint(words, question, piece, answer)
                ]
                labels.append([IGNORE] * (len(row) + len(piece)) + answer)
                ids.append([*row, *piece, *answer])
            first += len(video.rows)
        table = self.llm.model.embed_tokens.weight
        wanted = pad(labels, IGNORE)
        x = table[pad(ids, words.pad)]
        rows_at, columns, source = torch.tensor(slots).T
        x = x.index_put((rows_at, columns), memory.reshape(-1, memory.shape[-1])[source])
        hidden = self.llm.model(inputs_embeds=x, use_cache=False).last_hidden_state
        loss, right = answer_loss(hidden, wanted, table)
        return loss, hint_loss(hidden, hints, table), right, wanted


def joint_step(joint: Joint, shape: Shape, *, keep_prior: bool) -> Callable[..., Any]:
    """The step function of one joint stage."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        videos = [draw(joint.bank, rng, shape) for _ in range(shape.videos)]
        system = "relevance" if rng.random() < 0.5 else "compressor"
        memory = joint.compress_videos(system, videos, rng, shape.partial)
        lengths = [
            [kept(q, len(v.rows), joint.slots, shape.truncate, rng) for q in v.questions]
            for v in videos
        ]
        loss, hinted, right, labels = joint.answers(videos, memory, lengths)
        numbers = {"answers": float(loss.detach()), "hint": float(hinted.detach())}
        loss = loss + HINT * hinted
        hits: dict[str, list[bool]] = {}
        row = 0
        for video in videos:
            for question in video.questions:
                good = right[row][labels[row] != IGNORE]
                hits.setdefault(question.kind, []).extend(
                    good.tolist() if question.kind == "caption" else [bool(good.all())]
                )
                row += 1
        numbers |= {kind: float(np.mean(values)) for kind, values in hits.items()}
        if keep_prior and rng.random() < 0.5:
            extra, _ = vlm_batch(joint.reader, joint.bank, rng, 6, relevance=False)
            loss = loss + 0.5 * extra
            numbers["svlm"] = float(extra.detach())
        return loss, numbers

    return step
