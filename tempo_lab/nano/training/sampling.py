"""Draw the videos of stages 5 to 8, their questions, and the memory tokens that are kept."""

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
"""Relative frequency of each kind of question about a video of one segment.

Corners are most frequent: their second word is a guess until many questions ask for it, and is then
learned within some dozens of steps.
"""

SEVERAL = {**KIND_WEIGHTS, "count": 0.24, "order": 0.12, "two_hop": 0.12, "position": 0.12}
"""The same for longer videos. What needs several segments is learned least from the LLM's text, and
the second word of a corner least from single segments."""

RECALLED = {"count": 0.45, "most": 0.3, "two_hop": 0.2, "order": 0.05}
"""The same for videos of which the LLM reads notes instead of memory: kinds that it can learn
without the SVLM, which takes most of a step's time."""

CUT_EVIDENCE = 0.2
"""Share of truncated rows in which relevant segments are truncated, too."""


@dataclass(frozen=True)
class Shape:
    """What the videos of a stage look like.

    Attributes:
        videos, shortest, longest: videos per step, and their lengths in segments.
        asked: questions per video.
        truncate: share of questions whose memory is truncated.
        weights: relative frequency of the kinds of questions about several segments.
        partial: whether gradients flow only through relevant and some random segments.
        recalled: videos per step of which the LLM reads notes instead of memory; see `RECALLED`.
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
    """A training video: rows of the bank, the scene that they show, and its questions."""

    rows: list[int]
    scene: Scene
    start: int
    questions: list[Question]
    texts: list[str]


def draw_video(bank: FeatureBank, rng: np.random.Generator, shape: Shape) -> TrainingVideo:
    """Return a random video composed of rows of the bank, with its questions."""
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
    """Return a question about a video of one segment, number ``index`` of a longer video."""
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
    """Return, by segment, the slots of the first memory tokens, as many as the LLM reads."""
    counts = draw_kept_counts(question, segments, slots, truncate, rng)
    return [np.arange(count) for count in counts]


def draw_kept_counts(
    question: Question, segments: int, slots: int, truncate: float, rng: np.random.Generator
) -> Rows:
    """Return a random number of memory tokens that the LLM reads per segment [segment].

    Most draws are like ATA's allocations: all tokens of relevant segments, one to four tokens of
    the others, and sometimes all tokens of an irrelevant segment. A few truncate relevant segments
    anywhere, so that the LLM learns to read truncated notes, but details do not move to the front.
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
