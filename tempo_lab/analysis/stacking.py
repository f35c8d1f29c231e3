"""Several traces as one array: a row a question, NaN behind the end of shorter videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tempo_lab.analysis.validation import check_traces, question_read
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import SHARE, Estimate, bootstrap_mean
from tempo_lab.evaluation.cases import check_truth
from tempo_lab.trace.trace import Trace

Truth = Sequence[bool] | np.ndarray
"""Which segments hold the evidence, bool [segment]."""


def check_ranked(given: Trace | Sequence[Trace]) -> list[Trace]:
    """Traces whose segments can be ranked by relevance, as a list.

    Raises:
        TraceError: one of them has a single segment, or scores that are no numbers, or all equal.
    """
    traces = check_traces(given)
    for trace in traces:
        logit = trace.data["logit"].to_numpy()
        if len(logit) < 2:
            raise TraceError(
                "one segment alone has no rank",
                asked=f"2 segments or more of {video_of(trace) or 'the video'}",
                found=str(len(logit)),
                fix="a longer video; with one segment there is nothing to choose",
            )
        if not np.isfinite(logit).all():
            raise TraceError(
                "scores that are no numbers cannot be ranked",
                asked=f"{len(logit)} finite logits of {trace.question!r}",
                found=f"{np.isfinite(logit).sum()} of them",
                fix="ask again in another dtype: tempo_lab.load(..., dtype='float32')",
            )
        if logit.min() == logit.max():
            raise TraceError(
                "all scores are equal, and their order would mean nothing",
                asked=f"a ranking of {len(logit)} segments for {trace.question!r}",
                found=f"every logit is {logit[0]:.4g}",
                fix="another question, or a video whose segments differ",
            )
    return traces


def check_truths(
    truth: Truth | Sequence[Truth], given: Trace | Sequence[Trace]
) -> list[np.ndarray]:
    """The truth of each trace as bool [segment].

    Args:
        truth: of one trace [segment]; of a list of traces a list of such.

    Raises:
        TraceError: not one truth a trace, or not one entry a segment.
    """
    traces = [given] if isinstance(given, Trace) else list(given)
    alone = isinstance(given, Trace) or not isinstance(truth, Iterable)
    truths = [truth] if alone else list(truth)
    if len(truths) != len(traces):
        raise TraceError(
            "every trace has its own truth",
            asked=f"{len(traces)} traces",
            found=f"truth of {len(truths)}",
            fix="a list with one bool [segment] for each trace",
        )
    pairs = zip(truths, traces, strict=True)
    return [check_truth(np.asarray(each), len(t.data["segment"])) for each, t in pairs]


def check_controls(asked: Sequence[Trace], controls: Trace | Sequence[Trace]) -> list[Trace]:
    """Traces of other questions about the same videos, one for each, as a list.

    Raises:
        TraceError: another number of them, another video or model, or the same question.
    """
    shuffled = check_ranked(controls)
    if len(shuffled) != len(asked):
        raise TraceError(
            "every trace has its own control",
            asked=f"{len(asked)} traces",
            found=f"{len(shuffled)} controls",
            fix="one trace of the same video for each, with the question of another video",
        )
    check_ranked([*asked, *shuffled])  # of one model
    for trace, other in zip(asked, shuffled, strict=True):
        here, there = ((video_of(t), len(t.data["segment"])) for t in (trace, other))
        if here != there or question_read(trace) == question_read(other):
            raise TraceError(
                "a control asks another question about the same video",
                asked=f"not {question_read(trace)!r}, of {here[0] or 'the video'}, "
                f"{here[1]} segments",
                found=f"{question_read(other)!r}, of {there[0] or 'a video'}, {there[1]} segments",
                fix="tempo_lab.analysis.relevance_cases makes controls",
            )
    return shuffled


def pad_stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Arrays [segment, ...] as one [question, longest segment, ...]; NaN (False) where shorter."""
    longest = max(len(row) for row in rows)
    shape = (len(rows), longest, *rows[0].shape[1:])
    whole = np.zeros(shape, bool) if rows[0].dtype.kind == "b" else np.full(shape, np.nan)
    for target, row in zip(whole, rows, strict=True):
        target[: len(row)] = row
    return whole


def labels(traces: Sequence[Trace]) -> dict[str, Any]:
    """Coordinates of stacked traces: numbers, words and video of questions, seconds of segments.

    The words are those that the SVLM read, whose relevance it is.
    """
    seconds = {
        name: (
            ("question", "segment"),
            pad_stack([trace.data[name].to_numpy() for trace in traces]),
            {"units": "s", "long_name": "on the sampled clock"},
        )
        for name in ("start", "end")
    }
    longest = max(len(trace.data["segment"]) for trace in traces)
    return {
        "question": np.arange(len(traces)),
        "segment": np.arange(longest),
        "text": ("question", [question_read(trace) for trace in traces]),
        "video": ("question", [video_of(trace) for trace in traces]),
        **seconds,
    }


def video_of(trace: Trace) -> str:
    """What identifies a trace's video, for resampling; one that does not say is like all such."""
    made = trace.provenance
    return str(made.get("video_digest") or made.get("video") or "")


def sources(traces: Sequence[Trace]) -> dict[str, Any]:
    """Provenance of a result: what made the traces, and of which videos and questions."""
    same = ("tempo_lab", "torch", "model", "model_digest", "device", "dtype", "relevance_sentence")
    first = traces[0].provenance
    return {
        **{name: first[name] for name in same if name in first},
        "traces": [
            {
                "question": trace.question,
                "video": str(trace.provenance.get("video", "")),
                "interventions": list(trace.interventions),
            }
            for trace in traces
        ],
    }


def mean_of(
    name: str,
    values: np.ndarray,
    videos: Sequence[str],
    seed: int,
    bounds: tuple[float, float] = SHARE,
) -> dict[str, Any]:
    """Variables NAME, NAME_low, NAME_high: mean over questions, interval over videos."""
    found: Estimate = bootstrap_mean(values, list(videos), seed=seed, bounds=bounds)
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
