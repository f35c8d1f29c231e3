"""Record hidden states after chosen layers, and the relevance logit read from each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from tempo_lab.model.finite import check_finite
from tempo_lab.session.capture.attention import check_recorded


@contextmanager
def layer_hooks(model: Any, layers: Iterable[int], hook: Callable[..., Any]) -> Iterator[None]:
    """Register a forward hook on some layers; remove exactly these hooks afterwards.

    Args:
        model: a text model with `layers`.
        layers: numbers of the layers.
        hook: called with (layer, module, inputs, output).
    """
    with ExitStack() as stack:
        for layer in layers:
            handle = model.layers[layer].register_forward_hook(partial(hook, layer))
            stack.callback(handle.remove)
        yield


@dataclass
class HiddenRequest:
    """Positions of one forward call whose hidden states are recorded.

    Attributes:
        rows: int [row], positions among the call's new ones.
        lens: maps states after the final norm [..., hidden] to logits, applied at the call's last
            position; None for no logits.
        states: by layer, float32 [segment, row, hidden] on the CPU.
        logits: by layer, float32 [segment] on the CPU.
    """

    rows: torch.Tensor
    lens: Callable[[torch.Tensor], torch.Tensor] | None = None
    states: dict[int, torch.Tensor] = field(default_factory=dict)
    logits: dict[int, torch.Tensor] = field(default_factory=dict)


class HiddenRecorder:
    """Records the hidden states after some layers while it is installed and has a request.

    Args:
        model: a text model with `layers` and a final `norm`.
        layers: numbers of the layers to record.
        model_name: name of the model, for messages.
    """

    def __init__(self, model: Any, layers: Sequence[int], model_name: str) -> None:
        self.model, self.layers, self.model_name = model, tuple(layers), model_name
        self._request: HiddenRequest | None = None

    @contextmanager
    def installed(self) -> Iterator[HiddenRecorder]:
        """Hook the layers within this context."""
        with layer_hooks(self.model, self.layers, self._record):
            yield self

    @contextmanager
    def recording(self, request: HiddenRequest | None) -> Iterator[None]:
        """Record for `request` within this context; record nothing if it is None.

        Raises:
            CaptureError: a selected layer did not run.
        """
        before, self._request = self._request, request
        try:
            yield
        finally:
            self._request = before
        if request is not None:
            check_recorded(self.model_name, "hidden states", self.layers, request.states)

    def _record(self, layer: int, module: nn.Module, inputs: Any, output: Any) -> None:
        request = self._request
        if request is None:
            return
        states = output[0] if isinstance(output, tuple) else output
        request.states[layer] = states[:, request.rows].float().cpu()
        check_finite(request.states[layer], f"the hidden states after layer {layer}", module)
        if request.lens is not None:
            # `forward` instead of a call, so that hooks of others on the norm fire no extra time
            last = self.model.norm.forward(states[:, -1])
            request.logits[layer] = request.lens(last).float().cpu()
