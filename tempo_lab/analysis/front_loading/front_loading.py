"""Semantic front-loading: how much the first k memory tokens of each segment carry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from tempo_lab.analysis.arm_comparison import warn_left_out
from tempo_lab.analysis.front_loading.curves import STRATEGIES, Numbers, question_curves
from tempo_lab.analysis.front_loading.result import (
    CONTROL,
    HEAD,
    MEASURES,
    STAGES,
    TAIL,
    FrontLoading,
    area,
    better,
    knee,
)
from tempo_lab.analysis.stacking import mean_of
from tempo_lab.analysis.validation import one_or_more
from tempo_lab.common.errors import BudgetError, TraceError
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.statistics import SHARE
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.cases import Case

MAX_POINTS = 32
"""Largest number of values of k that are tried by default."""


def front_loading(
    cases: Case | Sequence[Case],
    ks: Sequence[int] | None = None,
    *,
    draws: int = 1,
    control: bool = True,
    margin: float = 0.0,
    seed: int = 0,
    progress: bool = True,
) -> FrontLoading:
    """Run the model on cases with k memory tokens per segment: first, last, random or merged.

    Every segment keeps k of its K memory tokens, whatever its relevance. The SVLM reads each
    question once; all arms are answered from the same memory tokens.

    * accuracy: score of the greedy answer, by `Case.scored`.
    * logprob: natural logarithm of the probability of the whole right answer and its end.
    * kl: divergence of the next-token distribution from that with all K tokens, D(all || k), while
      the LLM reads the right answer; mean over its tokens.

    Cases that are left out, because of the margin or because the context is too short, are listed
    with the reason in the provenance ("left_out").

    The control answers from the first k tokens that were compressed for a different question about
    the same video. Of the cases about it, the control takes one with another answer, if there is
    one, and with the least shared evidence. A second control is an untrained model:
    `with_random_weights`.

    Args:
        cases: one or several, about opened videos of one model.
        ks: tokens per segment, including K; by default every number from 1 to K, or 32 numbers in
            equal ratios if K is larger.
        draws: draws of the random arm, averaged for each question.
        control: whether to compress for a different question, too.
        margin: in nat. A question is left out if an answer, in any arm, has a token that leads the
            second most probable one by less, because another processor may answer differently.
        seed: the seed of the random arm and the bootstrap.
        progress: show a progress bar.

    Raises:
        TraceError: there is no case; the cases are of several models; a video has one question
            only, so there is none for the control; or the margin leaves no question.
        BudgetError: a k is greater than K, K is missing, or a number is invalid; or the LLM's
            context cannot hold all tokens of any video. If it can hold some videos, questions about
            the others are left out with a warning.
        QueryError: a question or an answer has words that the model does not know.
        CaptureError: the LLM's attention cannot be recorded.
    """
    case_list, left_out = _that_fit(_check_cases(cases))
    config = case_list[0].session.checkpoint.model.config
    tokens = tokens_tried(ks, config.num_compression_tokens)
    draws = check_whole("draws", draws, 1, error=BudgetError)
    seed = check_whole("seed", seed, 0, error=BudgetError)
    controls: list[Case] | None = None
    if control:
        controls = [control_case(case_list, number) for number in range(len(case_list))]
    arms = [*STRATEGIES, *([CONTROL] if control else [])]
    curves = []
    points = len(case_list) * len(tokens)
    with progress_bar(total=points, desc="front-loading", delay=1, disable=not progress) as bar:
        for number, case in enumerate(case_list):
            seeds = [(seed * len(case_list) + number) * draws + draw for draw in range(draws)]
            other = None if controls is None else controls[number]
            curves.append(question_curves(case, other, tokens, seeds, bar.update))
    margins = np.array([numbers.pop("margin") for numbers in curves])
    kept = np.flatnonzero(margins >= margin)
    if not len(kept):
        raise TraceError(
            "the margin leaves no question",
            asked=f"margin={margin:g} nat",
            found=f"{len(case_list)} questions, the largest margin is {margins.max():.2g} nat",
            fix="use a smaller margin",
        )
    labels = {
        "question": np.arange(len(kept)),
        "arm": arms,
        "k": tokens,
        "slot": np.arange(config.num_compression_tokens),
        "other_slot": np.arange(config.num_compression_tokens),
        "llm_layer": np.arange(config.num_hidden_layers),
        "stage": list(STAGES),
    }
    each = {name: np.stack([curves[number][name] for number in kept]) for name in curves[0]}
    texts = _texts([case_list[number] for number in kept])
    if controls is not None:
        others = [controls[number].question for number in kept]
        texts["other"] = ("question", np.array(others, dtype=object))
    data = _summary(xr.Dataset(texts, labels), each, seed)
    why = f"an answer is decided by less than {margin:g} nat"
    left_out += [
        {"video": case.video, "question": case.question, "why": why}
        for case, narrow in zip(case_list, margins < margin, strict=True)
        if narrow
    ]
    provenance = {**_provenance(case_list, seed, draws), "margin": margin, "left_out": left_out}
    return FrontLoading(data, provenance)


def _summary(data: xr.Dataset, each: Numbers, seed: int) -> xr.Dataset:
    """Return means over questions with their intervals, knees and areas.

    Args:
        data: labels and videos.
        each: the numbers of every question, [question, ...].
        seed: the seed of the bootstrap.
    """
    video, k = data["video"].to_numpy(), data["k"].to_numpy()
    names = ["attention_by_layer", "attention_to_memory", "norm", "similarity", "effective_rank"]
    new: dict[str, Any] = {name: each[name].mean(axis=0) for name in names}
    new |= mean_of("attention_share", each["attention_share"], video, seed)
    for measure in MEASURES:
        values = each[f"{measure}_each"]
        bounds = SHARE if measure == "accuracy" else None
        new |= {f"{measure}_each": values, **mean_of(measure, values, video, seed, bounds)}
        head, tail = (better(measure, values[:, list(STRATEGIES).index(a)]) for a in (HEAD, TAIL))
        new[f"{measure}_knee"] = knee(k, head.mean(axis=0))
        ends = area(k, head, tail, video, seed)
        new |= {
            f"{measure}_area{end}": e for end, e in zip(("", "_low", "_high"), ends, strict=True)
        }
    quantities = FrontLoading.QUANTITIES
    return data.assign({name: (quantities[name].dims, value) for name, value in new.items()})


def control_case(cases: Sequence[Case], number: int) -> Case:
    """Return the case whose question the control of case `number` compresses for.

    Raises:
        TraceError: there is no other question about the video.
    """
    case = cases[number]
    others = [
        other
        for other in (*cases[number + 1 :], *cases[:number])
        if other.session is case.session and other.question != case.question
    ]
    if not others:
        raise TraceError(
            "the control needs a different question about the same video",
            asked=f"two questions about {case.video}",
            found=f"only {one_line(case.question, 100)!r}",
            fix="add another question, or use control=False",
        )

    def similarity(other: Case) -> tuple[bool, int]:
        same_answer = case.scored(other.answer) > 0
        return same_answer, int((case.evidence & other.evidence).sum())

    return min(others, key=similarity)


def _check_cases(cases: Case | Sequence[Case]) -> list[Case]:
    fix = "tempo_lab.analysis.Case(session, question, answer, evidence)"
    case_list = one_or_more(cases, Case, "cases", fix)
    if not case_list:
        raise TraceError(
            "there is no case to analyze",
            asked="one case or more",
            found="none",
            fix="tempo_lab.analysis.world_cases(tempo) makes some",
        )
    if len(models := {case.session.checkpoint.digest: case.session for case in case_list}) > 1:
        raise TraceError(
            "cases of different models cannot be analyzed together",
            asked="one model",
            found=", ".join(f"{s.checkpoint.name} {d[:12]}" for d, s in models.items()),
            fix="analyze the cases of each model separately, and subtract the results",
        )
    return case_list


def _that_fit(cases: list[Case]) -> tuple[list[Case], list[dict[str, str]]]:
    """Return the cases whose memory tokens all fit the LLM's context, and why others do not.

    Raises:
        BudgetError: none fits.
    """
    from tempo_lab.session.scoring import TeacherForced

    fitting, left_out = [], []
    for case in cases:
        slots = case.session.engine.compressor.slots
        try:
            TeacherForced(case.session, case.question, case.answer).prompt(
                [slots] * len(case.session)
            )
        except BudgetError as error:
            refusal, why = error, str(error).splitlines()[0]
            left_out.append({"video": case.video, "question": case.question, "why": why})
        else:
            fitting.append(case)
    if not fitting:
        raise refusal
    warn_left_out(case["why"] for case in left_out)
    return fitting, left_out


def tokens_tried(ks: Sequence[int] | None, slots: int) -> list[int]:
    """Return the numbers of kept tokens in ascending order."""
    if slots < 2:
        raise BudgetError(
            "front-loading compares the first memory tokens with later ones",
            asked="2 memory tokens per segment or more",
            found=f"{slots}",
            fix="use a model with more memory tokens",
        )
    if ks is None:
        if slots <= MAX_POINTS:
            return list(range(1, slots + 1))
        return np.unique(np.geomspace(1, slots, MAX_POINTS).round().astype(int)).tolist()
    numbers = [ks] if isinstance(ks, int) else ks
    tokens = sorted({check_whole("k", k, 1, error=BudgetError) for k in numbers})
    if not tokens or tokens[-1] != slots:
        beyond = bool(tokens) and tokens[-1] > slots
        raise BudgetError(
            "a k is greater than the number of memory tokens"
            if beyond
            else "the largest k must be all memory tokens of a segment",
            asked=f"ks={tokens}",
            found=f"{slots} memory tokens per segment",
            fix=f"ks={[*(k for k in tokens if k < slots), slots]}",
        )
    return tokens


def _texts(cases: list[Case]) -> dict[str, Any]:
    texts = {
        "text": [case.question for case in cases],
        "kind": [case.kind for case in cases],
        "video": [case.video for case in cases],
    }
    return {name: ("question", np.array(values, dtype=object)) for name, values in texts.items()}


def _provenance(cases: list[Case], seed: int, draws: int) -> dict[str, Any]:
    from tempo_lab.session.provenance import provenance

    of_model = (
        *("made", "tempo_lab", "torch", "transformers", "numpy"),
        *("model", "model_digest", "revision", "rope", "device", "dtype"),
    )
    first = provenance(cases[0].session.engine)
    videos = {case.video: case.session.engine.batches.digest for case in cases}
    return {
        **{name: first[name] for name in of_model if name in first},
        "videos": videos,
        "seed": seed,
        "draws": draws,
    }
