"""Stages 2 and 3: train the SVLM as an ordinary small vision-language model that answers Yes or No.

It answers questions about one segment, says whether the segment is relevant, and writes a note for
memory: first word after word, then each word independently, as memory tokens will be computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLTextConfig
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextModel

from tempo_lab.nano.training.branched_forward import BranchedForward, segment_seconds
from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.init_and_aux_losses import happening_loss, naming_loss
from tempo_lab.nano.training.llm_stage import HINT, answer_loss, hint, hint_loss, pad
from tempo_lab.nano.training.prompt_ids import IGNORE, PromptIds
from tempo_lab.nano.training.recipes import Sizes
from tempo_lab.nano.training.target_notes import (
    LOCAL,
    LONG,
    answer,
    draw_kind,
    note_text,
    segment_question,
    target_note,
)
from tempo_lab.nano.world.questions import Question, relevant, rephrase

BRANCHES = 5


def build_svlm(sizes: Sizes, vocabulary: int) -> Qwen3VLTextModel:
    """Build the text model of transformers' Qwen3-VL at nano's size."""
    return Qwen3VLTextModel(Qwen3VLTextConfig(**sizes.text_config(vocabulary)))


RELEVANT = {
    **LOCAL, "position": 0.06, "event": 0.06, "multi": 0.08, "two_hop": 0.1, "describe": 0.18,
    "caption": 0.02,
}  # fmt: skip
"""Relative frequency of each kind of question, in batches that ask for relevance or a note."""


def draw_question(
    bank: FeatureBank,
    row: int,
    index: int,
    rng: np.random.Generator,
    weights: dict[str, float],
    own: float,
) -> Question:
    """Return a random question to ask about a row of the bank.

    Args:
        index: number of the segment in its video.
        own: probability that the question is made from the segment itself.
    """
    segment = bank.segments[row]
    while True:
        mine = rng.random() < own
        source = segment if mine else bank.segments[int(rng.integers(len(bank)))]
        question = segment_question(segment, index, source, rng, draw_kind(rng, weights))
        if question:
            return question


WITH_NOTE = 0.5
"""Share of relevance batches in which a note follows."""


def form(words: PromptIds, slots: int) -> list[int]:
    """Return the ids of the numbers 1 to ``slots``; at each, the compressor predicts a note's word.

    Memory tokens start as these numbers: each word is predicted without reading those before it.
    """
    return [words.text(f" {number}")[0] for number in range(1, slots + 1)]


def vlm_batch(
    reader: BranchedForward,
    bank: FeatureBank,
    rng: np.random.Generator,
    batch: int,
    *,
    slots: int = 0,
    relevance: bool = True,
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss and accuracies of one batch of questions to the SVLM alone.

    Without a system prompt, the SVLM answers. With the compressor's prompt, it says whether there
    is anything to store ("Yes" or "No" if the prompt asks for relevance) and writes its note.

    Args:
        slots: slots of the form in which it writes its note; 0 to write one word after another.
        relevance: whether the Yes/No prompt may occur (never in joint training).
    """
    words, roll = reader.words, rng.random()
    if relevance:
        system = "generic" if roll < 0.2 else "compressor" if roll < 0.45 else "relevance"
    else:
        system = "generic" if roll < 0.6 else "compressor"
    asking, generic = system == "relevance", system == "generic"
    weights = LONG if generic and rng.random() < 0.3 else LOCAL if generic else RELEVANT
    noted = not generic and (not asking or rng.random() < WITH_NOTE)
    no, yes = (words.no, words.yes) if asking else (words.text(w)[0] for w in ("nothing", "note"))
    numbers, none = form(words, slots), words.text(" none")[0]
    branches: list[list[list[int]]] = []
    firsts: list[list[int]] = []
    notes: list[list[int]] = []
    times = []
    spots: list[tuple[int, int, str]] = []
    hints: list[tuple[int, int, int]] = []
    matches: list[tuple[int, int, float]] = []
    rows = [int(row) for row in rng.integers(len(bank), size=batch)]
    for row in rows:
        segment, index = bank.segments[row], int(rng.integers(64))
        times.append(segment_seconds(index, rng))
        branches.append([])
        for _ in range(BRANCHES):
            question = draw_question(bank, row, index, rng, weights, 0.8 if generic else 0.6)
            fits = relevant(question, segment, index)
            asked = words.svlm_question(rephrase(question, rng))
            number, before = len(firsts), [IGNORE] * len(asked)
            if generic:
                said = [*words.text(answer(question, segment, index)), words.end]
                branches[-1].append([*asked, *said])
            else:
                said = [yes if fits else no]
                text = note_text(target_note(question, segment, index)) if fits else ""
                note = words.text(f" {text}") if fits else []
                if noted and numbers:
                    read, note = numbers, [*note, *[none] * slots][:slots]
                else:
                    read, note = [*said, *note], [*note, words.end]
                branches[-1].append([*asked, *(read if noted else said), words.end])
                notes.append([*before, IGNORE, *note])
            firsts.append([*before, *said])
            at = hint(words, question, asked, said)
            if asking:
                spots_after = [i for spot, _ in at for i in range(spot, len(asked))]
                matches += [(number, i, float(fits)) for i in spots_after]
            else:
                hints += [(number, spot, first) for spot, first in at]
            kind = question.kind if generic else f"{system} {question.kind}"
            spots.append((number, len(asked), kind))
    states, ids, visual = reader(system, bank.features(rows), np.stack(times), branches)
    longest = ids.shape[-1]
    flat, table = states.view(-1, longest, states.shape[-1]), reader.model.embed_tokens.weight
    wanted_ids = pad(firsts, IGNORE, longest)
    loss, right = answer_loss(flat, wanted_ids, table)
    reached: dict[str, float] = {}
    if noted:
        wanted_notes = pad(notes, IGNORE, longest)
        note_loss, said_right = answer_loss(flat, wanted_notes, table)
        loss = loss + note_loss
        says = (wanted_notes != IGNORE) & (wanted_notes != none)
        reached["note"] = float(said_right[says].float().mean())
    loss = loss + HINT * hint_loss(flat, hints, table)
    shown = [bank.segments[row] for row in rows]
    named = naming_loss(visual, shown, table, words)
    happened = happening_loss(visual, shown, table, words)
    loss = loss + HINT * (named + happened)
    if matches:
        rows_at, columns = torch.tensor([m[:2] for m in matches]).to(flat.device).T
        logits = flat[rows_at, columns] @ (table[words.yes] - table[words.no])
        fit = torch.tensor([m[2] for m in matches]).to(flat.device)
        loss = loss + torch.nn.functional.binary_cross_entropy_with_logits(logits, fit)
    hits: dict[str, list[bool]] = {}
    for number, position, kind in spots:
        if kind in LONG:
            good = right[number][wanted_ids[number] != IGNORE]
            hits.setdefault(kind, []).extend(good.tolist())
        else:
            hits.setdefault(kind, []).append(bool(right[number, position]))
    reached |= {kind: float(np.mean(values)) for kind, values in hits.items()}
    reached["naming loss"] = float(named.detach())
    reached["happening loss"] = float(happened.detach())
    asked_of = [v for kind, values in hits.items() for v in values if kind.startswith("relevance")]
    if asked_of:
        reached["relevant"] = float(np.mean(asked_of))
    return loss, reached


def svlm_step(reader: BranchedForward, bank: FeatureBank, batch: int, slots: int = 0) -> Any:
    """Return the step function of stage 2, or of stage 3 with the slots of a form."""

    def step(rng: np.random.Generator, number: int, state: dict[str, Any]) -> Any:
        return vlm_batch(reader, bank, rng, batch, slots=slots)

    return step
