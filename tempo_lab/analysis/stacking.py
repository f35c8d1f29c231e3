"""Several traces as one array: one row per question, NaN after the end of shorter videos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tempo_lab.analysis.result import Result
from tempo_lab.analysis.validation import check_traces, question_read
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import bootstrap_mean
from tempo_lab.evaluation.cases import check_truth
from tempo_lab.trace.trace import Trace

Truth = Sequence[bool] | np.ndarray
"""Which segments hold the evidence, bool [segment]."""


def check_ranked(traces: Trace | Sequence[Trace]) -> list[Trace]:
    """Return traces whose segments can be ranked by relevance, as a list.

    Raises:
        TraceError: a trace has a single segment, or scores that are not finite or all equal.
    """
    trace_list = check_traces(traces)
    for trace in trace_list:
        logit = trace.data["logit"].to_numpy()
        if len(logit) < 2:
            raise TraceError(
                "a ranking needs two segments",
                asked=f"2 segments or more of {video_of(trace) or 'the video'}",
                found=str(len(logit)),
                fix="use a longer video",
            )
        if not np.isfinite(logit).all():
            raise TraceError(
                "scores that are not finite cannot be ranked",
                asked=f"{len(logit)} finite logits of {trace.question!r}",
                found=f"{np.isfinite(logit).sum()} finite logits",
                fix="ask again in another dtype: tempo_lab.load(..., dtype='float32')",
            )
        if logit.min() == logit.max():
            raise TraceError(
                "equal scores cannot be ranked",
                asked=f"a ranking of {len(logit)} segments for {trace.question!r}",
                found=f"every logit is {logit[0]:.4g}",
                fix="use another question, or a video whose segments differ",
            )
    return trace_list


def check_truths(
    truth: Truth | Sequence[Truth], traces: Trace | Sequence[Trace]
) -> list[np.ndarray]:
    """Return the truth of each trace as bool [segment].

    Args:
        truth: bool [segment] for one trace; a list of these for a list of traces.
        traces: one trace or several.

    Raises:
        TraceError: there is not one truth per trace, or not one entry per segment.
    """
    single = isinstance(traces, Trace) or not isinstance(truth, Iterable)
    truths = [truth] if single else list(truth)
    trace_list = [traces] if isinstance(traces, Trace) else list(traces)
    if len(truths) != len(trace_list):
        raise TraceError(
            "each trace needs its own truth",
            asked=f"{len(trace_list)} traces",
            found=f"truth of {len(truths)}",
            fix="pass a list with one bool [segment] per trace",
        )
    pairs = zip(truths, trace_list, strict=True)
    return [check_truth(np.asarray(flags), len(trace.data["segment"])) for flags, trace in pairs]


def check_controls(traces: Sequence[Trace], controls: Trace | Sequence[Trace]) -> list[Trace]:
    """Return the control of each trace, a trace of another question about the same video.

    Raises:
        TraceError: there is not one control per trace, or a control has another video or model, or
            the same question.
    """
    control_list = check_ranked(controls)
    if len(control_list) != len(traces):
        raise TraceError(
            "each trace needs its own control",
            asked=f"{len(traces)} traces",
            found=f"{len(control_list)} controls",
            fix="pass one trace of the same video per trace, with the question of another video",
        )
    check_ranked([*traces, *control_list])  # all of one model
    for trace, control in zip(traces, control_list, strict=True):
        videos = [(video_of(each), len(each.data["segment"])) for each in (trace, control)]
        questions = question_read(trace), question_read(control)
        if videos[0] != videos[1] or questions[0] == questions[1]:
            (video, segments), (control_video, control_segments) = videos
            raise TraceError(
                "a control asks another question about the same video",
                asked=f"not {questions[0]!r}, of {video or 'the video'}, {segments} segments",
                found=f"{questions[1]!r}, of {control_video or 'a video'}, "
                f"{control_segments} segments",
                fix="tempo_lab.analysis.relevance_cases makes controls",
            )
    return control_list


def pad_stack(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Return arrays [segment, ...] as one [question, segment, ...], padded with NaN or False."""
    longest = max(len(row) for row in rows)
    shape = (len(rows), longest, *rows[0].shape[1:])
    stacked = np.zeros(shape, bool) if rows[0].dtype.kind == "b" else np.full(shape, np.nan)
    for target, row in zip(stacked, rows, strict=True):
        target[: len(row)] = row
    return stacked


def labels(traces: Sequence[Trace]) -> dict[str, Any]:
    """Return coordinates of stacked traces: text and video of questions, seconds of segments.

    The text is the question that the SVLM read, which the relevance belongs to.
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


def video_of(record: Trace | Result) -> str:
    """Return what identifies the video of a trace or result for resampling; "" if unknown."""
    provenance = record.provenance
    return str(provenance.get("video_digest") or provenance.get("video") or "")


def sources(traces: Sequence[Trace]) -> dict[str, Any]:
    """Return the provenance of a result: model, versions, and videos and questions of traces."""
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
    videos: npt.ArrayLike,
    seed: int,
    bounds: tuple[float, float] | None = None,
) -> dict[str, np.ndarray]:
    """Return NAME, NAME_low and NAME_high: the mean over questions, and its interval over videos.

    Args:
        name: the name of the mean.
        values: [question, ...].
        videos: what identifies the video of each question.
        seed: the seed of the bootstrap.
        bounds: smallest and largest possible value, as in `bootstrap_mean`.
    """
    columns = values.reshape(len(values), -1).T
    means = [bootstrap_mean(each, videos, seed=seed, bounds=bounds) for each in columns]
    parts = {"": "value", "_low": "low", "_high": "high"}
    return {
        f"{name}{end}": np.reshape([getattr(mean, part) for mean in means], values.shape[1:])
        for end, part in parts.items()
    }
