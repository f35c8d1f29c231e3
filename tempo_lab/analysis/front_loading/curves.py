"""Front-loading of one question: every arm is answered from memory tokens computed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

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


def question_curves(
    case: Case,
    control_case: Case | None,
    ks: Sequence[int],
    seeds: Sequence[int],
    step: Callable[[], object],
) -> Numbers:
    """Return curves [arm, k], numbers by slot, and `margin`, the smallest of all answers, in nat.

    Args:
        case: the question.
        control_case: the question that the control compresses for, if there is a control.
        ks: tokens per segment.
        seeds: the seeds of the draws of the random arm.
        step: called after each k.
    """
    from tempo_lab.session.scoring import TeacherForced

    memory = all_memory_tokens(case)
    control = None if control_case is None else all_memory_tokens(control_case)
    scorer, slots = TeacherForced(case.session, case.question, case.answer), len(memory[0])
    with scorer.record_slot_attention([slots] * len(memory)) as request:
        reference = scorer.distributions(scorer.embed([memory]))
    points, margin = [], np.inf
    for k in ks:
        prompts = {HEAD: [_keep(HEAD, memory, k)]}
        if k < slots:  # with all tokens, the arms are the same
            prompts |= {arm: [_keep(arm, memory, k)] for arm in (TAIL, TOME)}
            prompts[RANDOM] = [_keep(RANDOM, memory, k, seed) for seed in seeds]
        if control is not None:
            prompts[CONTROL] = [_keep(HEAD, control, k)]
        batch = scorer.embed([row for rows in prompts.values() for row in rows])
        measures, margins = _measures(case, scorer, batch, reference)
        margin = min(margin, margins.min())
        ends = np.cumsum([len(rows) for rows in prompts.values()])[:-1]
        means = {  # of each measure by arm, over the draws of the random arm
            measure: dict(zip(prompts, map(np.mean, np.split(values, ends)), strict=True))
            for measure, values in measures.items()
        }
        arms = [*STRATEGIES, *([CONTROL] if control is not None else [])]
        points.append({m: [by.get(arm, by[HEAD]) for arm in arms] for m, by in means.items()})
        step()
    curves = {f"{m}_each": np.array([point[m] for point in points]).T for m in MEASURES}
    mass = np.stack([parts[0][0].mean(dim=(0, 1)).numpy() for parts in request.recorded.values()])
    return curves | _by_slot(mass[:, :slots], memory, scorer) | {"margin": np.array(margin)}


def all_memory_tokens(case: Case) -> list[torch.Tensor]:
    """Return all memory tokens of a question, [K, hidden] per segment."""
    engine = case.session.engine
    every = np.full(len(case.session), engine.compressor.slots)
    return engine.memory_tokens(engine.score(case.question), every)


def _keep(arm: str, memory: list[torch.Tensor], k: int, seed: int = 0) -> list[torch.Tensor]:
    n, slots = len(memory), len(memory[0])
    allocation = allocate(
        np.zeros(n), n * k, strategy=STRATEGIES[arm], min_tokens=1, max_tokens=slots, seed=seed
    )
    return [keep_tokens(tokens, allocation, segment) for segment, tokens in enumerate(memory)]


def _measures(
    case: Case, scorer: TeacherForced, embeddings: torch.Tensor, reference: torch.Tensor
) -> tuple[Numbers, np.ndarray]:
    """Return the three measures of a batch of prompts, and the answers' margins, float [row]."""
    expected = scorer.distributions(embeddings)
    answers, margins = scorer.generate(embeddings, expected)
    kl = (reference.exp() * (reference - expected)).sum(dim=-1).mean(dim=-1)
    return {
        "accuracy": np.array([case.scored(answer) for answer in answers]),
        "logprob": scorer.of_answer(expected).sum(dim=1).cpu().numpy().astype(float),
        "kl": kl.clamp(min=0).cpu().numpy().astype(float),  # rounding may give less than 0
    }, margins


def _by_slot(mass: np.ndarray, memory: list[torch.Tensor], scorer: TeacherForced) -> Numbers:
    """Return attention [llm_layer, slot] as shares, and the tokens' geometry, segment means."""
    stages = [np.stack([tokens.float().cpu().numpy() for tokens in memory])]  # [segment, slot, _]
    stages.append(np.stack([t.float().cpu().numpy() for t in map(scorer.project, memory)]))
    return {
        "attention_share": mass.sum(axis=0) / mass.sum(),
        "attention_by_layer": mass / mass.sum(axis=1, keepdims=True),
        "attention_to_memory": mass.sum(axis=1).mean(),
        "norm": np.stack([np.linalg.norm(each, axis=-1).mean(axis=0) for each in stages]),
        "similarity": np.stack([cosines(each).mean(axis=0) for each in stages]),
        "effective_rank": np.stack([effective_rank(each).mean(axis=0) for each in stages]),
    }


def token_probabilities(
    case: Case, ks: Sequence[int], seeds: Sequence[int], step: Callable[[], object]
) -> xr.Dataset:
    """Run the model on a case, and return the probability of each token of the right answer.

    Args:
        case: the question.
        ks: tokens per segment.
        seeds: the seeds of the draws of the random arm; its probabilities are means over them.
        step: called after each k.

    Returns:
        `token_probability` [arm, k, answer_token], `probability` [arm, k] of the whole answer,
        and `said` [arm, k], the greedy answer (of the first draw); the arms are head, tail, random.
    """
    import xarray as xr

    from tempo_lab.session.scoring import TeacherForced

    memory = all_memory_tokens(case)
    scorer = TeacherForced(case.session, case.question, case.answer)
    arms = (HEAD, TAIL, RANDOM)
    by_token: list[np.ndarray] = []
    of_answer: list[np.ndarray] = []
    generated: list[list[str]] = []
    for k in ks:
        rows = [_keep(arm, memory, k) for arm in (HEAD, TAIL)]
        rows += [_keep(RANDOM, memory, k, seed) for seed in seeds]
        embeddings = scorer.embed(rows)
        expected = scorer.distributions(embeddings)
        tokens = scorer.of_answer(expected).exp().cpu().numpy().astype(float)  # [row, answer_token]
        for points, values in ((by_token, tokens), (of_answer, tokens.prod(axis=1))):
            points.append(np.stack([values[0], values[1], values[2:].mean(axis=0)]))
        generated.append(scorer.generate(embeddings[:3], expected[:3])[0])
        step()
    ids = scorer.ids.tolist()
    texts = [scorer.prompts.llm.decode([token]).strip() for token in ids[:-1]] + ["(end)"]
    return xr.Dataset(
        {
            "token_probability": (("arm", "k", "answer_token"), np.stack(by_token, axis=1)),
            "probability": (("arm", "k"), np.stack(of_answer, axis=1)),
            "said": (("arm", "k"), np.array(generated, dtype=object).T),
        },
        {"arm": list(arms), "k": list(ks), "answer_token": texts},
    )
