"""Cases asked under arms, by arm and kind of question: what two analyses are made of."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import xarray as xr

from tempo_lab.allocation.arms import Arm
from tempo_lab.allocation.strategies import find_strategy
from tempo_lab.analysis.result import Quantity
from tempo_lab.analysis.validation import one_or_more
from tempo_lab.common.errors import BudgetError, TempoLabWarning, TraceError
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.statistics import DIFFERENCE, SHARE, Estimate, bootstrap_mean
from tempo_lab.evaluation.arm_runner import ArmRunner
from tempo_lab.evaluation.cases import Case

QUANTITIES = {
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
    "tokens": Quantity(("arm", "kind"), "tokens per segment", "used, on average"),
    "questions": Quantity(("kind",), "questions", "asked"),
    "videos": Quantity(("kind",), "videos", "asked about"),
}


def compare_arms(
    cases: Sequence[Case],
    arms: Sequence[Arm],
    references: Sequence[int],
    *,
    seed: int,
    max_new_tokens: int,
    progress: bool,
) -> tuple[xr.Dataset, dict[str, Any]]:
    """Ask every case under every arm. What an arm refuses is left out, with a warning.

    Args:
        cases, arms: what is asked, and how.
        references: row of the arm that each arm's score is compared with, [arm].
        seed: of shuffled scores, and of strategies that draw.
        max_new_tokens: length of an answer.
        progress: show a progress bar.

    Returns:
        the variables of `QUANTITIES`, NaN where an arm was refused; and their provenance.
    """
    score, used = np.full((2, len(arms), len(cases)), np.nan)
    left_out: list[dict[str, str]] = []
    bar = progress_bar(total=score.size, desc="asking", unit="answer", disable=not progress)
    with bar, ArmRunner() as runner:
        for number, case in enumerate(cases):
            draw = np.random.default_rng([seed, number])
            for row, arm in enumerate(arms):
                try:
                    answer = runner.ask(
                        case, arm, draw=draw, seed=seed, max_new_tokens=max_new_tokens
                    )
                except BudgetError as error:
                    why = str(error).splitlines()[0]
                    refused = {"arm": arm.name, "video": case.video, "question": case.question}
                    left_out.append({**refused, "why": why})
                else:
                    score[row, number], used[row, number] = answer.score, answer.used
                bar.update()
    warn_left_out(f"{one['why']} ({one['arm']})" for one in left_out)
    models = sorted({case.session.checkpoint.digest for case in cases})
    provenance = {"arms": [asdict(arm) for arm in arms], "seed": seed, "models": models}
    return _tabulate(cases, arms, references, score, used), {**provenance, "left_out": left_out}


def check_arms(
    cases: Sequence[Case],
    arms: Sequence[Arm] | None,
    default: Callable[[int], tuple[Arm, ...]],
) -> tuple[list[Case], tuple[Arm, ...]]:
    """Return the cases and the arms, by default those that `default` makes of the model's K.

    Raises:
        TraceError: something is not a case, there is no case or no arm, or two arms have one name.
        BudgetError: an arm's strategy is unknown.
    """
    cases = one_or_more(cases, Case, "cases", "tempo_lab.analysis.world_cases(tempo) makes some")
    if arms is None and cases:
        arms = default(cases[0].session.checkpoint.model.config.num_compression_tokens)
    arms = tuple(arms or ())
    if not cases or not arms:
        raise TraceError(
            "there is nothing to compare",
            asked="one question and one arm at least",
            found=f"{len(cases)} questions, {len(arms)} arms",
            fix="world_cases(...) makes questions; leave arms= out, or use some of allocation.arms",
        )
    for name, count in Counter(arm.name for arm in arms).items():
        if count > 1:
            raise TraceError("two arms have one name", asked=name, fix="another family name")
    for arm in arms:
        find_strategy(arm.strategy)
    return cases, arms


def warn_left_out(reasons: Iterable[str]) -> None:
    """Warn of questions that were not asked, by reason."""
    counts = Counter(reasons)
    if counts:
        listed = "; ".join(f"{count} x {why}" for why, count in counts.items())
        message = f"what could not be asked is left out: {listed}"
        warnings.warn(message, TempoLabWarning, stacklevel=4)


def _tabulate(
    cases: Sequence[Case],
    arms: Sequence[Arm],
    references: Sequence[int],
    score: np.ndarray,
    used: np.ndarray,
) -> xr.Dataset:
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
    gain = score - score[list(references)]
    gain_bounds = [DIFFERENCE if row != other else None for row, other in enumerate(references)]
    for variables, values, bounds in (
        (("mean", "low", "high"), score, [SHARE] * len(arms)),
        (("gain", "gain_low", "gain_high"), gain, gain_bounds),
    ):
        estimates = _estimates(values, bounds, kinds, names, videos)
        for name, field in zip(variables, ("value", "low", "high"), strict=True):
            table = [[getattr(estimate, field) for estimate in row] for row in estimates]
            data[name] = (("arm", "kind"), table)
    labels = {"arm": [arm.name for arm in arms], "question": np.arange(len(cases)), "kind": names}
    return xr.Dataset(data, labels)


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
