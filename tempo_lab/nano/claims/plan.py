"""What is asked about which video: held-out seeds, questions of all kinds, arms. No torch."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tempo_lab.allocation.arms import (
    ALL,
    PRIOR,
    Arm,
    allocation_arms,
    ata,
    brief_arms,
    budgets,
    front_loading_arms,
    kept_lengths,
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

SEEDS_A_LENGTH = 10_000
"""Lengths within a run share no video."""

CLAIMED = ("time", "order", "count", "absence", "most")
"""Kinds beside the needles that a claim names: asked more often."""
STRICT_KINDS = ("absence", "present")
LOADED_KINDS = ("multi",)
"""Kinds on which front-loading is claimed; some needles are measured beside them."""

DRAWN_FOR_ONE = 4
"""Questions drawn for each that is wanted."""

MAIN, PLAIN, BEFORE = "main", "plain", "before"
"""Whose answer it is: the evaluated model's, its ablation's (no prefix dropout in training), or
its relevance before compressor training."""


@dataclass(frozen=True)
class Part:
    """What is done with videos of one length.

    Attributes:
        segments: length of each video.
        videos: how many.
        needles: questions about one segment, a video.
        claimed: questions of each kind of `CLAIMED`, a video; the first of each is asked under
            all arms, the others under ATA alone.
        others: questions of each other kind, a video.
        multi: multi-part questions, a video, each asked under `other_arms`: they need several
            tokens of one segment.
        arms: for needles.
        other_arms: for all other kinds.
        loaded: multi-part questions, and as many needles, asked with 1..K tokens kept.
        strict: whether the strictness arms are run.
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


SIZES = ("quick", "full")


def parts(size: str, slots: int) -> tuple[Part, ...]:
    """What an evaluation of this size (one of `SIZES`) asks of a model with K memory tokens."""
    brief, few = brief_arms(slots), (ALL, ata(slots))
    if size == "full":
        full = allocation_arms(budgets(slots), budgets(slots))
        return (
            Part(8, 240, 8, 2, 1, full, full, loaded=3, strict=True),
            Part(32, 240, 8, 4, 1, full, full, multi=4, strict=True),
            Part(64, 120, 8, 2, 1, few, few),
            Part(128, 80, 8, 2, 1, full, full, strict=True),
        )
    quick = allocation_arms(budgets(slots), (quarter(slots),))
    return (
        Part(8, 20, 5, 1, 1, quick, brief, loaded=2, strict=True),
        Part(32, 22, 8, 4, 1, quick, brief, multi=4, strict=True),
        Part(64, 9, 8, 0, 0, few, few, multi=0),
        Part(128, 6, 8, 0, 0, brief, few, multi=0),
    )


@dataclass(frozen=True)
class Item:
    """One question with all that is done with it.

    Attributes:
        number: of the question in its video.
        question: with its answer and evidence.
        arms: ways of answering it with the evaluated model.
        plain_arms: ways of answering it with the ablation.
        control: the question about another video that is also asked, as a control of the
            relevance; None if there is none of the kind.
    """

    number: int
    question: Question
    arms: tuple[Arm, ...]
    plain_arms: tuple[Arm, ...]
    control: Question | None


@dataclass(frozen=True)
class Job:
    """One video and everything that is asked about it."""

    part: Part
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
    def items(self) -> tuple[Item, ...]:
        """The questions, the same ones whenever they are drawn."""
        rng = np.random.default_rng([self.seed, self.part.segments])
        scene, other = self.scene, draw_scene(self.seed + 1, self.part.segments, held_out=True)
        loading = front_loading_arms(kept_lengths(self.slots, self.every))
        items: list[Item] = []
        texts: set[str] = set()
        for kinds, count in self._shares():
            rank = 0
            # some are drawn twice
            for plain in draw_questions(scene, rng, DRAWN_FOR_ONE * count, kinds):
                if plain.text in texts or rank == count:
                    continue
                texts.add(plain.text)
                question = reworded(plain, rng)
                loaded = loading if self._is_loaded(question.kind, rank) else ()
                arms = (*self._arms(question.kind, rank), *loaded)
                control = self._control(other, rng, question)
                items.append(Item(len(items), question, arms, loaded, control))
                rank += 1
        return tuple(items)

    def _shares(self) -> Iterator[tuple[tuple[str, ...], int]]:
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
            # an abstaining ATA must also be seen where there is something to find
            return part.arms + (strictness_arms(self.slots) if part.strict and rank == 0 else ())
        strict = strictness_arms(self.slots) if part.strict and kind in STRICT_KINDS else ()
        brief = rank >= (part.multi if kind in LOADED_KINDS else 1)
        return ((ata(self.slots),) if brief else part.other_arms) + strict

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


def draw_jobs(size: str, seed: int, slots: int) -> list[Job]:
    """All videos of a run, lengths mixed so that any part of the run says something of each.

    Args:
        size: "quick" or "full".
        seed: of the run; each has its own videos.
        slots: K, memory tokens of a segment.

    Raises:
        TempoLabError: no such size or seed.
    """
    if size not in SIZES:
        raise TempoLabError("no such evaluation", asked=repr(size), found=", ".join(SIZES))
    firsts = EVALUATION.seeds(seed)[::SEEDS_A_LENGTH]
    jobs = [
        Job(part, number, first + number, slots, size == "full")
        for part, first in zip(parts(size, slots), firsts, strict=False)
        for number in range(part.videos)
    ]
    return sorted(jobs, key=lambda job: (job.number + 0.5) / job.part.videos)
