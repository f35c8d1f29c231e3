"""A device that is not there: tensors that say they lie on one, and are computed on the CPU.

A tensor that was left behind is then an error, as on a GPU, and all numbers are the CPU's own. It
goes by the name of torch's `meta` device, as autograd wants one that this build of torch has. (For
the same reason FakeTensorMode's "cuda" does not do without CUDA: no gradient flows there, and it
has no numbers to log.) Indices have to be moved, too, although CUDA would do that by itself.
"""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

HERE, ELSEWHERE = torch.device("cpu"), torch.device("meta")
MOVES = ("aten::_to_copy", "aten::copy_")


class Distant(torch.Tensor):
    """A tensor elsewhere; `near` holds its numbers."""

    @staticmethod
    def __new__(cls, near: torch.Tensor) -> Distant:
        layout = {"strides": near.stride(), "storage_offset": near.storage_offset()}
        made = cls._make_wrapper_subclass(
            cls, near.shape, dtype=near.dtype, device=ELSEWHERE, **layout
        )
        made.near = near
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


class Elsewhere(TorchDispatchMode):
    """While it is entered, tensors can be made on, and moved to, the device that is not there."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return compute(operation, args, kwargs or {})


def compute(operation, args, kwargs):
    """Run an operation of torch on the tensors' numbers.

    Raises:
        RuntimeError: its tensors are on two devices; one number alone, or none, may be anywhere.
    """
    name = operation._schema.name
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    distant = {id(tensor.near): tensor for tensor in tensors if isinstance(tensor, Distant)}
    left = [tuple(t.shape) for t in tensors if not isinstance(t, Distant) and t.dim() * t.numel()]
    if distant and left and name not in MOVES:
        raise RuntimeError(f"{name} with tensors of shapes {left} that were left on the CPU")
    there = bool(distant)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]) == ELSEWHERE
        kwargs = {**kwargs, "device": HERE}

    def near(value):
        if isinstance(value, torch.Tensor) and value.is_meta and not isinstance(value, Distant):
            return torch.empty(value.shape, dtype=value.dtype)  # of torch.tensor([]), unseen here
        return value.near if isinstance(value, Distant) else value

    def placed(value):
        if id(value) in distant:  # changed in place
            return distant[id(value)]
        return Distant(value) if there and isinstance(value, torch.Tensor) else value

    result = operation(*tree_map(near, args), **tree_map(near, kwargs))
    return args[0] if name == "aten::copy_" else tree_map(placed, result)
