"""Replace hidden states of the SVLM while it runs, as an `Intervention.patch` says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tempo_lab.common.errors import CaptureError
from tempo_lab.session.capture.attention import check_recorded
from tempo_lab.session.capture.hidden_states import layer_hooks
from tempo_lab.session.capture.selection import resolve
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.interventions.spec import Intervention


@dataclass(frozen=True)
class Patch:
    """Hidden states that replace those of one position after one layer.

    Attributes:
        layer: number of the layer.
        name: name of the position, for messages.
        row: number of the position, among the question's or among the memory slots.
        is_memory: whether the position is a memory slot.
        explicit: whether the segments were given by number.
        values: [hidden] by segment; other segments are not changed.
    """

    layer: int
    name: str
    row: int
    is_memory: bool
    explicit: bool
    values: Mapping[int, torch.Tensor]


class HiddenPatcher:
    """Replaces hidden states while it is installed and observes a call.

    Args:
        model: a text model with `layers`.
        patches: what to replace.
        model_name: name of the model, for messages.
    """

    def __init__(self, model: Any, patches: Sequence[Patch], model_name: str) -> None:
        self.model, self.patches, self.model_name = model, tuple(patches), model_name
        # in the current call, by layer: (row of the batch, new position, state)
        self._states: dict[int, list[tuple[int, int, torch.Tensor]]] = {}
        self._fired: set[int] = set()

    @contextmanager
    def installed(self) -> Iterator[HiddenPatcher]:
        """Hook the layers within this context."""
        layers = sorted({patch.layer for patch in self.patches})
        with layer_hooks(self.model, layers, self._replace):
            yield self

    @contextmanager
    def observe(self, segments: Sequence[int], slots: range | None = None) -> Iterator[None]:
        """Patch one call of the compressor; a `ForwardObserver`.

        Raises:
            CaptureError: a layer that was to be patched did not run.
        """
        states: dict[int, list[tuple[int, int, torch.Tensor]]] = {}
        for patch in self.patches:
            if patch.is_memory != (slots is not None):
                continue
            if slots is not None and patch.row not in slots:
                continue
            position = patch.row - (0 if slots is None else slots.start)
            for row, segment in enumerate(segments):
                if segment in patch.values:
                    state = row, position, patch.values[segment]
                    states.setdefault(patch.layer, []).append(state)
        before = self._states, self._fired
        self._states, self._fired = states, set()
        try:
            yield
            fired = self._fired
        finally:
            self._states, self._fired = before
        check_recorded(self.model_name, "hidden states to patch", sorted(states), fired)

    def _replace(self, layer: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        if layer not in self._states:
            return None  # the output stays as it is
        self._fired.add(layer)
        states = (output[0] if isinstance(output, tuple) else output).clone()
        for row, position, state in self._states[layer]:
            states[row, position] = state.to(states)
        return (states, *output[1:]) if isinstance(output, tuple) else states


def make_patch(intervention: Intervention, engine: CompressorEngine, question: str) -> Patch:
    """Return the patch for this model and video.

    Args:
        intervention: an intervention of kind "patch".
        engine: reads the video.
        question: what the SVLM reads.

    Raises:
        CaptureError: the model or video does not have the layer, position or segment; or the
            value has another width.
    """
    compressor, count = engine.checkpoint.model.compressor, len(engine.video)
    config, arguments = compressor.svlm.config.text_config, intervention.arguments
    position, selection = arguments["position"], arguments["segments"]
    (layer,) = resolve(
        [arguments["layer"]],
        config.num_hidden_layers,
        "layer",
        option="layer of a patch",
        from_end=True,
    )
    every = resolve(selection, count, "segment")
    segments = every if selection == "all" else selection  # values come in the order given
    kind, _, number = position.partition(" ")
    if kind == "memory":
        (row,) = resolve([int(number)], compressor.slots, "slot")
    else:
        row = _row(kind, int(number or -1), engine, question)
    value = torch.tensor(arguments["value"], dtype=torch.float32)
    _check_shape(value, config.hidden_size, segments, f"layer {layer}, {position}")
    device = compressor.compression_tokens.device
    states = value.to(device).expand(len(segments), config.hidden_size)
    values = dict(zip(segments, states, strict=True))
    return Patch(layer, position, row, kind == "memory", selection != "all", values)


def _row(kind: str, number: int, engine: CompressorEngine, question: str) -> int:
    """Return the number of a position among those that the SVLM reads for a question."""
    prompt = engine.prompts.question(question)
    if kind == "decision":
        return prompt.decision
    query = prompt.positions("query")
    if number >= len(query):
        raise CaptureError(
            "no such position to patch",
            asked=f"query {number}",
            found=f"{len(query)} tokens of the question, 0 to {len(query) - 1}",
            fix=f"the nearest is query {len(query) - 1}",
        )
    return int(query[number])  # -1 for "query_last"


def _check_shape(value: torch.Tensor, width: int, segments: Sequence[int], site: str) -> None:
    if value.ndim and value.shape[-1] != width:
        raise CaptureError(
            "a patch must be as wide as the SVLM's hidden states",
            asked=f"{value.shape[-1]} numbers at {site}",
            found=f"hidden states of {width}",
            fix="use a state recorded from this model, or one number for the whole state",
        )
    if value.ndim == 2 and len(value) != len(segments):
        raise CaptureError(
            "a patch with several rows must have one row per segment",
            asked=f"{len(value)} rows at {site}",
            found=f"{len(segments)} segments",
            fix=f"give segments=[...], {len(value)} numbers in the order of the rows",
        )


def check_disjoint(patches: Sequence[Patch]) -> None:
    """Refuse two patches of one position.

    Raises:
        CaptureError: two patches change the same position of a segment after the same layer.
    """
    seen: dict[tuple[int, bool, int, int], Patch] = {}
    for patch in patches:
        for segment in patch.values:
            site = patch.layer, patch.is_memory, patch.row, segment
            if site in seen:
                raise CaptureError(
                    "two patches change the same position",
                    asked=f"{patch.name} after layer {patch.layer}, segment {segment}",
                    found=f"already patched as {seen[site].name}",
                    fix="give one patch per position",
                )
            seen[site] = patch


def check_needed(patches: Sequence[Patch], needed: Sequence[int]) -> None:
    """Refuse patches of memory slots that are not computed.

    Args:
        patches: all patches of a run.
        needed: int [segment], memory tokens that the allocation needs.

    Raises:
        CaptureError: a segment given by number does not need the slot, or no segment does.
    """
    for patch in patches:
        if not patch.is_memory:
            continue
        unneeded = [segment for segment in patch.values if needed[segment] <= patch.row]
        if len(unneeded) == len(patch.values) or (unneeded and patch.explicit):
            raise CaptureError(
                "a patched memory slot is not needed by the allocation",
                asked=f"{patch.name} of segment"
                + ("s " if len(unneeded) > 1 else " ")
                + ", ".join(map(str, unneeded)),
                found=f"memory tokens needed there: {max(needed[i] for i in unneeded)} at most",
                fix="a larger budget, Intervention.allocate, an earlier slot, or other segments",
            )
