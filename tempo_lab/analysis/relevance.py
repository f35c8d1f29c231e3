"""Does the relevance prior find the segments that hold the answer, and is it a probability?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
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
from tempo_lab.analysis.validation import check_count
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import DIFFERENCE, auc, ranks, recall_at, reliability
from tempo_lab.evaluation.cases import Case
from tempo_lab.trace.trace import Trace

MOST = 10
"""Largest k of recall at k."""

_SEGMENT, _QUESTION, _K = ("question", "segment"), ("question",), ("k",)


def _with_interval(name: str, meaning: str, dims: tuple[str, ...] = ()) -> dict[str, Quantity]:
    parts = {"": "", "_low": ", 2.5 % of resampled videos", "_high": ", 97.5 % of them"}
    return {f"{name}{end}": Quantity(dims, "1", f"{meaning}{more}") for end, more in parts.items()}


def _measured(prefix: str, of: str) -> dict[str, Quantity]:
    """What is measured against the truth, of the questions or of their controls."""
    return {
        f"{prefix}auc": Quantity(_QUESTION, "1", f"area under the ROC curve{of}"),
        f"{prefix}hit": Quantity(_QUESTION, "1", f"whether the best segment is relevant{of}"),
        f"{prefix}recall": Quantity(("question", "k"), "1", f"share found among the best k{of}"),
        f"{prefix}calibration_error": Quantity((), "1", f"expected calibration error{of}"),
        **_with_interval(f"mean_{prefix}auc", f"mean area under the ROC curve{of}"),
        **_with_interval(f"mean_{prefix}hit", f"share of questions with a hit at 1{of}"),
        **_with_interval(f"mean_{prefix}recall", f"mean recall at k{of}", _K),
    }


_TRUTH = {
    "truth": Quantity(_SEGMENT, "1", "whether the segment holds the evidence"),
    "base_rate": Quantity(_QUESTION, "1", "share of relevant segments: a hit at 1 by chance"),
    "truth_margin": Quantity(_QUESTION, "1", "lowest relevant logit less highest irrelevant one"),
    **_measured("", ""),
    "predicted": Quantity(("bin",), "probability", "mean score in the bin"),
    "observed": Quantity(("bin",), "probability", "share of relevant segments in the bin"),
    "count": Quantity(("bin",), "segments", "in the bin, of all questions"),
    "ranked_questions": Quantity((), "questions", "that have relevant and irrelevant segments"),
}
_CONTROL = {
    "control_logit": Quantity(_SEGMENT, "1", "of Yes over No, for the shuffled question"),
    **_measured("control_", ", of shuffled questions"),
    **_with_interval("auc_gain", "mean area less that of the shuffled question"),
}


@dataclass(frozen=True, eq=False, repr=False)
class Relevance(Result):
    """Scores of the relevance prior by question and segment; with truth, how good they are.

    `data` has coordinates `text`, `video` of each question, `start`, `end` of each segment in
    seconds; where videos have fewer segments than the longest there is NaN, and no truth.
    """

    QUANTITIES: ClassVar = {
        "score": Quantity(_SEGMENT, "probability", "that the segment helps to answer"),
        "logit": Quantity(_SEGMENT, "1", "of Yes over No"),
        "rank": Quantity(_SEGMENT, "1", "1 is the most relevant; equal ones share their mean"),
        "segments": Quantity(_QUESTION, "segments", "of the video"),
        "margin": Quantity(_QUESTION, "1", "logit of the best segment less that of the second"),
        "entropy": Quantity(_QUESTION, "nat", "of the segments' shares of all relevance"),
        "effective_segments": Quantity(_QUESTION, "segments", "exp(entropy): how many share it"),
        **_TRUTH,
        **_CONTROL,
    }  # fmt: skip
    OPTIONAL: ClassVar = frozenset({*_TRUTH, *_CONTROL})
    TABLE: ClassVar = _SEGMENT

    def to_pandas(self) -> Any:
        """A row for each segment of each question."""
        table = super().to_pandas()
        there = (table["segment"] < table["segments"]).to_numpy()
        return table[there].reset_index(drop=True)


def relevance(
    traces: Trace | Sequence[Trace],
    truth: Truth | Sequence[Truth] | None = None,
    *,
    controls: Trace | Sequence[Trace] | None = None,
    most: int = MOST,
    seed: int = 0,
) -> Relevance:
    """How relevant the model finds each segment; with truth, whether it is right.

    Everything that ranks is computed from logits: probabilities of sure segments round to 1.

    * Concentration is the effective number of segments exp(H), H the entropy of each segment's
      share of all relevance (Hill number of order 1, Hill 1973): 1 where one segment has it all,
      the number of segments where all are equal.
    * AUC is the chance that a relevant segment scores above an irrelevant one; 0.5 is chance.
      Hit at 1 and recall at k break ties by lot, and give what is expected of it.
    * Calibration error is that of `evaluation.metrics.reliability` over all segments of all
      questions (10 bins of equal width; Naeini et al. 2015). It has a meaning without relevant
      segments too; AUC, hit and recall have none there: they are NaN, and out of the means.
    * Intervals resample videos (`evaluation.metrics.bootstrap_mean`); NaN of one video.

    Args:
        traces: one, or several of one model.
        truth: which segments hold the evidence: bool [segment] of one trace, a list of such of
            a list of traces. `within(trace, spans)` makes it from seconds.
        controls: for each trace, one of the same video with the question of another video. They
            are measured against the truth of the original question, and must fail.
        most: largest k of recall at k; no more than the longest video has segments.
        seed: of the intervals.

    Raises:
        TraceError: a video of one segment, scores that are all equal, truth of another length,
            controls without truth, of another video or with the same question.
    """
    asked = check_ranked(traces)
    check_count("most", most)
    logits = [trace.data["logit"].to_numpy().astype(float) for trace in asked]
    entropy = np.array([_entropy(row) for row in logits])
    data: dict[str, Any] = {
        "score": (_SEGMENT, pad_stack([trace.data["relevance"].to_numpy() for trace in asked])),
        "logit": (_SEGMENT, pad_stack(logits)),
        "rank": (_SEGMENT, pad_stack([ranks(-row) for row in logits])),
        "segments": (_QUESTION, [len(row) for row in logits]),
        "margin": (_QUESTION, [float(np.diff(np.sort(row)[-2:])[0]) for row in logits]),
        "entropy": (_QUESTION, entropy),
        "effective_segments": (_QUESTION, np.exp(entropy)),
    }
    coords = labels(asked)
    provenance = {**sources(asked), "seed": seed}
    if truth is None:
        if controls is not None:
            raise TraceError(
                "controls are measured against the truth of the original questions",
                asked="controls without truth",
                fix="give truth too",
            )
        return Relevance(xr.Dataset(data, coords), provenance)

    truths = check_truths(truth, traces)
    ks = min(most, max(map(len, logits)))
    coords["k"] = np.arange(1, ks + 1)
    videos = [video_of(trace) for trace in asked]
    data |= _against(logits, truths, videos, ks, seed)
    both = [bool(each.any() and not each.all()) for each in truths]
    provenance["undefined"] = [t.question for t, ok in zip(asked, both, strict=True) if not ok]
    pairs = list(zip(logits, truths, strict=True))
    bins = _reliability(logits, truths)
    middles = (bins.edges[:-1] + bins.edges[1:]) / 2
    coords["bin"] = ("bin", middles, {"units": "probability", "long_name": "middle of the bin"})
    data |= {
        "truth": (_SEGMENT, pad_stack(truths)),
        "base_rate": (_QUESTION, [each.mean() for each in truths]),
        "truth_margin": (_QUESTION, [_gap(row, each) for row, each in pairs]),
        "ranked_questions": sum(both),
        **{n: (("bin",), getattr(bins, n)) for n in ("predicted", "observed", "count")},
    }
    if controls is not None:
        shuffled = check_controls(asked, controls)
        others = [trace.data["logit"].to_numpy().astype(float) for trace in shuffled]
        data["control_logit"] = (_SEGMENT, pad_stack(others))
        data |= _against(others, truths, videos, ks, seed, "control_")
        gain = np.array(data["auc"][1]) - np.array(data["control_auc"][1])
        data |= mean_of("auc_gain", gain, videos, seed, DIFFERENCE)
        provenance["controls"] = [trace.question for trace in shuffled]
    return Relevance(xr.Dataset(data, coords), provenance)


def relevance_cases(
    cases: Sequence[Case], *, control: bool = True, seed: int = 0, progress: bool = True
) -> Relevance:
    """Ask each case, and the question of another video in its place, and compare with the truth.

    Relevance does not depend on the budget nor on the answer: both are kept as short as they can
    be, one memory token a segment and one token of answer.

    Args:
        cases: of `world_cases`, say.
        control: whether to ask shuffled questions too; that needs two videos.
        seed: which question of another video is asked, and of the intervals.
        progress: show a progress bar.

    Raises:
        TraceError: no cases, or controls of questions about a single video.
    """
    from tqdm.auto import tqdm

    texts = shuffled_questions(cases, seed) if control else []
    asked, others = [], []
    for number, case in enumerate(tqdm(cases, desc="questions", disable=not progress)):
        short = {"budget": len(case.session), "max_new_tokens": 1}
        asked.append(case.session.ask(case.question, **short))
        others += [case.session.ask(texts[number], **short)] if control else []
    truths = [case.evidence for case in cases]
    return relevance(asked, truths, controls=others or None, seed=seed)


def shuffled_questions(cases: Sequence[Case], seed: int = 0) -> list[str]:
    """For each case the words of a question about another video, drawn by lot.

    Raises:
        TraceError: there is none.
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for case in cases:
        words = [o.question for o in cases if o.video != case.video and o.question != case.question]
        if not words:
            raise TraceError(
                "a shuffled question comes from another video",
                asked=f"another question than {case.question!r}",
                found=f"{len({c.video for c in cases})} video(s)",
                fix="cases of two videos or more, or control=False",
            )
        drawn.append(words[int(rng.integers(len(words)))])
    return drawn


def _entropy(logit: np.ndarray) -> float:
    """Of the shares s / sum(s), s = sigmoid(logit); by logarithms, so that nothing underflows."""
    size = -np.logaddexp(0, -logit)
    share = size - np.logaddexp.reduce(size)
    return float(-(np.exp(share) * share).sum())


def _gap(logit: np.ndarray, truth: np.ndarray) -> float:
    """Above 0 where every relevant segment scores above every other one; NaN without either."""
    both = truth.any() and not truth.all()
    return float(logit[truth].min() - logit[~truth].max()) if both else float("nan")


def _reliability(logits: list[np.ndarray], truths: list[np.ndarray]) -> Any:
    return reliability(np.exp(-np.logaddexp(0, -np.concatenate(logits))), np.concatenate(truths))


def _against(
    logits: list[np.ndarray],
    truths: list[np.ndarray],
    videos: list[str],
    most: int,
    seed: int,
    prefix: str = "",
) -> dict[str, Any]:
    """The quantities of `_measured`."""
    pairs = list(zip(logits, truths, strict=True))
    # where all or none are relevant, whatever is ranked highest says nothing
    both = np.array([truth.any() and not truth.all() for truth in truths])
    area = np.array([auc(logit, truth) for logit, truth in pairs])
    best = [truth[logit == logit.max()].mean() for logit, truth in pairs]
    hit = np.where(both, best, np.nan)
    recall = np.array([recall_at(logit, truth, most) for logit, truth in pairs])
    recall[~both] = np.nan
    by_k = [mean_of("", recall[:, k], videos, seed) for k in range(most)]
    return {
        f"{prefix}auc": (_QUESTION, area),
        f"{prefix}hit": (_QUESTION, hit),
        f"{prefix}recall": (("question", "k"), recall),
        f"{prefix}calibration_error": _reliability(logits, truths).error,
        **mean_of(f"mean_{prefix}auc", area, videos, seed),
        **mean_of(f"mean_{prefix}hit", hit, videos, seed),
        **{f"mean_{prefix}recall{end}": (_K, [each[end] for each in by_k]) for end in by_k[0]},
    }
