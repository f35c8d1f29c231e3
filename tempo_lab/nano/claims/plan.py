"""Which questions are asked about which video: held-out seeds, all kinds, arms. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tempo_lab.allocation.arms import (
    ALL,
    ATA,
    PRIOR,
    Arm,
    allocation_arms,
    ata,
    budgets,
    control_arms,
    front_loading_arms,
    kept_lengths,
    noisy_arms,
    quarter,
    strictness_arms,
)
from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.store import Key
from tempo_lab.nano.world.casting import draw_scene
from tempo_lab.nano.world.kinds import KINDS, NEEDLE, draw_questions, reworded
from tempo_lab.nano.world.questions import Question
from tempo_lab.nano.world.scenes import Scene
from tempo_lab.nano.world.seeds import EVALUATION

SEEDS_PER_LENGTH = 10_000
"""Seeds reserved for each length of a run, so that no two lengths share a video."""

CLAIMED = ("time", "order", "count", "absence", "most", "two_hop")
"""Kinds, apart from needles and questions of several parts, that a claim is about. They are asked
more often."""
STRICT_KINDS = ("absence", "present")
LOADED_KINDS = ("multi",)
"""Kinds that front-loading is claimed for. Some needles are measured, too."""

DRAWN_FOR_ONE = 4
"""Questions drawn for each one that is kept."""

MAIN, PLAIN, BEFORE = "main", "plain", "before"
"""Roles of models: the evaluated model, its ablation (no prefix dropout in training), and the model
before compressor training, of which only relevance is measured."""


@dataclass(frozen=True)
class ClaimPart:
    """What is asked about videos of one length.

    Attributes:
        segments: length of each video.
        videos: how many.
        needles: questions about one segment, per video.
        claimed: questions of each kind of `CLAIMED`, per video; fewer where a scene has fewer.
        others: questions of each other kind, per video.
        multi: multi-part questions per video. They need several tokens of one segment.
        arms: for needles.
        other_arms: for all other kinds.
        loaded: multi-part questions, and as many needles, asked with 1..K tokens kept.
        strict: whether the strictness arms are run.
        noisy: whether needles are asked with noise on the relevance, too.
    """

    segments: int
    videos: int
    needles: int
    claimed: int
    others: int
    arms: tuple[Arm, ...]
    other_arms: tuple[Arm, ...]
    multi: int = 1
    loaded: int = 0
    strict: bool = False
    noisy: bool = False


SIZES = ("quick", "full")
LONG_FAMILIES = (ALL.family, ATA, "uniform head", "top-k", "shuffled scores")
"""Families that a quick evaluation asks about its longest videos."""


def parts(size: str, slots: int) -> tuple[ClaimPart, ...]:
    """What an evaluation of this size (one of `SIZES`) asks a model with K memory tokens."""
    controls, few = control_arms(slots), (ALL, ata(slots))
    if size == "full":
        full = allocation_arms(budgets(slots), budgets(slots))
        return (
            ClaimPart(8, 240, 8, 2, 1, full, full, loaded=3, strict=True),
            ClaimPart(32, 240, 8, 4, 1, full, full, multi=4, strict=True, noisy=True),
            ClaimPart(64, 120, 8, 2, 1, few, few),
            ClaimPart(128, 80, 8, 2, 1, full, full, strict=True),
        )
    quick = allocation_arms(budgets(slots), (quarter(slots),))
    # Drawing a long video takes most of its time; what answers from all of its tokens, the rest.
    long = tuple(arm for arm in controls if arm.family in LONG_FAMILIES)
    return (
        ClaimPart(8, 18, 5, 1, 1, quick, controls, loaded=2, strict=True),
        ClaimPart(32, 24, 6, 2, 1, quick, controls, multi=3, strict=True, noisy=True),
        ClaimPart(64, 6, 10, 0, 0, few, few, multi=0),
        ClaimPart(128, 6, 8, 0, 0, long, few, multi=0),
    )


@dataclass(frozen=True)
class PlannedQuestion:
    """One question, and how it is asked.

    Attributes:
        number: of the question, counted per video.
        question: with its answer and evidence.
        arms: for the evaluated model.
        plain_arms: for the ablation.
        control: a question about another video, asked as a control of relevance; None if that
            video has none of the kind.
    """

    number: int
    question: Question
    arms: tuple[Arm, ...]
    plain_arms: tuple[Arm, ...]
    control: Question | None


@dataclass(frozen=True)
class VideoJob:
    """One video and everything that is asked about it."""

    part: ClaimPart
    number: int
    seed: int
    slots: int
    every: bool

    @property
    def video(self) -> str:
        """Identifies the video in results."""
        return f"{self.part.segments}/{self.seed}"

    @property
    def scene(self) -> Scene:
        """What the video shows."""
        return draw_scene(self.seed, self.part.segments, held_out=True)

    def keys(self, models: Collection[str]) -> list[Key]:
        """The keys of all rows that the video gives with these models (by role)."""
        keys: list[Key] = []
        for item in self.items:
            arms = {MAIN: [PRIOR, *(arm.name for arm in item.arms)], BEFORE: [PRIOR]}
            arms[PLAIN] = [arm.name for arm in item.plain_arms]
            keys += [(self.video, item.number, m, arm) for m in models for arm in arms[m]]
        return keys

    @cached_property
    def items(self) -> tuple[PlannedQuestion, ...]:
        """The questions, the same ones whenever they are drawn."""
        rng = np.random.default_rng([self.seed, self.part.segments])
        scene, other = self.scene, draw_scene(self.seed + 1, self.part.segments, held_out=True)
        loading = front_loading_arms(kept_lengths(self.slots, self.every))
        items: list[PlannedQuestion] = []
        texts: set[str] = set()
        for kinds, count in self._questions_by_kind():
            rank = 0
            # a question may be drawn twice
            for plain in draw_questions(scene, rng, DRAWN_FOR_ONE * count, kinds):
                if plain.text in texts or rank == count:
                    continue
                texts.add(plain.text)
                question = reworded(plain, rng)
                loaded = loading if self._is_loaded(question.kind, rank) else ()
                arms = (*self._arms(question.kind, rank), *loaded)
                control = self._control(other, rng, question)
                items.append(PlannedQuestion(len(items), question, arms, loaded, control))
                rank += 1
        return tuple(items)

    def _questions_by_kind(self) -> Iterator[tuple[tuple[str, ...], int]]:
        part = self.part
        yield tuple(NEEDLE), part.needles
        for kind in KINDS:
            if kind not in NEEDLE:
                count = part.claimed if kind in CLAIMED else part.others
                count = max(part.multi, part.loaded) if kind in LOADED_KINDS else count
                if count:
                    yield (kind,), count

    def _is_loaded(self, kind: str, rank: int) -> bool:
        return rank < self.part.loaded and (kind in NEEDLE or kind in LOADED_KINDS)

    def _arms(self, kind: str, rank: int) -> tuple[Arm, ...]:
        part = self.part
        if kind in NEEDLE:
            # an abstaining ATA must also be measured where there is evidence
            strict = strictness_arms(self.slots) if part.strict and rank == 0 else ()
            return part.arms + strict + (noisy_arms(self.slots) if part.noisy else ())
        strict = strictness_arms(self.slots) if part.strict and kind in STRICT_KINDS else ()
        return part.other_arms + strict

    def _control(
        self, other: Scene, rng: np.random.Generator, question: Question
    ) -> Question | None:
        """A question of the same kind about another video of the same length."""
        if not self._has_both(question):
            return None
        for drawn in draw_questions(other, rng, DRAWN_FOR_ONE, (question.kind,)):
            if self._has_both(drawn):
                return reworded(drawn, rng)
        return None

    def _has_both(self, question: Question) -> bool:
        """Whether some segments are evidence and some are not."""
        return 0 < len(question.evidence) < self.part.segments


def draw_jobs(size: str, seed: int, slots: int) -> list[VideoJob]:
    """All videos of a run. Lengths are mixed, so that an unfinished run has some of each length.

    Args:
        size: "quick" or "full".
        seed: of the run; each seed has its own videos.
        slots: K, memory tokens per segment.

    Raises:
        TempoLabError: no such size or seed.
    """
    if size not in SIZES:
        raise TempoLabError("no such evaluation", asked=repr(size), found=", ".join(SIZES))
    firsts = EVALUATION.seeds(seed)[::SEEDS_PER_LENGTH]
    jobs = [
        VideoJob(part, number, first + number, slots, size == "full")
        for part, first in zip(parts(size, slots), firsts, strict=False)
        for number in range(part.videos)
    ]
    return sorted(jobs, key=lambda job: (job.number + 0.5) / job.part.videos)
