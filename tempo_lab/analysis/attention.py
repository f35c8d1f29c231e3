"""What the SVLM's rows look at: the Yes/No decision, and each memory slot."""

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
"""Frames that the SVLM reads as one: a pair."""
_ROW = ("segment", "layer", "head", "row")
_READ = ("segment", "row")


@dataclass(frozen=True, eq=False, repr=False)
class Attention(Result):
    """What each recorded row looks at; which numbers are there depends on what was recorded.

    With reduce="key_group": `mass`, `segment_mass`, `group_entropy`, and the frame pair that is
    read. With "patch_grid": `patch_mass`, `patch_entropy`, the pair and the patch. With "none":
    those of patches, and `key_entropy`. `agreement` is always there, unless of one head.

    Attention says what was mixed, not what mattered: see `attribution` for causes.
    """

    QUANTITIES: ClassVar = {
        "start": Quantity(("segment",), "s", "start of the segment"),
        "end": Quantity(("segment",), "s", "end of the segment"),
        "pair_start": Quantity(("segment", "pair"), "s", "start of the frame pair"),
        "pair_end": Quantity(("segment", "pair"), "s", "end of the frame pair"),
        "mass": Quantity(
            ("layer", "head", "row", "key_group"),
            "probability",
            "attention on the group, mean of the segments; one without a pair counts as 0",
        ),
        "segment_mass": Quantity(
            ("segment", "row", "key_group"), "probability", "the same, mean of layers and heads"
        ),
        "pair_mass": Quantity(
            ("segment", "row", "pair"),
            "probability",
            "attention on the pair, mean of layers, heads",
        ),
        "patch_mass": Quantity(
            ("segment", "row", "pair", "patch_row", "patch_column"),
            "probability",
            "attention on the patch, mean of layers and heads",
        ),
        "read_pair": Quantity(_READ, "1", "the pair that gets most, -1 for no such row"),
        "read_start": Quantity(_READ, "s", "its start"),
        "read_end": Quantity(_READ, "s", "its end"),
        "read_mass": Quantity(_READ, "probability", "attention on it"),
        "read_patch_pair": Quantity(_READ, "1", "pair of the patch that gets most, -1 for no row"),
        "read_patch_row": Quantity(_READ, "1", "row of that patch in the merged grid"),
        "read_patch_column": Quantity(_READ, "1", "column of that patch"),
        "read_patch_mass": Quantity(_READ, "probability", "attention on that patch"),
        "group_entropy": Quantity(_ROW, "nat", "entropy over key groups"),
        "patch_entropy": Quantity(_ROW, "nat", "entropy over patches, of what all patches get"),
        "key_entropy": Quantity(_ROW, "nat", "entropy over keys"),
        "agreement": Quantity(
            ("layer", "head", "other_head"),
            "1",
            "Jensen-Shannon similarity of two heads, mean of segments and rows",
        ),
        "mean_agreement": Quantity((), "1", "the same, mean of layers and pairs of heads"),
    }
    OPTIONAL: ClassVar = frozenset(QUANTITIES) - {"start", "end", "pair_start", "pair_end"}
    TABLE: ClassVar = _READ

    def effective(self, over: str) -> xr.DataArray:
        """The effective number of what is looked at, exp(entropy): [segment, layer, head, row].

        As many things that share the attention equally would have the same entropy.

        Args:
            over: "group", "patch" or "key".

        Raises:
            TraceError: its entropy was not recorded.
        """
        there = [str(name)[: -len("_entropy")] for name in self.data if "_entropy" in str(name)]
        if over not in there:
            raise TraceError(
                "this entropy is not there",
                asked=f"over={over!r}",
                found=", ".join(there),
                fix='reduce="key_group" gives "group", "patch_grid" "patch", "none" "key" too',
            )
        entropy = self.data[f"{over}_entropy"]
        return entropy.copy(data=np.exp(entropy.to_numpy())).assign_attrs(
            units="1", long_name=f"effective number: {over}"
        )


def attention(
    trace: Trace, *, layers: Sequence[int] | None = None, heads: Sequence[int] | None = None
) -> Attention:
    """Mass by key group, layer, head and slot; entropy; which pair and patch is read; agreement.

    Agreement is Jensen-Shannon similarity: 1 less the divergence of two heads' distributions in
    bits (Lin 1991), 1 where they look at the same, 0 where at nothing in common. It is taken over
    what was recorded (`provenance["over"]`): key groups; patches, as shares of what all patches
    get; or keys.

    Args:
        trace: with attention of the SVLM's rows, reduced to "key_group", "patch_grid" or "none".
        layers, heads: only these; by default all that were recorded.

    Raises:
        TraceError: no such attention was recorded, or no such layer or head.
    """
    (trace,) = check_traces([trace])
    found = recorded(trace, "attention", CALL, ("segment", "row"))
    for dim, asked in (("layer", layers), ("head", heads)):
        if asked is not None:
            found = found.sel({dim: _known(found[dim].to_numpy(), dim, asked)})
    over = str(found.attrs.get("reduce"))
    if over == "top_k":
        raise TraceError(
            "the largest probabilities alone are not a distribution",
            asked="attention of all keys, groups or patches",
            found='reduce="top_k"',
            fix=f"session.ask(..., capture=tempo_lab.{CALL})",
        )
    found = found.astype(np.float64)
    patches = _patches(trace, found) if over == "none" else found if over == "patch_grid" else None
    parts: dict[str, xr.DataArray] = {}
    if over == "key_group":
        there = found.notnull().any("key_group")
        parts["mass"] = found.fillna(0).where(there).mean("segment")
        parts["segment_mass"] = found.mean(("layer", "head"))
        parts["group_entropy"] = _entropy(found, ["key_group"])
        pairs = [str(g) for g in found["key_group"].to_numpy() if str(g).startswith("pair ")]
        pair_mass = parts["segment_mass"].sel(key_group=pairs).drop_vars("key_group")
        parts["pair_mass"] = pair_mass.rename(key_group="pair")
    elif over == "none":
        parts["key_entropy"] = _entropy(found, ["key"])
    if patches is not None:
        parts["patch_mass"] = patches.mean(("layer", "head"))
        parts["pair_mass"] = parts["patch_mass"].sum(("patch_row", "patch_column"), min_count=1)
        shares = patches / patches.sum(("pair", "patch_row", "patch_column"))
        parts["patch_entropy"] = _entropy(shares, ["pair", "patch_row", "patch_column"])
        found = shares if over == "patch_grid" else found
        _, pair, row, column = _largest(parts["patch_mass"], 3)
        parts |= {
            "read_patch_pair": pair,
            "read_patch_row": row,
            "read_patch_column": column,
            "read_patch_mass": parts["patch_mass"].max(("pair", "patch_row", "patch_column")),
        }
    times = pair_times(trace, parts["pair_mass"].sizes["pair"])
    there, best = _largest(parts["pair_mass"], 1)
    at = best.clip(0)
    parts["read_pair"], parts["read_mass"] = best, parts["pair_mass"].max("pair")
    for name in ("start", "end"):
        parts[f"read_{name}"] = times[f"pair_{name}"].isel(pair=at).where(there)
    if found.sizes["head"] > 1:
        parts["agreement"] = _agreement(found)
        others = ~np.eye(found.sizes["head"], dtype=bool)
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
    """Start and end of the frame pairs of each segment, in seconds; NaN where it has fewer.

    Args:
        trace: of the video.
        pairs: of the longest segment.
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


def _known(there: np.ndarray, dim: str, asked: Sequence[int]) -> list[int]:
    plain = np.asarray(asked)
    if plain.ndim != 1 or plain.dtype.kind not in "iu":  # of none the dtype is float
        raise TraceError(
            f"{dim}s are chosen by number, one at least",
            asked=f"{dim}s={one_line(repr(asked), 80)}",
            found=", ".join(map(str, there)),
            fix=f"{dim}s=[{there[-1]}], or leave it out for all",
        )
    if strange := [number for number in asked if number not in there]:
        nearest = int(there[np.abs(there - strange[0]).argmin()])
        raise TraceError(
            f"no such {dim} was recorded",
            asked=f"{dim} {strange[0]}",
            found=", ".join(map(str, there)),
            fix=f"the nearest is {nearest}",
        )
    return list(asked)


def _patches(trace: Trace, found: xr.DataArray) -> xr.DataArray:
    """Attention [segment, layer, head, row, pair, patch_row, patch_column] of that of every key."""
    places = trace.data["key_name"].str.extractall(
        r"vision\[pair (\d+), row (\d+), column (\d+)\]", "match", "part"
    )
    where = places.isel(match=0).to_numpy()  # [segment, key, part], "" for what is no patch
    keys = [np.flatnonzero(segment[:, 0] != "") for segment in where]
    indices = [where[i, some].astype(int) for i, some in enumerate(keys)]
    grid = np.max([each.max(axis=0) + 1 for each in indices], axis=0)
    values = found.transpose(*_ROW, "key").to_numpy()
    array = np.full((*values.shape[:-1], *grid), np.nan)
    for segment, (some, index) in enumerate(zip(keys, indices, strict=True)):
        array[segment][..., index[:, 0], index[:, 1], index[:, 2]] = values[segment][..., some]
    coords = {name: found[name] for name in ("segment", "layer", "head", "row")}
    return xr.DataArray(array, coords, (*_ROW, "pair", "patch_row", "patch_column"))


def _entropy(p: xr.DataArray, dims: list[str]) -> xr.DataArray:
    """In nat; NaN where there is no row."""
    safe = p.where(p > 0, 1.0)  # 0 log 0 = 0, and what is not there counts nothing
    return -(safe * np.log(safe)).sum(dims).where(p.notnull().any(dims))


def _largest(mass: xr.DataArray, last: int) -> list[xr.DataArray]:
    """Whether a row is there, and where it is largest: an index for each of the last dimensions."""
    values = mass.to_numpy()
    flat = values.reshape(*values.shape[:-last], -1)
    there = ~np.isnan(flat).all(axis=-1)
    best = np.where(np.isnan(flat), -1.0, flat).argmax(axis=-1)
    dims, coords = mass.dims[:-last], {"segment": mass["segment"], "row": mass["row"]}
    indices = np.unravel_index(best, values.shape[-last:])
    found = [there, *(np.where(there, index, -1) for index in indices)]
    return [xr.DataArray(each, coords, dims) for each in found]


def _agreement(p: xr.DataArray) -> xr.DataArray:
    """Jensen-Shannon similarity [layer, head, other_head], mean of segments and rows."""
    values = p.transpose("layer", "head", "segment", "row", ...).to_numpy()
    layers, heads = values.shape[:2]
    flat = values.reshape(layers, heads, -1, int(np.prod(values.shape[4:])))
    flat = np.nan_to_num(flat[:, :, ~np.isnan(flat).all(axis=(0, 1, 3))])  # rows that are there

    def entropy(x: np.ndarray) -> np.ndarray:
        return -(x * np.log2(np.where(x > 0, x, 1.0))).sum(axis=-1)

    array = np.ones((layers, heads, heads))
    for layer, own in zip(array, flat, strict=True):
        alone = entropy(own)  # [head, row]
        for head in range(heads):
            mixed = entropy((own[head] + own[head + 1 :]) / 2)
            divergence = mixed - (alone[head] + alone[head + 1 :]) / 2
            layer[head, head + 1 :] = layer[head + 1 :, head] = 1 - divergence.mean(axis=-1)
    coords = {"layer": p["layer"], "head": p["head"], "other_head": p["head"].to_numpy()}
    return xr.DataArray(array, coords, ("layer", "head", "other_head"))
