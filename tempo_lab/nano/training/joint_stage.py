"""Stages 5 to 8: memory tokens and projector connect the SVLM to the LLM.

Alignment, single segments, short videos and long videos use one step function with different
shapes. Memory tokens start as the numbers of the SVLM's form. A loss compares them with their
target notes, while the LLM learns to answer from them. The relevance answer is never trained here.
A recipe that also tunes the SVLM continues to train its question answering in half of the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import Qwen3ForCausalLM
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.nano.training.branched_forward import MEMORY_ID, BranchedForward, segment_seconds
from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.llm_stage import HINT, answer_loss, hint, hint_loss, pad, read
from tempo_lab.nano.training.prompt_ids import IGNORE, PromptIds
from tempo_lab.nano.training.recipes import Sizes
from tempo_lab.nano.training.sampling import (
    RECALLED,
    Rows,
    Shape,
    TrainingVideo,
    draw_kept_slots,
    draw_video,
)
from tempo_lab.nano.training.svlm_stage import vlm_batch
from tempo_lab.nano.training.target_notes import target_note
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS

WRITTEN = 1.0
"""Weight of the distance between memory tokens and their target notes."""

NOISE = 0.5
"""Noise of recalled notes, relative to their root mean square: memory is as far from its notes."""


class MemoryParameters(nn.Module):
    """The learnable memory tokens and the projector."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.compression_tokens = nn.Parameter(torch.randn(1, sizes.memory, sizes.width) * 0.3)
        last = nn.Linear(sizes.width, sizes.width)
        with torch.no_grad():  # or memory starts six times as far from its notes as zeros are
            last.weight.mul_(0.3)
        self.mm_projector = nn.Sequential(nn.Linear(sizes.width, sizes.width), nn.GELU(), last)


class JointModel:
    """The models that are trained together.

    Args:
        svlm, llm: the two language models.
        memory: memory tokens and projector.
        words: prompts.
        bank: visual features.
    """

    def __init__(
        self,
        svlm: Qwen3VLTextModel,
        llm: Qwen3ForCausalLM,
        memory: MemoryParameters,
        words: PromptIds,
        bank: FeatureBank,
    ) -> None:
        self.reader = BranchedForward(svlm, words, memory.compression_tokens)
        self.llm, self.memory, self.words, self.bank = llm, memory, words, bank
        self.slots = memory.compression_tokens.shape[1]

    def compress(
        self, system: str, rows: list[int], seconds: npt.NDArray[Any], texts: list[list[str]]
    ) -> Tensor:
        """Return projected memory [segment, question, slot, width] of segments and questions."""
        tail = [MEMORY_ID] * self.slots
        branches = [[self.words.svlm_question(t) + tail for t in row] for row in texts]
        states, ids, _ = self.reader(system, self.bank.features(rows), seconds, branches)
        found = states[ids == MEMORY_ID]
        shape = (len(rows), len(texts[0]), self.slots, -1)
        projected: Tensor = self.memory.mm_projector(found).view(shape)
        return projected

    def compress_videos(
        self, system: str, videos: list[TrainingVideo], rng: np.random.Generator, partial: bool
    ) -> Tensor:
        """Return projected memory of the segments of all videos, one video after another.

        With ``partial``, gradients flow only through segments that contain evidence and a random
        quarter of the others.
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

    def notes(self, videos: list[TrainingVideo]) -> tuple[Tensor, Tensor]:
        """Return the target notes of memory, in the LLM's embeddings.

        Returns:
            The sum of the embeddings of each token's words [segment, question, slot, width] (a
            blank token has the padding's), and whether it has words [segment, question, slot].
        """
        words, empty = self.words, [[self.words.pad]] * self.slots
        ids: list[list[list[int]]] = []
        for video in videos:
            for index, segment in enumerate(video.scene.segments, video.start):
                for question in video.questions:
                    note = target_note(question, segment, index)[: self.slots]
                    tokens = [[words.text(word)[0] for word in t] or [words.pad] for t in note]
                    ids.append(tokens + empty[len(tokens) :])
        most = max(len(token) for row in ids for token in row)
        flat = torch.tensor([[t + [IGNORE] * (most - len(t)) for t in row] for row in ids])
        flat = flat.unflatten(0, (-1, len(videos[0].questions)))
        with torch.no_grad():
            table = self.llm.model.embed_tokens.weight
            at = flat.to(table.device)
            wanted: Tensor = (table[at.clamp(min=0)] * (at != IGNORE)[..., None]).sum(-2)
        return wanted, at[..., 0] != words.pad

    def written(self, videos: list[TrainingVideo], memory: Tensor) -> Tensor:
        """Return the distance of projected memory from its target notes; zeros would be about 1.

        It is the mean squared distance divided by the notes' mean square; tokens with words and
        blank tokens have equal weight.

        Args:
            memory: [segment, question, slot, width].
        """
        wanted, says = self.notes(videos)
        off = (memory - wanted).square().mean(-1) / wanted.square().mean()
        return torch.stack([off[part].mean() for part in (says, ~says) if part.any()]).mean()

    def answers(
        self, videos: list[TrainingVideo], memory: Tensor, kept: list[list[list[Rows]]]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Let the LLM answer all questions from the memory tokens that are kept.

        Args:
            videos: the videos with their questions.
            memory: [segment of all videos, question, slot, width].
            kept: by video, question and segment, the slots that the LLM reads, in that order. A
                segment without any slot has no timestamp either.

        Returns:
            The LLM's loss over all questions, the loss of hints and dates, right tokens, labels.
        """
        words = self.words
        ids: list[list[int]] = []
        labels: list[list[int]] = []
        slots: list[tuple[int, int, int]] = []
        hints: list[tuple[int, int, int]] = []
        dates: list[tuple[int, int, int]] = []
        first, asked = 0, memory.shape[1]
        for video, of_video in zip(videos, kept, strict=True):
            for q, question in enumerate(video.questions):
                row = list(words.opening)
                for index, chosen in enumerate(of_video[q]):
                    if not len(chosen):
                        continue
                    clock = words.timestamp(SEGMENT_SECONDS * (video.start + index + 0.5))
                    row += clock
                    if question.kind == "time" and index in question.evidence:
                        dates += [(len(ids), len(row) + k, clock[1]) for k in range(len(chosen))]
                    at = ((first + index) * asked + q) * self.slots
                    slots += [(len(ids), len(row) + k, at + int(s)) for k, s in enumerate(chosen)]
                    row += [words.pad] * len(chosen)
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


def right_by_kind(videos: list[TrainingVideo], right: Tensor, labels: Tensor) -> dict[str, float]:
    """Return by kind the share of right answers; for captions, the share of right words."""
    hits: dict[str, list[bool]] = {}
    asked = [question for video in videos for question in video.questions]
    for row, question in enumerate(asked):
        good = right[row][labels[row] != IGNORE]
        whole = good.tolist() if question.kind == "caption" else [bool(good.all())]
        hits.setdefault(question.kind, []).extend(whole)
    return {kind: float(np.mean(values)) for kind, values in hits.items()}


def joint_step(joint: JointModel, shape: Shape, *, keep_prior: bool) -> Callable[..., Any]:
    """Return the step function of one joint stage."""

    def asked(
        videos: list[TrainingVideo], memory: Tensor, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, dict[str, float]]:
        kept = [
            [draw_kept_slots(q, len(v.rows), joint.slots, shape.truncate, rng) for q in v.questions]
            for v in videos
        ]
        loss, hinted, right, labels = joint.answers(videos, memory, kept)
        return loss, hinted, right_by_kind(videos, right, labels)

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        videos = [draw_video(joint.bank, rng, shape) for _ in range(shape.videos)]
        system = "relevance" if rng.random() < 0.5 else "compressor"
        memory = joint.compress_videos(system, videos, rng, shape.partial)
        answers, hinted, numbers = asked(videos, memory, rng)
        written = joint.written(videos, memory)
        losses = {"answers": answers, "hint": hinted, "written": written}
        loss = answers + HINT * hinted + WRITTEN * written
        if shape.recalled:
            others = replace(shape, weights=RECALLED)
            videos = [draw_video(joint.bank, rng, others) for _ in range(shape.recalled)]
            notes, _ = joint.notes(videos)
            noise = torch.from_numpy(rng.standard_normal(notes.shape, np.float32)).to(notes.device)
            notes = notes + NOISE * notes.square().mean().sqrt() * noise
            losses["recalled"], hinted, found = asked(videos, notes, rng)
            loss = loss + losses["recalled"] + HINT * hinted
            numbers |= {f"recalled {kind}": value for kind, value in found.items()}
        if keep_prior and rng.random() < 0.5:
            losses["svlm"], _ = vlm_batch(joint.reader, joint.bank, rng, 6, relevance=False)
            loss = loss + 0.5 * losses["svlm"]
        return loss, {name: float(each.detach()) for name, each in losses.items()} | numbers

    return step
