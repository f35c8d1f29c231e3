"""Turn recorded chunks into labeled arrays. The chunks are CPU tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.token_map import TokenMap
from tempo_lab.session.capture.spec import Rows


@dataclass(frozen=True)
class Chunk:
    """What one forward call recorded.

    Attributes:
        segments: numbers of the call's segments.
        rows: names of the rows, "decision" or "memory 3".
        layers: by layer, [segment, row, *] or [segment, head, row, *].
    """

    segments: tuple[int, ...]
    rows: tuple[str, ...]
    layers: dict[int, torch.Tensor]


def memory_row(slot: int) -> str:
    """Return the name of a memory slot's row."""
    return f"memory {slot}"


@dataclass(frozen=True)
class SlotMask:
    """Selects the memory slots that the allocation needed.

    Attributes:
        needed: int [segment], the number of leading slots that each segment needs.
    """

    needed: np.ndarray

    def rows(self, rows: Rows, slots: int, site: str) -> list[str]:
        """Return the names of the rows that at least one segment has.

        Args:
            rows: the requested rows.
            slots: memory slots of the model.
            site: what is recorded there, for messages.

        Raises:
            CaptureError: no segment needs a slot that was requested by number.
        """
        max_needed = int(self.needed.max(initial=0))
        fires = [name for name in rows.svlm if name != "memory"]
        silent: list[str] = []
        for slot in rows.memory_slots(slots):
            (fires if slot < max_needed else silent).append(memory_row(slot))
        if silent and rows.slots != "all":
            raise CaptureError(
                "a requested row never fires",
                asked=f"{site} of {', '.join(silent)}",
                found=f"these would fire: {', '.join(fires) or 'none'}; no segment needs more than "
                f"{max_needed} memory tokens",
                fix='a larger budget, other slots, or slots="all"',
            )
        return fires

    def present(self, rows: Sequence[str]) -> np.ndarray:
        """Return which segment has which row, bool [segment, row]."""
        parts = [row.partition(" ") for row in rows]
        slots = [int(slot) if name == "memory" else -1 for name, _, slot in parts]
        return np.array(slots) < self.needed[:, None]


@dataclass
class ChunkBuffer:
    """All chunks of one variable, and their assembly into one array.

    Attributes:
        layers: numbers of the layers, in the order of the array.
        chunks: what the calls recorded.
    """

    layers: tuple[int, ...]
    chunks: list[Chunk] = field(default_factory=list)

    def array(
        self,
        rows: Sequence[str],
        mask: SlotMask,
        heads: int | None,
        tail: tuple[int, ...],
        lengths: Sequence[int] | None = None,
    ) -> np.ndarray:
        """Return float32 [segment, layer, (head,) row, *tail]; NaN where no row was needed.

        Each chunk is released after it is copied.

        Args:
            rows: names of the rows.
            mask: the rows that each segment needs.
            heads: number of heads; None for an array without heads.
            tail: sizes of the last dimensions.
            lengths: int [segment], how much of the first dimension of `tail` each segment has; by
                default all of it.
        """
        segments, head = len(mask.needed), () if heads is None else (heads,)
        shape = (segments, len(self.layers), *head, len(rows), *tail)
        array = np.full(shape, np.nan, dtype=np.float32)
        index_of = {name: i for i, name in enumerate(rows)}
        while self.chunks:
            chunk = self.chunks.pop()
            present = mask.present(chunk.rows)
            for index, segment in enumerate(chunk.segments):
                needed = np.flatnonzero(present[segment])
                source = _as_slice(needed)
                target_rows = _as_slice([index_of[chunk.rows[i]] for i in needed])
                for layer, target in zip(self.layers, array[segment], strict=True):
                    recorded = chunk.layers[layer][index].numpy()
                    if heads is not None:  # rows first
                        recorded, target = recorded.swapaxes(0, 1), target.swapaxes(0, 1)
                    axis = len(head) + 1  # the first dimension of `tail`
                    length = min(target.shape[axis], recorded.shape[axis])
                    length = length if lengths is None else min(length, lengths[segment])
                    if heads is None:
                        target[target_rows, :length] = recorded[source, :length]
                    else:
                        target[target_rows, :, :length] = recorded[source, :, :length]
        return array


def _as_slice(numbers: Sequence[int] | np.ndarray) -> slice | list[int]:
    """Return consecutive numbers as a slice, which selects without a copy."""
    numbers = [int(number) for number in numbers]
    first = numbers[0] if numbers else 0
    consecutive = numbers == list(range(first, first + len(numbers)))
    return slice(first, first + len(numbers)) if consecutive else numbers


def attention_variables(
    array: np.ndarray, reduce: str, prefix: str, dims: tuple[str, ...]
) -> Iterator[tuple[str, xr.Variable]]:
    """Yield (name, variable) of reduced attention; "top_k" adds a variable of its keys.

    Args:
        array: [*dims, ...] after the reduction.
        reduce: name of the reduction.
        prefix: "" for the SVLM, "llm_" for the LLM.
        dims: all dimensions before those of the reduction.
    """
    name = "answer_attention" if prefix else "attention"
    attrs = {"units": "probability", "long_name": "attention probability", "reduce": reduce}
    if reduce == "top_k":
        dims = (*dims, "rank")
        keys = np.where(np.isnan(array[..., 1]), -1, array[..., 1]).astype(np.int32)
        yield name, xr.Variable(dims, array[..., 0], attrs)
        yield f"{name}_key", xr.Variable(dims, keys, {"long_name": "key of that rank, -1: none"})
        return
    reduced_dims: dict[str, tuple[str, ...]] = {
        "key_group": (f"{prefix}key_group",),
        "none": (f"{prefix}key",),
        "patch_grid": ("pair", "patch_row", "patch_column"),
    }
    yield name, xr.Variable((*dims, *reduced_dims[reduce]), array, attrs)


def key_names(maps: Sequence[TokenMap], keys: int) -> np.ndarray:
    """Return readable key names [segment, key]; empty after the end of a prompt."""
    names = [[*m.names()[:keys], *[""] * (keys - len(m))] for m in maps]
    return np.array(names)
