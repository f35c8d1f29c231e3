"""The layer of the SVLM at which the relevance decision is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result, with_interval
from tempo_lab.analysis.stacking import (
    Truth,
    check_ranked,
    check_truths,
    labels,
    mean_of,
    pad_stack,
    sources,
    video_of,
)
from tempo_lab.analysis.validation import recorded
from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import SHARE, auc, spearman
from tempo_lab.common.validation import check_number
from tempo_lab.trace.trace import Trace

MIN_AGREEMENT = 0.9
"""Share of the segments whose sign must be that of the last layer, by default."""

_CAPTURE = "Capture(layer_relevance=True)"
_LAYER = ("question", "layer")
_TRUTH = {
    "truth": Quantity(("question", "segment"), "1", "whether the segment holds the evidence"),
    "auc": Quantity(_LAYER, "1", "area under the ROC curve of the layer's logits"),
    **with_interval("mean_auc", ("layer",), "1", "mean area under the ROC curve"),
}


@dataclass(frozen=True, eq=False, repr=False)
class RelevanceByLayer(Result):
    """The Yes-versus-No logit of every layer, and the layer from which its sign is final.

    `data` has coordinates `text`, `video` of each question, `start`, `end` of each segment in
    seconds, and `layer`, from 0.
    """

    QUANTITIES: ClassVar = {
        "logit": Quantity(("question", "segment", "layer"), "1", "Yes-versus-No logit by layer"),
        "agreement": Quantity(_LAYER, "1", "share of segments with the sign of the last layer"),
        "constant_agreement": Quantity(("question",), "1", "agreement of one constant sign"),
        "rank_agreement": Quantity(_LAYER, "1", "rank correlation with the last layer"),
        "decided_layer": Quantity(("question",), "layer", "first layer from which all agree"),
        **_TRUTH,
    }
    OPTIONAL: ClassVar = frozenset(_TRUTH)
    TABLE: ClassVar = _LAYER


@renamed_keywords(most="min_agreement")
def relevance_by_layer(
    traces: Trace | Sequence[Trace],
    truth: Truth | Sequence[Truth] | None = None,
    *,
    min_agreement: float = MIN_AGREEMENT,
    seed: int = 0,
) -> RelevanceByLayer:
    """Read traces and return the relevance decision of every layer (logit lens).

    The logit lens is that of nostalgebraist (2020). The decision is made at the first layer from
    which on, up to the last one, the sign agrees with that of the last layer in at least
    `min_agreement` of the segments. If hardly any segment is relevant, No for every segment agrees
    nearly as often; `constant_agreement` is the agreement of that constant answer. The rank
    correlation with the last layer and, with truth, the AUC do not have this weakness.

    The lens applies the last layer's norm and rows to early layers. An early layer that shows
    nothing through the lens may still hold the information.

    Args:
        traces: one, or several of one model, recorded with `Capture(layer_relevance=True)`.
        truth: as in `relevance`.
        min_agreement: share of the segments, above 0.5 and at most 1.
        seed: the seed of the intervals, which resample videos.

    Raises:
        TraceError: fewer than two layers were recorded, or the last layer was not; and as in
            `relevance`.
    """
    trace_list = check_ranked(traces)
    if not 0.5 < check_number("min_agreement", min_agreement, error=TraceError) <= 1:
        raise TraceError(
            "a layer has decided if more than half of the segments agree with the last layer",
            asked=f"min_agreement={min_agreement}",
            fix="use 0.5 < min_agreement <= 1",
        )
    lenses = [_lens(trace) for trace in trace_list]
    layers = trace_list[0].data["layer"].to_numpy()
    for trace in trace_list:
        if not np.array_equal(trace.data["layer"], layers):
            raise TraceError(
                "traces with different layers cannot be analyzed together",
                asked=f"layers {layers.tolist()}",
                found=f"{trace.data['layer'].to_numpy().tolist()} of {trace.question!r}",
                fix="record the same layers for all questions",
            )
    agreement = np.array([_signs(lens) for lens in lenses])
    positive = np.array([(lens[:, -1] > 0).mean() for lens in lenses])
    # the number of layers, from the last one back, that all agree
    settled = np.minimum.accumulate((agreement >= min_agreement)[:, ::-1], axis=1).sum(axis=1)
    rank = [[spearman(logits, lens[:, -1]) for logits in lens.T] for lens in lenses]
    data: dict[str, Any] = {
        "logit": (("question", "segment", "layer"), pad_stack(lenses)),
        "agreement": (_LAYER, agreement),
        "constant_agreement": (("question",), np.maximum(positive, 1 - positive)),
        "rank_agreement": (_LAYER, np.array(rank)),
        "decided_layer": (("question",), layers[len(layers) - settled]),
    }
    if truth is not None:
        truths = check_truths(truth, traces)
        pairs = zip(lenses, truths, strict=True)
        areas = np.array([[auc(logits, flags) for logits in lens.T] for lens, flags in pairs])
        videos = [video_of(trace) for trace in trace_list]
        means = mean_of("mean_auc", areas, videos, seed, SHARE)
        data |= {"truth": (("question", "segment"), pad_stack(truths)), "auc": (_LAYER, areas)}
        data |= {name: (("layer",), mean) for name, mean in means.items()}
    coords = {**labels(trace_list), "layer": layers}
    provenance = {**sources(trace_list), "most": min_agreement, "seed": seed}
    return RelevanceByLayer(xr.Dataset(data, coords), provenance)


def _lens(trace: Trace) -> np.ndarray:
    """Return float [segment, layer] of two layers or more, the last one the model's last."""
    recorded_logits = recorded(trace, "layer_logit", _CAPTURE, ("segment", "layer"))
    lens = recorded_logits.transpose("segment", "layer").to_numpy().astype(float)
    if lens.shape[1] < 2:
        raise TraceError(
            "the layer of the decision needs several layers to compare",
            asked="2 layers or more",
            found=f"layer {int(trace.data['layer'][0])}",
            fix=f"session.ask(..., capture=tempo_lab.{_CAPTURE})",
        )
    logit = trace.data["logit"].to_numpy()
    if not np.allclose(lens[:, -1], logit, rtol=1e-2, atol=1e-2):
        difference = np.abs(lens[:, -1] - logit).max()
        raise TraceError(
            "the last layer, whose decision the others are compared with, was not recorded",
            asked="a last layer with the logits of the relevance scores",
            found=f"layer {int(trace.data['layer'][-1])}, whose logits differ by {difference:.3g}",
            fix=f"session.ask(..., capture=tempo_lab.{_CAPTURE})",
        )
    return lens


def _signs(lens: np.ndarray) -> np.ndarray:
    """Return the share of segments [layer] with the sign of the last layer."""
    positive = lens > 0
    return (positive == positive[:, -1:]).mean(axis=0)
