"""How the words for shapes and colours come to match what is seen."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.world.questions import Question
from tempo_lab.world.scenes import COLORS, SHAPES, Segment

from .bank import Bank
from .vision import targets
from .words import Words


@torch.no_grad()
def name_what_is_seen(model: Qwen3VLTextModel, bank: Bank, words: Words, size: float = 1.0) -> None:
    """Give the words for shapes and colours a share of what such things look like.

    The mean visual feature of objects of a shape, apart from that of all objects, is added to the
    embedding of the shape's word, so that attention can match a word with what is seen from the
    first step, as it matches a word with itself. From unrelated embeddings the Yes/No instinct
    did not start within 1400 steps.

    Args:
        size: length of what is added, in mean lengths of the embedding's rows.
    """
    rows = np.arange(min(len(bank), 4096))
    segments = [bank.segments[row] for row in rows]
    at = targets(segments)["shape"].reshape(len(rows), -1) < len(SHAPES)  # [row, token]
    features = bank.merged[: len(rows)].float()
    table = model.embed_tokens.weight
    length = size * float(table.norm(dim=-1).mean())
    for names, attribute in ((SHAPES, "shape"), (COLORS, "color")):
        labels = np.array([names.index(getattr(segment, attribute)) for segment in segments])
        means = torch.stack(
            [
                features[torch.from_numpy(at & (labels == index)[:, None])].mean(0).nan_to_num()
                for index in range(len(names))
            ]
        )
        means = means - means.mean(0)
        means = means / means.norm(dim=-1).mean().clamp(min=1e-6) * length
        for name, mean in zip(names, means, strict=True):
            for word in (name, f" {name}"):
                table[words.text(word)[0]] += mean


def actual(segment: Segment, question: Question) -> str:
    """What the segment shows of the kind of thing that the question names ("moon" for a star).

    For the hints of a question that may not fit the segment: what is there is asked for at the
    subject word, and whether it fits from there on. Without them Yes and No stayed guesses.
    """
    if question.subject in SHAPES:
        return segment.shape if question.kind == "present" or not question.answer else ""
    return segment.color if question.subject in COLORS and not question.answer else ""


def seen_loss(
    flat: Tensor, seen: list[tuple[int, int, str]], table: Tensor, words: Words
) -> Tensor:
    """Cross-entropy of what is there at (row, position), among all shapes or all colours."""
    total = flat.new_zeros(())
    for names in (SHAPES, COLORS):
        mine = [entry for entry in seen if entry[2] in names]
        if mine:
            choices = table[[words.text(name)[0] for name in names]]
            states = flat[[m[0] for m in mine], [m[1] for m in mine]]
            wanted = torch.tensor([names.index(m[2]) for m in mine])
            total = total + F.cross_entropy(states @ choices.T, wanted)
    return total
