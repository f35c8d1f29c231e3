"""A call of every public plot: results of the embedded model about one clip."""

import json
from functools import partial

import numpy as np
import pandas as pd

import tempo_lab as tl
from tempo_lab import course, plots
from tempo_lab.analysis import Case
from tempo_lab.analysis.front_loading.curves import token_probabilities
from tempo_lab.analysis.prompt_sensitivity import SMALL_WORDINGS
from tempo_lab.analysis.published_results import published_results
from tests.evaluation.runs import answers_run, relevance_run

QUESTION = "What color is the star?"


def noise_rows():
    """Return the table of a dose-response: three amounts of noise."""
    rows = [
        {"noise": noise, "family": family, "auc": auc, "score": score}
        | {"score_low": score - 0.05, "score_high": score + 0.05}
        for noise, auc, scores in (
            (0, 0.99, (0.94, 0.9)),
            (6, 0.97, (0.9, 0.86)),
            (24, 0.7, (0.7, 0.68)),
        )
        for family, score in zip(("ATA", "top-k", "uniform head"), (*scores, 0.6), strict=True)
    ]
    return pd.DataFrame(rows)


def calls(session):
    """Return a call of each plot, by its name, without the options that all plots have."""
    truth = json.loads(course.clip("voyage").with_suffix(".json").read_text(encoding="utf-8"))
    evidence = [np.isin(np.arange(12), each["evidence"]) for each in truth["questions"]]
    cases = [
        Case(session, each["text"], each["answer"], flags, each["kind"], f"part {n % 2}")
        for n, (each, flags) in enumerate(zip(truth["questions"][:4], evidence, strict=False))
    ]
    capture = tl.Capture(
        attention=tl.Rows(["decision", "memory", "answer"]),
        reduce="key_group",
        layer_relevance=True,
    )
    trace = session.ask(QUESTION, budget=48, capture=capture)
    patches = session.ask(
        QUESTION,
        budget=48,
        capture=tl.Capture(attention=["decision", "memory"], reduce="patch_grid"),
    )
    segments = list(session.video.segments())
    frames = [segment.frames[4] for segment in segments]
    kept = trace.data["kept"].to_numpy()[8]
    attention, overlay = tl.analysis.attention(trace), tl.analysis.attention(patches)
    explain = {"answer": "red", "progress": False}
    effects = tl.analysis.attribution(session, trace, **explain)
    words = tl.analysis.attribution(
        session, trace, units="words", target="yes_no_logit", progress=False
    )
    loading = tl.analysis.front_loading(cases, [1, 4, 16], draws=1, progress=False)
    tokens = token_probabilities(cases[2], [1, 2, 4, 8, 16], [0], lambda: None)
    groups = tl.analysis.attention_groups([attention], controls=[attention])
    wordings = {"short": SMALL_WORDINGS["short"], "left out": ""}
    prompts = tl.analysis.prompt_sensitivity(
        session, QUESTION, wordings, truth=evidence[2], budget=48, progress=False
    )
    relevance = tl.analysis.relevance_cases(cases, progress=False)
    layers = tl.analysis.relevance_by_layer(trace, evidence[2])
    arms = tl.analysis.baseline_arms(16, [2, 4], ["ATA head", "uniform head", "all tokens"])
    again = tl.allocate(trace.data["score"], 48, strategy="threshold", max_tokens=16)
    return {
        "allocation": partial(plots.allocation, trace),
        "allocation_study": partial(plots.allocation_study, tl.analysis.allocation_study(trace)),
        "anatomy": partial(
            plots.anatomy, segments[8].frames, segments[8].times, session.prompt(QUESTION, 8), kept
        ),
        "answer_attention": partial(plots.answer_attention, tl.analysis.answer_attention(trace)),
        "attention": partial(plots.attention, attention),
        "attention_groups": partial(plots.attention_groups, groups),
        "attention_overlay": partial(plots.attention_overlay, overlay, session.video, segment=8),
        "attention_parts": partial(plots.attention_parts, attention, "decision", 8),
        "attention_time": partial(plots.attention_time, attention, "decision"),
        "attribution": partial(plots.attribution, effects),
        "attribution of words": partial(plots.attribution, words),
        "compare": partial(plots.compare, tl.analysis.compare([trace], [effects])),
        "contact_sheet": partial(plots.contact_sheet, segments),
        "evaluation": partial(plots.evaluation, answers_run()),
        "evaluation of relevance": partial(plots.evaluation, relevance_run()),
        "filmstrip": partial(plots.filmstrip, trace, frames),
        "front_loading": partial(plots.front_loading, loading),
        "front_loading_answer": partial(plots.front_loading_answer, tokens, 4),
        "front_loading_slots": partial(plots.front_loading_slots, loading),
        "prompt_sensitivity": partial(plots.prompt_sensitivity, prompts),
        "published_results": partial(plots.published_results, published_results()),
        "relevance": partial(plots.relevance, relevance),
        "relevance_noise": partial(plots.relevance_noise, noise_rows()),
        "relevance_by_layer": partial(plots.relevance_by_layer, layers),
        "baselines": partial(
            plots.baselines, tl.analysis.baselines(cases, arms=arms, progress=False)
        ),
        "rollout": partial(plots.rollout, tl.analysis.rollout(session, QUESTION, 8)),
        "routing": partial(plots.routing, trace, again),
        "allocator_variants": partial(
            plots.allocator_variants, tl.analysis.allocator_variants(cases, progress=False)
        ),
    }
