"""Rows of attention, recorded beside the fused kernel.

Where a capture runs, the model's attention goes through a function registered with transformers
under a name of its own, together with the mask function of the kernel beneath (without one,
transformers makes no mask, and causality is lost without a word). The function hands on what the
kernel computes, untouched, and computes the softmax of the chosen query rows and heads beside it, a
few at a time, reduced on the device and moved to the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import eager_mask, sdpa_mask
from transformers.models.qwen3.modeling_qwen3 import eager_attention_forward

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.qwen import CONTINUED_SDPA, continued_mask, continued_sdpa
from tempo_lab.session.capture.key_groups import Reduction
from tempo_lab.session.capture.softmax import hidden_keys, probabilities

KERNELS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    CONTINUED_SDPA: (continued_sdpa, continued_mask),
    "sdpa": (sdpa_attention_forward, sdpa_mask),
    "eager": (eager_attention_forward, eager_mask),
}
"""Attention implementations that rows can be recorded beside, with their mask functions."""
WORK = {"cpu": 768 << 10}
"""Bytes of probabilities that are computed at once, unless one row has more: on a CPU, what stays
near it; elsewhere enough to keep a device busy."""
WORK_ELSEWHERE = 32 << 20

_recorders: dict[int, list[AttentionRecorder]] = {}
"""Recorders at work, by the identity of the configuration that their model reads."""
_replaced: dict[int, str] = {}
"""The implementation that the first of them found there."""


def _recorded_name(kernel: str) -> str:
    return f"tempo_rows_{kernel}"


def _beside(kernel: str) -> Callable[..., Any]:
    """The kernel's own function, with recorders beside it."""
    compute = KERNELS[kernel][0]

    def attend(
        module: nn.Module,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor | None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        output, weights = compute(module, query, key, value, attention_mask, **kwargs)
        scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
        for recorder in _recorders.get(id(module.config), ()):
            layer: Any = module.layer_idx
            recorder.record(layer, query, key, value, attention_mask, scaling, output)
        return output, weights

    return attend


for _kernel, (_, _mask) in KERNELS.items():
    AttentionInterface.register(_recorded_name(_kernel), _beside(_kernel))
    AttentionMaskInterface.register(_recorded_name(_kernel), _mask)


@dataclass
class AttentionRequest:
    """Rows of one call, of which each layer that fires is noted.

    Attributes:
        name: of the call, for messages.
        rows: int [row], positions among the call's new ones; negative from the end.
        reduction: of each row's probabilities.
        keys: keys that the call has, if that is known; another number is an error.
        found: float32 [segment, head, row, ...] on the CPU for each firing of a layer.
    """

    name: str
    rows: torch.Tensor
    reduction: Reduction
    keys: int | None = None
    found: dict[int, list[torch.Tensor]] = field(default_factory=dict)


class AttentionRecorder:
    """Records rows of one model's attention while it is installed and has a job.

    Args:
        model: the transformers model whose layers attend.
        layers: numbers of layers to record.
        whose: name of the model, for messages.
        heads: numbers of heads to record; None for all.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[int],
        whose: str,
        heads: Sequence[int] | None = None,
    ) -> None:
        self.config: Any = model.config
        self.layers, self.whose = tuple(layers), whose
        self.heads = None if heads is None else list(heads)
        self.job: AttentionRequest | None = None
        self._proved: set[tuple[int, str, bool]] = set()
        self._room: torch.Tensor | None = None
        self._hidden: tuple[torch.Tensor | None, int, torch.Tensor] | None = None

    @contextmanager
    def installed(self) -> Iterator[AttentionRecorder]:
        """The model's attention goes through us; what was there is put back.

        Raises:
            CaptureError: an attention implementation that keeps no rows.
        """
        before, whose = self.config._attn_implementation, id(self.config)
        others = _recorders.get(whose)
        if not others and before not in KERNELS:
            raise CaptureError(
                "no attention can be recorded beside this implementation",
                asked=f"attention of the {self.whose}, which runs {before!r}",
                found=", ".join(KERNELS),
                fix='model.set_attn_implementation("sdpa"), or a capture without attention',
            )
        try:
            if not others:
                _replaced[whose] = before
                self.config._attn_implementation = _recorded_name(before)
            _recorders.setdefault(whose, []).append(self)
            yield self
        finally:
            # captures may end in any order: the last one puts back what the first one found
            if self in (mine := _recorders.get(whose, [])):
                mine.remove(self)
            if not mine and whose in _replaced:
                _recorders.pop(whose, None)
                self.config._attn_implementation = _replaced.pop(whose)
            self._room = None

    @contextmanager
    def at(self, job: AttentionRequest | None) -> Iterator[None]:
        """Record for `job` meanwhile, or nothing where it is None.

        Raises:
            CaptureError: a layer never fired.
        """
        before, self.job = self.job, job
        try:
            yield
        finally:
            self.job, self._hidden = before, None
        if job is not None and (silent := [i for i in self.layers if i not in job.found]):
            raise never_fired(self.whose, "attention", silent, list(job.found))

    @torch.no_grad()
    def record(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        scaling: float,
        output: torch.Tensor,
    ) -> None:
        """Note the job's rows of one layer; shapes as transformers gives them."""
        job = self.job
        if job is None or layer not in self.layers:
            return
        new, keys = query.shape[2], key.shape[2]
        if job.keys not in (None, keys):
            raise CaptureError(
                "a call had other keys than its prompt has positions",
                asked=f"{job.name}: {job.keys} keys",
                found=f"{keys} keys in layer {layer} of the {self.whose}",
                fix="ask the model nothing else while a capture runs",
            )
        rows = job.rows % new
        own = rows + (keys - new)
        if self._hidden is None or self._hidden[0] is not mask or self._hidden[1] != keys:
            # all layers of a call have one mask, which is looked through once
            self._hidden = mask, keys, hidden_keys(mask, rows, own, keys)
        hidden = self._hidden[2]
        if self.heads is not None:
            query, key, value, output = self._chosen(self.heads, query, key, value, output)
            hidden = hidden if hidden.shape[1] == 1 else hidden[:, self.heads]
        query, heads = query[:, :, rows], query.shape[1]
        work = WORK.get(query.device.type, WORK_ELSEWHERE)
        at_once = max(1, work // (heads * keys * 4))  # rows of probabilities
        step = min(len(query), max(1, at_once // len(rows)))  # segments
        room = self._work(min(at_once, step * len(rows)) * heads * keys, query.device)
        result: torch.Tensor | None = None
        for first in range(0, len(query), step):
            some = slice(first, first + step)
            keys_of = key[some].float()  # once for all its rows
            for start in range(0, len(rows), at_once):
                part = slice(start, start + at_once)
                later = hidden[some if len(hidden) > 1 else slice(None), :, part]
                p = probabilities(query[some, :, part], keys_of, later, scaling, room=room)
                self._prove(layer, job, p, value[some], output[some], rows[part], new > 1)
                found = job.reduction(p, own[part], first)
                if result is None:
                    result = torch.empty(
                        len(query), found.shape[1], len(rows), *found.shape[3:], dtype=torch.float32
                    )
                result[some, :, part] = found
        assert result is not None  # a call has a segment and a row
        job.found.setdefault(layer, []).append(result)

    @staticmethod
    def _chosen(
        heads: list[int],
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        output: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same of some heads, each with a key head of its own."""
        shared = query.shape[1] // key.shape[1]
        of_keys = [head // shared for head in heads]
        return query[:, heads], key[:, of_keys], value[:, of_keys], output[:, :, heads]

    def _work(self, numbers: int, device: torch.device) -> torch.Tensor:
        if self._room is None or len(self._room) < numbers:
            self._room = torch.empty(numbers, device=device, dtype=torch.float32)
        return self._room

    def _prove(
        self,
        layer: int,
        job: AttentionRequest,
        p: torch.Tensor,
        value: torch.Tensor,
        output: torch.Tensor,
        rows: torch.Tensor,
        several: bool,
    ) -> None:
        """Rows must sum to 1, and weigh the values to what the kernel gave; once a call's kind.

        Raises:
            CaptureError: they do not, so they are not what the model computed.
        """
        if (layer, job.name, several) in self._proved:
            return
        self._proved.add((layer, job.name, several))
        output = output[:1, rows]
        sums = (p[:1].sum(dim=-1) - 1).abs().max().item()
        # [row, head, width] of the first segment, as the kernel lays it out
        values = value[:1].float().repeat_interleave(p.shape[1] // value.shape[1], dim=1)
        weighed = (p[:1] @ values).transpose(1, 2)
        off = (weighed - output.float()).abs().max().item()
        scale = output.abs().max().item()
        # float32 kernels sum in another order; smaller types round probabilities and output
        exact = output.dtype == torch.float32
        relative = 3e-5 if exact else 8 * torch.finfo(output.dtype).eps
        if not (sums <= 1e-5 and off <= relative * max(scale, 1e-6)):
            raise CaptureError(
                "recorded attention is not what the model computed",
                asked=f"layer {layer} of the {self.whose}, {job.name}: sums of 1 within 1e-05, "
                f"the kernel's output within {relative * scale:.2g}",
                found=f"sums off by {sums:.2g}, output off by {off:.2g}",
                fix="the model's attention is not plain softmax attention; record hidden states",
            )


def never_fired(whose: str, what: str, silent: Sequence[int], fired: Sequence[int]) -> CaptureError:
    """The error for layers that were to be recorded and never ran as expected."""
    return CaptureError(
        "a site that was to be recorded never fired",
        asked=f"{what} of layers {', '.join(map(str, silent))} of the {whose}",
        found=f"fired: layers {', '.join(map(str, sorted(fired)))}" if fired else "fired: none",
        fix="record these, or restore what was put in place of the silent layers",
    )
