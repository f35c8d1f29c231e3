"""Stage 4: the LLM learns to answer from notes, in the same prompt as in later stages.

A note contains what memory should contain about a segment: the items that the questions of this
video are about, one fact per token, in the order of ``target_note``. Each token is the sum of the
embeddings of its words: an item's name and the fact. (From plain text, the LLM only guessed: it did
not learn to bind a shape to its color.)

An answer takes two hops: attend to the note that the question's subject names, and copy it to the
answer. One hop alone does not lower the loss, so both are learned late. The hint, a loss on the
answer at the subject's word, rewards the first hop at once. A time takes a third hop, from the note
to the timestamp before it, which no other kind of question needs. So each note also has to predict
its time after half of the layers, where later layers can use it, and half of the questions ask for
times until these are known. (With 2 to 4 segments, .97 of the times were right after 500 steps if
seven tenths of the questions asked for times; with a fifth, they were still a guess after 250.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from tempo_lab.nano.training.prompt_ids import IGNORE, PromptIds
from tempo_lab.nano.training.recipes import Sizes
from tempo_lab.nano.training.segment_pool import SegmentPool
from tempo_lab.nano.training.target_notes import draw_asked, target_note
from tempo_lab.nano.world.questions import Question, plain, rephrase
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS, Noun, Scene, SceneSegment

LEVELS = (4, 8, 16, 32, 48)
TURNS = ((6,), (1, 3, 6))
"""Questions per conversation, on the first level and later. Several questions share the cost of
reading. A single question has the notes to itself, as it will have memory tokens; counting and
order need that."""

TOKENS = 160
"""Ids that a step reads per row of its batch."""

SHORT_NOTES = (1.0, 0.3)
"""Share of videos whose notes contain only what is asked, on the first level and later. With .6 on
the first level, the LLM learned only colors and events in 1800 steps: it learns not to answer with
facts that notes contain whether or not they are asked."""

FALSE_ALARMS = 0.25
"""Share of irrelevant segments that have a note nevertheless; the others are blank."""
HINT = 0.5
KIND_WEIGHTS = {
    "color": 0.05, "size": 0.06, "motion": 0.08, "position": 0.06, "digit": 0.10, "word": 0.10,
    "place": 0.08, "with": 0.07, "event": 0.06, "multi": 0.14, "present": 0.04, "absence": 0.06,
    "count": 0.12, "order": 0.08, "time": 0.15, "most": 0.08, "two_hop": 0.09, "describe": 0.03,
}  # fmt: skip
"""Relative frequency of each kind of question about a video."""

TIMES_FIRST = {**KIND_WEIGHTS, "time": sum(KIND_WEIGHTS.values()) - KIND_WEIGHTS["time"]}
"""The same until times are known: half of the questions ask for a time."""

KNOWN = 0.9
"""Times are known if more than this share of them is right."""


def build_llm(sizes: Sizes, vocabulary: int) -> Qwen3ForCausalLM:
    """Build transformers' Qwen3 at nano's size."""
    return Qwen3ForCausalLM(Qwen3Config(**sizes.llm_config(vocabulary)))


def short_note(question: Question, segment: SceneSegment, index: int) -> list[list[str]]:
    """Return the part of a note that is asked for, which is easier to learn from at first."""
    tokens = target_note(question, segment, index)
    wanted = set(question.answer.replace(",", "").split())
    return [t for at, t in enumerate(tokens) if not at or (t and t[-1].strip() in wanted)]


def false_alarm(
    questions: list[Question], segment: SceneSegment, index: int, rng: np.random.Generator
) -> list[list[str]]:
    """Return the start of a note about an item that no question is about."""
    asked = {noun.shape for question in questions for noun in question.nouns}
    others = [item for item in segment.items if item.shape not in asked]
    if not others:
        return [[segment.place]]
    item = others[rng.integers(len(others))]
    return target_note(plain("present", nouns=(Noun(item.shape),)), segment, index)[
        : rng.integers(1, 5)
    ]


@dataclass
class Conversation:
    """The notes of one video, and the questions about it.

    Attributes:
        ids: ids to read; a memory token has its first word, a blank one padding.
        extra: (position, id) of a memory token's other words, which are added to the first.
        labels: ids of answers and their ends, ``IGNORE`` elsewhere.
        spots: (position, kind) of each answer's deciding token.
        hints: (position of a question's subject, id of the answer's deciding token).
        dates: (position of a memory token, id of the seconds before it).
    """

    ids: list[int]
    extra: list[tuple[int, int]]
    labels: list[int]
    spots: list[tuple[int, str]]
    hints: list[tuple[int, int]]
    dates: list[tuple[int, int]]


def answer_position(words: PromptIds, question: Question, answer: list[int]) -> int:
    """Return the position of an answer's deciding token: the first, or a time's last two digits."""
    return 2 if question.kind == "time" and answer[0] == words.text("at")[0] else 0


def hint(
    words: PromptIds, question: Question, piece: list[int], answer: list[int]
) -> list[tuple[int, int]]:
    """Return [(position in the piece, deciding id)] where a question names its last item."""
    name = question.nouns[-1].shape if question.nouns else ""
    if question.kind in ("describe", "two_hop"):
        number = int(question.fill[-1])
        name = str(number) if number < 100 else f"{number % 100:02d}"
    names = {words.text(name)[0], words.text(f" {name}")[0]} if name else set()
    at = [i for i, token in enumerate(piece) if token in names]
    return [(at[-1], answer[answer_position(words, question, answer)])] if at else []


def conversation(
    words: PromptIds,
    scene: Scene,
    rng: np.random.Generator,
    turns: int,
    weights: dict[str, float] = KIND_WEIGHTS,
    short: bool = False,
) -> Conversation:
    """Draw questions about a scene by the kinds' weights, and write notes that answer them."""
    start = 0
    asked = draw_asked(scene, rng, turns, weights)
    if rng.random() < 0.3 and not any(q.kind in ("time", "describe") for q in asked):
        start = int(rng.integers(0, 60))
    blanks = int(rng.integers(5))
    ids, extra, dates = list(words.opening), [], []
    for index, segment in enumerate(scene.segments):
        tokens: list[list[str]] = []
        for question in asked:
            new = (short_note if short else target_note)(question, segment, index)
            if not all(token in tokens for token in new):
                tokens += new
        if not tokens:
            alarm = rng.random() < FALSE_ALARMS
            tokens = false_alarm(asked, segment, index, rng) if alarm else [[]] * blanks
        clock = words.timestamp(SEGMENT_SECONDS * (start + index + 0.5))
        ids += clock
        dates += [(len(ids) + at, clock[1]) for at, token in enumerate(tokens) if token]
        for token in tokens:
            spellings = [words.text(word)[0] for word in token] or [words.pad]
            extra += [(len(ids), other) for other in spellings[1:]]
            ids.append(spellings[0])
    labels = [IGNORE] * len(ids)
    spots: list[tuple[int, str]] = []
    hints: list[tuple[int, int]] = []
    for turn, question in enumerate(asked):
        text = rephrase(question, rng)
        piece = words.llm_question(text) if turn == 0 else words.llm_turn(text)
        answer = [*words.text(question.answer), words.end]
        spot = len(ids) + len(piece) + answer_position(words, question, answer)
        spots.append((spot, question.kind))
        hints += [(len(ids) + at, i) for at, i in hint(words, question, piece, answer)]
        ids += [*piece, *answer]
        labels += [IGNORE] * len(piece) + answer
    return Conversation(ids, extra, labels, spots, hints, dates)


def answer_loss(hidden: Tensor, labels: Tensor, embeddings: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy of labeled tokens, and which are right [row, position].

    Args:
        hidden: final-norm states [row, position, width].
        labels: ids [row, position], ``IGNORE`` where nothing is asked, aligned with the ids read.
            They are on the CPU, like the right tokens, as both are read one number at a time.
        embeddings: output embedding [token, width].
    """
    shifted = labels[:, 1:]
    rows, columns = at = (shifted != IGNORE).nonzero().T
    wanted = shifted[rows, columns].to(hidden.device)
    logits = F.linear(hidden[tuple(at.to(hidden.device))], embeddings)
    right = torch.zeros(labels.shape, dtype=torch.bool)
    right[rows, columns + 1] = (logits.argmax(-1) == wanted).cpu()
    return F.cross_entropy(logits, wanted), right


def hint_loss(hidden: Tensor, hints: list[tuple[int, int, int]], embeddings: Tensor) -> Tensor:
    """Return the mean cross-entropy of (row, position, id) hints."""
    if not hints:
        return hidden.new_zeros(())
    rows, columns, wanted = torch.tensor(hints).to(hidden.device).T
    return F.cross_entropy(F.linear(hidden[rows, columns], embeddings), wanted)


def read(model: Qwen3ForCausalLM, x: Tensor) -> tuple[Tensor, Tensor]:
    """Run the LLM on embeddings [row, position, width].

    Returns:
        Final-norm states after all layers and after half of them, each [row, position, width].
    """
    out = model.model(inputs_embeds=x, use_cache=False, output_hidden_states=True)
    middle = out.hidden_states[(model.config.num_hidden_layers + 1) // 2]
    return out.last_hidden_state, model.model.norm(middle)


def pad(rows: list[list[int]], value: int, length: int = 0) -> Tensor:
    """Return lists of ids as one tensor, padded on the right to at least that length."""
    length = max(length, *map(len, rows))
    return torch.tensor([row + [value] * (length - len(row)) for row in rows])


def text_step(model: Qwen3ForCausalLM, words: PromptIds, pool: SegmentPool, batch: int) -> Any:
    """Return the step function of stage 4, with its curriculum over the number of segments."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        level = state["level"]
        longest = LEVELS[level]
        segments = longest if rng.random() < 0.6 else int(rng.integers(2, longest + 1))
        weights = KIND_WEIGHTS if state["times"] > KNOWN else TIMES_FIRST
        made: list[Conversation] = []
        while sum(len(m.ids) for m in made) < TOKENS * batch:
            turns = int(rng.choice(TURNS[min(level, 1)]))
            scene = pool.video(rng, segments)[1]
            short = rng.random() < SHORT_NOTES[min(level, 1)]
            made.append(conversation(words, scene, rng, turns, weights, short))
        ids, labels = pad([m.ids for m in made], words.pad), pad([m.labels for m in made], IGNORE)
        table = model.model.embed_tokens.weight
        x = table[ids.to(table.device)]
        extra = [(row, at, i) for row, m in enumerate(made) for at, i in m.extra]
        if extra:
            rows_at, columns, others = torch.tensor(extra).to(x.device).T
            x = x.index_put((rows_at, columns), table[others], accumulate=True)
        hidden, middle = read(model, x)
        loss, right = answer_loss(hidden, labels, table)
        hints = [(row, at, i) for row, m in enumerate(made) for at, i in m.hints]
        hinted = hint_loss(hidden, hints, table)
        dates = [(row, at, i) for row, m in enumerate(made) for at, i in m.dates]
        dated = hint_loss(middle, dates, table)
        loss = loss + HINT * (hinted + dated)
        numbers = {"hint": float(hinted.detach()), "date": float(dated.detach())}
        hits: dict[str, list[bool]] = {}
        for row, one in enumerate(made):
            for position, kind in one.spots:
                hits.setdefault(kind, []).append(bool(right[row, position]))
        for kind, values in hits.items():
            numbers[kind] = float(np.mean(values))
        accuracy = float(np.mean([v for values in hits.values() for v in values]))
        state["times"] = 0.9 * state["times"] + 0.1 * numbers.get("time", state["times"])
        if segments == longest:
            state["mean"] = 0.9 * state["mean"] + 0.1 * accuracy
        if state["mean"] > 0.8 and level + 1 < len(LEVELS):
            state["level"], state["mean"] = level + 1, 0.5
        return loss, {"accuracy": accuracy, "segments": float(longest), **numbers}

    return step
