"""Attention of the SVLM's rows: the Yes/No decision, and each memory slot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import check_traces, question_read, recorded
from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

CALL = 'Capture(attention=["decision", "memory"], reduce="key_group")'
FRAMES_PER_PAIR = 2
"""Frames that the SVLM reads as one temporal patch."""
_ROW = ("segment", "layer", "head", "row")
_READ = ("segment", "row")


@dataclass(frozen=True, eq=False, repr=False)
class Attention(Result):
    """Attention of each recorded row; the variables depend on what was recorded.

    With reduce="key_group": `mass`, `segment_mass`, `group_entropy`, and the frame pair with the
    most attention. With "patch_grid": `patch_mass`, `patch_entropy`, the pair and the patch with
    the most attention. With "none": those of patches, and `key_entropy`. `agreement` is there
    unless only one head was recorded.

    Attention shows what was mixed, not what had an effect; use `attribution` for causal effects.
    """

    QUANTITIES: ClassVar = {
        "start": Quantity(("segment",), "s", "start of the segment"),
        "end": Quantity(("segment",), "s", "end of the segment"),
        "pair_start": Quantity(("segment", "pair"), "s", "start of the frame pair"),
        "pair_end": Quantity(("segment", "pair"), "s", "end of the frame pair"),
        "mass": Quantity(
            ("layer", "head", "row", "key_group"),
            "probability",
            "attention on the group, mean over segments; 0 for a segment without the pair",
        ),
        "segment_mass": Quantity(
            ("segment", "row", "key_group"), "probability", "the same, mean over layers and heads"
        ),
        "pair_mass": Quantity(
            ("segment", "row", "pair"),
            "probability",
            "attention on the pair, mean over layers and heads",
        ),
        "patch_mass": Quantity(
            ("segment", "row", "pair", "patch_row", "patch_column"),
            "probability",
            "attention on the patch, mean over layers and heads",
        ),
        "read_pair": Quantity(_READ, "1", "the pair with the most attention, -1 for no such row"),
        "read_start": Quantity(_READ, "s", "its start"),
        "read_end": Quantity(_READ, "s", "its end"),
        "read_mass": Quantity(_READ, "probability", "attention on it"),
        "read_patch_pair": Quantity(_READ, "1", "pair of the patch with the most attention, or -1"),
        "read_patch_row": Quantity(_READ, "1", "row of that patch in the merged grid"),
        "read_patch_column": Quantity(_READ, "1", "column of that patch"),
        "read_patch_mass": Quantity(_READ, "probability", "attention on that patch"),
        "group_entropy": Quantity(_ROW, "nat", "entropy over key groups"),
        "patch_entropy": Quantity(_ROW, "nat", "entropy over patches, as shares of all patches"),
        "key_entropy": Quantity(_ROW, "nat", "entropy over keys"),
        "agreement": Quantity(
            ("layer", "head", "other_head"),
            "1",
            "Jensen-Shannon similarity of two heads, mean over segments and rows",
        ),
        "mean_agreement": Quantity((), "1", "the same, mean over layers and pairs of heads"),
    }
    OPTIONAL: ClassVar = frozenset(QUANTITIES) - {"start", "end", "pair_start", "pair_end"}
    TABLE: ClassVar = _READ

    def effective(self, over: str) -> xr.DataArray:
        """Return the effective number of keys, exp(entropy): [segment, layer, head, row].

        It is the number of keys with equal attention that would have the same entropy.

        Args:
            over: "group", "patch" or "key".

        Raises:
            TraceError: the entropy was not recorded.
        """
        recorded = [str(name)[: -len("_entropy")] for name in self.data if "_entropy" in str(name)]
        if over not in recorded:
            raise TraceError(
                "this entropy was not recorded",
                asked=f"over={over!r}",
                found=", ".join(recorded),
                fix='reduce="key_group" gives "group", "patch_grid" "patch", "none" "key" too',
            )
        entropy = self.data[f"{over}_entropy"]
        return entropy.copy(data=np.exp(entropy.to_numpy())).assign_attrs(
            units="1", long_name=f"effective number: {over}"
        )


def attention(
    trace: Trace, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> Attention:
    """Read a trace and return the mass, entropy, most attended pair and patch, and agreement.

    Agreement is Jensen-Shannon similarity: 1 minus the divergence of two heads' distributions in
    bits (Lin 1991). It is 1 for equal distributions and 0 for distributions without overlap. It is
    computed over what was recorded (`provenance["over"]`): key groups; patches, as shares of all
    patches; or keys.

    Args:
        trace: a trace with attention of the SVLM's rows, reduced to "key_group", "patch_grid" or
            "none".
        layers, heads: layers and heads to use; by default all that were recorded.

    Raises:
        TraceError: no such attention was recorded, or no such layer or head.
    """
    (trace,) = check_traces([trace])
    values = recorded(trace, "attention", CALL, ("segment", "row"))
    for dim, numbers in (("layer", layers), ("head", heads)):
        if numbers is not None:
            values = values.sel({dim: _check_numbers(values[dim].to_numpy(), dim, numbers)})
    over = str(values.attrs.get("reduce"))
    if over == "top_k":
        raise TraceError(
            "the top k probabilities are not a distribution",
            asked="attention of all keys, groups or patches",
            found='reduce="top_k"',
            fix=f"session.ask(..., capture=tempo_lab.{CALL})",
        )
    values = values.astype(np.float64)
    patches = None
    if over in ("none", "patch_grid"):
        patches = _patches(trace, values) if over == "none" else values
    parts: dict[str, xr.DataArray] = {}
    if over == "key_group":
        exists = values.notnull().any("key_group")
        parts["mass"] = values.fillna(0).where(exists).mean("segment")
        parts["segment_mass"] = values.mean(("layer", "head"))
        parts["group_entropy"] = _entropy(values, ["key_group"])
        pairs = [str(g) for g in values["key_group"].to_numpy() if str(g).startswith("pair ")]
        pair_mass = parts["segment_mass"].sel(key_group=pairs).drop_vars("key_group")
        parts["pair_mass"] = pair_mass.rename(key_group="pair")
    elif over == "none":
        parts["key_entropy"] = _entropy(values, ["key"])
    if patches is not None:
        parts["patch_mass"] = patches.mean(("layer", "head"))
        parts["pair_mass"] = parts["patch_mass"].sum(("patch_row", "patch_column"), min_count=1)
        shares = patches / patches.sum(("pair", "patch_row", "patch_column"))
        parts["patch_entropy"] = _entropy(shares, ["pair", "patch_row", "patch_column"])
        values = shares if over == "patch_grid" else values
        _, pair, row, column = _largest(parts["patch_mass"], 3)
        parts |= {
            "read_patch_pair": pair,
            "read_patch_row": row,
            "read_patch_column": column,
            "read_patch_mass": parts["patch_mass"].max(("pair", "patch_row", "patch_column")),
        }
    times = pair_times(trace, parts["pair_mass"].sizes["pair"])
    exists, largest = _largest(parts["pair_mass"], 1)
    parts["read_pair"], parts["read_mass"] = largest, parts["pair_mass"].max("pair")
    for name in ("start", "end"):
        parts[f"read_{name}"] = times[f"pair_{name}"].isel(pair=largest.clip(0)).where(exists)
    if values.sizes["head"] > 1:
        parts["agreement"] = _agreement(values)
        others = ~np.eye(values.sizes["head"], dtype=bool)
        parts["mean_agreement"] = xr.DataArray(parts["agreement"].to_numpy()[:, others].mean())
    order = {name: quantity.dims for name, quantity in Attention.QUANTITIES.items()}
    data = xr.Dataset({name: part.transpose(*order[name]) for name, part in parts.items()})
    data = data.merge(times).assign({name: trace.data[name] for name in ("start", "end")})
    words = {"key_group": "key groups", "patch_grid": "patches", "none": "keys"}
    return Attention(
        data.drop_attrs(),
        {**trace.provenance, "question": question_read(trace), "over": words[over]},
    )


def pair_times(trace: Trace, pairs: int) -> xr.Dataset:
    """Return start and end of the frame pairs of each segment in seconds, padded with NaN.

    Args:
        trace: the trace.
        pairs: the number of pairs of the longest segment.
    """
    start, end = trace.data["start"].to_numpy(), trace.data["end"].to_numpy()
    fps = trace.provenance.get("fps")
    length = FRAMES_PER_PAIR / fps if fps else (end[0] - start[0]) / pairs
    first = start[:, None] + length * np.arange(pairs)
    # an image has no duration, and its only pair begins where it ends
    first[(first > end[:, None] - 1e-9) & (np.arange(pairs) > 0)] = np.nan
    last = np.minimum(first + length, end[:, None])
    dims = ("segment", "pair")
    return xr.Dataset({"pair_start": (dims, first), "pair_end": (dims, last)})


def _check_numbers(recorded: np.ndarray, dim: str, numbers: Sequence[int]) -> list[int]:
    """Return the numbers of layers or heads if all were recorded."""
    array = np.asarray(numbers)
    if array.ndim != 1 or array.dtype.kind not in "iu":  # the dtype of an empty array is float
        raise TraceError(
            f"{dim}s must be a list of one whole number or more",
            asked=f"{dim}s={one_line(repr(numbers), 80)}",
            found=", ".join(map(str, recorded)),
            fix=f"use {dim}s=[{recorded[-1]}], or leave it out for all",
        )
    if unknown := [number for number in numbers if number not in recorded]:
        nearest = int(recorded[np.abs(recorded - unknown[0]).argmin()])
        raise TraceError(
            f"no such {dim} was recorded",
            asked=f"{dim} {unknown[0]}",
            found=", ".join(map(str, recorded)),
            fix=f"the nearest is {nearest}",
        )
    return list(numbers)


def _patches(trace: Trace, attention: xr.DataArray) -> xr.DataArray:
    """Return [segment, layer, head, row, pair, patch_row, patch_column] of attention by key."""
    parts = trace.data["key_name"].str.extractall(
        r"vision\[pair (\d+), row (\d+), column (\d+)\]", "match", "part"
    )
    texts = parts.isel(match=0).to_numpy()  # [segment, key, part], "" for other keys
    keys = [np.flatnonzero(segment[:, 0] != "") for segment in texts]
    indices = [texts[i, of_patches].astype(int) for i, of_patches in enumerate(keys)]
    grid = np.max([index.max(axis=0) + 1 for index in indices], axis=0)
    values = attention.transpose(*_ROW, "key").to_numpy()
    array = np.full((*values.shape[:-1], *grid), np.nan)
    for patches, row, of_patches, index in zip(array, values, keys, indices, strict=True):
        patches[..., index[:, 0], index[:, 1], index[:, 2]] = row[..., of_patches]
    coords = {name: attention[name] for name in ("segment", "layer", "head", "row")}
    return xr.DataArray(array, coords, (*_ROW, "pair", "patch_row", "patch_column"))


def _entropy(p: xr.DataArray, dims: list[str]) -> xr.DataArray:
    """Return the entropy in nat; NaN where there is no row."""
    safe = p.where(p > 0, 1.0)  # 0 log 0 = 0, and NaN adds nothing
    return -(safe * np.log(safe)).sum(dims).where(p.notnull().any(dims))


def _largest(mass: xr.DataArray, last: int) -> list[xr.DataArray]:
    """Return whether a row exists, and the index of its largest value in each last dimension."""
    values = mass.to_numpy()
    flat = values.reshape(*values.shape[:-last], -1)
    exists = ~np.isnan(flat).all(axis=-1)
    largest = np.where(np.isnan(flat), -1.0, flat).argmax(axis=-1)
    dims, coords = mass.dims[:-last], {"segment": mass["segment"], "row": mass["row"]}
    indices = np.unravel_index(largest, values.shape[-last:])
    arrays = [exists, *(np.where(exists, index, -1) for index in indices)]
    return [xr.DataArray(array, coords, dims) for array in arrays]


def _agreement(p: xr.DataArray) -> xr.DataArray:
    """Return Jensen-Shannon similarity [layer, head, other_head], mean over segments and rows."""
    values = p.transpose("layer", "head", "segment", "row", ...).to_numpy()
    layers, heads = values.shape[:2]
    flat = values.reshape(layers, heads, -1, int(np.prod(values.shape[4:])))
    flat = np.nan_to_num(flat[:, :, ~np.isnan(flat).all(axis=(0, 1, 3))])  # rows that exist

    def entropy(x: np.ndarray) -> np.ndarray:
        return -(x * np.log2(np.where(x > 0, x, 1.0))).sum(axis=-1)

    array = np.ones((layers, heads, heads))
    for similarity, probabilities in zip(array, flat, strict=True):
        own = entropy(probabilities)  # [head, row]
        for head in range(heads):
            mixed = entropy((probabilities[head] + probabilities[head + 1 :]) / 2)
            divergence = mixed - (own[head] + own[head + 1 :]) / 2
            mean = 1 - divergence.mean(axis=-1)
            similarity[head, head + 1 :] = similarity[head + 1 :, head] = mean
    coords = {"layer": p["layer"], "head": p["head"], "other_head": p["head"].to_numpy()}
    return xr.DataArray(array, coords, ("layer", "head", "other_head"))
