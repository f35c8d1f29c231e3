"""Hidden states of chosen positions and layers: recorded, or others put in their place.

Beside them, the relevance that each layer would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from tempo_lab.model.finite import check_finite
from tempo_lab.session.capture.attention import never_fired


@dataclass
class HiddenJob:
    """Positions of one call.

    Attributes:
        rows: int [row], positions among the call's new ones.
        lens: from final-norm states [..., hidden] to logits, read at the call's last position;
            None for none.
        found: float32 [segment, row, hidden] on the CPU by layer.
        logits: float32 [segment] on the CPU by layer.
    """

    rows: torch.Tensor
    lens: Callable[[torch.Tensor], torch.Tensor] | None = None
    found: dict[int, torch.Tensor] = field(default_factory=dict)
    logits: dict[int, torch.Tensor] = field(default_factory=dict)


class HiddenRecorder:
    """Records the hidden states after some layers while it is installed and has a job.

    Args:
        model: a text model with `layers` and a final `norm`.
        layers: numbers of layers to record.
        whose: name of the model, for messages.
    """

    def __init__(self, model: Any, layers: Sequence[int], whose: str) -> None:
        self.model, self.layers, self.whose = model, tuple(layers), whose
        self.job: HiddenJob | None = None

    @contextmanager
    def installed(self) -> Iterator[HiddenRecorder]:
        """Hook the layers; exactly these hooks are removed, whatever else hangs there."""
        with ExitStack() as stack:
            for layer in self.layers:
                hook = self.model.layers[layer].register_forward_hook(partial(self._note, layer))
                stack.callback(hook.remove)
            yield self

    @contextmanager
    def at(self, job: HiddenJob | None) -> Iterator[None]:
        """Record for `job` meanwhile, or nothing where it is None.

        Raises:
            CaptureError: a layer never fired.
        """
        before, self.job = self.job, job
        try:
            yield
        finally:
            self.job = before
        if job is not None and (silent := [i for i in self.layers if i not in job.found]):
            raise never_fired(self.whose, "hidden states", silent, list(job.found))

    def _note(self, layer: int, module: nn.Module, inputs: Any, output: Any) -> None:
        job = self.job
        if job is None:
            return
        states = output[0] if isinstance(output, tuple) else output
        job.found[layer] = states[:, job.rows].float().cpu()
        check_finite(job.found[layer], f"the hidden states after layer {layer}", module)
        if job.lens is not None:
            # not by calling the module: hooks of others on the norm would fire once too often
            last = self.model.norm.forward(states[:, -1])
            job.logits[layer] = job.lens(last).float().cpu()


@dataclass(frozen=True)
class Patch:
    """Hidden states to be put in the place of one position's.

    Attributes:
        layer: after which they are put.
        name: of the position, for messages.
        row: number of the position, among the question's or among the memory slots.
        is_memory: whether it is a memory slot.
        named: whether its segments were named one by one.
        values: [hidden] by segment; other segments are left alone.
    """

    layer: int
    name: str
    row: int
    is_memory: bool
    named: bool
    values: Mapping[int, torch.Tensor]


class HiddenPatcher:
    """Puts hidden states in the place of others while it is installed and watches a call.

    Args:
        model: a text model with `layers`.
        patches: what to put where.
        whose: name of the model, for messages.
    """

    def __init__(self, model: Any, patches: Sequence[Patch], whose: str) -> None:
        self.model, self.patches, self.whose = model, tuple(patches), whose
        # of the call that runs, by layer: (row of the batch, new position, state)
        self._here: dict[int, list[tuple[int, int, torch.Tensor]]] = {}
        self._fired: set[int] = set()

    @contextmanager
    def installed(self) -> Iterator[HiddenPatcher]:
        """Hook the layers; exactly these hooks are removed, whatever else hangs there."""
        with ExitStack() as stack:
            for layer in sorted({patch.layer for patch in self.patches}):
                hook = self.model.layers[layer].register_forward_hook(partial(self._put, layer))
                stack.callback(hook.remove)
            yield self

    @contextmanager
    def watch(self, segments: Sequence[int], slots: range | None = None) -> Iterator[None]:
        """Patch one call of the compressor; a `tempo_lab.session.cache.Watch`.

        Raises:
            CaptureError: a layer that was to be patched never fired.
        """
        here: dict[int, list[tuple[int, int, torch.Tensor]]] = {}
        for patch in self.patches:
            if patch.is_memory != (slots is not None):
                continue
            if slots is not None and patch.row not in slots:
                continue
            position = patch.row - (0 if slots is None else slots.start)
            for row, segment in enumerate(segments):
                if segment in patch.values:
                    place = row, position, patch.values[segment]
                    here.setdefault(patch.layer, []).append(place)
        before = self._here, self._fired
        self._here, self._fired = here, set()
        try:
            yield
            fired = self._fired
        finally:
            self._here, self._fired = before
        if silent := sorted(here.keys() - fired):
            raise never_fired(self.whose, "hidden states to patch", silent, list(fired))

    def _put(self, layer: int, module: nn.Module, inputs: Any, output: Any) -> Any:
        if layer not in self._here:
            return None  # as it was
        self._fired.add(layer)
        states = (output[0] if isinstance(output, tuple) else output).clone()
        for row, position, state in self._here[layer]:
            states[row, position] = state.to(states)
        return (states, *output[1:]) if isinstance(output, tuple) else states
