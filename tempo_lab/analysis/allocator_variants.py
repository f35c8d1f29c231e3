"""Does it help to look at the scores themselves? Answers under allocators of other strictness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from tempo_lab.allocation.arms import Arm, half, strictness_arms
from tempo_lab.analysis.arm_comparison import QUANTITIES, check_arms, compare_arms
from tempo_lab.analysis.result import Result
from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import Case


@dataclass(frozen=True, eq=False, repr=False)
class AllocatorVariants(Result):
    """Score and tokens by arm and kind of question, each arm also compared with the first.

    Intervals are 95 % bootstrap intervals over videos; NaN where there is only one video.
    """

    QUANTITIES: ClassVar = QUANTITIES
    TABLE: ClassVar = ("arm", "kind")


Result.KINDS["Strictness"] = AllocatorVariants  # in files saved under its old name


def variant_arms(slots: int) -> tuple[Arm, ...]:
    """Return the arms of `tempo-lab evaluate world`, and two that look at relevance itself.

    Args:
        slots: K, memory tokens per segment.
    """
    more = {"ATA, threshold": "threshold", "ATA, temperature": "temperature"}
    arms = (Arm(family, strategy, half(slots)) for family, strategy in more.items())
    return (*strictness_arms(slots), *arms)


def allocator_variants(
    cases: Sequence[Case],
    *,
    arms: Sequence[Arm] | None = None,
    seed: int = 0,
    max_new_tokens: int = 32,
    progress: bool = True,
) -> AllocatorVariants:
    """Ask every case under each variant of the allocator.

    Nothing of the compressor runs twice for a question. Absence questions show what abstaining is
    worth. Questions about the whole video ("most") show what min-max does to scores that hardly
    differ. Needles show what strictness costs.

    Args:
        cases: about one video or more, of any kinds; `world_cases(tempo, kinds=["absence", "most",
            "color"])` has them.
        arms: the first is what the others are compared with; by default `variant_arms` of the
            model's K.
        seed: of strategies that draw.
        max_new_tokens: of an answer.
        progress: show a progress bar.

    Returns:
        an `AllocatorVariants`. An arm that cannot be asked, such as all tokens of a video that
        exceeds the context, is NaN. A warning names it, and its provenance lists it as "left_out".

    Raises:
        TraceError: there are no cases, or an arm needs other frames or other scores than the
            model's.
        BudgetError: an arm's strategy is unknown.
    """
    cases, arms = check_arms(cases, arms, variant_arms)
    for arm in arms:
        if arm.sparse or arm.scores != "own":
            raise TraceError(
                "variants are compared on the model's own scores and all frames",
                asked=one_line(repr(arm), 200),
                fix="tempo_lab.analysis.baselines(cases, arms=...) has the other arms",
            )
    references = [0] * len(arms)
    data, provenance = compare_arms(
        cases, arms, references, seed=seed, max_new_tokens=max_new_tokens, progress=progress
    )
    return AllocatorVariants(data, provenance)
