"""Stages 5 to 8: memory tokens and projector tie the SVLM to the LLM.

Alignment, single segments, short videos, long videos are one step function with different shapes.
Memory tokens begin as the numbers of the SVLM's form and are held to the notes that they should be,
while the LLM learns to answer from them. The relevance answer is never trained here; a recipe that
tunes the SVLM too goes on with its question answering in half of the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.world.questions import Question, relevant, rephrase
from tempo_lab.world.scenes import SEGMENT_SECONDS, Scene

from .bank import Bank
from .nano_config import Sizes
from .notes import answer, draw_asked, note, spared
from .reader import MEMORY_ID, Reader, segment_seconds
from .svlm import draw_question, vlm_batch
from .text import HINT, KIND_WEIGHTS, answer_loss, hint, hint_loss, pad, read
from .words import IGNORE, Words

Rows = npt.NDArray[np.int64]
SINGLE = {
    "color": 0.07, "size": 0.04, "motion": 0.06, "position": 0.07, "digit": 0.15, "word": 0.15,
    "place": 0.04, "with": 0.09, "event": 0.1, "present": 0.04, "absence": 0.07, "time": 0.08,
    "multi": 0.2, "describe": 0.03, "caption": 0.07, "most": 0.03,
}  # fmt: skip
"""How often a question about a video of one segment is of each kind."""

SEVERAL = {**KIND_WEIGHTS, "count": 0.24, "order": 0.12, "two_hop": 0.12, "position": 0.12}
"""The same of longer ones. What takes several segments is least known from the LLM's text, and the
second word of a corner from single ones."""

CUT_EVIDENCE = 0.2
"""Share of truncated rows in which what is asked about is cut off, too."""

WRITTEN = 1.0
"""Weight of the distance between memory tokens and the notes that they should be."""


class Memory(nn.Module):
    """The learnable memory tokens and the projector."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.compression_tokens = nn.Parameter(torch.randn(1, sizes.memory, sizes.width) * 0.3)
        last = nn.Linear(sizes.width, sizes.width)
        with torch.no_grad():  # or memory begins six times as far from its notes as nothing is
            last.weight.mul_(0.3)
        self.mm_projector = nn.Sequential(nn.Linear(sizes.width, sizes.width), nn.GELU(), last)


@dataclass(frozen=True)
class Shape:
    """What the videos of a stage look like.

    Attributes:
        videos, shortest, longest: videos a step and their lengths in segments.
        asked: questions a video.
        truncate: share of questions whose memory is truncated.
        weights: of the kinds of questions about several segments.
        partial: gradient only through relevant and some random segments.
    """

    videos: int
    shortest: int
    longest: int
    asked: int
    truncate: float
    weights: dict[str, float]
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
    rows, scene = bank.video(rng, count)
    if count == 1:
        start = int(rng.integers(64))
        asked = [single(bank, rows[0], start, rng) for _ in range(shape.asked)]
    else:
        asked = draw_asked(scene, rng, shape.asked, shape.weights)
        anywhen = not any(q.kind in ("time", "describe") for q in asked)
        start = int(rng.integers(64)) if anywhen and rng.random() < 0.3 else 0
    return Video(rows, scene, start, asked, [rephrase(q, rng) for q in asked])


def single(bank: Bank, row: int, index: int, rng: np.random.Generator) -> Question:
    """A question about a video of one segment, the one of that number in a longer one."""
    segment = bank.segments[row]
    while True:
        question = draw_question(bank, row, index, rng, SINGLE, 0.9)
        said = answer(question, segment, index)
        if not spared(question.kind, said, rng):
            break
    fits = relevant(question, segment, index)
    if question.kind == "time" and fits:
        said = f"at {SEGMENT_SECONDS * (index + 0.5):.0f} seconds"
    return replace(question, answer=said, evidence=(0,) if fits else ())


def kept(
    question: Question, segments: int, slots: int, truncate: float, rng: np.random.Generator
) -> Rows:
    """How many memory tokens the LLM gets of each segment [segment].

    Mostly the shape that ATA gives: all of a relevant segment, one to four tokens of the others,
    now and then more for one that was taken for relevant. Of a relevant segment any number of
    tokens may be left, but seldom: the LLM has to learn what to make of a note that was cut off,
    and the details are not to move to the front.
    """
    full = np.full(segments, slots)
    if rng.random() >= truncate:
        return full
    if question.kind == "most" and segments > 1:
        return rng.integers(1, slots // 2 + 1, segments)
    lengths = rng.integers(1, 5, segments) if rng.random() < 0.4 else full * 0 + rng.integers(1, 5)
    lengths[rng.random(segments) < 0.06] = slots
    evidence = list(question.evidence)
    lengths[evidence] = int(rng.integers(1, slots + 1)) if rng.random() < CUT_EVIDENCE else slots
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
        states, ids, _ = self.reader(system, self.bank.features(rows), seconds, branches)
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
        return torch.cat(parts)[back.to(parts[0].device)]

    def written(self, videos: list[Video], memory: Tensor) -> Tensor:
        """How far projected memory is from its notes in the LLM's words; a guess would be 1 off.

        Mean squared distance to the sum of a note's words' embeddings, as a share of its mean
        square: half of tokens that say something, half of those that are blank.

        Args:
            memory: [segment, question, slot, width].
        """
        words, empty = self.words, [[self.words.pad]] * self.slots
        ids: list[list[list[int]]] = []
        for video in videos:
            for index, segment in enumerate(video.scene.segments, video.start):
                for question in video.questions:
                    told = note(question, segment, index)[: self.slots]
                    tokens = [[words.text(word)[0] for word in t] or [words.pad] for t in told]
                    ids.append(tokens + empty[len(tokens) :])
        most = max(len(token) for row in ids for token in row)
        flat = torch.tensor([[t + [IGNORE] * (most - len(t)) for t in row] for row in ids])
        with torch.no_grad():
            table = self.llm.model.embed_tokens.weight
            at = flat.to(table.device)
            wanted = (table[at.clamp(min=0)] * (at != IGNORE)[..., None]).sum(-2)
            square = wanted.square().mean()
        off = (memory.flatten(0, 1) - wanted).square().mean(-1) / square
        says = at[..., 0] != words.pad
        return torch.stack([off[part].mean() for part in (says, ~says) if part.any()]).mean()

    def answers(
        self, videos: list[Video], memory: Tensor, lengths: list[list[Rows]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """LLM loss over all questions, that of hints and dates, right tokens, the labels."""
        words = self.words
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        slots: list[tuple[int, int, int]] = []
        hints: list[tuple[int, int, int]] = []
        dates: list[tuple[int, int, int]] = []
        first, asked = 0, memory.shape[1]
        for video, counts in zip(videos, lengths, strict=True):
            for q, question in enumerate(video.questions):
                row = list(words.opening)
                for index, count in enumerate(counts[q]):
                    if not count:
                        continue
                    clock = words.clock(SEGMENT_SECONDS * (video.start + index + 0.5))
                    row += clock
                    if question.kind == "time" and index in question.evidence:
                        dates += [(len(ids), len(row) + k, clock[1]) for k in range(count)]
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
        x = table[pad(ids, words.pad).to(table.device)]
        rows_at, columns, source = torch.tensor(slots).to(x.device).T
        x = x.index_put((rows_at, columns), memory.reshape(-1, memory.shape[-1])[source])
        hidden, middle = read(self.llm, x)
        loss, right = answer_loss(hidden, wanted, table)
        return (
            loss,
            hint_loss(hidden, hints, table) + hint_loss(middle, dates, table),
            right,
            wanted,
        )


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
        written = joint.written(videos, memory)
        losses = {"answers": loss, "hint": hinted, "written": written}
        numbers = {name: float(value.detach()) for name, value in losses.items()}
        loss = loss + HINT * hinted + WRITTEN * written
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
