"""Muon for hidden matrices and AdamW for the rest, with one schedule; state without pickle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tempo_lab.nano.training.distributed import average

EMBEDDINGS = ("embed_tokens", "pos_embed", "patch_embed", "compression_tokens", "lm_head", "heads.")


def is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon takes this parameter: a matrix between hidden states."""
    return parameter.ndim == 2 and not any(part in name for part in EMBEDDINGS)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return nearly UVᵀ of a matrix USVᵀ: all singular values become about 1.

    Five steps of the Newton-Schulz iteration, with the coefficients of
    https://kellerjordan.github.io/posts/muon/.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


class Muon(torch.optim.Optimizer):
    """`torch.optim.Muon` in float32.

    Torch rounds to bfloat16 before it orthogonalizes. A CPU without bfloat16 arithmetic then takes
    twenty times as long (``benchmarks/muon.py``): most of the time of a step of the vision stage.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                mean = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
                update = orthogonalized(parameter.grad.lerp(mean, momentum))
                rows, columns = parameter.shape
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


class MuonAdamW:
    """Both optimizers over named parameters, each group with its own base learning rate.

    Args:
        groups: (parameters by name, Muon rate, AdamW rate) for each group.
        steps: length of the stage, with warm-up at its start and linear decay at its end.
    """

    def __init__(
        self,
        groups: Sequence[tuple[Mapping[str, nn.Parameter], float, float]],
        steps: int,
        *,
        warmup: int = 60,
        decay: float = 0.55,
        weight_decay: float = 0.01,
        clip: float = 1.0,
    ) -> None:
        self.names: dict[str, list[str]] = {"muon": [], "adamw": []}
        muon, adamw = [], []
        self.parameters: list[nn.Parameter] = []
        for parameters, muon_rate, adamw_rate in groups:
            hidden = {n: p for n, p in parameters.items() if is_hidden_matrix(n, p)}
            other = {n: p for n, p in parameters.items() if n not in hidden}
            if hidden:
                muon.append({"params": list(hidden.values()), "lr": muon_rate})
                self.names["muon"] += list(hidden)
            if other:
                adamw.append({"params": list(other.values()), "lr": adamw_rate})
                self.names["adamw"] += list(other)
            self.parameters += list(parameters.values())
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        if muon:
            self.optimizers["muon"] = Muon(muon, weight_decay=weight_decay)
        if adamw:
            self.optimizers["adamw"] = torch.optim.AdamW(
                adamw, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0
            )
        self.base = {
            kind: [group["lr"] for group in optimizer.param_groups]
            for kind, optimizer in self.optimizers.items()
        }
        self.steps, self.warmup, self.decay, self.clip = steps, warmup, decay, clip

    def factor(self, step: int) -> float:
        """Return the learning rate's factor at a step from 0: warm-up, 1, then linear to .02."""
        warm = min(1.0, (step + 1) / max(1, min(self.warmup, self.steps // 4)))
        left = (self.steps - step) / max(1.0, self.decay * self.steps)
        return warm * min(1.0, max(0.02, left))

    def step(self, step: int) -> None:
        """Average gradients over the workers, clip them, update, and clear the gradients."""
        average([parameter for parameter in self.parameters if parameter.requires_grad])
        torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        for kind, optimizer in self.optimizers.items():
            for group, base in zip(optimizer.param_groups, self.base[kind], strict=True):
                group["lr"] = base * self.factor(step)
            optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """Return every tensor of both optimizers' states, by a flat name."""
        flat: dict[str, Tensor] = {}
        for kind, optimizer in self.optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            for name, parameter in zip(self.names[kind], parameters, strict=True):
                for key, value in optimizer.state.get(parameter, {}).items():
                    tensor = value if isinstance(value, Tensor) else torch.tensor(float(value))
                    flat[f"{kind}/{key}/{name}"] = tensor.detach().clone().contiguous()
        return flat

    def load_state(self, flat: Mapping[str, Tensor]) -> None:
        """Restore what :meth:`state` returned."""
        for kind, optimizer in self.optimizers.items():
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            by_name = dict(zip(self.names[kind], parameters, strict=True))
            for full, value in flat.items():
                owner, key, name = full.split("/", 2)
                if owner == kind and name in by_name:
                    parameter = by_name[name]
                    place = "cpu" if key == "step" else parameter.device  # as torch keeps them
                    optimizer.state[parameter][key] = value.to(place, copy=True)
