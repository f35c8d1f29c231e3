"""Relevance scores, and with ground truth their ranking quality and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result, with_interval
from tempo_lab.analysis.stacking import (
    Truth,
    check_controls,
    check_ranked,
    check_truths,
    labels,
    mean_of,
    pad_stack,
    sources,
    video_of,
)
from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import TraceError
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.statistics import DIFFERENCE, SHARE, auc, ranks, recall_at, reliability
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.cases import Case
from tempo_lab.trace.trace import Trace

TOP_K = 10
"""Largest k of recall at k."""

_SEGMENT, _QUESTION, _K = ("question", "segment"), ("question",), ("k",)


def _against_truth(prefix: str, of: str) -> dict[str, Quantity]:
    """Return the quantities that compare questions, or their controls, with the truth."""
    return {
        f"{prefix}auc": Quantity(_QUESTION, "1", f"area under the ROC curve{of}"),
        f"{prefix}hit": Quantity(_QUESTION, "1", f"whether the best segment is relevant{of}"),
        f"{prefix}recall": Quantity(("question", "k"), "1", f"share found among the best k{of}"),
        f"{prefix}calibration_error": Quantity((), "1", f"expected calibration error{of}"),
        **with_interval(f"mean_{prefix}auc", (), "1", f"mean area under the ROC curve{of}"),
        **with_interval(f"mean_{prefix}hit", (), "1", f"share of questions with a hit at 1{of}"),
        **with_interval(f"mean_{prefix}recall", _K, "1", f"mean recall at k{of}"),
    }


_TRUTH = {
    "truth": Quantity(_SEGMENT, "1", "whether the segment holds the evidence"),
    "base_rate": Quantity(_QUESTION, "1", "share of relevant segments: a hit at 1 by chance"),
    "truth_margin": Quantity(_QUESTION, "1", "lowest relevant logit minus highest irrelevant one"),
    **_against_truth("", ""),
    "predicted": Quantity(("bin",), "probability", "mean score in the bin"),
    "observed": Quantity(("bin",), "probability", "share of relevant segments in the bin"),
    "count": Quantity(("bin",), "segments", "in the bin, of all questions"),
    "ranked_questions": Quantity((), "questions", "that have relevant and irrelevant segments"),
}
_CONTROL = {
    "control_logit": Quantity(_SEGMENT, "1", "Yes-versus-No logit for the shuffled question"),
    **_against_truth("control_", ", of shuffled questions"),
    **with_interval("auc_gain", (), "1", "mean area minus that of the shuffled question"),
}


@dataclass(frozen=True, eq=False, repr=False)
class Relevance(Result):
    """Scores of the relevance prior by question and segment; with truth, how good they are.

    `data` has coordinates `text`, `video` of each question, and `start`, `end` of each segment in
    seconds. Videos with fewer segments than the longest one are padded with NaN, and False in
    `truth`.
    """

    QUANTITIES: ClassVar = {
        "score": Quantity(_SEGMENT, "probability", "that the segment helps to answer"),
        "logit": Quantity(_SEGMENT, "1", "Yes-versus-No logit"),
        "rank": Quantity(_SEGMENT, "1", "1 is the most relevant; ties share their mean rank"),
        "segments": Quantity(_QUESTION, "segments", "segments of the video"),
        "margin": Quantity(_QUESTION, "1", "logit of the best segment minus that of the second"),
        "entropy": Quantity(_QUESTION, "nat", "entropy of the segments' shares of all relevance"),
        "effective_segments": Quantity(_QUESTION, "segments", "exp(entropy): how many share it"),
        **_TRUTH,
        **_CONTROL,
    }  # fmt: skip
    OPTIONAL: ClassVar = frozenset({*_TRUTH, *_CONTROL})
    TABLE: ClassVar = _SEGMENT

    def to_pandas(self) -> Any:
        """Return a table with one row per segment of each question."""
        table = super().to_pandas()
        exists = (table["segment"] < table["segments"]).to_numpy()
        return table[exists].reset_index(drop=True)


@renamed_keywords(most="top_k")
def relevance(
    traces: Trace | Sequence[Trace],
    truth: Truth | Sequence[Truth] | None = None,
    *,
    controls: Trace | Sequence[Trace] | None = None,
    top_k: int = TOP_K,
    seed: int = 0,
) -> Relevance:
    """Read traces and return the relevance of each segment; with truth, how accurate it is.

    Rankings are computed from logits, because probabilities of very relevant segments round to 1.

    * Concentration is the effective number of segments exp(H), where H is the entropy of each
      segment's share of all relevance (Hill number of order 1, Hill 1973): 1 if one segment has
      all of it, and the number of segments if all have the same.
    * AUC is the probability that a relevant segment scores above an irrelevant one; 0.5 is chance.
      Hit at 1 and recall at k are expected values over random orders of ties.
    * Calibration error is that of `common.statistics.reliability` over all segments of all
      questions (10 bins of equal width; Naeini et al. 2015). It is defined for questions without
      relevant segments, too. AUC, hit and recall are not: they are NaN, and left out of the means.
    * Intervals resample videos (`common.statistics.bootstrap_mean`); they are NaN for one video.

    Args:
        traces: one, or several of one model.
        truth: which segments hold the evidence: bool [segment] for one trace, a list of these for
            a list of traces. `within(trace, spans)` makes it from seconds.
        controls: for each trace, one of the same video with the question of another video. They
            are compared with the truth of the original question, and should fail.
        top_k: largest k of recall at k; at most the number of segments of the longest video.
        seed: the seed of the intervals.

    Raises:
        TraceError: a video has one segment; all scores are equal; truth has another length; there
            are controls without truth; a control is of another video or has the same question.
    """
    trace_list = check_ranked(traces)
    check_whole("top_k", top_k, 1, error=TraceError)
    logits = [trace.data["logit"].to_numpy().astype(float) for trace in trace_list]
    entropy = np.array([_entropy(row) for row in logits])
    data: dict[str, Any] = {
        "score": (_SEGMENT, pad_stack([t.data["relevance"].to_numpy() for t in trace_list])),
        "logit": (_SEGMENT, pad_stack(logits)),
        "rank": (_SEGMENT, pad_stack([ranks(-row) for row in logits])),
        "segments": (_QUESTION, [len(row) for row in logits]),
        "margin": (_QUESTION, [float(np.diff(np.sort(row)[-2:])[0]) for row in logits]),
        "entropy": (_QUESTION, entropy),
        "effective_segments": (_QUESTION, np.exp(entropy)),
    }
    coords = labels(trace_list)
    provenance = {**sources(trace_list), "seed": seed}
    if truth is None:
        if controls is not None:
            raise TraceError(
                "controls are compared with the truth of the original questions",
                asked="controls without truth",
                fix="pass truth, too",
            )
        return Relevance(xr.Dataset(data, coords), provenance)

    truths = check_truths(truth, traces)
    ks = min(top_k, max(map(len, logits)))
    coords["k"] = np.arange(1, ks + 1)
    videos = [video_of(trace) for trace in trace_list]
    data |= _compare_with_truth(logits, truths, videos, ks, seed)
    defined = [bool(flags.any() and not flags.all()) for flags in truths]
    provenance["undefined"] = [
        trace.question for trace, ok in zip(trace_list, defined, strict=True) if not ok
    ]
    pairs = list(zip(logits, truths, strict=True))
    bins = _reliability(logits, truths)
    middles = (bins.edges[:-1] + bins.edges[1:]) / 2
    coords["bin"] = ("bin", middles, {"units": "probability", "long_name": "middle of the bin"})
    data |= {
        "truth": (_SEGMENT, pad_stack(truths)),
        "base_rate": (_QUESTION, [flags.mean() for flags in truths]),
        "truth_margin": (_QUESTION, [_truth_margin(row, flags) for row, flags in pairs]),
        "ranked_questions": sum(defined),
        **{n: (("bin",), getattr(bins, n)) for n in ("predicted", "observed", "count")},
    }
    if controls is not None:
        control_list = check_controls(trace_list, controls)
        control_logits = [trace.data["logit"].to_numpy().astype(float) for trace in control_list]
        data["control_logit"] = (_SEGMENT, pad_stack(control_logits))
        data |= _compare_with_truth(control_logits, truths, videos, ks, seed, "control_")
        gain = np.array(data["auc"][1]) - np.array(data["control_auc"][1])
        data |= mean_of("auc_gain", gain, videos, seed, DIFFERENCE)
        provenance["controls"] = [trace.question for trace in control_list]
    return Relevance(xr.Dataset(data, coords), provenance)


def relevance_cases(
    cases: Sequence[Case], *, control: bool = True, seed: int = 0, progress: bool = True
) -> Relevance:
    """Run the model on cases, and on a shuffled question for each, and return their relevance.

    A shuffled question is one about another video. Segments are only scored (`Session.score`), so
    the cases may be of a plain Qwen3-VL, too.

    Args:
        cases: the cases, for example of `world_cases`.
        control: whether to ask shuffled questions, too; this needs two videos.
        seed: the seed of the shuffled questions and of the intervals.
        progress: show a progress bar.

    Raises:
        TraceError: there is no case, or `control` is set and all cases are about one video.
    """
    shuffled = shuffled_questions(cases, seed) if control else []
    traces, controls = [], []
    for number, case in enumerate(progress_bar(cases, desc="questions", disable=not progress)):
        traces.append(case.session.score(case.question))
        controls += [case.session.score(shuffled[number])] if control else []
    truths = [case.evidence for case in cases]
    return relevance(traces, truths, controls=controls or None, seed=seed)


def shuffled_questions(cases: Sequence[Case], seed: int = 0) -> list[str]:
    """Return, for each case, a random question about another video.

    Raises:
        TraceError: all cases are about one video.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for case in cases:
        others = [
            other.question
            for other in cases
            if other.video != case.video and other.question != case.question
        ]
        if not others:
            raise TraceError(
                "a shuffled question comes from another video",
                asked=f"another question than {case.question!r}",
                found=f"{len({each.video for each in cases})} video(s)",
                fix="pass cases of two videos or more, or control=False",
            )
        drawn.append(others[int(rng.integers(len(others)))])
    return drawn


def _entropy(logit: np.ndarray) -> float:
    """Return the entropy of s / sum(s), s = sigmoid(logit); log space avoids underflow."""
    log_score = -np.logaddexp(0, -logit)
    log_share = log_score - np.logaddexp.reduce(log_score)
    return float(-(np.exp(log_share) * log_share).sum())


def _truth_margin(logit: np.ndarray, truth: np.ndarray) -> float:
    """Return the lowest relevant logit minus the highest other one; NaN if one kind is missing."""
    defined = truth.any() and not truth.all()
    return float(logit[truth].min() - logit[~truth].max()) if defined else float("nan")


def _reliability(logits: list[np.ndarray], truths: list[np.ndarray]) -> Any:
    return reliability(np.exp(-np.logaddexp(0, -np.concatenate(logits))), np.concatenate(truths))


def _compare_with_truth(
    logits: list[np.ndarray],
    truths: list[np.ndarray],
    videos: list[str],
    top_k: int,
    seed: int,
    prefix: str = "",
) -> dict[str, Any]:
    """Return the quantities of `_against_truth`."""
    pairs = list(zip(logits, truths, strict=True))
    # a ranking says nothing if all segments or none are relevant
    defined = np.array([truth.any() and not truth.all() for truth in truths])
    area = np.array([auc(logit, truth) for logit, truth in pairs])
    best = [truth[logit == logit.max()].mean() for logit, truth in pairs]
    hit = np.where(defined, best, np.nan)
    recall = np.array([recall_at(logit, truth, top_k) for logit, truth in pairs])
    recall[~defined] = np.nan
    mean_recall = mean_of(f"mean_{prefix}recall", recall, videos, seed, SHARE)
    return {
        f"{prefix}auc": (_QUESTION, area),
        f"{prefix}hit": (_QUESTION, hit),
        f"{prefix}recall": (("question", "k"), recall),
        f"{prefix}calibration_error": _reliability(logits, truths).error,
        **mean_of(f"mean_{prefix}auc", area, videos, seed, SHARE),
        **mean_of(f"mean_{prefix}hit", hit, videos, seed, SHARE),
        **{name: (_K, mean) for name, mean in mean_recall.items()},
    }
