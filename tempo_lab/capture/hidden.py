"""Hidden states of chosen positions and layers, and the relevance that each layer would give."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from tempo_lab.capture.attention import never_fired


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
        if job.lens is not None:
            # not by calling the module: hooks of others on the norm would fire once too often
            last = self.model.norm.forward(states[:, -1])
            job.logits[layer] = job.lens(last).float().cpu()
