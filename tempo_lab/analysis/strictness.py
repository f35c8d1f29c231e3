"""Does it help to look at the scores themselves? Answers under allocators of other strictness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.analysis.cases import Case
from tempo_lab.analysis.checks import one_or_more
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.errors import TraceError
from tempo_lab.evaluation.arms import STRICT_BUDGET, STRICTNESS, Arm
from tempo_lab.evaluation.metrics import Estimate, bootstrap_mean
from tempo_lab.evaluation.tables import NEEDLES
from tempo_lab.text import one_line
from tempo_lab.world import NEEDLE

ARMS = (
    *STRICTNESS,
    Arm("ATA, threshold", "threshold", STRICT_BUDGET),
    Arm("ATA, temperature", "temperature", STRICT_BUDGET),
)
"""The arms of `tempo-lab evaluate world`, and two that look at relevance itself."""


@dataclass(frozen=True, eq=False, repr=False)
class Strictness(Result):
    """Score and tokens by arm and kind of question, each arm also against the first.

    Intervals are 95 % bootstrap intervals over videos; NaN where there is one video only.
    """

    QUANTITIES: ClassVar = {
        "score": Quantity(("arm", "question"), "1", "how right the answer is, 0 to 1"),
        "used": Quantity(("arm", "question"), "tokens", "memory tokens"),
        "segments": Quantity(("question",), "segments", "of its video"),
        "text": Quantity(("question",), "1", "the question"),
        "asked_kind": Quantity(("question",), "1", "its kind; needles are one"),
        "video": Quantity(("question",), "1", "resampled together"),
        "mean": Quantity(("arm", "kind"), "1", "score"),
        "low": Quantity(("arm", "kind"), "1", "end of the interval of the score"),
        "high": Quantity(("arm", "kind"), "1", "end of the interval of the score"),
        "gain": Quantity(("arm", "kind"), "1", "score less that of the first arm, paired"),
        "gain_low": Quantity(("arm", "kind"), "1", "end of the interval of the gain"),
        "gain_high": Quantity(("arm", "kind"), "1", "end of the interval of the gain"),
        "tokens": Quantity(("arm", "kind"), "tokens a segment", "used, on average"),
        "questions": Quantity(("kind",), "questions", "asked"),
        "videos": Quantity(("kind",), "videos", "asked about"),
    }
    TABLE: ClassVar = ("arm", "kind")


def strictness(
    cases: Sequence[Case],
    *,
    arms: Sequence[Arm] = ARMS,
    seed: int = 0,
    max_new_tokens: int = 32,
    progress: bool = True,
) -> Strictness:
    """Ask every question under every arm; nothing of the compressor runs twice for a question.

    Absence questions show what abstaining is worth, questions about the whole video ("most") what
    min-max makes of scores that hardly differ, and needles what strictness costs.

    Args:
        cases: about one video or more, of any kinds; `world_cases(tempo, kinds=["absence", "most",
            "color"])` has them.
        arms: the first is what the others are compared with.
        seed: of strategies that draw.
        max_new_tokens: of an answer.
        progress: show a progress bar.

    Returns:
        a `Strictness`.

    Raises:
        TraceError: no cases, or arms that need other frames or other scores than the model's.
        BudgetError: an arm's budget or strategy is refused.
    """
    from tqdm.auto import tqdm

    cases = one_or_more(cases, Case, "cases", "tempo_lab.analysis.world_cases(tempo) makes some")
    check_arms(cases, arms)
    for arm in arms:
        if arm.sparse or arm.scores != "own":
            raise TraceError(
                "strictness is compared on the model's own scores and all frames",
                asked=one_line(repr(arm), 200),
                fix="tempo_lab.analysis.rivals(cases, arms=...) has the other arms",
            )
    score, used = np.zeros((2, len(arms), len(cases)))
    with tqdm(total=score.size, desc="asking", unit="answer", disable=not progress) as bar:
        for number, case in enumerate(cases):
            for row, arm in enumerate(arms):
                budget = None if arm.budget is None else arm.budget * len(case.session)
                trace = case.session.ask(
                    case.question,
                    budget=budget,
                    strategy=arm.strategy,
                    mode=arm.mode,
                    seed=seed,
                    max_new_tokens=max_new_tokens,
                )
                score[row, number] = case.scored(trace.answer)
                used[row, number] = trace.data.attrs["used"]
                bar.update()

    data = tabulated(cases, arms, score, used, [0] * len(arms))
    models = sorted({case.session.checkpoint.digest for case in cases})
    made = {"arms": [asdict(arm) for arm in arms], "seed": seed, "models": models}
    return Strictness(data, made)


def tabulated(
    cases: Sequence[Case],
    arms: Sequence[Arm],
    score: np.ndarray,
    used: np.ndarray,
    against: Sequence[int],
) -> xr.Dataset:
    """What cases gave under arms, by arm and kind, with intervals: the numbers of a `Strictness`.

    Args:
        score: [arm, question]; NaN where an arm could not be asked.
        used: memory tokens, [arm, question].
        against: row of the arm that each arm's score is compared with, [arm].
    """
    segments = np.array([len(case.session) for case in cases])
    kinds = np.array([NEEDLES if case.kind in NEEDLE else case.kind for case in cases])
    videos = np.array([case.video for case in cases])
    names = list(dict.fromkeys(kinds.tolist()))
    data: dict[str, Any] = {
        "score": (("arm", "question"), score),
        "used": (("arm", "question"), used),
        "segments": ("question", segments),
        "text": ("question", [case.question for case in cases]),
        "asked_kind": ("question", kinds),
        "video": ("question", videos),
        "tokens": _by_kind(used / segments, kinds, names),
        "questions": ("kind", [int((kinds == name).sum()) for name in names]),
        "videos": ("kind", [len(set(videos[kinds == name])) for name in names]),
    }
    for of, values in (("", score), ("gain", score - score[list(against)])):
        ends = _estimates(values, kinds, names, videos)
        wanted = ("gain", "gain_low", "gain_high") if of else ("mean", "low", "high")
        for name, field in zip(wanted, ("value", "low", "high"), strict=True):
            table = [[getattr(each, field) for each in row] for row in ends]
            data[name] = (("arm", "kind"), table)
    labels = {"arm": [arm.name for arm in arms], "question": np.arange(len(cases)), "kind": names}
    return xr.Dataset(data, labels)


def check_arms(cases: Sequence[Case], arms: Sequence[Arm]) -> None:
    """There is a case and an arm, and no two arms have one name: a `TraceError` otherwise."""
    if not cases or not arms:
        raise TraceError(
            "there is nothing to compare",
            asked="one question and one arm at least",
            found=f"{len(cases)} questions, {len(arms)} arms",
            fix="world_cases(...) makes questions; arms are left out, or of evaluation.arms",
        )
    for name, count in Counter(arm.name for arm in arms).items():
        if count > 1:
            raise TraceError("two arms have one name", asked=name, fix="another family name")


def _by_kind(values: np.ndarray, kinds: np.ndarray, names: list[str]) -> tuple[Any, np.ndarray]:
    """Means over the questions of each kind, [arm, kind], of values [arm, question]."""
    return ("arm", "kind"), np.stack([values[:, kinds == n].mean(axis=1) for n in names], axis=1)


def _estimates(
    values: np.ndarray, kinds: np.ndarray, names: list[str], videos: np.ndarray
) -> list[list[Estimate]]:
    return [
        [bootstrap_mean(row[kinds == name], videos[kinds == name]) for name in names]
        for row in values
    ]
