"""Stage 3: the LLM learns to answer from notes in words, in the very prompt it will read later.

A note says of a segment what the questions of this video ask about it, and little else: what an
ideal compressor would have stored. Mostly a note is one soft token, the sum of its words'
embeddings, as a memory token may hold several facts at once; now and then it is plain text.
(Plain text alone left the LLM guessing: it did not learn to bind a shape to its colour.)

Answering takes two hops: find the note that the question's subject names, and carry it to the
answer. Neither pays alone, so both start late; the hint, a loss on the answer at the subject
word itself, makes the first pay at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from tempo_lab.world.questions import KINDS, Question, rephrase
from tempo_lab.world.scenes import Scene, Segment, draw_places, draw_segment, draw_shapes

from .nano_config import Sizes
from .words import IGNORE, Words

LEVELS = (4, 8, 16, 32, 48)
PLAIN_NOTES = 0.15
HINT = 0.5
KIND_WEIGHTS = {
    "color": 0.36, "motion": 0.14, "digit": 0.12, "place": 0.12, "shape": 0.12, "present": 0.08,
    "most": 0.06,
}  # fmt: skip


def build_llm(sizes: Sizes, vocabulary: int) -> Qwen3ForCausalLM:
    """Transformers' Qwen3 at nano's size."""
    return Qwen3ForCausalLM(Qwen3Config(**sizes.llm_config(vocabulary)))


def draw_video(rng: np.random.Generator, segments: int) -> Scene:
    """A scene for training: chapters, and one to three shapes that appear once."""
    shapes = draw_shapes(rng, segments, int(rng.integers(1, 4)))
    places = draw_places(rng, segments)
    drawn = [draw_segment(rng, place=p, shape=s) for p, s in zip(places, shapes, strict=True)]
    return Scene(0, tuple(drawn))


def draw_questions(
    scene: Scene, rng: np.random.Generator, count: int, weights: dict[str, float] = KIND_WEIGHTS
) -> list[Question]:
    """Random questions of a scene; fewer where it has no question of any kind."""
    pool = {kind: made for kind in weights if (made := KINDS[kind](scene))}
    kinds = list(pool)
    chance = np.array([weights[kind] for kind in kinds])
    picked = rng.choice(len(kinds), size=count, p=chance / chance.sum())
    chosen = []
    for index in picked:
        options = pool[kinds[index]]
        if kinds[index] == "present":  # as many "no" as "yes"
            wanted = "yes" if rng.random() < 0.5 else "no"
            options = [q for q in options if q.answer == wanted] or options
        chosen.append(options[rng.integers(len(options))])
    return chosen


def note(segment: Segment, asked: set[str], rng: np.random.Generator) -> str:
    """Words about a segment: the attributes in ``asked``, or now and then a word nobody needs."""
    if not asked:
        if rng.random() < 0.5:
            return ""
        asked = {"shape"} if rng.random() < 0.6 else {"place"}
    words = [
        str(getattr(segment, name))
        for name in ("color", "shape", "motion", "place", "digit")
        if name in asked and getattr(segment, name) is not None
    ]
    return " " + " ".join(words)


def needed(question: Question) -> set[str]:
    """Attributes that a note must hold to answer."""
    if question.kind == "most":
        return {"place"}
    if question.kind == "present":
        return {"shape"}
    return {"shape", "color"} if question.kind == "shape" else {"shape", question.kind}


@dataclass
class Conversation:
    """One video in notes and the questions about it.

    Attributes:
        ids: what is read; of a note's words the first.
        extra: (position, id) of a note's other words, added to the first.
        labels: ids of answers and their ends, ``IGNORE`` elsewhere.
        spots: (position, kind) of each answer.
        hints: (position of a question's subject, first id of its answer).
    """

    ids: list[int]
    extra: list[tuple[int, int]]
    labels: list[int]
    spots: list[tuple[int, str]]
    hints: list[tuple[int, int]]


def hint(
    words: Words, question: Question, piece: list[int], answer: list[int]
) -> list[tuple[int, int]]:
    """(position within the piece, first answer id), at the last mention of the subject."""
    if not question.subject:
        return []
    names = {words.text(question.subject)[0], words.text(f" {question.subject}")[0]}
    at = [i for i, token in enumerate(piece) if token in names]
    return [(at[-1], answer[0])] if at else []


def conversation(words: Words, scene: Scene, rng: np.random.Generator, turns: int) -> Conversation:
    """Draw questions about a scene and write the notes that answer them."""
    asked = draw_questions(scene, rng, turns)
    ids, extra = list(words.opening), []
    plain = rng.random() < PLAIN_NOTES
    start = int(rng.integers(0, 60)) if rng.random() < 0.3 else 0
    for index, segment in enumerate(scene.segments):
        wanted: set[str] = set()
        for question in asked:
            if index in question.evidence:
                wanted |= needed(question)
        text = note(segment, wanted, rng)
        ids += words.clock((8 * (start + index) + 4) / 2.0)
        told = words.text(text) if text else []
        if plain:
            ids += told
        elif told:
            extra += [(len(ids), other) for other in told[1:]]
            ids.append(told[0])
    labels = [IGNORE] * len(ids)
    spots: list[tuple[int, str]] = []
    hints: list[tuple[int, int]] = []
    for turn, question in enumerate(asked):
        text = rephrase(question, rng)
        piece = words.llm_question(text) if turn == 0 else words.llm_turn(text)
        answer = [*words.text(question.answer), words.end]
        spots.append((len(ids) + len(piece), question.kind))
        hints += [(len(ids) + at, i) for at, i in hint(words, question, piece, answer)]
        ids += [*piece, *answer]
        labels += [IGNORE] * len(piece) + answer
    return Conversation(ids, extra, labels, spots, hints)


def answer_loss(hidden: Tensor, labels: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of the labelled tokens, and which are right [row, position].

    Args:
        hidden: final-norm states [row, position, width].
        labels: ids [row, position], ``IGNORE`` where nothing is asked; aligned with the ids read.
        embeddings: output embedding [token, width].
    """
    shifted = labels[:, 1:]
    rows, columns = (shifted != IGNORE).nonzero(as_tuple=True)
    logits = F.linear(hidden[rows, columns], embeddings)
    wanted = shifted[rows, columns]
    right = torch.zeros(labels.shape, dtype=torch.bool)
    right[rows, columns + 1] = logits.argmax(-1) == wanted
    return F.cross_entropy(logits, wanted), right


def hint_loss(hidden: Tensor, hints: list[tuple[int, int, int]], embeddings: Tensor) -> Tensor:
    """Mean cross-entropy of (row, position, id) hints."""
    if not hints:
        return hidden.new_zeros(())
    rows, columns, wanted = torch.tensor(hints).T
    return F.cross_entropy(F.linear(hidden[rows, columns], embeddings), wanted)


def pad(rows: list[list[int]], value: int) -> Tensor:
    """Lists of ids as one tensor, filled on the right."""
    length = max(map(len, rows))
    return torch.tensor([row + [value] * (length - len(row)) for row in rows])


def text_step(model: Qwen3ForCausalLM, words: Words, batch: int, seed: int) -> Any:
    """The step function of stage 3, with its curriculum over the number of segments."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        level = state["level"]
        longest = LEVELS[level]
        segments = longest if rng.random() < 0.6 else int(rng.integers(2, longest + 1))
        rows = max(4, min(batch, 2800 // (110 + 6 * segments)))
        made = [
            conversation(words, draw_video(rng, segments), rng, 6) for _ in range(min(rows, batch))
        ]
        ids, labels = pad([m.ids for m in made], words.pad), pad([m.labels for m in made], IGNORE)
        table = model.model.embed_tokens.weight
        x = table[ids]
        extra = [(row, at, i) for row, m in enumerate(made) for at, i in m.extra]
        if extra:
            rows_at, columns, others = torch.tensor(extra).T
            x = x.index_put((rows_at, columns), table[others], accumulate=True)
        hidden = model.model(inputs_embeds=x, use_cache=False).last_hidden_state
        loss, right = answer_loss(hidden, labels, table)
        hints = [(row, at, i) for row, m in enumerate(made) for at, i in m.hints]
        hinted = hint_loss(hidden, hints, table)
        loss = loss + HINT * hinted
        numbers: dict[str, float] = {"hint": float(hinted.detach())}
        hits: dict[str, list[bool]] = {}
        for row, one in enumerate(made):
            for position, kind in one.spots:
                hits.setdefault(kind, []).append(bool(right[row, position]))
        for kind, values in hits.items():
            numbers[kind] = float(np.mean(values))
        accuracy = float(np.mean([v for values in hits.values() for v in values]))
        if segments == longest:
            state["mean"] = 0.9 * state["mean"] + 0.1 * accuracy
        if state["mean"] > 0.85 and level + 1 < len(LEVELS):
            state["level"], state["mean"] = level + 1, 0.5
        return loss, {"accuracy": accuracy, "segments": float(longest), **numbers}

    return step
