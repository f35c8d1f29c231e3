"""Record one question: install the recorders, observe the engine's calls, add to the trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from types import TracebackType

import numpy as np
import torch
import xarray as xr

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.token_map import TokenMap, concatenate
from tempo_lab.session.cache import ForwardObserver
from tempo_lab.session.capture.answer import AnswerRecorder
from tempo_lab.session.capture.attention import AttentionRecorder, AttentionRequest
from tempo_lab.session.capture.cost import check_cost
from tempo_lab.session.capture.hidden_states import HiddenRecorder, HiddenRequest
from tempo_lab.session.capture.key_groups import (
    AllKeys,
    KeyGroupSum,
    Reduction,
    TopKKeys,
    VisualKeys,
    svlm_group_names,
    svlm_groups,
    visual_grid,
)
from tempo_lab.session.capture.spec import Capture, Rows
from tempo_lab.session.capture.to_xarray import (
    Chunk,
    ChunkBuffer,
    SlotMask,
    attention_variables,
    key_names,
    memory_row,
)
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.trace.trace import Trace

UNIT = {"units": "1"}


class Recorder:
    """Records one question as a capture says.

    Args:
        capture: what to record.
        engine: reads the video.
        question: what the SVLM reads.
        answer_budget: tokens that the answer may have.
        text: positions of the LLM's prompt that do not belong to the video.

    Raises:
        CaptureError: the model does not have a layer, head or slot; or the record may exceed the
            capture's limit.
    """

    def __init__(
        self,
        capture: Capture,
        engine: CompressorEngine,
        question: str,
        answer_budget: int,
        text: int,
    ) -> None:
        if not isinstance(capture, Capture):
            raise CaptureError(
                "capture must be a Capture, which says what to record",
                asked=f"capture={capture!r}",
                fix='tempo_lab.Capture(attention=["decision"])',
            )
        check_cost(capture, engine, question, answer_budget, text)
        self.capture, self.engine, self.question = capture, engine, question
        model = engine.checkpoint.model
        self.config = model.config.compressor_config.text_config
        self.compressor = model.compressor
        self.layers = capture.selected("layers", self.config.num_hidden_layers)
        self.heads = capture.selected("heads", self.config.num_attention_heads)
        self._attention: AttentionRecorder | None = None
        self._hidden: HiddenRecorder | None = None
        self._answer: AnswerRecorder | None = None
        svlm, rows = self.compressor.svlm.language_model, capture.attention
        if rows is not None and rows.svlm:
            some_heads = None if capture.heads == "all" else self.heads
            self._attention = AttentionRecorder(svlm, self.layers, "SVLM", some_heads)
        if rows is not None and rows.answer:
            self._answer = AnswerRecorder(capture, model, len(engine.video), answer_budget)
        if capture.hidden is not None or capture.layer_relevance:
            self._hidden = HiddenRecorder(svlm, self.layers, "SVLM")
        self._attention_chunks = ChunkBuffer(self.layers)
        self._hidden_chunks = ChunkBuffer(self.layers)
        self._logits: dict[int, list[float]] = {}  # by segment, [layer]
        self._maps: dict[int, TokenMap] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Recorder:
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
        """Refuse slots that were requested by number and that no segment needs.

        Args:
            needed: int [segment], memory tokens that the allocation needs, or needs at most.

        Raises:
            CaptureError: no segment needs one of the slots.
        """
        for rows, site in (
            (self.capture.attention, "attention"),
            (self.capture.hidden, "hidden states"),
        ):
            if rows is not None:
                SlotMask(needed).rows(rows, self.compressor.slots, site)

    @cached_property
    def _around(self) -> tuple[TokenMap, TokenMap]:
        return self.engine.prompts.around(self.question, self.compressor.slots)

    def _map(self, segment: int) -> TokenMap:
        """Return the SVLM's whole prompt for a segment."""
        if segment not in self._maps:
            before, after = self._around
            self._maps[segment] = concatenate([before, self.engine.visual_prompt(segment), after])
        return self._maps[segment]

    @property
    def observer(self) -> ForwardObserver | None:
        """Records the engine's calls; None if nothing of the SVLM is recorded."""
        return None if self._attention is None and self._hidden is None else self._observe

    @contextmanager
    def _observe(self, segments: Sequence[int], slots: range | None = None) -> Iterator[None]:
        """Record one call of the compressor.

        Args:
            segments: numbers of the segments that it reads.
            slots: memory slots that it writes; None if it reads the question.
        """
        maps = [self._map(segment) for segment in segments]
        read = len(maps[0]) - self.compressor.slots  # positions of the prompt before the memory
        attention: tuple[AttentionRequest, list[str]] | None = None
        hidden: tuple[HiddenRequest, list[str]] | None = None
        with ExitStack() as stack:
            if self._attention is not None and self.capture.attention is not None:
                names, rows = self._rows(self.capture.attention, maps[0], slots)
                if names:
                    keys = read if slots is None else read + slots.stop
                    call = "relevance" if slots is None else "memory"
                    reduction = self._reduction(maps, keys, rows.device)
                    attention = AttentionRequest(call, rows, reduction, keys), names
                    stack.enter_context(self._attention.recording(attention[0]))
            if self._hidden is not None:
                names, rows = self._rows(self.capture.hidden, maps[0], slots)
                lens = slots is None and self.capture.layer_relevance
                if names or lens:
                    hidden = HiddenRequest(rows, self.compressor.logit if lens else None), names
                    stack.enter_context(self._hidden.recording(hidden[0]))
            yield
        if attention is not None:
            request, names = attention
            layers = {layer: calls[0] for layer, calls in request.recorded.items()}
            self._attention_chunks.chunks.append(Chunk(tuple(segments), tuple(names), layers))
        if hidden is not None:
            states, names = hidden
            chunk = Chunk(tuple(segments), tuple(names), states.states)
            self._hidden_chunks.chunks.append(chunk)
            for i, segment in enumerate(segments if states.logits else ()):
                self._logits[segment] = [float(states.logits[n][i]) for n in self.layers]

    def _rows(
        self, rows: Rows | None, prompt: TokenMap, slots: range | None
    ) -> tuple[list[str], torch.Tensor]:
        """Return the names of the rows of one call, and their positions among its new ones."""
        names: list[str] = []
        positions: list[int] = []
        total = self.compressor.slots
        if rows is not None and slots is not None:
            written = [slot for slot in rows.memory_slots(total) if slot in slots]
            names = [memory_row(slot) for slot in written]
            positions = [slot - slots.start for slot in written]
        elif rows is not None:
            # negative positions, because the call's new positions end with the question
            last = {"decision": prompt.decision, "query_last": prompt.positions("query")[-1]}
            names = [name for name in rows.svlm if name != "memory"]
            positions = [int(last[name]) - (len(prompt) - total) for name in names]
        device = self.compressor.compression_tokens.device
        return names, torch.tensor(positions, dtype=torch.long, device=device)

    @cached_property
    def _grid(self) -> tuple[int, int, int]:
        """Frame pairs, patch rows and patch columns of the first segment; no other has more."""
        return visual_grid(self._map(0))

    def _reduction(self, maps: list[TokenMap], keys: int, device: torch.device) -> Reduction:
        reduce = self.capture.reduce
        if reduce == "none":
            return AllKeys()
        if reduce == "top_k":
            return TopKKeys(self.capture.top_k)
        if reduce == "patch_grid":
            return VisualKeys(maps, device)
        names = svlm_group_names(self._grid[0])
        groups = [svlm_groups(m, names)[:keys] for m in maps]
        return KeyGroupSum(groups, len(names), keys, device, beyond=names.index("earlier memory"))

    def recording_answer(self, prompt: TokenMap) -> AbstractContextManager[None]:
        """Record the LLM within this context, where it answers `prompt`."""
        return nullcontext() if self._answer is None else self._answer.recording(prompt)

    def unrecorded(self, call: Callable[[str], object] | None) -> Callable[[str], object] | None:
        """Return the callback such that what the model does in it is not recorded."""
        if call is None or self._answer is None:
            return call
        return self._answer.unrecorded(call)

    def add_to(self, trace: Trace, needed: np.ndarray, memory: Sequence[torch.Tensor]) -> Trace:
        """Return the trace with the recorded variables.

        Args:
            trace: the trace of the question.
            needed: int [segment], memory tokens that the allocation needed.
            memory: [k, hidden] of each segment, before the projector; only those that were needed
                are recorded.

        Raises:
            CaptureError: a requested row was not recorded.
        """
        mask, data, capture = SlotMask(needed), trace.data, self.capture
        if self._attention is not None and capture.attention is not None:
            data = self._with_attention(data, capture.attention, mask)
        if self._answer is not None:
            data = self._answer.add_to(data)
        if capture.hidden is not None:
            rows = mask.rows(capture.hidden, self.compressor.slots, "hidden states")
            array = self._hidden_chunks.array(rows, mask, None, (self.config.hidden_size,))
            dims = ("segment", "layer", "hidden_row", "hidden")
            data["hidden_state"] = dims, array, UNIT | {"long_name": "after the layer"}
            data = data.assign_coords(hidden_row=rows, layer=list(self.layers))
        if capture.layer_relevance:
            logits = np.array([self._logits[i] for i in range(len(needed))], dtype=np.float32)
            attrs = UNIT | {"long_name": "of Yes over No, read from the layer"}
            data["layer_logit"] = ("segment", "layer"), logits, attrs
            data = data.assign_coords(layer=list(self.layers))
        if capture.memory:
            for name, dim, arrays, stage in (
                ("memory_token", "hidden", memory, "as the SVLM wrote it"),
                ("memory_projected", "llm_hidden", self._project(memory), "as the LLM reads it"),
            ):
                attrs = UNIT | {"long_name": f"memory token {stage}"}
                slots = _by_slot(arrays, needed, self.compressor.slots)
                data[name] = ("segment", "slot", dim), slots, attrs
        provenance = {**trace.provenance, "capture": capture.describe()}
        return replace(trace, data=data, provenance=provenance)

    def _with_attention(self, data: xr.Dataset, rows: Rows, mask: SlotMask) -> xr.Dataset:
        names = mask.rows(rows, self.compressor.slots, "attention")
        maps = [self._map(segment) for segment in range(len(mask.needed))]
        # positions of each prompt, with the memory tokens that were needed
        lengths = np.array([len(m) - self.compressor.slots for m in maps]) + mask.needed
        groups, grid = svlm_group_names(self._grid[0]), self._grid
        tails: dict[str, tuple[int, ...]] = {
            "key_group": (len(groups),),
            "none": (int(lengths.max()),),
            "patch_grid": (grid[0] * grid[1] * grid[2],),
            "top_k": (self.capture.top_k, 2),
        }
        heads, reduce = len(self.heads), self.capture.reduce
        array = self._attention_chunks.array(
            names, mask, heads, tails[reduce], lengths if reduce == "none" else None
        )
        if reduce == "patch_grid":
            array = array.reshape(*array.shape[:-1], *grid)
        # assigned at once, because every assignment copies the dataset
        coords = {"row": names, "head": list(self.heads), "layer": list(self.layers)}
        if reduce == "key_group":
            coords["key_group"] = groups
            query = groups.index("query")
            for segment, m in enumerate(maps):
                missing = grid[0] - visual_grid(m)[0]
                array[segment, ..., query - missing : query] = np.nan
        dims = ("segment", "layer", "head", "row")
        data = data.assign(dict(attention_variables(array, reduce, "", dims)))
        if reduce in ("none", "top_k"):
            keys = key_names(maps, int(lengths.max()))
            data = data.assign({"key_name": (("segment", "key"), keys)})
        return data.assign_coords(coords)

    @torch.inference_mode()
    def _project(self, memory: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        return [self.engine.checkpoint.model.project(tokens) for tokens in memory]


def _by_slot(arrays: Sequence[torch.Tensor], needed: np.ndarray, slots: int) -> np.ndarray:
    """Return float32 [segment, slot, width] of [k, width] each; NaN in slots not needed."""
    result = np.full((len(arrays), slots, arrays[0].shape[-1]), np.nan, dtype=np.float32)
    for row, tokens, k in zip(result, arrays, needed, strict=True):
        row[:k] = tokens[:k].float().cpu().numpy()
    return result
