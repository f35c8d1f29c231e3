"""Relevance, attention and causal effect of segments in one table, and how well they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attribution.attribution import Attribution
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import (
    by_place,
    check_traces,
    one_or_more,
    question_read,
    recorded,
)
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import COVERAGE, bootstrap_mean, ranks, spearman
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("relevance", "attention", "effect")
_FIX = 'tempo_lab.analysis.attribution(session, trace, units="segments")'
MIN_SEGMENTS = 3
"""Segments that a ranking needs to be compared with another."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """Three rankings of the same segments, and how well they agree.

    The rows are the segments of all questions; `data.trace` is the number of the question and
    `number` that of the segment. Ranks are within a question: 1 is the highest, and ties share
    their mean rank.
    """

    QUANTITIES: ClassVar = {
        "relevance": Quantity(("segment",), "probability", "that the segment helps to answer"),
        "attention": Quantity(
            ("segment",), "probability", "that the answer's tokens give to its memory tokens"
        ),
        "effect": Quantity(("segment",), "of the target", "what the segment adds to the target"),
        **{
            f"{name}_rank": Quantity(("segment",), "1", f"by {name}, 1 the highest")
            for name in MEASURES
        },
        "apart": Quantity(("segment",), "ranks", "largest difference of two of the ranks"),
        "correlation": Quantity(("pair",), "1", "Spearman's, mean over questions"),
        "same_first": Quantity(("pair",), "1", "share of questions with the same highest segment"),
        "low": Quantity(("pair",), "1", f"of the {COVERAGE:.0%} bootstrap interval"),
        "high": Quantity(("pair",), "1", f"of the {COVERAGE:.0%} bootstrap interval"),
    }
    TABLE: ClassVar = ("segment",)

    def disagreements(self, k: int = 3) -> pd.DataFrame:
        """Return the k segments whose ranks differ most."""
        order = np.argsort(-self.data["apart"].to_numpy(), kind="stable")
        return self.to_pandas().iloc[order[:k]]

    def correlations(self) -> pd.DataFrame:
        """Return the rank correlation of each pair of measures, its interval, and `same_first`."""
        return self.data[["correlation", "low", "high", "same_first"]].to_dataframe()


def compare(
    traces: Trace | Sequence[Trace],
    effects: Attribution | Sequence[Attribution],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Read traces and attributions, and return how well relevance, attention and effect agree.

    Relevance is the score of the SVLM before any memory token. Attention is that of the answer's
    tokens to each segment's memory tokens, mean over the LLM's layers, heads and answer tokens; a
    segment with more tokens can get more. Effect is an attribution by segments. If segments were
    swapped in a run, all three belong to the memory at each place in time.

    For one question, intervals resample its segments. For several, they resample videos, or
    questions if all are about one video. Draws in which a measure is constant have no correlation
    and are left out.

    Args:
        traces: traces recorded with `Capture(attention=["answer"])`.
        effects: `attribution(..., units="segments")` of the same questions, in the same order.
        resamples: the number of bootstrap draws.
        seed: the seed of the draws.

    Raises:
        TraceError: a trace has no attention of the answer; an attribution has other units, or is
            of another question or model; there are fewer than 3 segments; or all values of a
            measure are equal.
    """
    trace_list = check_traces(traces)
    effect_list = one_or_more(effects, Attribution, "attributions", _FIX)
    check_whole("resamples", resamples, 1, error=TraceError)
    if len(effect_list) != len(trace_list):
        raise TraceError(
            "each trace needs its own attribution",
            asked=f"{len(trace_list)} traces",
            found=f"{len(effect_list)} attributions",
        )
    tables = [_table(trace, effect) for trace, effect in zip(trace_list, effect_list, strict=True)]
    pairs = list(combinations(range(len(MEASURES)), 2))
    each = np.array([[spearman(table[a], table[b]) for a, b in pairs] for table in tables])
    first = np.array([table.argmax(axis=1) for table in tables])  # [question, measure]
    same = np.stack([first[:, a] == first[:, b] for a, b in pairs], axis=1)
    if len(tables) == 1:
        over = f"{tables[0].shape[1]} segments"
        mean, (low, high) = each[0], _over_segments(tables[0], pairs, resamples, seed)
    else:
        videos = np.array([str(trace.provenance.get("video_digest", "")) for trace in trace_list])
        one_video = len(set(videos)) == 1
        groups = np.arange(len(trace_list)) if one_video else videos
        over = f"{len(trace_list)} questions" if one_video else f"{len(set(videos))} videos"
        means = [bootstrap_mean(rho, groups, resamples=resamples, seed=seed) for rho in each.T]
        mean, low, high = (
            np.array([getattr(estimate, name) for estimate in means])
            for name in ("value", "low", "high")
        )

    ranked = np.concatenate([ranks(-table) for table in tables], axis=1)
    values = dict(zip(MEASURES, np.concatenate(tables, axis=1), strict=True))
    values["relevance"] = np.concatenate([by_place(trace, "relevance") for trace in trace_list])
    data = xr.Dataset(
        {
            **{name: ("segment", value) for name, value in values.items()},
            **{
                f"{name}_rank": ("segment", row) for name, row in zip(MEASURES, ranked, strict=True)
            },
            "apart": ("segment", ranked.max(axis=0) - ranked.min(axis=0)),
            "correlation": ("pair", mean),
            "same_first": ("pair", same.mean(axis=0)),
            "low": ("pair", low),
            "high": ("pair", high),
        },
        {
            "pair": [f"{MEASURES[a]}, {MEASURES[b]}" for a, b in pairs],
            "trace": (
                "segment",
                np.repeat(np.arange(len(tables)), [table.shape[1] for table in tables]),
            ),
            "number": ("segment", np.concatenate([np.arange(t.shape[1]) for t in tables])),
            **{
                name: ("segment", np.concatenate([trace.data[name] for trace in trace_list]))
                for name in ("start", "end", "tokens")
            },
        },
    )
    target = effect_list[0].provenance
    return Comparison(
        data,
        {
            "questions": [trace.question for trace in trace_list],
            "answers": [trace.answer for trace in trace_list],
            "resampled": over,
            "resamples": resamples,
            "seed": seed,
            "effect": {name: target[name] for name in ("target", "method", "baseline")},
            "target_units": target["target_units"],
            "traces": [trace.provenance for trace in trace_list],
        },
    )


def _over_segments(
    table: np.ndarray, pairs: Sequence[tuple[int, int]], resamples: int, seed: int
) -> np.ndarray:
    """Return the ends of percentile intervals [end, pair] over one question's segments."""
    segments = table.shape[1]
    drawn = np.random.default_rng(seed).integers(segments, size=(resamples, segments))
    tail = (1 - COVERAGE) / 2
    rhos = [spearman(table[a][drawn], table[b][drawn]) for a, b in pairs]
    return np.stack([np.nanquantile(rho, [tail, 1 - tail]) for rho in rhos], axis=1)


def _table(trace: Trace, effect: Attribution) -> np.ndarray:
    """Return [measure, segment]: relevance as its logit, attention, effect."""
    _check_effect(trace, effect)
    attention = recorded(
        trace, "answer_attention", 'Capture(attention=["answer"])', ["llm_key_group"]
    )
    segments = trace.data.sizes["segment"]
    groups = [f"memory {segment}" for segment in range(segments)]
    mass = attention.sel(llm_key_group=groups).mean(["llm_layer", "llm_head", "answer_token"])
    logit = by_place(trace, "logit")
    table = np.stack([logit, mass, effect.data["value"]]).astype(float)
    if segments < MIN_SEGMENTS:
        raise TraceError(
            "too few segments to rank",
            asked=f"at least {MIN_SEGMENTS} segments",
            found=f"{segments} in {trace.provenance.get('video')}",
            fix="use a longer video, or a higher fps",
        )
    for name, values in zip(MEASURES, table, strict=True):
        if values.max() == values.min():
            raise TraceError(
                "equal values cannot be ranked",
                asked=f"{name} of {segments} segments: {one_line(trace.question, 80)}",
                found=f"all are {values[0]:.4g}",
                fix="leave this question out, or use another target",
            )
    return table


def _check_effect(trace: Trace, effect: Attribution) -> None:
    if (read := question_read(trace)) != trace.question:
        raise TraceError(
            "relevance is of another question than attention and effect",
            asked=one_line(trace.question, 80),
            found=f"compressed for {one_line(read, 80)}",
            fix="use a trace without that intervention",
        )
    of_effect, of_its_trace = effect.provenance, effect.provenance.get("trace", {})
    for name, expected, actual in (
        ("units", "segments", of_effect.get("units")),
        ("question", trace.question, of_effect.get("question")),
        ("model", trace.provenance.get("model_digest"), of_its_trace.get("model_digest")),
        ("video", trace.provenance.get("video_digest"), of_its_trace.get("video_digest")),
        ("segments", trace.data.sizes["segment"], effect.data.sizes["unit"]),
        ("budget", trace.data.attrs["budget"], of_effect.get("budget")),
        ("strategy", trace.data.attrs["strategy"], of_effect.get("strategy")),
        ("interventions", trace.provenance.get("interventions"), of_its_trace.get("interventions")),
    ):
        if expected != actual:
            raise TraceError(
                "the attribution and the trace are not of the same run",
                asked=f"{name}: {one_line(str(expected), 80)}",
                found=one_line(str(actual), 80),
                fix=_FIX,
            )
