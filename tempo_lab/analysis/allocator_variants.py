"""Does it help to look at the scores themselves? Answers under allocators of other strictness."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from tempo_lab.allocation.arms import Arm, half, strictness_arms
from tempo_lab.allocation.strategies import find_strategy
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import one_or_more
from tempo_lab.common.errors import BudgetError, TempoLabWarning, TraceError
from tempo_lab.common.statistics import DIFFERENCE, SHARE, Estimate, bootstrap_mean
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import Case


@dataclass(frozen=True, eq=False, repr=False)
class AllocatorVariants(Result):
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


Result.KINDS["Strictness"] = AllocatorVariants  # in files saved under its old name


def variant_arms(slots: int) -> tuple[Arm, ...]:
    """The arms of `tempo-lab evaluate world`, and two that look at relevance itself.

    Args:
        slots: K, memory tokens of a segment.
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
    """Ask every question under every arm; nothing of the compressor runs twice for a question.

    Absence questions show what abstaining is worth, questions about the whole video ("most") what
    min-max makes of scores that hardly differ, and needles what strictness costs.

    Args:
        cases: about one video or more, of any kinds; `world_cases(tempo, kinds=["absence", "most",
            "color"])` has them.
        arms: the first is what the others are compared with; by default `variant_arms` of the
            model's K.
        seed: of strategies that draw.
        max_new_tokens: of an answer.
        progress: show a progress bar.

    Returns:
        an `AllocatorVariants`. What an arm cannot be asked, such as all tokens of a video that
        exceeds the context, is NaN, warned of, and in its provenance as "left_out".

    Raises:
        TraceError: no cases, or arms that need other frames or other scores than the model's.
        BudgetError: an arm's strategy is unknown.
    """
    cases = one_or_more(cases, Case, "cases", "tempo_lab.analysis.world_cases(tempo) makes some")
    if arms is None and cases:
        arms = variant_arms(cases[0].session.checkpoint.model.config.num_compression_tokens)
    arms = tuple(arms or ())
    check_arms(cases, arms)
    for arm in arms:
        if arm.sparse or arm.scores != "own":
            raise TraceError(
                "strictness is compared on the model's own scores and all frames",
                asked=one_line(repr(arm), 200),
                fix="tempo_lab.analysis.baselines(cases, arms=...) has the other arms",
            )

    def ask(number: int, arm: Arm) -> tuple[float, float]:
        case = cases[number]
        budget = None if arm.budget is None else arm.budget * len(case.session)
        trace = case.session.ask(
            case.question,
            budget=budget,
            strategy=arm.strategy,
            mode=arm.mode,
            seed=seed,
            max_new_tokens=max_new_tokens,
        )
        return case.scored(trace.answer), float(trace.data.attrs["used"])

    score, used, left_out = ask_all(cases, arms, ask, progress)
    data = tabulated(cases, arms, score, used, [0] * len(arms))
    models = sorted({case.session.checkpoint.digest for case in cases})
    made = {"arms": [asdict(arm) for arm in arms], "seed": seed, "models": models}
    return AllocatorVariants(data, {**made, "left_out": left_out})


def ask_all(
    cases: Sequence[Case],
    arms: Sequence[Arm],
    ask: Callable[[int, Arm], tuple[float, float]],
    progress: bool,
) -> tuple[np.ndarray, np.ndarray, list[dict[str, str]]]:
    """Ask every case under every arm; what is refused is left out, and nothing else is lost.

    Args:
        cases, arms: what is asked, and how.
        ask: number of the case, arm -> how right the answer was, and memory tokens used.
        progress: show a progress bar.

    Returns:
        score [arm, question], memory tokens used [arm, question], both NaN where an arm was
        refused; and each refusal: arm, video, question, why.
    """
    from tqdm.auto import tqdm

    score, used = np.full((2, len(arms), len(cases)), np.nan)
    left_out: list[dict[str, str]] = []
    with tqdm(total=score.size, desc="asking", unit="answer", disable=not progress) as bar:
        for number, case in enumerate(cases):
            for row, arm in enumerate(arms):
                try:
                    score[row, number], used[row, number] = ask(number, arm)
                except BudgetError as error:
                    why = str(error).splitlines()[0]
                    told = {"arm": arm.name, "video": case.video, "question": case.question}
                    left_out.append({**told, "why": why})
                bar.update()
    warn_left_out(f"{one['why']} ({one['arm']})" for one in left_out)
    return score, used, left_out


def warn_left_out(reasons: Iterable[str]) -> None:
    """Warn of questions that were not asked, by reason."""
    counts = Counter(reasons)
    if counts:
        told = "; ".join(f"{count} x {why}" for why, count in counts.items())
        warnings.warn(f"what could not be asked is left out: {told}", TempoLabWarning, stacklevel=3)


def tabulated(
    cases: Sequence[Case],
    arms: Sequence[Arm],
    score: np.ndarray,
    used: np.ndarray,
    against: Sequence[int],
) -> xr.Dataset:
    """What cases gave under arms, by arm and kind, with intervals.

    Args:
        score: [arm, question]; NaN where an arm could not be asked.
        used: memory tokens, [arm, question].
        against: row of the arm that each arm's score is compared with, [arm].
    """
    segments = np.array([len(case.session) for case in cases])
    kinds = np.array([case.group for case in cases])
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
    apart = [DIFFERENCE if row != other else None for row, other in enumerate(against)]
    for of, values, bounds in (
        ("", score, [SHARE] * len(arms)),
        ("gain", score - score[list(against)], apart),
    ):
        ends = _estimates(values, bounds, kinds, names, videos)
        wanted = ("gain", "gain_low", "gain_high") if of else ("mean", "low", "high")
        for name, field in zip(wanted, ("value", "low", "high"), strict=True):
            table = [[getattr(each, field) for each in row] for row in ends]
            data[name] = (("arm", "kind"), table)
    labels = {"arm": [arm.name for arm in arms], "question": np.arange(len(cases)), "kind": names}
    return xr.Dataset(data, labels)


def check_arms(cases: Sequence[Case], arms: Sequence[Arm]) -> None:
    """There is a case and an arm, and no two arms have one name: a `TraceError` otherwise.

    Raises:
        BudgetError: an arm's strategy is unknown.
    """
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
    for arm in arms:
        find_strategy(arm.strategy)


def _by_kind(values: np.ndarray, kinds: np.ndarray, names: list[str]) -> tuple[Any, np.ndarray]:
    """Means over the questions of each kind, [arm, kind], of values [arm, question] or NaN."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice")  # an arm that was never asked
        means = [np.nanmean(values[:, kinds == name], axis=1) for name in names]
    return ("arm", "kind"), np.stack(means, axis=1)


def _estimates(
    values: np.ndarray,
    bounds: Sequence[tuple[float, float] | None],
    kinds: np.ndarray,
    names: list[str],
    videos: np.ndarray,
) -> list[list[Estimate]]:
    return [
        [bootstrap_mean(row[kinds == n], videos[kinds == n], bounds=ends) for n in names]
        for row, ends in zip(values, bounds, strict=True)
    ]
