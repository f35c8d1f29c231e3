"""Attention of the decision and the memory tokens over several questions, and a control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.attention import CALL, Attention
from tempo_lab.analysis.result import Quantity, Result, with_interval
from tempo_lab.analysis.stacking import mean_of, video_of
from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import check_truth

ROWS = ("decision", "memory")
FRAMES_GROUP = "frames"
"""The group of all frame pairs."""
_MASS, _ROW = ("row", "group"), ("row",)


def _probability(name: str, dims: tuple[str, ...], meaning: str) -> dict[str, Quantity]:
    return with_interval(name, dims, "probability", meaning)


_CONTROL = {
    **_probability("control", _MASS, "attention of the other model on the group"),
    **_probability("gain", _MASS, "attention minus that of the other model, paired"),
}
_TRUTH = _probability("evidence", _ROW, "on frames with the evidence, minus on other frames")
_BOTH = _probability("control_evidence", _ROW, "the same difference, of the other model")


@dataclass(frozen=True, eq=False, repr=False)
class AttentionGroups(Result):
    """Attention of two rows by key group, mean over questions with intervals.

    The row "decision" predicts Yes or No, and "memory" is the mean of the memory tokens. The
    group "frames" is the sum of all frame pairs. Masses are means over segments, layers and heads.
    """

    QUANTITIES: ClassVar = {
        **_probability("mass", _MASS, "attention on the group"),
        "layer_mass": Quantity(("row", "layer", "group"), "probability", "attention by layer"),
        "each": Quantity(("question", "row", "group"), "probability", "attention by question"),
        "text": Quantity(("question",), "", "the question"),
        "video": Quantity(
            ("question",), "", "its video; questions about one video are resampled together"
        ),
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
    """Read results of `attention` and return their mean over questions, compared with a control.

    A frame pair that has many of the keys gets a large share of any attention. Only the difference
    from a model with random weights (`with_random_weights`) was learned.

    Args:
        results: results of `attention` with the rows "decision" and "memory", by key groups.
        truths: bool [segment] for each result, which segments hold the evidence. Questions with
            evidence in no segment, or in all, are left out of the comparison with the truth.
        controls: results of the other model for the same questions in the same order.
        seed: the seed of the intervals, which resample videos.

    Raises:
        TraceError: there is no result; a result has other rows or no key groups; the number of
            controls or truths differs; or a control is about another question.
    """
    result_list = _check_results(results)
    masses = [_grouped(result) for result in result_list]
    videos = [video_of(result) for result in result_list]
    stacked = np.stack([_mean_segment(mass) for mass in masses])  # [question, row, group]
    data: dict[str, Any] = {
        **mean_of("mass", stacked, videos, seed),
        "layer_mass": np.mean([_by_layer(result) for result in result_list], axis=0),
        "each": stacked,
        "text": np.array([str(r.provenance["question"]) for r in result_list], dtype=object),
        "video": np.array(videos, dtype=object),
    }
    control_list = None if controls is None else _check_controls(result_list, controls)
    if control_list is not None:
        control_masses = [_grouped(result) for result in control_list]
        control = np.stack([_mean_segment(mass) for mass in control_masses])
        data |= mean_of("control", control, videos, seed)
        data |= mean_of("gain", stacked - control, videos, seed)
    if truths is not None:
        flags = _check_truths(truths, result_list)
        data |= mean_of("evidence", _contrasts(masses, flags), videos, seed)
        if control_list is not None:
            contrasts = _contrasts(control_masses, flags)
            data |= mean_of("control_evidence", contrasts, videos, seed)
    labels = {
        "row": list(ROWS),
        "group": masses[0]["group"].to_numpy(),
        "layer": result_list[0].data["layer"].to_numpy(),
        "question": np.arange(len(result_list)),
    }
    quantities = AttentionGroups.QUANTITIES
    dataset = xr.Dataset({n: (quantities[n].dims, value) for n, value in data.items()}, labels)
    names = ("model", "model_digest", "tempo_lab", "torch", "device", "dtype")
    first = result_list[0].provenance
    provenance = {name: first[name] for name in names if name in first}
    if control_list is not None:
        provenance["control"] = control_list[0].provenance.get("model")
    return AttentionGroups(dataset, {**provenance, "seed": seed})


def _check_results(results: Sequence[Attention]) -> list[Attention]:
    result_list = list(results)
    for result in result_list or (None,):
        description = "none" if result is None else type(result).__name__
        if isinstance(result, Attention):
            rows = [str(row) for row in result.data["row"].to_numpy()]
            both = "decision" in rows and any(row.startswith("memory") for row in rows)
            if both and "mass" in result.data:
                continue
            description = f"rows {', '.join(rows[:3])}, over {result.provenance.get('over')}"
        raise TraceError(
            "this analysis needs the attention of the decision and the memory tokens",
            asked="attention of both, by key groups",
            found=description,
            fix=f"tempo_lab.analysis.attention of traces asked with capture=tempo_lab.{CALL}",
        )
    return result_list


def _check_controls(results: list[Attention], controls: Sequence[Attention]) -> list[Attention]:
    control_list = _check_results(controls)
    questions, control_questions = (
        [(result.provenance["question"], video_of(result)) for result in each]
        for each in (results, control_list)
    )
    if questions != control_questions:
        pairs = zip(questions, control_questions, strict=False)
        counts = f"{len(questions)} questions", f"{len(control_questions)} questions"
        asked, found = next((pair for pair in pairs if pair[0] != pair[1]), counts)
        raise TraceError(
            "the other model must be asked the same questions about the same videos",
            asked=one_line(str(asked), 100),
            found=one_line(str(found), 100),
        )
    return control_list


def _check_truths(truths: Sequence[Any], results: list[Attention]) -> list[np.ndarray]:
    if len(truths) != len(results):
        raise TraceError(
            "each question needs its own truth",
            asked=f"{len(results)} questions",
            found=f"truth of {len(truths)}",
        )
    pairs = zip(truths, results, strict=True)
    return [check_truth(truth, result.data.sizes["segment"]) for truth, result in pairs]


def _grouped(result: Attention) -> xr.DataArray:
    """Return attention [segment, row, group]: frame pairs summed, memory tokens averaged."""
    return _rows(_pairs_summed(result.data["segment_mass"])).transpose("segment", "row", "group")


def _by_layer(result: Attention) -> np.ndarray:
    """Return attention [row, layer, group], mean over heads."""
    mass = _rows(_pairs_summed(result.data["mass"])).mean("head")
    return mass.transpose("row", "layer", "group").to_numpy()


def _pairs_summed(mass: xr.DataArray) -> xr.DataArray:
    """Return the mass by "group" instead of "key_group"; NaN where there is no such row."""
    names = [str(name) for name in mass["key_group"].to_numpy()]
    groups = [FRAMES_GROUP if name.startswith("pair ") else name for name in names]
    parts = []
    for group in dict.fromkeys(groups):
        keys = mass.isel(key_group=[i for i, name in enumerate(groups) if name == group])
        parts.append(keys.sum("key_group", min_count=1).expand_dims(group=[group]))
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
    """Return the mass on frames of relevant segments minus others, [question, row], or NaN."""
    contrasts = np.full((len(masses), len(ROWS)), np.nan)
    for contrast, mass, truth in zip(contrasts, masses, flags, strict=True):
        if truth.any() and not truth.all():
            frames = mass.sel(group=FRAMES_GROUP).to_numpy()  # [segment, row]
            contrast[:] = frames[truth].mean(axis=0) - frames[~truth].mean(axis=0)
    return contrasts
