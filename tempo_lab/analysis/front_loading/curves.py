"""Front-loading of one question: every arm, answered from the memory tokens of one reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.allocation import rivals  # noqa: F401  (registers strategies)
from tempo_lab.allocation.ata import allocate, keep_tokens
from tempo_lab.analysis.front_loading.result import (
    CONTROL,
    HEAD,
    MEASURES,
    RANDOM,
    TAIL,
    TOME,
    cosines,
    effective_rank,
)
from tempo_lab.evaluation.cases import Case

if TYPE_CHECKING:
    import torch
    import xarray as xr

    from tempo_lab.session.scoring import TeacherForced

STRATEGIES = {HEAD: "uniform", TAIL: "uniform-tail", RANDOM: "uniform-random", TOME: "uniform-tome"}

Numbers = dict[str, np.ndarray]


def of_question(
    case: Case,
    other: Case | None,
    ks: Sequence[int],
    seeds: Sequence[int],
    step: Callable[[], object],
) -> Numbers:
    """Curves [arm, k], numbers by slot, and `margin`: the least one of all answers, in nat.

    Args:
        case: the question.
        other: the one that the control compresses for, if any.
        ks: tokens a segment.
        seeds: of each draw of the random arm.
        step: called after each k.
    """
    from tempo_lab.session.scoring import TeacherForced

    memory = _memory(case)
    control = None if other is None else _memory(other)
    asked, slots = TeacherForced(case.session, case.question, case.answer), len(memory[0])
    with asked.slots_watched([slots] * len(memory)) as watched:
        reference = asked.distributions(asked.embed([memory]))
    points, margin = [], np.inf
    for k in ks:
        kept = {HEAD: [_keep(HEAD, memory, k)]}
        if k < slots:  # else all are the same
            kept |= {arm: [_keep(arm, memory, k)] for arm in (TAIL, TOME)}
            kept[RANDOM] = [_keep(RANDOM, memory, k, seed) for seed in seeds]
        if control is not None:
            kept[CONTROL] = [_keep(HEAD, control, k)]
        together = [row for rows in kept.values() for row in rows]
        carried, margins = _carried(case, asked, asked.embed(together), reference)
        margin = min(margin, margins.min())
        ends = np.cumsum([len(rows) for rows in kept.values()])[:-1]
        means = {  # of each measure by arm: over the draws of the random one
            measure: dict(zip(kept, map(np.mean, np.split(values, ends)), strict=True))
            for measure, values in carried.items()
        }
        arms = [*STRATEGIES, *([CONTROL] if control is not None else [])]
        points.append({m: [by.get(arm, by[HEAD]) for arm in arms] for m, by in means.items()})
        step()
    curves = {f"{m}_each": np.array([point[m] for point in points]).T for m in MEASURES}
    looked = np.stack([parts[0][0].mean(dim=(0, 1)).numpy() for parts in watched.found.values()])
    return curves | _by_slot(looked[:, :slots], memory, asked) | {"margin": np.array(margin)}


def _memory(case: Case) -> list[torch.Tensor]:
    """All memory tokens of a question, [K, hidden] of each segment."""
    engine = case.session.engine
    every = np.full(len(case.session), engine.compressor.slots)
    return engine.memory_tokens(engine.score(case.question), every)


def _keep(arm: str, memory: list[torch.Tensor], k: int, seed: int = 0) -> list[torch.Tensor]:
    n, slots = len(memory), len(memory[0])
    allocation = allocate(
        np.zeros(n), n * k, strategy=STRATEGIES[arm], min_tokens=1, max_tokens=slots, seed=seed
    )
    return [keep_tokens(tokens, allocation, segment) for segment, tokens in enumerate(memory)]


def _carried(
    case: Case, asked: TeacherForced, embeddings: torch.Tensor, reference: torch.Tensor
) -> tuple[Numbers, np.ndarray]:
    """The three measures of some rows of prompts, and the answers' margins, float [row] each."""
    expected = asked.distributions(embeddings)
    answers, margins = asked.said(embeddings, expected)
    apart = (reference.exp() * (reference - expected)).sum(dim=-1).mean(dim=-1)
    return {
        "accuracy": np.array([case.scored(answer) for answer in answers]),
        "logprob": asked.of_answer(expected).sum(dim=1).cpu().numpy().astype(float),
        "kl": apart.clamp(min=0).cpu().numpy().astype(float),  # rounding may go below
    }, margins


def _by_slot(looked: np.ndarray, memory: list[torch.Tensor], asked: TeacherForced) -> Numbers:
    """Attention [llm_layer, slot] as shares, and the tokens' geometry, mean over segments."""
    stages = [np.stack([tokens.float().cpu().numpy() for tokens in memory])]  # [segment, slot, _]
    stages.append(np.stack([t.float().cpu().numpy() for t in map(asked.project, memory)]))
    return {
        "attention_share": looked.sum(axis=0) / looked.sum(),
        "attention_by_layer": looked / looked.sum(axis=1, keepdims=True),
        "attention_to_memory": looked.sum(axis=1).mean(),
        "norm": np.stack([np.linalg.norm(each, axis=-1).mean(axis=0) for each in stages]),
        "similarity": np.stack([cosines(each).mean(axis=0) for each in stages]),
        "effective_rank": np.stack([effective_rank(each).mean(axis=0) for each in stages]),
    }


def by_token(
    case: Case, ks: Sequence[int], seeds: Sequence[int], step: Callable[[], object]
) -> xr.Dataset:
    """How probable each token of the right answer is, from k memory tokens of each segment.

    Args:
        case: the question.
        ks: tokens a segment.
        seeds: of each draw of the random arm, whose probabilities are means over the draws.
        step: called after each k.

    Returns:
        `token_probability` [arm, k, answer_token], `probability` [arm, k] of the whole answer,
        and `said` [arm, k], the greedy answer (of the first draw); the arms are head, tail, random.
    """
    import xarray as xr

    from tempo_lab.session.scoring import TeacherForced

    memory = _memory(case)
    asked = TeacherForced(case.session, case.question, case.answer)
    arms = (HEAD, TAIL, RANDOM)
    each: list[np.ndarray] = []
    whole: list[np.ndarray] = []
    said: list[list[str]] = []
    for k in ks:
        rows = [_keep(arm, memory, k) for arm in (HEAD, TAIL)]
        rows += [_keep(RANDOM, memory, k, seed) for seed in seeds]
        embeddings = asked.embed(rows)
        expected = asked.distributions(embeddings)
        tokens = asked.of_answer(expected).exp().cpu().numpy().astype(float)  # [row, answer_token]
        for found, values in ((each, tokens), (whole, tokens.prod(axis=1))):
            found.append(np.stack([values[0], values[1], values[2:].mean(axis=0)]))
        said.append(asked.said(embeddings[:3], expected[:3])[0])
        step()
    ids = asked.ids.tolist()
    texts = [asked.prompts.llm.decode([token]).strip() for token in ids[:-1]] + ["(end)"]
    return xr.Dataset(
        {
            "token_probability": (("arm", "k", "answer_token"), np.stack(each, axis=1)),
            "probability": (("arm", "k"), np.stack(whole, axis=1)),
            "said": (("arm", "k"), np.array(said, dtype=object).T),
        },
        {"arm": list(arms), "k": list(ks), "answer_token": texts},
    )
