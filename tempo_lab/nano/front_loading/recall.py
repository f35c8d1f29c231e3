"""Measure what the first, last and random memory tokens of a run contain of held-out segments.

Recall is teacher-forced: a fact of an answer is right if the LLM predicts each of its words from
the correct previous words. Every run answers the same questions, and every random subset is the
same for all runs.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import write_atomic
from tempo_lab.common.progress import progress_bar
from tempo_lab.nano.front_loading.cuts import ARMS
from tempo_lab.nano.front_loading.table import ENDS, write_tables
from tempo_lab.nano.front_loading.training import (
    BASE_STAGES,
    FRONT_LOADING,
    STAGE,
    load_base,
    run_folder,
)
from tempo_lab.nano.training.feature_bank import FeatureBank, make_bank
from tempo_lab.nano.training.joint_stage import JointModel
from tempo_lab.nano.training.prompt_ids import IGNORE, PromptIds
from tempo_lab.nano.training.recipes import PATCHES, Recipe
from tempo_lab.nano.training.sampling import Rows, Shape, TrainingVideo, draw_video
from tempo_lab.nano.training.segment_pool import SegmentPool
from tempo_lab.nano.training.stages import read_note
from tempo_lab.nano.training.target_notes import answer, segment_question
from tempo_lab.nano.training.train import saving_to, shapes, weights_of
from tempo_lab.nano.world.questions import Question, rephrase
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS, Scene

COUNTS = (1, 2, 4, 8)
"""Tokens per segment that are kept, in addition to all of them."""

ONE_WORD = ("color", "size", "motion", "digit", "word", "place", "with")
"""Kinds of questions with a one-word answer. ``with`` asks for another item's color."""

GROUPS = {"one word": 7, "several parts": 4}
"""Groups of questions, and the number of questions of each group per segment."""

SEGMENTS = 400
SEED = 5150
"""Seed of the held-out segments, the questions about them, and the random subsets."""

FACTS = ("color", "size", "motion", "position", "digit", "word", "place", "with")
"""Names of the facts that questions ask for."""

RECALL = "recall.csv.gz"
"""File name of a run's table of recall."""

MEASURED = "recall.json"
"""File name of a note of the weights and questions with which the recall was measured."""

ASKED = "asked.json"
"""File name of the study's note of how often training asks for each fact."""


def conditions(slots: int) -> dict[str, tuple[str, int]]:
    """Return the tokens kept in each column of a table of recall: (end, number of tokens)."""
    cuts = {f"{end}_{k}": (end, k) for k in COUNTS if k < slots for end in ENDS}
    return {**cuts, "all": ("first", slots)}


def draw_group(
    bank: SegmentPool, row: int, index: int, group: str, rng: np.random.Generator
) -> list[Question]:
    """Return questions of a group about a segment, all about what it shows.

    None of them has "none" as its whole answer, which is a good guess for a question about a card.
    """
    segment = bank.segments[row]
    drawn: list[Question] = []
    while len(drawn) < GROUPS[group]:
        kind = "multi" if group == "several parts" else ONE_WORD[rng.integers(len(ONE_WORD))]
        question = segment_question(segment, index, segment, rng, kind)
        if question is None:
            continue
        said = answer(question, segment, index)
        if said not in ("none", "not shown"):
            drawn.append(replace(question, answer=said, evidence=(0,)))
    return drawn


def held_out_videos(bank: SegmentPool) -> list[TrainingVideo]:
    """Return a video of each segment of a bank, with questions without spelling variants."""
    videos = []
    for row, segment in enumerate(bank.segments):
        rng = np.random.default_rng([SEED, row])
        index = int(rng.integers(64))
        asked = [q for group in GROUPS for q in draw_group(bank, row, index, group, rng)]
        texts = [rephrase(question, rng, rough=False) for question in asked]
        videos.append(TrainingVideo([row], Scene(0, (segment,)), index, asked, texts))
    return videos


def facts_of(question: Question) -> list[str]:
    """Return the names of an answer's facts, in order."""
    return list(question.asks) if question.kind == "multi" else [question.kind]


def fact_spans(words: PromptIds, question: Question) -> Iterator[tuple[str, str, slice]]:
    """Yield the name of each fact of an answer, its words, and the slice of its tokens."""
    ids = words.text(question.answer)
    comma = words.text("red, red")[1]
    marked = groupby(enumerate(ids), lambda entry: entry[1] == comma)
    parts = [list(part) for is_comma, part in marked if not is_comma]
    said = question.answer.split(", ")
    for name, text, part in zip(facts_of(question), said, parts, strict=True):
        yield name, text, slice(part[0][0], part[-1][0] + 1)


def chosen_slots(end: str, count: int, orders: Rows) -> list[Rows]:
    """Return the slots that are kept for each question, in ascending order.

    Args:
        end: one of :data:`ENDS`.
        count: number of slots.
        orders: random orders of the slots [question, slot].
    """
    slots = orders.shape[1]
    if end == "random":
        return list(np.sort(orders[:, :count], axis=1))
    first = 0 if end == "first" else slots - count
    return [np.arange(first, first + count)] * len(orders)


@torch.no_grad()
def recall(joint: JointModel, videos: list[TrainingVideo], batch: int = 16) -> pd.DataFrame:
    """Return which facts are right under each condition.

    Args:
        joint: the trained model, with the bank of these videos.
        videos: as :func:`held_out_videos` returns them.
        batch: number of videos that are read at once.

    Returns:
        A row for each fact that is not "none", with ``segment, group, fact`` and, for each of
        :func:`conditions`, whether it is right.
    """
    groups = [group for group, count in GROUPS.items() for _ in range(count)]
    tables = []
    for start in progress_bar(range(0, len(videos), batch), desc="recall", mininterval=10):
        part = videos[start : start + batch]
        seconds = np.stack([SEGMENT_SECONDS * v.start + np.arange(PATCHES) + 0.25 for v in part])
        rows, texts = [v.rows[0] for v in part], [v.texts for v in part]
        memory = joint.compress("relevance", rows, seconds, texts)
        asked = [(v.rows[0], g, q) for v in part for g, q in zip(groups, v.questions, strict=True)]
        rng = np.random.default_rng([SEED, 11, start])
        orders = rng.permuted(np.tile(np.arange(joint.slots), (len(asked), 1)), axis=1)
        facts = [
            (number, segment, group, fact, span)
            for number, (segment, group, question) in enumerate(asked)
            for fact, text, span in fact_spans(joint.words, question)
            if text != "none"
        ]
        table: dict[str, Any] = {
            "segment": [segment for _, segment, *_ in facts],
            "group": [group for _, _, group, *_ in facts],
            "fact": [fact for *_, fact, _ in facts],
        }
        for name, (end, count) in conditions(joint.slots).items():
            slots = iter(chosen_slots(end, count, orders))
            kept = [[[next(slots)] for _ in video.questions] for video in part]
            _, _, right, labels = joint.answers(part, memory, kept)
            begins = (labels != IGNORE).int().argmax(1).tolist()
            said = [right[number][begins[number] :] for number in range(len(asked))]
            table[name] = [int(said[number][span].all()) for number, *_, span in facts]
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def asked_shares(bank: FeatureBank, shape: Shape, videos: int = 2000) -> dict[str, float]:
    """Return each fact's share of all facts that training asks for."""
    rng, counts = np.random.default_rng([SEED, 13]), Counter[str]()
    for _ in range(videos):
        for question in draw_video(bank, rng, shape).questions:
            if question.evidence:
                counts.update(fact for fact in facts_of(question) if fact in FACTS)
    return {fact: counts[fact] / counts.total() for fact in FACTS}


def measure(recipe: Recipe, out: Path, runs: list[tuple[str, int]]) -> Path:
    """Measure the recall of finished runs that are not measured yet.

    Args:
        recipe: the runs' recipe.
        out: the study's folder.
        runs: (arm, seed) of each run.

    Returns:
        The study's folder. Each run's folder now has its table of recall, and a note of the weights
        and questions with which it was measured.
    """
    torch.set_num_threads(1)
    pending = [run for run in runs if not _is_measured(run_folder(out, *run))]
    if not pending:
        return out
    with saving_to(out):
        base = load_base(recipe, out, 0)
        bank = make_bank(base.tower, SEGMENTS, SEED, out, "held_out")
        videos = held_out_videos(bank)
        shares = asked_shares(base.bank, shapes(recipe)["single"])
        write_atomic(out / ASKED, (json.dumps(shares, indent=1) + "\n").encode())
        joint = base.joint
        joint.bank = bank
        for run in pending:
            folder = run_folder(out, *run)
            joint.llm.model.load_state_dict(weights_of(folder, STAGE, "llm"))
            joint.memory.load_state_dict(weights_of(folder, STAGE, "memory"))
            write_atomic(folder / RECALL, compressed(recall(joint, videos)))
            write_atomic(folder / MEASURED, (json.dumps(_made_of(folder)) + "\n").encode())
    return out


def compressed(table: pd.DataFrame) -> bytes:
    """Return a table as compressed CSV, the same bytes for the same table."""
    return gzip.compress(table.to_csv(index=False).encode(), mtime=0)


def _made_of(folder: Path) -> dict[str, Any]:
    """Return what a run's recall depends on: its weights and the questions."""
    weights = hashlib.sha256((folder / f"{STAGE}.safetensors").read_bytes()).hexdigest()
    return {"weights": weights[:16], "segments": SEGMENTS, "seed": SEED}


def _is_measured(folder: Path) -> bool:
    """Whether a run's recall was measured with its present weights."""
    note = folder / MEASURED
    if not (folder / RECALL).exists() or not note.exists():
        return False
    return bool(json.loads(note.read_text()) == _made_of(folder))


def finished_runs(out: Path) -> list[tuple[str, int]]:
    """Return (arm, seed) of a study's finished runs, by seed and in the order of the arms.

    Raises:
        TempoLabError: no run is finished.
    """
    notes = [read_note(path) for path in out.glob(f"*-*/{STAGE}.safetensors")]
    states = [note["state"] for note in notes if note["done"]]
    if not states:
        raise TempoLabError(
            "this folder has no finished run of the front-loading study",
            asked=out,
            found=f"{len(notes)} unfinished",
            fix="train one: tempo-lab train front-loading --arm none --seed 1",
        )
    order = list(ARMS)
    return sorted(
        ((s["arm"], int(s["seed"])) for s in states), key=lambda run: (run[1], order.index(run[0]))
    )


def evaluate_study(out: str | Path, tables: str | Path | None = None) -> pd.DataFrame:
    """Measure the finished runs of a study, and write its tables.

    Args:
        out: the study's folder.
        tables: folder for ``arms.csv``, ``facts.csv`` and ``summary.json``; by default the study's
            own ``tables``.

    Returns:
        The contents of ``arms.csv``: see :func:`tempo_lab.nano.front_loading.table.arm_table`.

    Raises:
        TempoLabError: no run is finished, or the tables cannot be written.
    """
    study = Path(out)
    runs = finished_runs(study)
    measure(FRONT_LOADING, study, runs)
    notes = [read_note(run_folder(study, *run) / f"{STAGE}.safetensors") for run in runs]
    base = [read_note(study / f"{stage}.safetensors") for stage in BASE_STAGES]
    settings = {
        "runs": [f"{arm}-{seed}" for arm, seed in runs],
        "steps": FRONT_LOADING.single.steps,
        "held_out_segments": SEGMENTS,
        "base_digest": sorted({note["state"]["base"] for note in notes}),
        "base_commits": sorted(
            {commit for note in base for commit in note.get("commits", ["unknown"])}
        ),
        "commits": sorted({commit for note in notes for commit in note["commits"]}),
        "minutes": round(sum(note["seconds"] for note in notes) / 60, 1),
    }
    recalls = {run: pd.read_csv(run_folder(study, *run) / RECALL) for run in runs}
    asked = json.loads((study / ASKED).read_text())
    folder = study / "tables" if tables is None else Path(tables)
    with saving_to(folder):
        return write_tables(recalls, FRONT_LOADING.sizes.memory, asked, settings, folder)
