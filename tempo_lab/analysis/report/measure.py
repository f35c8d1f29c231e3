"""Every analysis on the same held-out videos, each with its control, kept once it is there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.analysis.attention_groups import AttentionGroups, attention_groups
from tempo_lab.analysis.attribution import attribution
from tempo_lab.analysis.cases import Case, WorldVideo, world_videos
from tempo_lab.analysis.compare import Comparison, compare
from tempo_lab.analysis.front_loading import front_loading
from tempo_lab.analysis.front_loading_result import FrontLoading
from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity, prompt_sensitivity
from tempo_lab.analysis.random_weights import with_random_weights
from tempo_lab.analysis.relevance import Relevance, relevance_cases
from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer, relevance_by_layer
from tempo_lab.analysis.report.keep import Kept
from tempo_lab.analysis.strictness import Strictness, strictness
from tempo_lab.evaluation.arms import quarter

if TYPE_CHECKING:
    from tempo_lab.tempo import Tempo

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
    """

    relevance: Relevance
    by_layer: RelevanceByLayer
    prompts: Sequence[PromptSensitivity]
    front_loading: dict[str, FrontLoading]
    attention: AttentionGroups
    comparison: Comparison
    strictness: Strictness
    slots: int


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
    with ExitStack() as stack:

        @cache
        def opened() -> list[WorldVideo]:
            return stack.enter_context(
                world_videos(tempo, seed=seed, videos=videos, segments=segments, progress=progress)
            )

        @cache
        def cases(questions: int, *kinds: str) -> list[Case]:
            return [case for video in opened() for case in video.cases(questions, kinds or None)]

        @cache
        def by_chance() -> list[Case]:
            """The questions about one segment, asked of random weights."""
            random = with_random_weights(tempo, seed)
            again = {
                case.video: stack.enter_context(
                    random.open(case.session.video.info.path, progress=False)
                )
                for case in {case.video: case for case in cases(QUESTIONS)}.values()
            }
            return [replace(case, session=again[case.video]) for case in cases(QUESTIONS)]

        needles, how = (lambda: cases(QUESTIONS)), {"seed": seed, "progress": progress}
        few = sorted({2**n for n in range(tempo.slots.bit_length())} | {quarter(tempo.slots)})
        few = [k for k in few if k < tempo.slots] + [tempo.slots]
        loads: dict[str, Callable[[], FrontLoading]] = {
            NEEDLE: lambda: front_loading(needles(), **how),
            MULTI: lambda: front_loading(cases(QUESTIONS, "multi"), **how),
            RANDOM: lambda: front_loading(by_chance(), few, **how),
        }
        relevant = kept("relevance", Relevance, lambda: relevance_cases(needles(), **how))
        return Measured(
            relevance=relevant,
            by_layer=kept(
                "relevance_by_layer", RelevanceByLayer, lambda: _by_layer(needles(), seed)
            ),
            prompts=[
                kept(
                    f"prompt_sensitivity_{number}",
                    PromptSensitivity,
                    lambda number=number: _prompt(opened()[number], progress),  # type: ignore[misc]
                )
                for number in range(videos)
            ],
            attention=kept(
                "attention", AttentionGroups, lambda: _attention(needles(), by_chance(), **how)
            ),
            comparison=kept("compare", Comparison, lambda: _comparison(needles(), **how)),
            strictness=kept("strictness", Strictness, lambda: strictness(
                [*cases(ABSENCE, "absence"), *cases(MOST, "most"), *cases(NEEDLES)], **how
            )),
            front_loading={
                name: kept(f"front_loading_{name.replace(' ', '_')}", FrontLoading, make)
                for name, make in loads.items()
            },
            slots=tempo.slots,
        )  # fmt: skip


def _by_layer(cases: Sequence[Case], seed: int) -> RelevanceByLayer:
    from tempo_lab.capture import Capture

    short = {"capture": Capture(layer_relevance=True), "max_new_tokens": 1}
    traces = [case.session.ask(case.question, **short) for case in cases]
    return relevance_by_layer(traces, [case.evidence for case in cases], seed=seed)


def _prompt(video: WorldVideo, progress: bool) -> PromptSensitivity:
    case = video.cases(QUESTIONS)[0]
    return prompt_sensitivity(case.session, case.question, truth=case.evidence, progress=progress)


def _attention(
    cases: Sequence[Case], by_chance: Sequence[Case], *, seed: int, progress: bool
) -> AttentionGroups:
    """All memory tokens of all segments look, so that both models' rows are the same."""
    from tqdm.auto import tqdm

    from tempo_lab.capture import Capture

    spec = Capture(attention=["decision", "memory"], reduce="key_group")
    every = {"strategy": "none", "max_new_tokens": 1, "capture": spec}
    found: list[list[Attention]] = [[], []]
    with tqdm(total=2 * len(cases), desc="attention", disable=not progress) as bar:
        for results, some in zip(found, (cases, by_chance), strict=True):
            for case in some:
                results.append(attention(case.session.ask(case.question, **every)))
                bar.update()
    truths = [case.evidence for case in cases]
    return attention_groups(found[0], truths, controls=found[1], seed=seed)


def _comparison(cases: Sequence[Case], *, seed: int, progress: bool) -> Comparison:
    """Questions whose segments all have one effect rank nothing, and are left out."""
    from tqdm.auto import tqdm

    from tempo_lab.capture import Capture

    spec = Capture(attention=["answer"], reduce="key_group")
    pairs = []
    for case in tqdm(cases, desc="effects", disable=not progress):
        trace = case.session.ask(case.question, capture=spec)
        effect = attribution(case.session, trace, units="segments", progress=False)
        if np.ptp(effect.data["value"].to_numpy()) > 0:
            pairs.append((trace, effect))
    return compare([trace for trace, _ in pairs], [effect for _, effect in pairs], seed=seed)
