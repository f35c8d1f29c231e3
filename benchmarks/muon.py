"""A step of Muon on nano's SVLM: in float32, as training takes it, to torch's own in bfloat16.

    python benchmarks/muon.py [--rounds 5]

What it tells depends on whether the CPU has bfloat16 arithmetic (on Linux `avx512_bf16` or
`amx_bf16` in /proc/cpuinfo).
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch

from tempo_lab.nano.training.optimizers import Muon, is_hidden_matrix
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import RECIPES
from tempo_lab.nano.training.svlm_stage import build_svlm


def seconds(optimizer: torch.optim.Optimizer) -> float:
    """Of one step."""
    began = time.perf_counter()
    optimizer.step()
    return time.perf_counter() - began


def main() -> None:
    """Print the ratio of the two, which take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    model = build_svlm(RECIPES["nano"].sizes, len(PromptIds()))
    hidden = [p for name, p in model.named_parameters() if is_hidden_matrix(name, p)]
    for parameter in hidden:
        parameter.grad = torch.randn_like(parameter)
    both = [kind(hidden, lr=1e-6) for kind in (torch.optim.Muon, Muon)]
    for optimizer in both:
        seconds(optimizer)  # makes its state
    ratios = []
    for number in range(rounds):
        order = both if number % 2 else both[::-1]
        took = {id(optimizer): seconds(optimizer) for optimizer in order}
        theirs, ours = (took[id(optimizer)] for optimizer in both)
        ratios.append(theirs / ours)
    spread = f"{median(ratios):.1f} times as long ({min(ratios):.1f} to {max(ratios):.1f})"
    print(f"{len(hidden)} matrices, torch's own Muon: {spread}")


if __name__ == "__main__":
    main()
