"""Record rows of attention next to the fused kernel, which returns no probabilities.

While a recorder is installed, the model's attention goes through a function that is registered with
transformers under a name of its own. The mask function of the wrapped kernel is registered under
the same name: without one, transformers silently builds no mask and attention is no longer causal.
The function returns the kernel's output unchanged. Next to it, the recorder computes the softmax of
the selected query rows and heads, a few rows at a time; reduces it on the device; and moves the
result to the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
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

KERNELS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    CONTINUED_SDPA: (continued_sdpa, continued_mask),
    "sdpa": (sdpa_attention_forward, sdpa_mask),
    "eager": (eager_attention_forward, eager_mask),
}
"""Attention implementations whose rows can be recorded, with their mask functions."""
WORK_BYTES = {"cpu": 768 << 10}
"""Bytes of probabilities that are computed at once, unless one row needs more. The CPU's limit fits
its cache; elsewhere `WORK_BYTES_ELSEWHERE` is enough to keep the device busy."""
WORK_BYTES_ELSEWHERE = 32 << 20

active_recorders: dict[int, list[AttentionRecorder]] = {}
"""Installed recorders by the identity of the configuration that their model reads."""
_replaced: dict[int, str] = {}
"""The attention implementation that the first of these recorders replaced."""


def _recorded_name(kernel: str) -> str:
    return f"tempo_rows_{kernel}"


def _with_recorders(kernel: str) -> Callable[..., Any]:
    """Return the kernel's function, extended by the installed recorders."""
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
        for recorder in active_recorders.get(id(module.config), ()):
            layer: Any = module.layer_idx
            recorder.record(layer, query, key, value, attention_mask, scaling, output)
        return output, weights

    return attend


for _kernel, (_, _mask) in KERNELS.items():
    AttentionInterface.register(_recorded_name(_kernel), _with_recorders(_kernel))
    AttentionMaskInterface.register(_recorded_name(_kernel), _mask)


@dataclass
class AttentionRequest:
    """Rows of one forward call that every selected layer records.

    Attributes:
        name: name of the call, for messages.
        rows: int [row], positions among the call's new ones; negative numbers count from the end.
        reduction: applied to the probabilities of each row.
        keys: number of keys of the call where it is known; another number is an error.
        recorded: by layer, float32 [segment, head, row, ...] on the CPU for each time that the
            layer ran.
    """

    name: str
    rows: torch.Tensor
    reduction: Reduction
    keys: int | None = None
    recorded: dict[int, list[torch.Tensor]] = field(default_factory=dict)


class AttentionRecorder:
    """Records rows of one model's attention while it is installed and has a request.

    Args:
        model: the transformers model whose layers attend.
        layers: numbers of the layers to record.
        model_name: name of the model, for messages.
        heads: numbers of the heads to record; None for all.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[int],
        model_name: str,
        heads: Sequence[int] | None = None,
    ) -> None:
        self.config: Any = model.config
        self.layers, self.model_name = tuple(layers), model_name
        self.heads = None if heads is None else list(heads)
        self._request: AttentionRequest | None = None
        self._verified: set[tuple[int, str, bool]] = set()
        self._buffer: torch.Tensor | None = None
        self._mask_bias: tuple[torch.Tensor | None, int, torch.Tensor] | None = None

    @contextmanager
    def installed(self) -> Iterator[AttentionRecorder]:
        """Route the model's attention through the recorder; restore the implementation afterwards.

        Raises:
            CaptureError: the model's attention implementation cannot be recorded.
        """
        before, config_id = self.config._attn_implementation, id(self.config)
        others = active_recorders.get(config_id)
        if not others and before not in KERNELS:
            raise CaptureError(
                "attention cannot be recorded with this attention implementation",
                asked=f"attention of the {self.model_name}, which runs {before!r}",
                found=", ".join(KERNELS),
                fix='call model.set_attn_implementation("sdpa"), or record no attention',
            )
        try:
            if not others:
                _replaced[config_id] = before
                self.config._attn_implementation = _recorded_name(before)
            active_recorders.setdefault(config_id, []).append(self)
            yield self
        finally:
            # recorders may end in any order: the last one restores what the first one replaced
            if self in (installed := active_recorders.get(config_id, [])):
                installed.remove(self)
            if not installed and config_id in _replaced:
                active_recorders.pop(config_id, None)
                self.config._attn_implementation = _replaced.pop(config_id)
            self._buffer = None

    @contextmanager
    def recording(self, request: AttentionRequest | None) -> Iterator[None]:
        """Record for `request` within this context; record nothing if it is None.

        Raises:
            CaptureError: a selected layer did not run.
        """
        before, self._request = self._request, request
        try:
            yield
        finally:
            self._request, self._mask_bias = before, None
        if request is not None:
            check_recorded(self.model_name, "attention", self.layers, request.recorded)

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
        """Record the requested rows of one layer; tensors have the shapes of transformers."""
        request = self._request
        if request is None or layer not in self.layers:
            return
        new, keys = query.shape[2], key.shape[2]
        if request.keys not in (None, keys):
            raise CaptureError(
                "the number of keys differs from the number of positions in the prompt",
                asked=f"{request.name}: {request.keys} keys",
                found=f"{keys} keys in layer {layer} of the {self.model_name}",
                fix="do not call the model while a capture runs",
            )
        rows = request.rows % new
        own = rows + (keys - new)
        if self._mask_bias is None or self._mask_bias[0] is not mask or self._mask_bias[1] != keys:
            # all layers of a call share one mask, so it is converted once
            self._mask_bias = mask, keys, mask_bias(mask, rows, own, keys)
        bias = self._mask_bias[2]
        if self.heads is not None:
            query, key, value, output = _select_heads(self.heads, query, key, value, output)
            bias = bias if bias.shape[1] == 1 else bias[:, self.heads]
        query, heads = query[:, :, rows], query.shape[1]
        work_bytes = WORK_BYTES.get(query.device.type, WORK_BYTES_ELSEWHERE)
        max_rows = max(1, work_bytes // (heads * keys * 4))
        step = min(len(query), max(1, max_rows // len(rows)))  # segments
        buffer = self._allocate(min(max_rows, step * len(rows)) * heads * keys, query.device)
        result: torch.Tensor | None = None
        for first in range(0, len(query), step):
            batch = slice(first, first + step)
            batch_keys = key[batch].float()  # converted once for all rows
            for start in range(0, len(rows), max_rows):
                part = slice(start, start + max_rows)
                part_bias = bias[batch if len(bias) > 1 else slice(None), :, part]
                p = probabilities(query[batch, :, part], batch_keys, part_bias, scaling, buffer)
                self._verify(layer, request, p, value[batch], output[batch], rows[part], new > 1)
                reduced = request.reduction(p, own[part], first)
                if result is None:
                    shape = len(query), reduced.shape[1], len(rows), *reduced.shape[3:]
                    result = torch.empty(shape, dtype=torch.float32)
                result[batch, :, part] = reduced
        assert result is not None  # a call has at least one segment and one row
        request.recorded.setdefault(layer, []).append(result)

    def _allocate(self, numbers: int, device: torch.device) -> torch.Tensor:
        """Return a float32 buffer of at least this many numbers; it is reused between calls."""
        if self._buffer is None or len(self._buffer) < numbers:
            self._buffer = torch.empty(numbers, device=device, dtype=torch.float32)
        return self._buffer

    def _verify(
        self,
        layer: int,
        request: AttentionRequest,
        p: torch.Tensor,
        value: torch.Tensor,
        output: torch.Tensor,
        rows: torch.Tensor,
        several: bool,
    ) -> None:
        """Compare the rows with the kernel's output, once per layer and kind of call.

        Rows must sum to 1, and the values weighted by them must equal the output.

        Raises:
            CaptureError: they do not, so the rows are not what the model computed.
        """
        if (layer, request.name, several) in self._verified:
            return
        self._verified.add((layer, request.name, several))
        output = output[:1, rows]
        sum_error = (p[:1].sum(dim=-1) - 1).abs().max().item()
        # [row, head, width] of the first segment, in the kernel's layout
        values = value[:1].float().repeat_interleave(p.shape[1] // value.shape[1], dim=1)
        weighted = (p[:1] @ values).transpose(1, 2)
        output_error = (weighted - output.float()).abs().max().item()
        scale = output.abs().max().item()
        # float32 kernels sum in another order; smaller types round probabilities and output
        exact = output.dtype == torch.float32
        relative = 3e-5 if exact else 8 * torch.finfo(output.dtype).eps
        if not (sum_error <= 1e-5 and output_error <= relative * max(scale, 1e-6)):
            raise CaptureError(
                "recorded attention is not what the model computed",
                asked=f"layer {layer} of the {self.model_name}, {request.name}: sums of 1 within "
                f"1e-05, the kernel's output within {relative * scale:.2g}",
                found=f"sums off by {sum_error:.2g}, output off by {output_error:.2g}",
                fix="the model's attention is not plain softmax attention; record hidden states",
            )


def _select_heads(
    heads: list[int],
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    output: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the tensors of some heads, each with a key head of its own."""
    shared = query.shape[1] // key.shape[1]
    key_heads = [head // shared for head in heads]
    return query[:, heads], key[:, key_heads], value[:, key_heads], output[:, :, heads]


def check_recorded(
    model_name: str, site: str, layers: Sequence[int], recorded: Collection[int]
) -> None:
    """Check that every layer ran and was recorded or changed.

    Args:
        model_name: name of the model, for messages.
        site: what was to be recorded, for messages.
        layers: numbers of the layers that had to run.
        recorded: numbers of those that ran.

    Raises:
        CaptureError: a layer did not run.
    """
    silent = [layer for layer in layers if layer not in recorded]
    if silent:
        fired = ", ".join(str(layer) for layer in sorted(recorded))
        raise CaptureError(
            "a requested layer never fired",
            asked=f"{site} of layers {', '.join(map(str, silent))} of the {model_name}",
            found=f"fired: layers {fired}" if fired else "fired: none",
            fix="request the layers that fired, or restore the layers that were replaced",
        )


def mask_bias(
    mask: torch.Tensor | None, rows: torch.Tensor, own: torch.Tensor, keys: int
) -> torch.Tensor:
    """Return what is added to the scores of some rows to hide the keys that the mask excludes.

    Args:
        mask: [segment, head or 1, row, key] of all rows, bool or additive; None for a causal mask.
        rows: int [row], the requested rows.
        own: int [row], the key of each row's own position.
        keys: number of keys.

    Returns:
        float32 [segment or 1, head or 1, row, last keys]. The leading keys that every row sees are
        left out; there is one segment if all have the same mask.
    """
    if mask is None:
        bias = (torch.arange(keys, device=own.device) > own[:, None])[None, None]
    else:
        mask = mask[..., rows, :keys]
        bias = ~mask if mask.dtype == torch.bool else mask
    touched = bias.ne(0).flatten(0, -2).any(dim=0)
    first = int(touched.int().argmax()) if touched.any() else keys
    bias = bias[..., first:]
    if bias.dtype == torch.bool:
        zeros = torch.zeros_like(bias, dtype=torch.float32)
        bias = zeros.masked_fill_(bias, float("-inf"))
    equal = len(bias) > 1 and bool((bias == bias[:1]).all())
    return (bias[:1] if equal else bias).float()


def probabilities(
    query: torch.Tensor,
    key: torch.Tensor,
    bias: torch.Tensor,
    scaling: float,
    buffer: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the softmax of some query rows over all keys, float32 [segment, head, row, key].

    Args:
        query: [segment, head, row, width], the requested rows.
        key: [segment, key head, key, width].
        bias: [segment or 1, head or 1, row, last keys], see `mask_bias`.
        scaling: factor of the scores.
        buffer: float32 [number] that holds the result. On a CPU, allocating new memory costs as
            much as the product.
    """
    segments, heads, rows, width = query.shape
    key_heads, keys = key.shape[1:3]
    shape = (segments, heads, rows, keys)
    if buffer is None:
        buffer = torch.empty(math.prod(shape), device=query.device, dtype=torch.float32)
    scores = buffer[: math.prod(shape)].view(shape)
    # heads that share a key head become rows of it: [segment * key head, head * row, width]
    grouped = (query.float() * scaling).reshape(segments * key_heads, -1, width)
    product = scores.view(segments * key_heads, -1, keys)
    torch.bmm(grouped, key.float().flatten(0, 1).mT, out=product)
    scores[..., keys - bias.shape[-1] :] += bias
    return torch.softmax(scores, dim=-1, out=scores)
