"""Relevance, attention and causal effect of segments in one table: do they agree?"""

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
    check_count,
    check_traces,
    one_or_more,
    question_read,
    recorded,
)
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import COVERAGE, bootstrap_mean, ranks, spearman
from tempo_lab.common.text import one_line
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("relevance", "attention", "effect")
_FIX = 'tempo_lab.analysis.attribution.attribution(session, trace, units="segments")'
FEWEST = 3
"""Segments that a ranking must have, to be compared with another."""


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Result):
    """Three rankings of the same segments, and how well they agree.

    Segments of all questions stand below each other; `data.trace` says which question, `number`
    which segment. Ranks are within a question, 1 the highest, equal values share their mean rank.
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
        """The k segments whose ranks lie furthest apart."""
        order = np.argsort(-self.data["apart"].to_numpy(), kind="stable")
        return self.to_pandas().iloc[order[:k]]

    def correlations(self) -> pd.DataFrame:
        """Rank correlation of each two measures, its interval, and how often they agree on top."""
        return self.data[["correlation", "low", "high", "same_first"]].to_dataframe()


def compare(
    traces: Trace | Sequence[Trace],
    effects: Attribution | Sequence[Attribution],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare what the model says matters, where it looks, and what matters.

    Relevance is the SVLM's, before any memory token. Attention is what the answer's tokens give to
    each segment's memory tokens, mean over the LLM's layers, heads and tokens of the answer: a
    segment with more tokens can get more. Effect is an attribution by segments. Where a run has
    swapped segments, all three are of the memory that stands at each place in time.

    Intervals resample segments of one question; videos of several questions (or questions, if all
    are about one video). Draws in which a measure is constant have no correlation and are left out.

    Args:
        traces: asked with `Capture(attention=["answer"])`.
        effects: `attribution(..., units="segments")` of the same questions, in the same order.
        resamples: bootstrap draws.
        seed: of the draws.

    Raises:
        TraceError: a trace without the answer's attention; attributions of other units, questions
            or models; fewer than 3 segments; or equal values, which rank nothing.
    """
    asked = check_traces(traces)
    given = one_or_more(effects, Attribution, "attributions", _FIX)
    check_count("resamples", resamples)
    if len(given) != len(asked):
        raise TraceError(
            "each trace is compared with its own attribution",
            asked=f"{len(asked)} traces",
            found=f"{len(given)} attributions",
        )
    tables = [_table(trace, effect) for trace, effect in zip(asked, given, strict=True)]
    pairs = list(combinations(range(len(MEASURES)), 2))
    each = np.array([[spearman(table[a], table[b]) for a, b in pairs] for table in tables])
    first = np.array([table.argmax(axis=1) for table in tables])  # [question, measure]
    same = np.stack([first[:, a] == first[:, b] for a, b in pairs], axis=1)
    if len(tables) == 1:
        over = f"{tables[0].shape[1]} segments"
        mean, (low, high) = each[0], _over_segments(tables[0], pairs, resamples, seed)
    else:
        names = np.array([str(trace.provenance.get("video_digest", "")) for trace in asked])
        alone = len(set(names)) == 1
        groups = np.arange(len(asked)) if alone else names
        over = f"{len(asked)} questions" if alone else f"{len(set(names))} videos"
        found = [bootstrap_mean(rho, groups, resamples=resamples, seed=seed) for rho in each.T]
        mean, low, high = (
            np.array([getattr(one, name) for one in found]) for name in ("value", "low", "high")
        )

    placed = np.concatenate([ranks(-table) for table in tables], axis=1)
    values = dict(zip(MEASURES, np.concatenate(tables, axis=1), strict=True))
    values["relevance"] = np.concatenate([by_place(trace, "relevance") for trace in asked])
    data = xr.Dataset(
        {
            **{name: ("segment", value) for name, value in values.items()},
            **{
                f"{name}_rank": ("segment", row) for name, row in zip(MEASURES, placed, strict=True)
            },
            "apart": ("segment", placed.max(axis=0) - placed.min(axis=0)),
            "correlation": ("pair", mean),
            "same_first": ("pair", same.mean(axis=0)),
            "low": ("pair", low),
            "high": ("pair", high),
        },
        {
            "pair": [f"{MEASURES[a]}, {MEASURES[b]}" for a, b in pairs],
            "trace": ("segment", np.repeat(np.arange(len(asked)), [t.shape[1] for t in tables])),
            "number": ("segment", np.concatenate([np.arange(t.shape[1]) for t in tables])),
            **{
                name: ("segment", np.concatenate([trace.data[name] for trace in asked]))
                for name in ("start", "end", "tokens")
            },
        },
    )
    target = given[0].provenance
    questions = [trace.question for trace in asked]
    return Comparison(
        data,
        {
            "questions": questions,
            "answers": [trace.answer for trace in asked],
            "resampled": over,
            "resamples": resamples,
            "seed": seed,
            "effect": {name: target[name] for name in ("target", "method", "baseline")},
            "target_units": target["target_units"],
            "traces": [trace.provenance for trace in asked],
        },
    )


def _over_segments(
    table: np.ndarray, pairs: Sequence[tuple[int, int]], resamples: int, seed: int
) -> np.ndarray:
    """Ends of percentile intervals [end, pair] of correlations of one question's segments."""
    segments = table.shape[1]
    drawn = np.random.default_rng(seed).integers(segments, size=(resamples, segments))
    tail = (1 - COVERAGE) / 2
    found = [spearman(table[a][drawn], table[b][drawn]) for a, b in pairs]
    return np.stack([np.nanquantile(rho, [tail, 1 - tail]) for rho in found], axis=1)


def _table(trace: Trace, effect: Attribution) -> np.ndarray:
    """[measure, segment]: relevance as its logit, attention, effect."""
    _check_effect(trace, effect)
    attention = recorded(
        trace, "answer_attention", 'Capture(attention=["answer"])', ["llm_key_group"]
    )
    segments = trace.data.sizes["segment"]
    groups = [f"memory {segment}" for segment in range(segments)]
    looked = attention.sel(llm_key_group=groups).mean(["llm_layer", "llm_head", "answer_token"])
    logit = by_place(trace, "logit")
    table = np.stack([logit, looked, effect.data["value"]]).astype(float)
    if segments < FEWEST:
        raise TraceError(
            "too few segments to rank",
            asked=f"{FEWEST} segments at least",
            found=f"{segments} in {trace.provenance.get('video')}",
            fix="a longer video, or a higher fps",
        )
    for name, values in zip(MEASURES, table, strict=True):
        if values.max() == values.min():
            raise TraceError(
                "equal values rank nothing",
                asked=f"{name} of {segments} segments: {one_line(trace.question, 80)}",
                found=f"all are {values[0]:.4g}",
                fix="leave this question out, or another target",
            )
    return table


def _check_effect(trace: Trace, effect: Attribution) -> None:
    if (read := question_read(trace)) != trace.question:
        raise TraceError(
            "relevance is of another question than attention and effect",
            asked=one_line(trace.question, 80),
            found=f"compressed for {one_line(read, 80)}",
            fix="a trace without that intervention",
        )
    theirs, whose = effect.provenance, effect.provenance.get("trace", {})
    for name, wanted, found in (
        ("units", "segments", theirs.get("units")),
        ("question", trace.question, theirs.get("question")),
        ("model", trace.provenance.get("model_digest"), whose.get("model_digest")),
        ("video", trace.provenance.get("video_digest"), whose.get("video_digest")),
        ("segments", trace.data.sizes["segment"], effect.data.sizes["unit"]),
        ("budget", trace.data.attrs["budget"], theirs.get("budget")),
        ("strategy", trace.data.attrs["strategy"], theirs.get("strategy")),
        ("interventions", trace.provenance.get("interventions"), whose.get("interventions")),
    ):
        if wanted != found:
            raise TraceError(
                "the attribution is of something else than the trace",
                asked=f"{name}: {one_line(str(wanted), 80)}",
                found=one_line(str(found), 80),
                fix=_FIX,
            )
