"""Muon in float32: what torch's does, but for its rounding to bfloat16."""

from __future__ import annotations

import pytest
import torch

from tempo_lab.nano.training.optimizers import Muon, orthogonalized

SHAPES = [(32, 32), (24, 96), (96, 24)]


def trained(kind: type[torch.optim.Optimizer], shape: tuple[int, int], steps: int) -> torch.Tensor:
    """A matrix after some steps towards another one, both the same every time."""
    torch.manual_seed(3)
    wanted, parameter = torch.randn(shape), torch.nn.Parameter(torch.randn(shape))
    unused = torch.nn.Parameter(torch.ones(shape))
    optimizer = kind([parameter, unused], lr=0.03, momentum=0.95, weight_decay=0.01)
    for _ in range(steps):
        (parameter - wanted).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(unused, torch.ones(shape))  # no gradient, no decay
    return parameter.detach()


@pytest.mark.parametrize("shape", SHAPES)
def test_muon_goes_where_torchs_own_goes(shape: tuple[int, int]) -> None:
    start, ours, theirs = (
        trained(kind, shape, steps)
        for kind, steps in ((Muon, 0), (Muon, 12), (torch.optim.Muon, 12))
    )
    moved = (theirs - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved
    assert moved > 0.02 * start.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthogonalized_matrix_stretches_nothing(shape: tuple[int, int]) -> None:
    torch.manual_seed(4)
    matrix = 1e3 * torch.randn(shape)
    near = orthogonalized(matrix)
    stretch = torch.linalg.svdvals(near)
    assert near.dtype == torch.float32
    assert stretch.min() > 0.3
    assert stretch.max() < 1.3
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    assert torch.linalg.svdvals(left.T @ near @ right.T - torch.eye(min(shape))).max() < 0.7


def test_nothing_to_learn_moves_nothing() -> None:
    assert orthogonalized(torch.zeros(4, 8)).abs().max() == 0
