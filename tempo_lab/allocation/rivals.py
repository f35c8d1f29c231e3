"""Allocations that only an evaluation needs; importing this makes `allocate` know them.

Uniform sharing that keeps the tail, a random subset, or merged tokens.
"""

from __future__ import annotations

from tempo_lab.allocation.strategies import Random, Tail, ToMe, Uniform, register_strategy


@register_strategy("uniform-tail")
class UniformTail(Uniform, Tail):
    """The last k memory tokens of every segment."""


@register_strategy("uniform-random")
class UniformRandom(Uniform, Random):
    """k random memory tokens of every segment."""


@register_strategy("uniform-tome")
class UniformToMe(Uniform, ToMe):
    """Every segment's memory tokens merged down to k."""
