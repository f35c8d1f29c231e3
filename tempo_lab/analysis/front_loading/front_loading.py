"""Semantic front-loading: what do the first k memory tokens of each segment carry?"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from tempo_lab.analysis.allocator_variants import warn_left_out
from tempo_lab.analysis.front_loading.curves import STRATEGIES, Numbers, of_question
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
from tempo_lab.analysis.validation import one_or_more
from tempo_lab.common.errors import BudgetError, TraceError
from tempo_lab.common.statistics import SHARE, bootstrap_mean
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import Case

MOST_POINTS = 32
"""Values of k that are tried by default, at most."""


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
    """What k memory tokens of each segment carry: the first, the last, random ones, or merged.

    Every segment keeps k of its K memory tokens, whatever its relevance. The SVLM reads each
    question once; all arms are answered from the memory tokens it wrote.

    * accuracy: of the greedy answer, by `Case.scored`.
    * logprob: natural logarithm of the probability of the whole right answer and its end.
    * kl: divergence of the next-token distribution from the one with all K tokens, D(all || k),
      the LLM reading the right answer; mean over its tokens.

    What is left out, by the margin or because the context cannot hold it, is named with its reason
    in the provenance ("left_out").

    The control answers from the first k tokens that were compressed for a different question about
    the same video (of those given: with another answer if there is one, and least shared evidence).
    The other control is a model that has learnt nothing: `with_random_weights`.

    Args:
        cases: one or several, about opened videos of one model.
        ks: tokens a segment, with K among them; by default every one from 1 to K, or 32 spread in
            equal ratios where K is larger.
        draws: of the random arm, averaged for each question.
        control: whether to compress for a different question too.
        margin: in nat. A question is left out if one of its answers, in any arm, has a token that
            leads the second most probable one by less: another processor may answer differently.
        seed: of the random arm and the bootstrap.
        progress: show a progress bar.

    Raises:
        TraceError: no cases, cases of several models, a video with one question only, which
            leaves none for the control, or a margin that leaves no question.
        BudgetError: k beyond K, K left out, or a number that is none; or the LLM's context cannot
            hold all tokens of any video. Questions about some videos that it cannot hold are left
            out with a warning.
        QueryError: a question or an answer in words that the model does not know.
        CaptureError: the LLM's attention cannot be recorded.
    """
    from tqdm.auto import tqdm

    given, left_out = _that_fit(_check_cases(cases))
    config = given[0].session.checkpoint.model.config
    tokens = tokens_tried(ks, config.num_compression_tokens)
    draws = _whole("draws", draws, 1)
    seed = _whole("seed", seed, 0)
    others = [_other(given, number) for number in range(len(given))] if control else None
    arms = [*STRATEGIES, *([CONTROL] if control else [])]
    found = []
    points = len(given) * len(tokens)
    with tqdm(total=points, desc="front-loading", delay=1, disable=not progress) as bar:
        for number, case in enumerate(given):
            seeds = [(seed * len(given) + number) * draws + draw for draw in range(draws)]
            other = None if others is None else others[number]
            found.append(of_question(case, other, tokens, seeds, bar.update))
    margins = np.array([one.pop("margin") for one in found])
    sure = np.flatnonzero(margins >= margin)
    if not len(sure):
        raise TraceError(
            "the margin leaves no question",
            asked=f"margin = {margin:g} nat",
            found=f"{len(given)} questions, the largest margin is {margins.max():.2g} nat",
            fix="a smaller margin",
        )
    clear = [given[number] for number in sure]
    labels = {
        "question": np.arange(len(sure)),
        "arm": arms,
        "k": tokens,
        "slot": np.arange(config.num_compression_tokens),
        "other_slot": np.arange(config.num_compression_tokens),
        "llm_layer": np.arange(config.num_hidden_layers),
        "stage": list(STAGES),
    }
    each = {name: np.stack([found[number][name] for number in sure]) for name in found[0]}
    if others is not None:
        others = [others[number] for number in sure]
    data = _summed_up(xr.Dataset(_texts(clear, others), labels), each, seed)
    why = f"an answer is decided by less than {margin:g} nat"
    left_out += [
        {"video": case.video, "question": case.question, "why": why}
        for case, narrow in zip(given, margins < margin, strict=True)
        if narrow
    ]
    made = {**_provenance(given, seed, draws), "margin": margin, "left_out": left_out}
    return FrontLoading(data, made)


def _summed_up(data: xr.Dataset, each: Numbers, seed: int) -> xr.Dataset:
    """Means over questions with their intervals, knees and areas.

    Args:
        data: labels and videos.
        each: of every question, [question, ...].
        seed: of the bootstrap.
    """
    video, k = data["video"].to_numpy(), data["k"].to_numpy()
    names = ["attention_by_layer", "attention_to_memory", "norm", "similarity", "effective_rank"]
    new: dict[str, Any] = {name: each[name].mean(axis=0) for name in names}
    new |= _interval("attention_share", each["attention_share"], video, seed)
    for measure in MEASURES:
        values = each[f"{measure}_each"]
        new |= {f"{measure}_each": values, **_interval(measure, values, video, seed)}
        head, tail = (better(measure, values[:, list(STRATEGIES).index(a)]) for a in (HEAD, TAIL))
        new[f"{measure}_knee"] = knee(k, head.mean(axis=0))
        between = area(k, head, tail, video, seed)
        new |= dict(zip(_ends(f"{measure}_area"), between, strict=True))
    quantities = FrontLoading.QUANTITIES
    return data.assign({name: (quantities[name].dims, value) for name, value in new.items()})


def _interval(name: str, values: np.ndarray, video: np.ndarray, seed: int) -> Numbers:
    """Mean over questions, and both ends of its interval, of values [question, ...]."""
    flat = values.reshape(len(values), -1).T
    bounds = SHARE if name == "accuracy" else None
    means = [bootstrap_mean(one, video, seed=seed, bounds=bounds) for one in flat]
    columns = zip(*((mean.value, mean.low, mean.high) for mean in means), strict=True)
    shaped = (np.reshape(column, values.shape[1:]) for column in columns)
    return dict(zip(_ends(name), shaped, strict=True))


def _ends(name: str) -> tuple[str, str, str]:
    return name, f"{name}_low", f"{name}_high"


def _other(cases: list[Case], number: int) -> Case:
    """The case whose question the control compresses for, instead of this one's.

    Raises:
        TraceError: nothing else is asked about the video.
    """
    case, n = cases[number], len(cases)

    def unlike(distance: int) -> tuple[bool, int]:
        other = cases[(number + distance) % n]
        same = case.scored(other.answer) > 0
        return same, int((case.evidence & other.evidence).sum())

    there = [cases[(number + distance) % n] for distance in range(1, n)]
    possible = [
        distance
        for distance, other in enumerate(there, start=1)
        if other.session is case.session and other.question != case.question
    ]
    if not possible:
        raise TraceError(
            "the control compresses for a different question about the same video, and none is "
            "given",
            asked=f"two questions about {case.video}",
            found=f"only {one_line(case.question, 100)!r}",
            fix="ask another one too, or control=False",
        )
    return cases[(number + min(possible, key=unlike)) % n]


def _check_cases(cases: Case | Sequence[Case]) -> list[Case]:
    fix = "tempo_lab.analysis.Case(session, question, answer, evidence)"
    given = one_or_more(cases, Case, "cases", fix)
    if not given:
        raise TraceError(
            "there is no case to analyse",
            asked="one case or more",
            found="none",
            fix="tempo_lab.analysis.world_cases(tempo) makes some",
        )
    if len(models := {case.session.checkpoint.digest: case.session for case in given}) > 1:
        raise TraceError(
            "cases of different models do not belong into one analysis",
            asked="one model",
            found=", ".join(f"{s.checkpoint.name} {d[:12]}" for d, s in models.items()),
            fix="analyse the cases of each model alone, and subtract the results",
        )
    return given


def _that_fit(cases: list[Case]) -> tuple[list[Case], list[dict[str, str]]]:
    """The cases whose videos fit the LLM's context with all their tokens; and why others do not.

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
            refused, why = error, str(error).splitlines()[0]
            left_out.append({"video": case.video, "question": case.question, "why": why})
        else:
            fitting.append(case)
    if not fitting:
        raise refused
    warn_left_out(one["why"] for one in left_out)
    return fitting, left_out


def tokens_tried(ks: Sequence[int] | None, slots: int) -> list[int]:
    """The numbers of kept tokens, ascending, each once."""
    if slots < 2:
        raise BudgetError(
            "front-loading compares the first memory tokens with later ones",
            asked="2 memory tokens a segment or more",
            found=f"{slots}",
            fix="a model with more memory tokens",
        )
    if ks is None:
        if slots <= MOST_POINTS:
            return list(range(1, slots + 1))
        return np.unique(np.geomspace(1, slots, MOST_POINTS).round().astype(int)).tolist()
    tokens = sorted({_whole("k", k, 1) for k in ([ks] if isinstance(ks, int) else ks)})
    if not tokens or tokens[-1] != slots:
        beyond = bool(tokens) and tokens[-1] > slots
        raise BudgetError(
            "there are not so many memory tokens"
            if beyond
            else "curves end where a segment keeps all its memory tokens",
            asked=f"ks = {tokens}",
            found=f"{slots} memory tokens a segment",
            fix=f"ks={[*(k for k in tokens if k < slots), slots]}",
        )
    return tokens


def _whole(name: str, value: object, least: int) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < least:
        raise BudgetError(
            f"{name} is a whole number, {least} or more",
            asked=f"{name} = {value!r}",
            found=type(value).__name__,
            fix=f"{name} = {least}",
        )
    return number


def _texts(cases: list[Case], others: list[Case] | None) -> dict[str, Any]:
    texts = {
        "text": [case.question for case in cases],
        "kind": [case.kind for case in cases],
        "video": [case.video for case in cases],
        **({} if others is None else {"other": [other.question for other in others]}),
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
