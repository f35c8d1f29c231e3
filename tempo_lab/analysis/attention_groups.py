"""What the decision and the memory tokens look at over several questions, and what was learnt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attention import CALL, Attention
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.common.errors import TraceError
from tempo_lab.common.statistics import bootstrap_mean
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import check_truth

ROWS = ("decision", "memory")
FRAMES = "frames"
"""The group of all frame pairs."""
_MASS, _ROW = ("row", "group"), ("row",)


def _interval(name: str, dims: tuple[str, ...], meaning: str) -> dict[str, Quantity]:
    ends = {"": "", "_low": ", 2.5 % of resampled videos", "_high": ", 97.5 % of them"}
    return {f"{name}{end}": Quantity(dims, "probability", meaning + e) for end, e in ends.items()}


_CONTROL = {
    **_interval("control", _MASS, "attention of the other model on the group"),
    **_interval("gain", _MASS, "attention less that of the other model, paired"),
}
_TRUTH = _interval("evidence", _ROW, "on frames where the evidence is, less on those elsewhere")
_BOTH = _interval("control_evidence", _ROW, "the same difference, of the other model")


@dataclass(frozen=True, eq=False, repr=False)
class AttentionGroups(Result):
    """Attention of two kinds of rows by key group, mean over questions with intervals.

    Rows are "decision", which says Yes or No, and "memory", the mean of the memory tokens. The
    group "frames" is the sum of all frame pairs. Masses are means of segments, layers and heads.
    """

    QUANTITIES: ClassVar = {
        **_interval("mass", _MASS, "attention on the group"),
        "layer_mass": Quantity(("row", "layer", "group"), "probability", "attention by layer"),
        "each": Quantity(("question", "row", "group"), "probability", "attention by question"),
        "text": Quantity(("question",), "", "the question"),
        "video": Quantity(("question",), "", "its video, resampled together"),
        **_CONTROL,
        **_TRUTH,
        **_BOTH,
    }
    OPTIONAL: ClassVar = frozenset({*_CONTROL, *_TRUTH, *_BOTH})
    TABLE: ClassVar = _MASS


def attention_groups(
    results: Sequence[Attention],
    truths: Sequence[Sequence[bool] | np.ndarray] | None = None,
    *,
    controls: Sequence[Attention] | None = None,
    seed: int = 0,
) -> AttentionGroups:
    """Average several questions, beside a model that was asked the same and has learnt nothing.

    A frame pair that takes a large part of the keys gets a large part of any attention: only the
    difference to a model with random weights (`with_random_weights`) was learnt.

    Args:
        results: of `attention`, of the rows "decision" and "memory", by key groups.
        truths: bool [segment] of each, which segments hold the evidence; questions without, or
            about all segments, are left out of what is compared with it.
        controls: of the other model, about the same questions in the same order.
        seed: of the intervals, which resample videos.

    Raises:
        TraceError: nothing to average, other rows or no key groups, or controls and truths of
            another number or about something else.
    """
    given = _check(results)
    masses = [_grouped(each) for each in given]
    videos = [_video(each) for each in given]
    stacked = np.stack([_mean_segment(mass) for mass in masses])  # [question, row, group]
    data: dict[str, Any] = {
        **_mean("mass", stacked, videos, seed),
        "layer_mass": np.mean([_by_layer(each) for each in given], axis=0),
        "each": stacked,
        "text": np.array([str(each.provenance["question"]) for each in given], dtype=object),
        "video": np.array(videos, dtype=object),
    }
    others = None if controls is None else _check_controls(given, controls)
    if others is not None:
        control = np.stack([_mean_segment(_grouped(each)) for each in others])
        data |= _mean("control", control, videos, seed)
        data |= _mean("gain", stacked - control, videos, seed)
    if truths is not None:
        flags = _check_truths(truths, given)
        data |= _mean("evidence", _contrasts(masses, flags), videos, seed)
        if others is not None:
            found = _contrasts([_grouped(each) for each in others], flags)
            data |= _mean("control_evidence", found, videos, seed)
    labels = {
        "row": list(ROWS),
        "group": masses[0]["group"].to_numpy(),
        "layer": given[0].data["layer"].to_numpy(),
        "question": np.arange(len(given)),
    }
    quantities = AttentionGroups.QUANTITIES
    dataset = xr.Dataset({n: (quantities[n].dims, value) for n, value in data.items()}, labels)
    names = ("model", "model_digest", "tempo_lab", "torch", "device", "dtype")
    made = {name: given[0].provenance[name] for name in names if name in given[0].provenance}
    if others is not None:
        made["control"] = others[0].provenance.get("model")
    return AttentionGroups(dataset, {**made, "seed": seed})


def _check(results: Sequence[Attention]) -> list[Attention]:
    given = list(results)
    for each in given or (None,):
        found = "none" if each is None else type(each).__name__
        if isinstance(each, Attention):
            rows = [str(row) for row in each.data["row"].to_numpy()]
            known = "decision" in rows and any(row.startswith("memory") for row in rows)
            if known and "mass" in each.data:
                continue
            found = f"rows {', '.join(rows[:3])}, over {each.provenance.get('over')}"
        raise TraceError(
            "this averages what decision and memory tokens look at",
            asked="attention of both, by key groups",
            found=found,
            fix=f"tempo_lab.analysis.attention of traces asked with capture=tempo_lab.{CALL}",
        )
    return given


def _check_controls(given: list[Attention], controls: Sequence[Attention]) -> list[Attention]:
    others = _check(controls)
    about = [[(e.provenance["question"], _video(e)) for e in some] for some in (given, others)]
    if about[0] != about[1]:
        pairs = zip(*about, strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), None)
        raise TraceError(
            "the other model is asked the same questions about the same videos",
            asked=f"{len(given)} questions" if first is None else one_line(str(first[0]), 100),
            found=f"{len(others)} questions" if first is None else one_line(str(first[1]), 100),
        )
    return others


def _check_truths(truths: Sequence[Any], given: list[Attention]) -> list[np.ndarray]:
    if len(truths) != len(given):
        raise TraceError(
            "every question has its own truth",
            asked=f"{len(given)} questions",
            found=f"truth of {len(truths)}",
        )
    pairs = zip(truths, given, strict=True)
    return [check_truth(truth, each.data.sizes["segment"]) for truth, each in pairs]


def _video(result: Attention) -> str:
    made = result.provenance
    return str(made.get("video_digest") or made.get("video") or "")


def _grouped(result: Attention) -> xr.DataArray:
    """Attention [segment, row, group]: frame pairs summed, memory tokens averaged."""
    return _rows(_pairs_summed(result.data["segment_mass"])).transpose("segment", "row", "group")


def _by_layer(result: Attention) -> np.ndarray:
    """Attention [row, layer, group], mean of heads."""
    mass = _rows(_pairs_summed(result.data["mass"])).mean("head")
    return mass.transpose("row", "layer", "group").to_numpy()


def _pairs_summed(mass: xr.DataArray) -> xr.DataArray:
    """With the dimension "group" in place of "key_group"; NaN where there is no such row."""
    names = [str(name) for name in mass["key_group"].to_numpy()]
    groups = [FRAMES if name.startswith("pair ") else name for name in names]
    parts = []
    for group in dict.fromkeys(groups):
        chosen = mass.isel(key_group=[i for i, name in enumerate(groups) if name == group])
        parts.append(chosen.sum("key_group", min_count=1).expand_dims(group=[group]))
    return xr.concat(parts, "group")


def _rows(mass: xr.DataArray) -> xr.DataArray:
    names = mass["row"].to_numpy().astype(str)
    kinds = (names == "decision", np.char.startswith(names, "memory"))
    parts = [mass.isel(row=np.flatnonzero(some)).mean("row") for some in kinds]
    return xr.concat(parts, xr.Variable("row", np.array(ROWS, dtype=object)))


def _mean_segment(mass: xr.DataArray) -> np.ndarray:
    """[row, group]"""
    return mass.mean("segment").to_numpy()


def _contrasts(masses: list[xr.DataArray], flags: list[np.ndarray]) -> np.ndarray:
    """On frames of relevant segments less on those of others, [question, row]; NaN without both."""
    found = []
    for mass, truth in zip(masses, flags, strict=True):
        frames = mass.sel(group=FRAMES).to_numpy()  # [segment, row]
        both = truth.any() and not truth.all()
        none = np.full(len(ROWS), np.nan)
        found.append(frames[truth].mean(axis=0) - frames[~truth].mean(axis=0) if both else none)
    return np.stack(found)


def _mean(name: str, values: np.ndarray, videos: Sequence[str], seed: int) -> dict[str, np.ndarray]:
    """Mean over questions, and both ends of its interval, of values [question, ...]."""
    flat = values.reshape(len(values), -1).T
    means = [bootstrap_mean(one, list(videos), seed=seed) for one in flat]
    shape = values.shape[1:]
    return {
        name: np.reshape([mean.value for mean in means], shape),
        f"{name}_low": np.reshape([mean.low for mean in means], shape),
        f"{name}_high": np.reshape([mean.high for mean in means], shape),
    }
