"""Every analysis on the same held-out videos, each with its control; finished results are saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.allocation.arms import kept_lengths
from tempo_lab.analysis.allocator_variants import AllocatorVariants, allocator_variants
from tempo_lab.analysis.attention import attention
from tempo_lab.analysis.attention_groups import AttentionGroups, attention_groups
from tempo_lab.analysis.attribution.attribution import attribution
from tempo_lab.analysis.compare import Comparison, compare
from tempo_lab.analysis.front_loading.front_loading import MAX_POINTS, front_loading
from tempo_lab.analysis.front_loading.result import FrontLoading
from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity, prompt_sensitivity
from tempo_lab.analysis.random_weights import with_random_weights
from tempo_lab.analysis.relevance import Relevance, relevance_cases
from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer, relevance_by_layer
from tempo_lab.apps.reports.analyses.checkpoint import ResultCheckpoints
from tempo_lab.common.progress import progress_bar
from tempo_lab.evaluation.cases import Case
from tempo_lab.nano.claims.cases import WorldVideo, world_videos
from tempo_lab.nano.world.seeds import REPORT

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

QUESTIONS = 4
"""Questions per video about one segment, and as many of several parts."""
ABSENCE, MOST, NEEDLES = 3, 1, 2
"""Questions per video that the allocator variants are compared on, by kind."""
NEEDLE, MULTI, RANDOM_WEIGHTS = "needle", "multi-part", "random weights"
"""Conditions of front-loading; the last asks a model with random weights the needle questions."""


@dataclass(frozen=True)
class ReportResults:
    """The results behind the report.

    Attributes:
        relevance, by_layer: on questions about one segment.
        prompts: on one question per video.
        front_loading: by condition.
        attention, comparison: on the questions of `relevance`.
        strictness: on absence, whole-video and one-segment questions.
        slots: K, memory tokens per segment.
        min_tokens: the fewest tokens per segment that ATA allocates.
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


def run_analyses(
    tempo: Tempo,
    checkpoints: ResultCheckpoints,
    *,
    seed: int,
    videos: int,
    segments: int,
    progress: bool,
) -> ReportResults:
    """Run the analyses that have no saved result. If all have one, no video is made.

    Args:
        tempo: the model.
        checkpoints: the saved results.
        seed: seed of videos, questions, controls and intervals.
        videos: number of videos, 2 or more: controls take questions from another video.
        segments: number of segments per video.
        progress: show progress bars.
    """
    result = checkpoints.load_or_compute
    with ExitStack() as stack:
        analyses = _Analyses(tempo, stack, seed, videos, segments, progress)
        return ReportResults(
            relevance=result("relevance", Relevance, analyses.relevance),
            by_layer=result("relevance_by_layer", RelevanceByLayer, analyses.by_layer),
            prompts=[
                result(
                    f"prompt_sensitivity_{video}",
                    PromptSensitivity,
                    partial(analyses.prompt_sensitivity, video),
                )
                for video in range(videos)
            ],
            attention=result("attention", AttentionGroups, analyses.attention),
            comparison=result("compare", Comparison, analyses.comparison),
            strictness=result("strictness", AllocatorVariants, analyses.strictness),
            front_loading={
                condition: result(
                    f"front_loading_{condition.replace(' ', '_').replace('-', '_')}",
                    FrontLoading,
                    partial(analyses.front_loading, condition),
                )
                for condition in (NEEDLE, MULTI, RANDOM_WEIGHTS)
            },
            slots=tempo.slots,
            min_tokens=tempo.config.min_tokens,
        )


@dataclass(frozen=True)
class _Analyses:
    """The analyses with this report's arguments. Videos and cases are made when first needed."""

    tempo: Tempo
    stack: ExitStack
    seed: int
    count: int
    segments: int
    progress: bool

    @cached_property
    def videos(self) -> list[WorldVideo]:
        opened = world_videos(
            self.tempo, seed=self.seed, videos=self.count, segments=self.segments,
            progress=self.progress, purpose=REPORT,
        )  # fmt: skip
        return self.stack.enter_context(opened)

    @cached_property
    def needles(self) -> list[Case]:
        return self._cases(QUESTIONS)

    @cached_property
    def untrained(self) -> list[Case]:
        """The questions about one segment, asked of a model with random weights."""
        random = with_random_weights(self.tempo, self.seed)
        sessions = {
            video.session: self.stack.enter_context(
                random.open(video.session.video.info.path, progress=False)
            )
            for video in self.videos
        }
        return [replace(case, session=sessions[case.session]) for case in self.needles]

    def _cases(self, questions: int, *kinds: str) -> list[Case]:
        return [case for video in self.videos for case in video.cases(questions, kinds)]

    def relevance(self) -> Relevance:
        return relevance_cases(self.needles, seed=self.seed, progress=self.progress)

    def by_layer(self) -> RelevanceByLayer:
        from tempo_lab.session.capture import Capture

        spec = Capture(layer_relevance=True)
        traces = [c.session.ask(c.question, capture=spec, max_new_tokens=1) for c in self.needles]
        return relevance_by_layer(traces, [case.evidence for case in self.needles], seed=self.seed)

    def prompt_sensitivity(self, video: int) -> PromptSensitivity:
        case = self.videos[video].cases(QUESTIONS)[0]
        return prompt_sensitivity(
            case.session, case.question, truth=case.evidence, progress=self.progress
        )

    def attention(self) -> AttentionGroups:
        """With every memory token of every segment kept, so that both models have the same rows."""
        from tempo_lab.session.capture import Capture, Rows

        spec = Capture(attention=Rows(["decision", "memory"]), reduce="key_group")
        trained, untrained = (
            [
                attention(
                    case.session.ask(case.question, strategy="none", max_new_tokens=1, capture=spec)
                )
                for case in self._with_progress(cases, "attention")
            ]
            for cases in (self.needles, self.untrained)
        )
        evidence = [case.evidence for case in self.needles]
        return attention_groups(trained, evidence, controls=untrained, seed=self.seed)

    def comparison(self) -> Comparison:
        """Without questions whose segments all have one effect, which rank nothing."""
        from tempo_lab.session.capture import Capture, Rows

        spec = Capture(attention=Rows(["answer"]), reduce="key_group")
        traces, effects = [], []
        for case in self._with_progress(self.needles, "effects"):
            trace = case.session.ask(case.question, capture=spec)
            effect = attribution(case.session, trace, units="segments", progress=False)
            if np.ptp(effect.data["value"].to_numpy()) > 0:
                traces.append(trace)
                effects.append(effect)
        return compare(traces, effects, seed=self.seed)

    def strictness(self) -> AllocatorVariants:
        cases = [
            *self._cases(ABSENCE, "absence"), *self._cases(MOST, "most"), *self._cases(NEEDLES)
        ]  # fmt: skip
        return allocator_variants(cases, seed=self.seed, progress=self.progress)

    def front_loading(self, condition: str) -> FrontLoading:
        """At every k; at powers of two and a quarter if K is large or the weights are random."""
        if condition == MULTI:
            cases = self._cases(QUESTIONS, "multi")
        else:
            cases = self.untrained if condition == RANDOM_WEIGHTS else self.needles
        slots = self.tempo.slots
        ks = kept_lengths(slots, every=slots <= MAX_POINTS and condition != RANDOM_WEIGHTS)
        return front_loading(cases, ks, seed=self.seed, progress=self.progress)

    def _with_progress(self, cases: Sequence[Case], label: str) -> Iterable[Case]:
        return progress_bar(cases, desc=label, disable=not self.progress)
