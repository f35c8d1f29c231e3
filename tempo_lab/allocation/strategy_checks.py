"""What holds of what every strategy gives, also of those of users, and of slots chosen by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tempo_lab.allocation.strategies import Ints
from tempo_lab.common.errors import BudgetError


def check_share(tokens: NDArray[Any], budget: int, high: int, strategy: str) -> None:
    """What strict mode promises holds for every strategy, also for those of users.

    Args:
        tokens: int [segment], what its `allocate` gave.
        budget, high: tokens for all segments together, and for one, at most.
        strategy: its name.

    Raises:
        BudgetError: it does not hold.
    """
    found = None
    if not np.issubdtype(tokens.dtype, np.integer):
        found = f"tokens of type {tokens.dtype}"
    elif tokens.min(initial=0) < 0:
        found = f"{tokens.min()} tokens in segment {tokens.argmin()}"
    elif tokens.max(initial=0) > high:
        found = f"{tokens.max()} tokens in segment {tokens.argmax()}"
    elif (used := int(tokens.sum())) > budget:
        found = f"{used} tokens in all"
    if found is not None:
        raise BudgetError(
            f"the strategy {strategy!r} shares out what there is not",
            asked=f"a budget of {budget}, 0 to {high} whole tokens a segment",
            found=found,
            fix='correct its `allocate`, or mode="faithful", which does not look',
        )


def check_slots(chosen: Sequence[Ints], tokens: Ints, total: int) -> None:
    """Slots chosen by hand are as many as the tokens given, ascending, each once, and there.

    Args:
        chosen: int [kept] of each segment.
        tokens: int [segment], tokens given.
        total: K, the memory slots of a segment.

    Raises:
        BudgetError: they are not.
    """
    counts = [len(slots) for slots in chosen]
    plain = all((np.diff([-1, *slots, total]) > 0).all() for slots in chosen)
    if counts != tokens.tolist() or not plain:
        raise BudgetError(
            "the chosen slots are not those of the tokens given",
            asked=f"slots {[slots.tolist() for slots in chosen]}",
            found=f"{tokens.tolist()} tokens, {total} slots a segment",
            fix="as many numbers a segment, below the number of slots, ascending, each once",
        )
