"""Stages 5 to 8: what videos they are about, what is asked of them, how much memory is left."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.llm_stage import KIND_WEIGHTS
from tempo_lab.nano.training.svlm_stage import draw_question
from tempo_lab.nano.training.target_notes import answer, draw_asked, is_skipped
from tempo_lab.nano.world.questions import Question, relevant, rephrase
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS, Scene

Rows = npt.NDArray[np.int64]
SINGLE = {
    "color": 0.07, "size": 0.04, "motion": 0.06, "position": 0.25, "digit": 0.15, "word": 0.15,
    "place": 0.04, "with": 0.09, "event": 0.15, "present": 0.04, "absence": 0.07, "time": 0.08,
    "multi": 0.2, "describe": 0.03, "caption": 0.07, "most": 0.03,
}  # fmt: skip
"""How often a question about a video of one segment is of each kind, relative to the others.

Corners most often: their second word is a guess until it is asked for densely, then known within
some dozens of steps.
"""

SEVERAL = {**KIND_WEIGHTS, "count": 0.24, "order": 0.12, "two_hop": 0.12, "position": 0.12}
"""The same of longer ones. What takes several segments is least known from the LLM's text, and the
second word of a corner from single ones."""

RECALLED = {"count": 0.45, "most": 0.3, "two_hop": 0.2, "order": 0.05}
"""The same where the LLM reads notes in place of memory: what it can learn without the SVLM, whose
reading is most of a step's work."""

CUT_EVIDENCE = 0.2
"""Share of truncated rows in which what is asked about is cut off, too."""


@dataclass(frozen=True)
class Shape:
    """What the videos of a stage look like.

    Attributes:
        videos, shortest, longest: videos a step and their lengths in segments.
        asked: questions per video.
        truncate: share of questions whose memory is truncated.
        weights: of the kinds of questions about several segments.
        partial: gradient only through relevant and some random segments.
        recalled: videos a step of which the LLM reads notes in place of memory, see `RECALLED`.
    """

    videos: int
    shortest: int
    longest: int
    asked: int
    truncate: float
    weights: dict[str, float]
    partial: bool = False
    recalled: int = 0


@dataclass(frozen=True)
class TrainingVideo:
    """A training video: rows of the bank, what they show, what is asked."""

    rows: list[int]
    scene: Scene
    start: int
    questions: list[Question]
    texts: list[str]


def draw_video(bank: FeatureBank, rng: np.random.Generator, shape: Shape) -> TrainingVideo:
    """A video put together from the bank's rows, with its questions."""
    count = int(rng.integers(shape.shortest, shape.longest + 1))
    rows, scene = bank.video(rng, count)
    if count == 1:
        start = int(rng.integers(64))
        asked = [single_question(bank, rows[0], start, rng) for _ in range(shape.asked)]
    else:
        asked = draw_asked(scene, rng, shape.asked, shape.weights)
        anywhen = not any(q.kind in ("time", "describe") for q in asked)
        start = int(rng.integers(64)) if anywhen and rng.random() < 0.3 else 0
    return TrainingVideo(rows, scene, start, asked, [rephrase(q, rng) for q in asked])


def single_question(bank: FeatureBank, row: int, index: int, rng: np.random.Generator) -> Question:
    """A question about a video of one segment, the one of that number in a longer one."""
    segment = bank.segments[row]
    while True:
        question = draw_question(bank, row, index, rng, SINGLE, 0.9)
        said = answer(question, segment, index)
        if not is_skipped(question.kind, said, rng):
            break
    fits = relevant(question, segment, index)
    if question.kind == "time" and fits:
        said = f"at {SEGMENT_SECONDS * (index + 0.5):.0f} seconds"
    return replace(question, answer=said, evidence=(0,) if fits else ())


def draw_kept_slots(
    question: Question, segments: int, slots: int, truncate: float, rng: np.random.Generator
) -> list[Rows]:
    """The first memory tokens that the LLM gets of each segment: by segment, their slots."""
    counts = draw_kept_counts(question, segments, slots, truncate, rng)
    return [np.arange(count) for count in counts]


def draw_kept_counts(
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
