"""Initial weights and auxiliary losses that match words with visual features."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import PATCHES, TOKENS_A_PATCH
from tempo_lab.nano.training.vision_stage import HEIGHTS, SIDES, targets, token_at
from tempo_lab.nano.world.kinds import happening
from tempo_lab.nano.world.scenes import (
    CARDS,
    COLORS,
    EVENT_SECONDS,
    MOTIONS,
    SHAPES,
    SIZES,
    SceneSegment,
)


def _later(words: Iterable[str]) -> tuple[str, ...]:
    """Return words as they are spelled within a text, after another word."""
    return tuple(f" {word}" for word in words)


HAPPENINGS = ("appears", "leaves", "turns", "meets", "none")
"""First words of what happens to an item; the last one means that nothing happens."""

NOTHING_HAPPENS = 0.15
"""Weight of items to which nothing happens; there are ten times as many of them."""

NAMES = {
    "shape": _later(SHAPES),
    "color": _later(COLORS),
    "size": _later(SIZES),
    "card": _later(CARDS),
    "motion": MOTIONS,
    "height": HEIGHTS,
    "side": _later(SIDES),
}
"""Words that name each label. Motions are spelled as at the start of an answer and sides as at its
end, so that "left" is not both."""


LOOKS = {
    "shape": (SHAPES, _later(SHAPES)),
    "color": (COLORS, _later(COLORS)),
    "card": (_later(CARDS),),
}
"""Words whose embeddings start with a share of what they name, by label, in each spelling. Digits
only as spelled in a question: those at the start of a text are also parts of times."""


@torch.no_grad()
def name_what_is_seen(
    model: Qwen3VLTextModel, bank: FeatureBank, words: PromptIds, size: float = 1.0
) -> None:
    """Add mean visual features to the embeddings of the words for shapes, colors and cards.

    The mean visual feature of items of a shape, minus the mean over all shapes, is added to the
    embedding of the shape's word. Attention can then match a word with visual features from the
    first step, as it matches a word with itself. From unrelated embeddings, the Yes/No answer was
    not learned within 1400 steps, and any digit was taken for the digit that a question names.

    Args:
        size: length of the added vectors, relative to the mean length of the embedding's rows.
    """
    rows = np.arange(min(len(bank), 4096))
    labels = targets([bank.segments[row] for row in rows], np.zeros(len(rows), np.int64))
    features = bank.merged[: len(rows), :TOKENS_A_PATCH].float()  # of the first frame pair
    table = model.embed_tokens.weight
    length = size * float(table.norm(dim=-1).mean())
    for attribute, spellings in LOOKS.items():
        at = torch.from_numpy(labels[attribute])  # [row, token]
        looks = range(len(spellings[0]))
        means = torch.stack([features[at == index].mean(0).nan_to_num() for index in looks])
        means = means - means.mean(0)
        means = means / means.norm(dim=-1).mean().clamp(min=1e-6) * length
        for names in spellings:
            for name, mean in zip(names, means, strict=True):
                table[words.text(name)[0]] += mean


@torch.no_grad()
def match_like_with_like(layers: Iterable[nn.Module]) -> None:
    """Set the query projections of attention to the key projections that they are matched with.

    A token then attends to tokens like itself: the word "star" finds stars. From unrelated
    projections, the SVLM still guessed among the visible colors after 550 steps.
    """
    for layer in layers:
        attention: Any = layer.self_attn
        keys = attention.k_proj.weight.view(-1, attention.head_dim, attention.k_proj.in_features)
        repeats = attention.num_key_value_groups
        attention.q_proj.weight.copy_(keys.repeat_interleave(repeats, 0).flatten(0, 1))


def happenings(segments: list[SceneSegment], pair: int) -> npt.NDArray[np.int64]:
    """Return what has happened to items by a frame pair, a label per merged token [segment, 16].

    The label is at the token over the item's center (over its would-be center after it left). It is
    -100 elsewhere, and everywhere before events happen. One frame pair alone does not show an
    event, but a token attends to earlier pairs.
    """
    labels = np.full((len(segments), TOKENS_A_PATCH), -100, np.int64)
    seconds = pair + 0.25
    if seconds < EVENT_SECONDS:
        return labels
    for index, segment in enumerate(segments):
        for item in sorted(segment.items, key=lambda item: bool(item.event)):
            word = (happening(item) or "none").split()[0]
            labels[index, token_at(*item.center(seconds))] = HAPPENINGS.index(word)
    return labels


def happening_loss(
    states: Tensor, segments: list[SceneSegment], table: Tensor, words: PromptIds
) -> Tensor:
    """Return the cross-entropy of the words for events, among these alone, at the items' tokens.

    This loss is separate from the other names, which are a hundred times as many: together with
    them, events were not learned in 1100 steps. Arguments are those of :func:`naming_loss`.
    """
    labels = np.concatenate([happenings(segments, pair) for pair in range(PATCHES)], 1)
    rows, columns = np.nonzero(labels >= 0)
    wanted = torch.from_numpy(labels[rows, columns]).to(states.device)
    ids = np.array([words.text(word)[0] for word in HAPPENINGS])
    weight = torch.tensor([1.0] * (len(HAPPENINGS) - 1) + [NOTHING_HAPPENS])
    logits = F.linear(states[rows, columns], table[ids])
    return F.cross_entropy(logits, wanted, weight=weight.to(states.device))


def naming_loss(
    states: Tensor, segments: list[SceneSegment], table: Tensor, words: PromptIds
) -> Tensor:
    """Return the cross-entropy of the words for what each visual token shows, if it shows anything.

    A token over an item's center has its color, shape, size, motion and corner as targets, with
    equal weight; a token over a card's center has the card's text.

    Args:
        states: the SVLM's final-norm states [segment, token, width].
        segments: the segments of these states.
        table: output embedding [token, width].
    """
    at, wanted = [], []
    for pair in range(PATCHES):
        labels = targets(segments, np.full(len(segments), pair))
        for name, choices in NAMES.items():
            rows, tokens = np.nonzero((labels[name] >= 0) & (labels[name] < len(choices)))
            at.append(np.stack([rows, tokens + pair * TOKENS_A_PATCH], 1))
            ids = np.array([words.text(choice)[0] for choice in choices])
            wanted.append(ids[labels[name][rows, tokens]])
    rows, columns = torch.from_numpy(np.concatenate(at)).to(states.device).T
    logits = F.linear(states[rows, columns], table)
    return F.cross_entropy(logits, torch.from_numpy(np.concatenate(wanted)).to(states.device))
