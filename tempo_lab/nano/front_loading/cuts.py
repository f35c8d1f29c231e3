"""The cuts of the front-loading study: which memory tokens of a segment the reader gets."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

ARMS = {
    "none": "all memory tokens",
    "prefix": "the first k memory tokens",
    "suffix": "the last k memory tokens",
    "random": "a random subset of k memory tokens",
}
"""Memory tokens of each segment that the LLM reads in training, by arm. k is uniform, 1 to all."""


def kept_slots(
    arm: str, questions: int, slots: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Return the slots of the memory tokens that the LLM reads per question, in ascending order.

    Every arm draws the same numbers, so that arms with equal generators keep equally many.

    Args:
        arm: a key of :data:`ARMS`.
        questions: number of questions.
        slots: memory tokens per segment.
        rng: the generator.
    """
    counts = rng.integers(1, slots + 1, questions)
    orders = rng.permuted(np.tile(np.arange(slots), (questions, 1)), axis=1)
    everything = np.arange(slots)
    kept = {
        "none": lambda count, order: everything,
        "prefix": lambda count, order: everything[:count],
        "suffix": lambda count, order: everything[slots - count :],
        "random": lambda count, order: np.sort(order[:count]),
    }[arm]
    return [kept(count, order) for count, order in zip(counts, orders, strict=True)]
