"""Recording rows of attention through nnsight: what a user would write without `tempo_lab.Capture`.

nnsight reads what modules give, and a fused kernel gives no weights: the SVLM attends eagerly. The
trace's block meets every layer of every call as it runs, takes the rows that are wanted and reduces
them at once, by the same sums, so that what differs is how they are come by.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import nnsight
import numpy as np
import torch

from tempo_lab.session.capture.key_groups import KeyGroupSum, svlm_group_names, svlm_groups
from tempo_lab.session.session import Session


class ByNNsight:
    """Asks one question in a session and records decision and memory rows by key group.

    nnsight replaces the modules' `forward` for good, so the session's model should have no other
    use.

    Args:
        session: of a model whose SVLM attends eagerly from now on.
        question: the question.
        ask: asks it in a session, with all memory tokens; None stands for no capture, and the bool
            says whether the video is read too.
    """

    def __init__(
        self, session: Session, question: str, ask: Callable[[Session, None, bool], object]
    ) -> None:
        self.session, self.ask = session, ask
        model, prompts = session.checkpoint.model, session.checkpoint.prompts
        model.compressor.svlm.language_model.config._attn_implementation = "eager"
        self.watched = nnsight.NNsight(model)
        self.asked, self.slots = len(prompts.question(question)), model.compressor.slots
        self.prompts = [session.prompt(question, number) for number in range(len(session))]
        first = self.prompts[0]
        self.names = svlm_group_names(int(first.index[first.positions("vision")].max()) + 1)

    def __call__(self, first: bool) -> np.ndarray:
        """Ask; float32 [segment, layer, head, decision and memory row, key group]."""
        layers = self.watched.compressor.vlm.model.language_model.layers
        found = {"decision": [[] for _ in layers], "memory": [[] for _ in layers]}
        with warnings.catch_warnings():
            # an open loop over calls ends with a warning that there was no further call
            warnings.filterwarnings("ignore", message=".*was never reached")
            with self.watched.trace(self.session, None, first, fn=self.ask) as tracer:
                for _ in tracer.iter[:]:
                    for number, layer in enumerate(layers):
                        weights = layer.self_attn.output[1]
                        new = weights.shape[2]
                        if new == self.asked:
                            parts = found["decision"][number]
                            parts.append(self.reduced(weights[:, :, -1:], parts))
                        elif new == self.slots:
                            parts = found["memory"][number]
                            parts.append(self.reduced(weights, parts))
        rows = [[torch.cat(parts) for parts in of_layers] for of_layers in found.values()]
        return torch.stack([torch.cat(both, dim=2) for both in zip(*rows, strict=True)], 1).numpy()

    def reduced(self, rows: torch.Tensor, before: list[torch.Tensor]) -> torch.Tensor:
        """[segment, head, row, group] of the segments after those `before`, on the CPU."""
        segments, _, new, keys = rows.shape
        first = sum(map(len, before))
        prompts = self.prompts[first : first + segments]
        groups = [svlm_groups(prompt, self.names)[:keys] for prompt in prompts]
        beyond = self.names.index("earlier memory")
        reduce = KeyGroupSum(groups, len(self.names), keys, rows.device, beyond)
        own = torch.arange(keys - new, keys, device=rows.device)
        return reduce(rows, own, 0).cpu()
