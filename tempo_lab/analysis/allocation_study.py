"""Compare allocation strategies on one set of scores at many budgets; no model runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from tempo_lab.allocation import STRATEGIES, Allocation, allocate
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import question_read
from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import check_truth
from tempo_lab.trace.trace import Trace

COMPARED = ("head", "abstain", "floor", "threshold", "temperature", "topk", "uniform")
"""Strategies that allocate differently; "tail", "random" and "tome" allocate as "head" does."""

FADED = 0.5
"""Factor of all scores, to see whether a strategy notices that everything is less relevant."""
NOISE = 0.01
"""Standard deviation of the noise that is added to each score."""
DRAWS = 8
"""How often noise is drawn."""


@dataclass(frozen=True, eq=False, repr=False)
class AllocationStudy(Result):
    """Tokens by strategy, budget and segment, and how sensitive each strategy is.

    `outlier`, `faded` and `moved_by_noise` measure the three known faults of min-max
    (docs/method.md section 5): one outlier starves the rest, tokens are spent even if nothing is
    relevant, and scores that hardly differ are spread over the whole range of tokens.
    """

    QUANTITIES: ClassVar = {
        "score": Quantity(("segment",), "probability", "by which the budget is shared"),
        "start": Quantity(("segment",), "s", "on the sampled clock"),
        "end": Quantity(("segment",), "s", "on the sampled clock"),
        "evidence": Quantity(("segment",), "1", "whether the segment holds evidence"),
        "tokens": Quantity(("strategy", "budget", "segment"), "tokens", "memory tokens given"),
        "used": Quantity(("strategy", "budget"), "tokens", "given to all segments together"),
        "least": Quantity(("strategy", "budget"), "segments", "that get no more than the minimum"),
        "gini": Quantity(
            ("strategy", "budget"),
            "1",
            "Gini coefficient of the tokens: 0 if all are equal, to 1 - 1/n",
        ),
        "on_evidence": Quantity(
            ("strategy", "budget"), "share", "of the used tokens in evidence segments"
        ),
        "recall": Quantity(
            ("strategy", "budget"), "share", "of the memory slots of evidence segments, kept"
        ),
        "outlier": Quantity(
            ("strategy", "budget"),
            "share",
            "of the others' tokens that they lose if the least relevant segment has score 1",
        ),
        "faded": Quantity(
            ("strategy", "budget"),
            "share",
            "of the tokens that are still used if all scores are halved",
        ),
        "moved_by_noise": Quantity(
            ("strategy", "budget"), "share", "of tokens moved by noise of 0.01"
        ),
    }
    OPTIONAL: ClassVar = frozenset({"start", "end", "evidence", "on_evidence", "recall"})
    TABLE: ClassVar = ("strategy", "budget")

    def __post_init__(self) -> None:
        if "tremble" in self.data:  # as version 0.1 saved it
            object.__setattr__(self, "data", self.data.rename(tremble="moved_by_noise"))
        super().__post_init__()


@renamed_keywords(given="trace")
def allocation_study(
    trace: Trace | ArrayLike,
    *,
    truth: Sequence[bool] | np.ndarray | None = None,
    strategies: Sequence[str] | None = None,
    budgets: Sequence[int] | None = None,
    min_tokens: int | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
) -> AllocationStudy:
    """Allocate each budget with each strategy, in strict mode, from a trace or scores alone.

    Args:
        trace: a trace, whose scores are used; or relevance, float [segment].
        truth: bool [segment], the segments that hold evidence.
        strategies: names in `tempo_lab.allocation.STRATEGIES`; by default `COMPARED`.
        budgets: in tokens, for all segments together; by default 1, 2, 4 ... K per segment, and
            the trace's own.
        min_tokens: smallest number of tokens per segment; by default the trace's, as lowered for
            its budget, or 4.
        max_tokens: K; by default the trace's memory slots, or 128.
        seed: of the noise that is added to the scores.

    Returns:
        an `AllocationStudy`.

    Raises:
        TraceError: there are fewer than two segments, the scores are not probabilities, or `truth`
            has another length; or the trace has no allocation.
        BudgetError: there is no such strategy, or it cannot allocate one of the budgets.

    >>> study = allocation_study([0.01, 0.03, 0.02], budgets=[96], max_tokens=32)
    >>> study.data["used"].sel(strategy=["head", "abstain"]).values[:, 0].tolist()
    [54, 12]
    """
    recorded = trace if isinstance(trace, Trace) else None
    if recorded:
        recorded.check_answered()
    scores = _scores(trace.data["score"].to_numpy() if isinstance(trace, Trace) else trace)
    attrs = recorded.data.attrs if recorded else {}
    low = attrs.get("min_tokens", 4) if min_tokens is None else min_tokens
    high = attrs.get("memory_slots", 128) if max_tokens is None else max_tokens
    names = (strategies,) if isinstance(strategies, str) else strategies or COMPARED
    budgets = sorted(set(budgets or _budgets(len(scores), high, attrs.get("budget"))))
    evidence = None if truth is None else check_truth(truth, len(scores))

    changed = _changed(scores, seed)
    cells: dict[str, list[Any]] = {}
    for name in names:
        run = partial(allocate, strategy=name, min_tokens=low, max_tokens=high)
        rows: dict[str, list[Any]] = {}
        for budget in budgets:
            before = run(scores, budget)
            after = {kind: [run(each, budget) for each in some] for kind, some in changed.items()}
            for quantity, value in _measures(before, after, evidence).items():
                rows.setdefault(quantity, []).append(value)
        for quantity, row in rows.items():
            cells.setdefault(quantity, []).append(row)

    data: dict[str, Any] = {"score": ("segment", scores)}
    if recorded:
        data |= {name: ("segment", recorded.data[name].to_numpy()) for name in ("start", "end")}
    if evidence is not None:
        data["evidence"] = ("segment", evidence)
    data |= {name: (AllocationStudy.QUANTITIES[name].dims, rows) for name, rows in cells.items()}
    labels = {"strategy": list(names), "budget": budgets, "segment": np.arange(len(scores))}
    provenance = {
        "strategies": {name: STRATEGIES[name].parameters for name in names},
        "min_tokens": low,
        "max_tokens": high,
        "seed": seed,
    }
    if recorded:
        keys = ("model", "model_digest", "video", "video_digest")
        known = {key: recorded.provenance[key] for key in keys if key in recorded.provenance}
        provenance |= {"question": question_read(recorded), "own_budget": attrs["budget"], **known}
    return AllocationStudy(xr.Dataset(data, labels), provenance)


def gini(tokens: ArrayLike) -> float:
    """Return the Gini coefficient of counts: their mean difference over twice their mean.

    Args:
        tokens: [segment], not negative.

    Returns:
        0 if all are equal, to 1 - 1/n if one segment has all; NaN if there are none.
    """
    x = np.sort(np.asarray(tokens, float))
    n = len(x)
    return _ratio(float(((2 * np.arange(1, n + 1) - n - 1) * x).sum()), n * float(x.sum()))


def _scores(values: ArrayLike) -> np.ndarray:
    try:
        scores = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise TraceError(
            "an allocation study is about one question",
            asked=one_line(repr(values), 120),
            found=type(values).__name__,
            fix="give one trace, or relevance as float [segment]",
        ) from None
    if scores.ndim != 1 or len(scores) < 2:
        raise TraceError(
            "an allocation study needs relevance of two segments or more",
            found=f"scores of shape {scores.shape}",
            fix="give one trace, or relevance as float [segment]",
        )
    if not (scores.min() >= 0 and scores.max() <= 1):
        raise TraceError(
            "the scores must be probabilities",
            asked="0 to 1",
            found=f"{scores.min():g} to {scores.max():g}",
            fix="use the sigmoid of logits",
        )
    return scores


def _budgets(segments: int, slots: int, own: int | None) -> list[int]:
    per_segment = [2**n for n in range(slots.bit_length()) if 2**n < slots] + [slots]
    budgets = [segments * k for k in per_segment]
    return budgets + [own] if own and segments <= own < budgets[-1] else budgets


def _changed(scores: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """Return changed scores, by the measure that uses them."""
    certain = scores.copy()
    certain[scores.argmin()] = 1
    rng = np.random.default_rng(seed)
    noisy = (scores + rng.normal(0, NOISE, (DRAWS, len(scores)))).clip(0, 1).astype(np.float32)
    faded = scores * np.float32(FADED)
    return {"outlier": [certain], "faded": [faded], "moved_by_noise": [*noisy]}


def _measures(
    before: Allocation, after: dict[str, list[Allocation]], evidence: np.ndarray | None
) -> dict[str, Any]:
    """Return the values of one strategy and budget by their names in `AllocationStudy`."""
    tokens, [certain], [faded] = before.tokens, after["outlier"], after["faded"]
    others = np.arange(len(before)) != before.scores.argmin()
    moved = [
        _ratio(float(np.abs(each.tokens - tokens).sum()), each.used + before.used)
        for each in after["moved_by_noise"]
    ]
    values = {
        "tokens": tokens,
        "used": before.used,
        "least": int((tokens <= before.min_tokens).sum()),
        "gini": gini(tokens),
        "outlier": 1 - _ratio(float(certain.tokens[others].sum()), float(tokens[others].sum())),
        "faded": _ratio(faded.used, before.used),
        "moved_by_noise": float(np.mean(moved)),
    }
    if evidence is not None:
        kept = float(tokens[evidence].sum())
        values["on_evidence"] = _ratio(kept, before.used)
        values["recall"] = _ratio(kept, float(evidence.sum()) * before.max_tokens)
    return values


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
