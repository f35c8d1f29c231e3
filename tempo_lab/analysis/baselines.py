"""Which way of sharing answers most? ATA and its rivals, each at the tokens that it really used."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tempo_lab.allocation import rivals as _rivals  # noqa: F401  (registers strategies)
from tempo_lab.allocation.arms import Arm, allocation_arms
from tempo_lab.analysis.allocator_variants import AllocatorVariants, ask_all, check_arms, tabulated
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import one_or_more
from tempo_lab.common.errors import UnfamiliarVideoWarning
from tempo_lab.evaluation.cases import Case

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

FAMILIES = (
    "all tokens", "ATA head", "ATA ToMe", "uniform head", "uniform ToMe", "top-k", "sparse frames",
    "shuffled scores", "oracle routing",
)  # fmt: skip
REFERENCE = "ATA head"


@dataclass(frozen=True, eq=False, repr=False)
class Baselines(Result):
    """Score and tokens by arm and kind of question, each arm also against ATA at its budget.

    Intervals are 95 % bootstrap intervals over videos; NaN where there is one video only. NaN
    stands also for what is impossible: all tokens of a video that exceeds the context, sparse
    frames of a budget that holds no segment, or of a source whose frames were sampled before (a
    folder of pictures, a .npy array).
    """

    QUANTITIES: ClassVar = {
        **AllocatorVariants.QUANTITIES,
        "family": Quantity(("arm",), "1", "what the arm is called in figures"),
        "budget": Quantity(("arm",), "tokens per segment", "to be shared; NaN for all tokens"),
        "gain": Quantity(("arm", "kind"), "1", "score less that of ATA at this budget, paired"),
    }
    TABLE: ClassVar = ("arm", "kind")


Result.KINDS["Rivals"] = Baselines  # in files saved under its old name


def baseline_arms(
    slots: int, budgets: Sequence[int] | None = None, families: Sequence[str] = FAMILIES
) -> tuple[Arm, ...]:
    """ATA and what it is held against, at the same budgets.

    Args:
        slots: K, memory tokens of a segment.
        budgets: tokens a segment; by default an eighth, three sixteenths, a quarter and a half
            of K.
        families: names of those that are wanted; all tokens have no budget.
    """
    each = budgets or sorted({max(1, slots * part // 16) for part in (2, 3, 4, 8)})
    return tuple(arm for arm in allocation_arms(each, each) if arm.family in families)


def baselines(
    cases: Sequence[Case],
    *,
    arms: Sequence[Arm] | None = None,
    seed: int = 0,
    max_new_tokens: int = 32,
    progress: bool = True,
) -> Baselines:
    """Ask every question under every arm.

    Nothing of the compressor runs twice for a question; only sparse frames are read anew.

    Args:
        cases: about one video or more, of any kinds.
        arms: by default `baseline_arms` of the model's K. "shuffled scores" is the control: the
            tokens of ATA, given to segments at random; "oracle routing" the ceiling: the evidence
            has score 1, all else 0.
        seed: of shuffled scores, and of strategies that draw.
        max_new_tokens: of an answer.
        progress: show a progress bar.

    Returns:
        a `Baselines`. What the context or a budget refuses is warned of, and in its provenance as
        "left_out".

    Raises:
        TraceError: no cases or no arms, or two arms of one name.
        BudgetError: an arm's strategy is unknown.
    """
    cases = one_or_more(cases, Case, "cases", "tempo_lab.analysis.world_cases(tempo) makes some")
    if arms is None and cases:
        arms = baseline_arms(cases[0].session.checkpoint.model.config.num_compression_tokens)
    arms = tuple(arms or ())
    check_arms(cases, arms)
    options = {"seed": seed, "max_new_tokens": max_new_tokens}
    shuffles = [np.random.default_rng([seed, number]) for number in range(len(cases))]
    with ExitStack() as stack:
        desk = _Desk(stack)

        def ask(number: int, arm: Arm) -> tuple[float, float]:
            return desk.ask(cases[number], arm, shuffles[number], options)

        score, used, left_out = ask_all(cases, arms, ask, progress)
    names = [arm.name for arm in arms]
    against = [_against(arm, arms, names) for arm in arms]
    data = tabulated(cases, arms, score, used, against)
    budgets = [np.nan if arm.budget is None else float(arm.budget) for arm in arms]
    data = data.assign(family=("arm", [arm.family for arm in arms]), budget=("arm", budgets))
    models = sorted({case.session.checkpoint.digest for case in cases})
    made = {"arms": [asdict(arm) for arm in arms], "seed": seed, "models": models}
    return Baselines(data, {**made, "left_out": left_out})


class _Desk:
    """Asks cases under arms; opens a video anew where an arm wants fewer frames of it."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.sparse: dict[tuple[int, int], Session] = {}
        self.relevance: dict[tuple[int, str], np.ndarray] = {}

    def ask(
        self, case: Case, arm: Arm, shuffle: np.random.Generator, options: dict[str, Any]
    ) -> tuple[float, float]:
        """How right the answer was, and memory tokens used; NaN where it is impossible."""
        session, budget = case.session, None
        if arm.budget is not None:
            budget = arm.budget * len(session)
        if arm.sparse:
            assert budget is not None
            slots = session.checkpoint.model.config.num_compression_tokens
            if budget < slots:
                return np.nan, np.nan
            most, budget = budget // slots, None
            session = self._sparser(session, most)
            if len(session) > most:  # stored frames are all taken
                return np.nan, np.nan
        scores = None
        if arm.scores != "own":
            scores = arm.forced(self._relevance(case, budget, options), case.evidence, shuffle)
        with warnings.catch_warnings():
            if arm.sparse:  # so few frames look strange to a small model, and are meant to be few
                warnings.simplefilter("ignore", UnfamiliarVideoWarning)
            trace = session.ask(
                case.question,
                budget=budget,
                strategy=arm.strategy,
                mode=arm.mode,
                scores=scores,
                **options,
            )
        return case.scored(trace.answer), float(trace.data.attrs["used"])

    def _relevance(self, case: Case, budget: int | None, options: dict[str, Any]) -> np.ndarray:
        """The model's own [segment], asked for at the first budget only: none changes it."""
        key = id(case.session), case.question
        if key not in self.relevance:
            once = {**options, "max_new_tokens": 1}
            own = case.session.ask(case.question, budget=budget, **once)
            self.relevance[key] = own.data["relevance"].to_numpy()
        return self.relevance[key]

    def _sparser(self, session: Session, segments: int) -> Session:
        """The whole video in the frames of so many segments."""
        from tempo_lab.session.tempo import Tempo

        key = id(session), segments
        if key not in self.sparse:
            tempo = Tempo(session.checkpoint)
            frames = segments * tempo.config.segment_frames
            opened = tempo.open(session.video.info.path, max_frames=frames, progress=False)
            self.sparse[key] = self.stack.enter_context(opened)
        return self.sparse[key]


def _against(arm: Arm, arms: Sequence[Arm], names: Sequence[str]) -> int:
    """The row of ATA at the arm's budget, or the largest one; the first row where there is none."""
    same = [n for n, other in enumerate(arms) if other.family == REFERENCE]
    exact = [n for n in same if arms[n].budget == arm.budget]
    return (exact or sorted(same, key=lambda n: arms[n].budget or 0)[-1:] or [0])[0]
