"""Every analysis on the same held-out videos, each with its control, kept once it is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.allocation.arms import kept_lengths
from tempo_lab.analysis.allocator_variants import AllocatorVariants, allocator_variants
from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.analysis.attention_groups import AttentionGroups, attention_groups
from tempo_lab.analysis.attribution.attribution import attribution
from tempo_lab.analysis.compare import Comparison, compare
from tempo_lab.analysis.front_loading.front_loading import MOST_POINTS, front_loading
from tempo_lab.analysis.front_loading.result import FrontLoading
from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity, prompt_sensitivity
from tempo_lab.analysis.random_weights import with_random_weights
from tempo_lab.analysis.relevance import Relevance, relevance_cases
from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer, relevance_by_layer
from tempo_lab.apps.reports.analyses.checkpoint import Kept
from tempo_lab.evaluation.cases import Case
from tempo_lab.nano.claims.cases import WorldVideo, world_videos
from tempo_lab.nano.world.seeds import REPORT

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

QUESTIONS = 4
"""About each video: about one segment, and as many of several parts."""
ABSENCE, MOST, NEEDLES = 3, 1, 2
"""Questions about each video under allocators of other strictness, by kind."""
NEEDLE, MULTI, RANDOM = "needle", "multi-part", "random weights"
"""What front-loading is measured on; the last asks the first of a model with random weights."""


@dataclass(frozen=True)
class Measured:
    """The results behind the report.

    Attributes:
        relevance, by_layer: of questions about one segment.
        prompts: one question of each video.
        front_loading: by what it is measured on.
        attention, comparison: of the questions of `relevance`.
        strictness: of absence, of the whole video, and of one segment.
        slots: K, memory tokens of a segment.
        min_tokens: fewest that ATA gives.
    """

    relevance: Relevance
    by_layer: RelevanceByLayer
    prompts: Sequence[PromptSensitivity]
    front_loading: dict[str, FrontLoading]
    attention: AttentionGroups
    comparison: Comparison
    strictness: AllocatorVariants
    slots: int
    min_tokens: int


def measure(
    tempo: Tempo, kept: Kept, *, seed: int, videos: int, segments: int, progress: bool
) -> Measured:
    """Run what is not kept yet. No video is made where everything is.

    Args:
        tempo: the model.
        kept: where results are kept.
        seed: of videos, questions, controls and intervals.
        videos: how many, 2 or more: controls take questions from another one.
        segments: of each video.
        progress: show progress bars.
    """
    how = _How(seed, progress)
    with ExitStack() as stack:
        asked = _Asked(tempo, stack, seed, videos, segments, progress)
        return Measured(
            relevance=kept("relevance", Relevance, lambda: how.relevance(asked.needles)),
            by_layer=kept(
                "relevance_by_layer", RelevanceByLayer, lambda: how.by_layer(asked.needles)
            ),
            prompts=[
                kept(
                    f"prompt_sensitivity_{number}",
                    PromptSensitivity,
                    partial(how.prompt, lambda: asked.videos, number),
                )
                for number in range(videos)
            ],
            attention=kept(
                "attention",
                AttentionGroups,
                lambda: how.attention(asked.needles, asked.untrained),
            ),
            comparison=kept("compare", Comparison, lambda: how.comparison(asked.needles)),
            strictness=kept("strictness", AllocatorVariants, lambda: how.strictness(asked.mixed)),
            front_loading={
                NEEDLE: kept(
                    "front_loading_needle",
                    FrontLoading,
                    lambda: how.front_loading(asked.needles),
                ),
                MULTI: kept(
                    "front_loading_multi_part",
                    FrontLoading,
                    lambda: how.front_loading(asked.of_parts),
                ),
                RANDOM: kept(
                    "front_loading_random_weights",
                    FrontLoading,
                    lambda: how.front_loading(asked.untrained, few=True),
                ),
            },
            slots=tempo.slots,
            min_tokens=tempo.config.min_tokens,
        )


@dataclass(frozen=True)
class _Asked:
    """Held-out videos and questions about them, made when they are first needed."""

    tempo: Tempo
    stack: ExitStack
    seed: int
    count: int
    segments: int
    progress: bool

    @cached_property
    def videos(self) -> list[WorldVideo]:
        size = {"videos": self.count, "segments": self.segments}
        made = world_videos(
            self.tempo, seed=self.seed, **size, progress=self.progress, purpose=REPORT
        )
        return self.stack.enter_context(made)

    @cached_property
    def needles(self) -> list[Case]:
        return self._cases(QUESTIONS)

    @cached_property
    def of_parts(self) -> list[Case]:
        return self._cases(QUESTIONS, "multi")

    @cached_property
    def mixed(self) -> list[Case]:
        return [
            *self._cases(ABSENCE, "absence"), *self._cases(MOST, "most"), *self._cases(NEEDLES)
        ]  # fmt: skip

    @cached_property
    def untrained(self) -> list[Case]:
        """The questions about one segment, asked of random weights."""
        random = with_random_weights(self.tempo, self.seed)
        again = {
            video.session: self.stack.enter_context(
                random.open(video.session.video.info.path, progress=False)
            )
            for video in self.videos
        }
        return [replace(case, session=again[case.session]) for case in self.needles]

    def _cases(self, questions: int, *kinds: str) -> list[Case]:
        return [case for video in self.videos for case in video.cases(questions, kinds)]


@dataclass(frozen=True)
class _How:
    """The analyses, each with the arguments of this report."""

    seed: int
    progress: bool

    def relevance(self, cases: Sequence[Case]) -> Relevance:
        return relevance_cases(cases, seed=self.seed, progress=self.progress)

    def by_layer(self, cases: Sequence[Case]) -> RelevanceByLayer:
        from tempo_lab.session.capture import Capture

        spec = Capture(layer_relevance=True)
        traces = [c.session.ask(c.question, capture=spec, max_new_tokens=1) for c in cases]
        return relevance_by_layer(traces, [case.evidence for case in cases], seed=self.seed)

    def prompt(self, videos: Callable[[], list[WorldVideo]], number: int) -> PromptSensitivity:
        case = videos()[number].cases(QUESTIONS)[0]
        return prompt_sensitivity(
            case.session, case.question, truth=case.evidence, progress=self.progress
        )

    def attention(self, cases: Sequence[Case], untrained: Sequence[Case]) -> AttentionGroups:
        """All memory tokens of all segments look, so that both models' rows are the same."""
        from tempo_lab.session.capture import Capture, Rows

        spec = Capture(attention=Rows(["decision", "memory"]), reduce="key_group")
        found: list[Attention] = []
        for case in self._shown([*cases, *untrained], "attention"):
            trace = case.session.ask(case.question, strategy="none", max_new_tokens=1, capture=spec)
            found.append(attention(trace))
        own, control = found[: len(cases)], found[len(cases) :]
        truths = [case.evidence for case in cases]
        return attention_groups(own, truths, controls=control, seed=self.seed)

    def comparison(self, cases: Sequence[Case]) -> Comparison:
        """Questions whose segments all have one effect rank nothing, and are left out."""
        from tempo_lab.session.capture import Capture, Rows

        spec = Capture(attention=Rows(["answer"]), reduce="key_group")
        traces, effects = [], []
        for case in self._shown(cases, "effects"):
            trace = case.session.ask(case.question, capture=spec)
            effect = attribution(case.session, trace, units="segments", progress=False)
            if np.ptp(effect.data["value"].to_numpy()) > 0:
                traces.append(trace)
                effects.append(effect)
        return compare(traces, effects, seed=self.seed)

    def strictness(self, cases: Sequence[Case]) -> AllocatorVariants:
        return allocator_variants(cases, seed=self.seed, progress=self.progress)

    def front_loading(self, cases: Sequence[Case], *, few: bool = False) -> FrontLoading:
        """Every k, or powers of two where there are many or few are asked for; a quarter always."""
        slots = cases[0].session.checkpoint.model.config.num_compression_tokens
        ks = kept_lengths(slots, every=slots <= MOST_POINTS and not few)
        return front_loading(cases, ks, seed=self.seed, progress=self.progress)

    def _shown(self, cases: Sequence[Case], what: str) -> Iterable[Case]:
        from tqdm.auto import tqdm

        return tqdm(cases, desc=what, disable=not self.progress)
