"""From recorded pieces to labelled arrays. numpy and xarray; the pieces are CPU tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.token_map import TokenMap
from tempo_lab.session.capture.spec import Rows

PROBABILITY = {"units": "probability"}


@dataclass(frozen=True)
class Piece:
    """What one call gave.

    Attributes:
        segments: numbers of its segments.
        rows: names of its rows, "decision" or "memory 3".
        found: by layer, [segment, ..., row, *]; the row stands at `axis`.
    """

    segments: tuple[int, ...]
    rows: tuple[str, ...]
    found: dict[int, torch.Tensor]


def row_name(name: str, slot: int) -> str:
    """As rows are labelled: "memory 3", or the name."""
    return f"{name} {slot}" if name == "memory" else name


@dataclass
class SlotMask:
    """Which rows stay: memory slots that the allocation needed.

    Attributes:
        slots: int [segment], the first so many.
    """

    slots: np.ndarray

    def rows(self, asked: Rows, total: int, what: str) -> list[str]:
        """Names of the rows in all.

        Raises:
            CaptureError: a slot that was asked for by number and that no segment needs.
        """
        most = int(self.slots.max(initial=0))
        there = [slot for slot in asked.memory_slots(total) if slot < most]
        never = [slot for slot in asked.memory_slots(total) if slot >= most]
        names = [name for name in asked.svlm if name != "memory"]
        fires = names + [row_name("memory", slot) for slot in there]
        if never and asked.slots != "all":
            raise CaptureError(
                "a site that is to be recorded never fires",
                asked=f"{what} of " + ", ".join(row_name("memory", slot) for slot in never),
                found=f"these would fire: {', '.join(fires) or 'none'}; no segment needs more than "
                f"{most} memory tokens",
                fix='a larger budget, other slots, or slots="all"',
            )
        return fires

    def kept(self, rows: Sequence[str]) -> np.ndarray:
        """Which segment needs which row, bool [segment, row]."""
        parts = [row.partition(" ") for row in rows]
        slots = [int(slot) if name == "memory" else -1 for name, _, slot in parts]
        return np.array(slots) < self.slots[:, None]


@dataclass
class ChunkBuffer:
    """All pieces of one kind, and how they become one array.

    Attributes:
        layers: numbers of the layers, as labelled.
        pieces: what the calls gave.
    """

    layers: tuple[int, ...]
    pieces: list[Piece] = field(default_factory=list)

    def array(
        self,
        rows: Sequence[str],
        needed: SlotMask,
        heads: int | None,
        tail: tuple[int, ...],
        lengths: Sequence[int] | None = None,
    ) -> np.ndarray:
        """float32 [segment, layer, (head,) row, *tail], NaN where nothing was needed.

        The pieces are given up on the way.

        Args:
            rows: names of the rows.
            needed: what to leave out.
            heads: how many; None for an array without them.
            tail: sizes of the last dimensions.
            lengths: how much of the first of `tail` each segment has; by default all.
        """
        segments, middle = len(needed.slots), () if heads is None else (heads,)
        shape = (segments, len(self.layers), *middle, len(rows), *tail)
        array = np.full(shape, np.nan, dtype=np.float32)
        place = {name: i for i, name in enumerate(rows)}
        while self.pieces:
            piece = self.pieces.pop()
            kept = needed.kept(piece.rows)
            for index, segment in enumerate(piece.segments):
                wanted = np.flatnonzero(kept[segment])
                here, to = _run(wanted), _run([place[piece.rows[i]] for i in wanted])
                for layer, target in zip(self.layers, array[segment], strict=True):
                    found = piece.found[layer][index].numpy()
                    # rows to the front, whether there are heads or not
                    found = found if heads is None else found.swapaxes(0, 1)
                    target = target if heads is None else target.swapaxes(0, 1)
                    most = min(target.shape[len(middle) + 1], found.shape[len(middle) + 1])
                    most = most if lengths is None else min(most, lengths[segment])
                    if heads is None:
                        target[to, :most] = found[here, :most]
                    else:
                        target[to, :, :most] = found[here, :, :most]
        return array


def _run(numbers: Sequence[int] | np.ndarray) -> slice | list[int]:
    """Numbers as a slice where they follow each other: what it picks is not copied first."""
    chosen = [int(number) for number in numbers]
    first = chosen[0] if chosen else 0
    follow = chosen == list(range(first, first + len(chosen)))
    return slice(first, first + len(chosen)) if follow else chosen


def attention_variables(
    array: np.ndarray, reduce: str, prefix: str, dims: tuple[str, ...]
) -> Iterator[tuple[str, xr.Variable]]:
    """(name, variable) of reduced attention; "top_k" has its keys beside it.

    Args:
        array: [*dims, ...] as reduced.
        reduce: how.
        prefix: "" for the SVLM, "llm_" for the LLM.
        dims: of all but what the reduction left.
    """
    name = "answer_attention" if prefix else "attention"
    attrs = {**PROBABILITY, "long_name": "attention probability", "reduce": reduce}
    if reduce == "top_k":
        dims = (*dims, "rank")
        keys = np.where(np.isnan(array[..., 1]), -1, array[..., 1]).astype(np.int32)
        yield name, xr.Variable(dims, array[..., 0], attrs)
        yield f"{name}_key", xr.Variable(dims, keys, {"long_name": "key of that rank, -1: none"})
        return
    last: dict[str, tuple[str, ...]] = {
        "key_group": (f"{prefix}key_group",),
        "none": (f"{prefix}key",),
        "patch_grid": ("pair", "patch_row", "patch_column"),
    }
    yield name, xr.Variable((*dims, *last[reduce]), array, attrs)


def key_names(maps: Sequence[TokenMap], keys: int) -> np.ndarray:
    """Readable names [segment, key]; empty after a map's end."""
    names = [[*m.names()[:keys], *[""] * (keys - len(m))] for m in maps]
    return np.array(names)
