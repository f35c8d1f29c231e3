"""At which depth of the SVLM the relevance decision is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
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
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import auc, spearman
from tempo_lab.trace.trace import Trace

MOST_SEGMENTS = 0.9
"""Share of the segments that must have decided, where the caller does not say."""

_CAPTURE = "Capture(layer_relevance=True)"
_LAYER = ("question", "layer")
_TRUTH = {
    "truth": Quantity(("question", "segment"), "1", "whether the segment holds the evidence"),
    "auc": Quantity(_LAYER, "1", "area under the ROC curve of the layer's logits"),
    "mean_auc": Quantity(("layer",), "1", "mean area under the ROC curve"),
    "mean_auc_low": Quantity(("layer",), "1", "mean area, 2.5 % of resampled videos"),
    "mean_auc_high": Quantity(("layer",), "1", "mean area, 97.5 % of them"),
}


@dataclass(frozen=True, eq=False, repr=False)
class RelevanceByLayer(Result):
    """The Yes - No logit read from every layer, and when it has become what it will be.

    `data` has coordinates `text`, `video` of each question, `start`, `end` of each segment in
    seconds, and `layer`, from 0.
    """

    QUANTITIES: ClassVar = {
        "logit": Quantity(("question", "segment", "layer"), "1", "of Yes over No, by layer"),
        "agreement": Quantity(_LAYER, "1", "share of segments with the sign of the last layer"),
        "constant_agreement": Quantity(("question",), "1", "the same share, of one sign for all"),
        "rank_agreement": Quantity(_LAYER, "1", "rank correlation with the last layer"),
        "decided_layer": Quantity(("question",), "layer", "first of those that agree to the end"),
        **_TRUTH,
    }
    OPTIONAL: ClassVar = frozenset(_TRUTH)
    TABLE: ClassVar = _LAYER


def relevance_by_layer(
    traces: Trace | Sequence[Trace],
    truth: Truth | Sequence[Truth] | None = None,
    *,
    most: float = MOST_SEGMENTS,
    seed: int = 0,
) -> RelevanceByLayer:
    """Read the relevance decision from every layer (the logit lens, nostalgebraist 2020).

    The decision is there from the first layer on from which, up to the last one, the sign agrees
    with the last layer's in at least `most` of the segments. Where hardly any segment is relevant,
    saying No to all agrees nearly as often: `constant_agreement` is what that reaches, and the
    rank correlation with the last layer, or with truth the AUC, cannot be had so cheaply.

    The lens reads early layers with the last layer's norm and rows; that they say nothing there
    does not prove that they know nothing.

    Args:
        traces: one, or several of one model, recorded with `Capture(layer_relevance=True)`.
        truth: as of `relevance`.
        most: share of the segments, above 0.5 to 1.
        seed: of the intervals, which resample videos.

    Raises:
        TraceError: the layers were not recorded, or not the last, or only one; and what
            `relevance` refuses.
    """
    asked = check_ranked(traces)
    if not 0.5 < most <= 1:
        raise TraceError(
            "most segments are more than half of them",
            asked=f"most={most}",
            fix="a share above 0.5, up to 1",
        )
    lenses = [_lens(trace) for trace in asked]
    layers = asked[0].data["layer"].to_numpy()
    for trace in asked:
        if not np.array_equal(trace.data["layer"], layers):
            raise TraceError(
                "traces with other layers do not belong into one analysis",
                asked=f"layers {layers.tolist()}",
                found=f"{trace.data['layer'].to_numpy().tolist()} of {trace.question!r}",
                fix="record the same layers of all",
            )
    agreement = np.array([_signs(lens) for lens in lenses])
    positive = np.array([(lens[:, -1] > 0).mean() for lens in lenses])
    # from the last layer back, while all agree
    settled = np.minimum.accumulate((agreement >= most)[:, ::-1], axis=1).sum(axis=1)
    rank = [[spearman(by, lens[:, -1]) for by in lens.T] for lens in lenses]
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
        areas = np.array([[auc(by, each) for by in lens.T] for lens, each in pairs])
        videos = [video_of(trace) for trace in asked]
        means = [mean_of("mean_auc", by, videos, seed) for by in areas.T]
        data |= {"truth": (("question", "segment"), pad_stack(truths)), "auc": (_LAYER, areas)}
        data |= {name: (("layer",), [each[name] for each in means]) for name in means[0]}
    coords = {**labels(asked), "layer": layers}
    return RelevanceByLayer(
        xr.Dataset(data, coords), {**sources(asked), "most": most, "seed": seed}
    )


def _lens(trace: Trace) -> np.ndarray:
    """float [segment, layer], two layers or more, the last of them the model's last."""
    found = recorded(trace, "layer_logit", _CAPTURE, ("segment", "layer"))
    lens = found.transpose("segment", "layer").to_numpy().astype(float)
    if lens.shape[1] < 2:
        raise TraceError(
            "one layer alone does not say at which depth the decision is there",
            asked="2 layers or more",
            found=f"layer {int(trace.data['layer'][0])}",
            fix=f"session.ask(..., capture=tempo_lab.{_CAPTURE})",
        )
    logit = trace.data["logit"].to_numpy()
    if not np.allclose(lens[:, -1], logit, rtol=1e-2, atol=1e-2):
        away = np.abs(lens[:, -1] - logit).max()
        raise TraceError(
            "the last layer, whose decision the others are compared with, was not recorded",
            asked="a last layer whose logits are those of the relevance",
            found=f"layer {int(trace.data['layer'][-1])}, which is up to {away:.3g} away",
            fix=f"session.ask(..., capture=tempo_lab.{_CAPTURE})",
        )
    return lens


def _signs(lens: np.ndarray) -> np.ndarray:
    """Share of segments [layer] whose sign is that of the last layer."""
    positive = lens > 0
    return (positive == positive[:, -1:]).mean(axis=0)
