"""Which allocation strategy answers most? ATA and its baselines, each at the tokens it used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tempo_lab.allocation.arms import ATA, Arm, allocation_arms
from tempo_lab.analysis.arm_comparison import QUANTITIES, check_arms, compare_arms
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.evaluation.cases import Case

FAMILIES = (
    "all tokens", "ATA head", "ATA ToMe", "uniform head", "uniform ToMe", "top-k", "sparse frames",
    "shuffled scores", "oracle routing",
)  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Baselines(Result):
    """Score and tokens by arm and kind of question, each arm also compared with ATA at its budget.

    Intervals are 95 % bootstrap intervals over videos; NaN where there is only one video. NaN
    also stands for what is impossible: all tokens of a video that exceeds the context, sparse
    frames of a budget that holds no segment, or of a source whose frames were sampled before (a
    folder of images, a .npy array).
    """

    QUANTITIES: ClassVar = {
        **QUANTITIES,
        "family": Quantity(("arm",), "1", "what the arm is called in figures"),
        "budget": Quantity(("arm",), "tokens per segment", "to be shared; NaN for all tokens"),
        "gain": Quantity(("arm", "kind"), "1", "score less that of ATA at this budget, paired"),
    }
    TABLE: ClassVar = ("arm", "kind")


Result.KINDS["Rivals"] = Baselines  # in files saved under its old name


def baseline_arms(
    slots: int, budgets: Sequence[int] | None = None, families: Sequence[str] | None = None
) -> tuple[Arm, ...]:
    """Return ATA and its baselines, at the same budgets.

    Args:
        slots: K, memory tokens per segment.
        budgets: tokens per segment; by default an eighth, three sixteenths, a quarter and a half
            of K.
        families: names of the arms, by default `FAMILIES`; "all tokens" has no budget.
    """
    wanted = FAMILIES if families is None else families
    each = budgets or sorted({max(1, slots * part // 16) for part in (2, 3, 4, 8)})
    return tuple(arm for arm in allocation_arms(each, each) if arm.family in wanted)


def baselines(
    cases: Sequence[Case],
    *,
    arms: Sequence[Arm] | None = None,
    seed: int = 0,
    max_new_tokens: int = 32,
    progress: bool = True,
) -> Baselines:
    """Ask every case under ATA and its baselines.

    Nothing of the compressor runs twice for a question; only sparse frames are decoded again.

    Args:
        cases: about one video or more, of any kinds.
        arms: by default `baseline_arms` of the model's K. "shuffled scores" is the control: the
            tokens of ATA, given to segments at random. "oracle routing" is the ceiling: the
            evidence has score 1, all else 0.
        seed: of shuffled scores, and of strategies that draw.
        max_new_tokens: of an answer.
        progress: show a progress bar.

    Returns:
        a `Baselines`. What the context or a budget refuses is NaN. A warning names it, and its
        provenance lists it as "left_out".

    Raises:
        TraceError: there are no cases or no arms, or two arms have one name.
        BudgetError: an arm's strategy is unknown.
    """
    cases, arms = check_arms(cases, arms, baseline_arms)
    references = [_reference(arm, arms) for arm in arms]
    data, provenance = compare_arms(
        cases, arms, references, seed=seed, max_new_tokens=max_new_tokens, progress=progress
    )
    budgets = [np.nan if arm.budget is None else float(arm.budget) for arm in arms]
    data = data.assign(family=("arm", [arm.family for arm in arms]), budget=("arm", budgets))
    return Baselines(data, provenance)


def _reference(arm: Arm, arms: Sequence[Arm]) -> int:
    """Return ATA's row at the arm's budget, or at its largest one; without ATA the first row."""
    own = [row for row, other in enumerate(arms) if other.family == ATA]
    exact = [row for row in own if arms[row].budget == arm.budget]
    return (exact or sorted(own, key=lambda row: arms[row].budget or 0)[-1:] or [0])[0]
