"""Allocation of memory tokens to segments by their relevance; numpy only, no torch.

Importing this registers every strategy of the library. `arms` has what evaluations compare.
"""

from tempo_lab.allocation.absolute import Absolute, Abstain, Floor, Temperature, Threshold
from tempo_lab.allocation.ata import Allocation, allocate, as_scores, keep_tokens
from tempo_lab.allocation.baselines import Everything, Router, TopK, Uniform
from tempo_lab.allocation.strategies import (
    STRATEGIES,
    Head,
    Ints,
    Mode,
    Pair,
    Random,
    Strategy,
    Tail,
    ToMe,
    find_strategy,
    register_strategy,
)

__all__ = [
    "Absolute", "Abstain", "Allocation", "Everything", "Floor", "Head", "Ints", "Mode", "Pair",
    "Random", "Router", "STRATEGIES", "Strategy", "Tail", "Temperature", "Threshold", "ToMe",
    "TopK", "Uniform", "allocate", "as_scores", "find_strategy", "keep_tokens", "register_strategy",
]  # fmt: skip
