"""One capture of one question: installed on the model, told what runs, gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.token_map import TokenMap, concatenate
from tempo_lab.session.cache import ForwardObserver
from tempo_lab.session.capture import to_xarray
from tempo_lab.session.capture.answer import AnswerRecord
from tempo_lab.session.capture.attention import AttentionRecorder, AttentionRequest
from tempo_lab.session.capture.cost import check_price
from tempo_lab.session.capture.hidden_states import HiddenJob, HiddenRecorder
from tempo_lab.session.capture.key_groups import (
    EveryKey,
    KeyGroupSum,
    Patches,
    Reduction,
    Top,
    svlm_group_names,
    svlm_groups,
)
from tempo_lab.session.capture.selection import pick_heads, pick_layers
from tempo_lab.session.capture.spec import Capture, Rows
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session


class Recording:
    """What `Session.ask` opens for a capture.

    Args:
        spec: what to record.
        session: the session that asks.
        question: what it asks.
        room: tokens that the answer may have.
        text: positions of the LLM's prompt that are not the video's.

    Raises:
        CaptureError: a layer, head or slot that is not there, or more than the capture's limit.
    """

    def __init__(
        self, spec: Capture, session: Session, question: str, room: int, text: int
    ) -> None:
        if not isinstance(spec, Capture):
            raise CaptureError(
                "a capture says what to record",
                asked=f"capture={spec!r}",
                fix='tempo_lab.Capture(attention=["decision"])',
            )
        check_price(spec, session, question, room, text)
        self.spec, self.session, self.question = spec, session, question
        model = session.checkpoint.model
        self.config = model.config.compressor_config.text_config
        self.compressor = model.compressor
        text_model = self.compressor.svlm.language_model
        self.layers = pick_layers(spec.layers, self.config.num_hidden_layers, "layers")
        self.heads = pick_heads(spec.heads, self.config.num_attention_heads)
        rows = spec.attention
        self._attention = self._hidden = None
        self._answer: AnswerRecord | None = None
        if rows is not None and rows.svlm:
            self._attention = AttentionRecorder(
                text_model, self.layers, "SVLM", None if spec.heads == "all" else self.heads
            )
        if rows is not None and rows.answer:
            self._answer = AnswerRecord(spec, model, len(session), room)
        if spec.hidden is not None or spec.layer_relevance:
            self._hidden = HiddenRecorder(text_model, self.layers, "SVLM")
        self._seen = to_xarray.ChunkBuffer(self.layers)
        self._states = to_xarray.ChunkBuffer(self.layers)
        self._logits: dict[int, list[float]] = {}  # by segment, [layer]
        self._maps: dict[int, TokenMap] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Recording:
        with ExitStack() as stack:
            for recorder in (self._attention, self._answer, self._hidden):
                if recorder is not None:
                    stack.enter_context(recorder.installed())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def check_slots(self, needed: np.ndarray) -> None:
        """Refuse slots that were asked for by number and that no segment needs.

        Args:
            needed: int [segment], memory tokens that the allocation needs, or may need at most.

        Raises:
            CaptureError: no segment needs one of them.
        """
        for rows, what in ((self.spec.attention, "attention"), (self.spec.hidden, "hidden states")):
            if rows is not None:
                to_xarray.SlotMask(needed).rows(rows, self.compressor.slots, what)

    @cached_property
    def _around(self) -> tuple[TokenMap, TokenMap]:
        return self.session.checkpoint.prompts.around(self.question, self.compressor.slots)

    def _map(self, segment: int) -> TokenMap:
        if segment not in self._maps:
            before, after = self._around
            video = self.session.engine.visual_prompt(segment)
            self._maps[segment] = concatenate([before, video, after])
        return self._maps[segment]

    @property
    def watch(self) -> ForwardObserver | None:
        """What the reader opens around every call; None where nothing of the SVLM is recorded."""
        return None if self._attention is None and self._hidden is None else self._watch

    @contextmanager
    def _watch(self, segments: Sequence[int], slots: range | None = None) -> Iterator[None]:
        """Record one call of the compressor: its relevance, or these memory slots.

        Args:
            segments: numbers of the segments that it reads.
            slots: memory slots that it writes; None for its question.
        """
        maps = [self._map(segment) for segment in segments]
        total = len(maps[0].positions("memory"))
        read = len(maps[0]) - total  # positions of the prompt before memory
        job = hidden = None
        with ExitStack() as stack:
            if self._attention is not None and self.spec.attention is not None:
                names, rows = self._rows(self.spec.attention, maps[0], slots)
                if names:
                    keys = read if slots is None else read + slots.stop
                    name = "relevance" if slots is None else "memory"
                    reduction = self._reduction(maps, keys, rows.device)
                    job = AttentionRequest(name, rows, reduction, keys), names
                    stack.enter_context(self._attention.at(job[0]))
            if self._hidden is not None:
                names, rows = self._rows(self.spec.hidden, maps[0], slots)
                lens = slots is None and self.spec.layer_relevance
                if names or lens:
                    hidden = HiddenJob(rows, self.compressor.logit if lens else None), names
                    stack.enter_context(self._hidden.at(hidden[0]))
            yield
        if job is not None:
            found = {layer: parts[0] for layer, parts in job[0].found.items()}
            self._seen.pieces.append(to_xarray.Piece(tuple(segments), tuple(job[1]), found))
        if hidden is not None:
            piece = to_xarray.Piece(tuple(segments), tuple(hidden[1]), hidden[0].found)
            self._states.pieces.append(piece)
            for i, segment in enumerate(segments if hidden[0].logits else ()):
                self._logits[segment] = [float(hidden[0].logits[n][i]) for n in self.layers]

    def _rows(
        self, asked: Rows | None, prompt: TokenMap, slots: range | None
    ) -> tuple[list[str], torch.Tensor]:
        """Names of the rows of this call, and their positions among its new ones."""
        names: list[str] = []
        rows: list[int] = []
        total = len(prompt.positions("memory"))
        if asked is not None and slots is not None:
            wanted = [slot for slot in asked.memory_slots(total) if slot in slots]
            names = [to_xarray.row_name("memory", slot) for slot in wanted]
            rows = [slot - slots.start for slot in wanted]
        elif asked is not None:
            # from the end: the call's new positions are the question
            last = {"decision": prompt.decision, "query_last": prompt.positions("query")[-1]}
            names = [name for name in asked.svlm if name != "memory"]
            rows = [int(last[name]) - (len(prompt) - total) for name in names]
        device = self.compressor.compression_tokens.device
        return names, torch.tensor(rows, dtype=torch.long, device=device)

    @cached_property
    def _pairs(self) -> int:
        """Frame pairs of the longest segment: the last is never longer than the first."""
        first = self._map(0)
        return int(first.index[first.positions("vision")].max()) + 1

    def _reduction(self, maps: list[TokenMap], keys: int, device: torch.device) -> Reduction:
        if self.spec.reduce == "none":
            return EveryKey()
        if self.spec.reduce == "top_k":
            return Top(self.spec.top)
        if self.spec.reduce == "patch_grid":
            return Patches(maps, device)
        names = svlm_group_names(self._pairs)
        groups = [svlm_groups(m, names)[:keys] for m in maps]
        return KeyGroupSum(groups, len(names), keys, device, beyond=names.index("earlier memory"))

    def answering(self, prompt: TokenMap) -> AbstractContextManager[None]:
        """Record the LLM while it answers `prompt`."""
        return nullcontext() if self._answer is None else self._answer.at(prompt)

    def apart(self, call: Callable[[str], object] | None) -> Callable[[str], object] | None:
        """The same callback, with nothing recorded of what the model does in it."""
        if call is None or self._answer is None:
            return call
        return self._answer.apart(call)

    def finish(self, trace: Trace, needed: np.ndarray, memory: Sequence[torch.Tensor]) -> Trace:
        """The trace with what was recorded.

        Args:
            trace: of the question.
            needed: int [segment], memory tokens that the allocation needed.
            memory: [k, hidden] of each segment, before the projector; more than needed are cut.

        Raises:
            CaptureError: a site that was asked for never fired.
        """
        keep = to_xarray.SlotMask(needed)
        data = trace.data
        if self._attention is not None and self.spec.attention is not None:
            data = self._with_attention(data, self.spec.attention, keep)
        if self._answer is not None:
            data = self._answer.add(data)
        total = self.compressor.slots
        if self.spec.hidden is not None:
            rows = keep.rows(self.spec.hidden, total, "hidden states")
            array = self._states.array(rows, keep, None, (self.config.hidden_size,))
            dims = ("segment", "layer", "hidden_row", "hidden")
            data["hidden_state"] = dims, array, _UNIT | {"long_name": "after the layer"}
            data = data.assign_coords(hidden_row=rows, layer=list(self.layers))
        if self.spec.layer_relevance:
            logits = np.array([self._logits[i] for i in range(len(needed))], dtype=np.float32)
            meaning = {"long_name": "of Yes over No, read from the layer"}
            data["layer_logit"] = ("segment", "layer"), logits, _UNIT | meaning
            data = data.assign_coords(layer=list(self.layers))
        if self.spec.memory:
            for name, dim, arrays, of in (
                ("memory_token", "hidden", memory, "as the SVLM wrote it"),
                ("memory_projected", "llm_hidden", self._projected(memory), "as the LLM reads it"),
            ):
                attrs = _UNIT | {"long_name": f"memory token {of}"}
                data[name] = ("segment", "slot", dim), _slots(arrays, needed, total), attrs
        provenance = {**trace.provenance, "capture": self.spec.describe()}
        return replace(trace, data=data, provenance=provenance)

    def _with_attention(
        self, data: xr.Dataset, asked: Rows, keep: to_xarray.SlotMask
    ) -> xr.Dataset:
        rows = keep.rows(asked, self.compressor.slots, "attention")
        maps = [self._map(segment) for segment in range(len(keep.slots))]
        # positions of each prompt with the memory tokens that were needed
        read = np.array([len(m) - self.compressor.slots for m in maps]) + keep.slots
        groups = svlm_group_names(self._pairs)
        patches = maps[0].positions("vision")
        grid = [int(axis[patches].max()) + 1 for axis in (maps[0].row, maps[0].column)]
        tails: dict[str, tuple[int, ...]] = {
            "key_group": (len(groups),),
            "none": (int(read.max()),),
            "patch_grid": (self._pairs * grid[0] * grid[1],),
            "top_k": (self.spec.top, 2),
        }
        heads, reduce = len(self.heads), self.spec.reduce
        lengths = read if reduce == "none" else None
        array = self._seen.array(rows, keep, heads, tails[reduce], lengths)
        if reduce == "patch_grid":
            array = array.reshape(*array.shape[:-1], self._pairs, *grid)
        # given to the dataset all at once: every assignment makes another one
        coords = {"row": rows, "head": list(self.heads), "layer": list(self.layers)}
        if reduce == "key_group":
            coords["key_group"] = groups
            for segment, m in enumerate(maps):
                pairs = int(m.index[m.positions("vision")].max()) + 1
                absent = slice(groups.index("query") - (self._pairs - pairs), groups.index("query"))
                array[segment, ..., absent] = np.nan
        dims = ("segment", "layer", "head", "row")
        data = data.assign(dict(to_xarray.attention_variables(array, reduce, "", dims)))
        if reduce in ("none", "top_k"):
            names = to_xarray.key_names(maps, int(read.max()))
            data = data.assign({"key_name": (("segment", "key"), names)})
        return data.assign_coords(coords)

    @torch.inference_mode()
    def _projected(self, memory: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [self.session.checkpoint.model.project(tokens) for tokens in memory]


_UNIT = {"units": "1"}


def _slots(arrays: Sequence[torch.Tensor], needed: np.ndarray, total: int) -> np.ndarray:
    """float32 [segment, slot, width] of [k, width] each; NaN in slots that were not needed."""
    whole = np.full((len(arrays), total, arrays[0].shape[-1]), np.nan, dtype=np.float32)
    for row, tokens, k in zip(whole, arrays, needed, strict=True):
        row[:k] = tokens[:k].float().cpu().numpy()
    return whole
