"""What each strategy would give: one set of scores, many budgets, no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from tempo_lab.allocation.ata import STRATEGIES, Allocation, allocate
from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.analysis.validation import question_read
from tempo_lab.common.errors import TraceError
from tempo_lab.common.text import one_line
from tempo_lab.evaluation.cases import check_truth
from tempo_lab.trace.trace import Trace

COMPARED = ("head", "abstain", "floor", "threshold", "temperature", "topk", "uniform")
"""Strategies that share differently; "tail", "random" and "tome" share as "head" does."""

FADED = 0.5
TREMBLE = 0.01
DRAWS = 8


@dataclass(frozen=True, eq=False, repr=False)
class AllocationStudy(Result):
    """Tokens by strategy, budget and segment, and what each strategy's sharing is sensitive to.

    `outlier`, `faded` and `tremble` ask for the three known faults of min-max (METHOD section 5):
    one outlier starves the rest, nothing relevant is spent upon all the same, and scores that
    hardly differ are spread over all numbers of tokens.
    """

    QUANTITIES: ClassVar = {
        "score": Quantity(("segment",), "probability", "that shared the budget"),
        "start": Quantity(("segment",), "s", "on the sampled clock"),
        "end": Quantity(("segment",), "s", "on the sampled clock"),
        "evidence": Quantity(("segment",), "1", "whether it holds what is needed to answer"),
        "tokens": Quantity(("strategy", "budget", "segment"), "tokens", "memory tokens given"),
        "used": Quantity(("strategy", "budget"), "tokens", "given to all segments together"),
        "least": Quantity(("strategy", "budget"), "segments", "with no more than the minimum"),
        "gini": Quantity(("strategy", "budget"), "1", "how concentrated: 0 even, to 1 - 1/n"),
        "on_evidence": Quantity(("strategy", "budget"), "share", "of the tokens used"),
        "recall": Quantity(
            ("strategy", "budget"), "share", "of the evidence's K tokens each, kept"
        ),
        "outlier": Quantity(
            ("strategy", "budget"),
            "share",
            "of the others' tokens lost where the least relevant segment seems certain",
        ),
        "faded": Quantity(
            ("strategy", "budget"), "share", "of its tokens still used where all scores are halved"
        ),
        "tremble": Quantity(
            ("strategy", "budget"), "share", "of tokens that differ where scores tremble by 0.01"
        ),
    }
    OPTIONAL: ClassVar = frozenset({"start", "end", "evidence", "on_evidence", "recall"})
    TABLE: ClassVar = ("strategy", "budget")


def allocation_study(
    given: Trace | ArrayLike,
    *,
    truth: Sequence[bool] | np.ndarray | None = None,
    strategies: Sequence[str] | None = None,
    budgets: Sequence[int] | None = None,
    min_tokens: int | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
) -> AllocationStudy:
    """Share the budgets by each strategy, in strict mode. No model is run.

    Args:
        given: a trace, for the scores that shared its budget; or relevance, float [segment].
        truth: bool [segment], which segments hold the evidence.
        strategies: names in `tempo_lab.allocation.ata.STRATEGIES`; by default `COMPARED`.
        budgets: in tokens, for all segments together; by default 1, 2, 4 ... K a segment, and the
            trace's own.
        min_tokens: tokens a segment at least; by default the trace's, where its budget may have
            lowered it, or 4.
        max_tokens: K; by default the trace's memory slots, or 128.
        seed: of the trembling scores.

    Returns:
        an `AllocationStudy`.

    Raises:
        TraceError: fewer than two segments, scores that are no probabilities, nothing to compare,
            or truth of another length.
        BudgetError: no such strategy, or a budget that one of them refuses.

    >>> study = allocation_study([0.01, 0.03, 0.02], budgets=[96], max_tokens=32)
    >>> study.data["used"].sel(strategy=["head", "abstain"]).values[:, 0].tolist()
    [54, 12]
    """
    trace = given if isinstance(given, Trace) else None
    scores = _scores(given.data["score"].to_numpy() if isinstance(given, Trace) else given)
    attrs = trace.data.attrs if trace else {}
    low = attrs.get("min_tokens", 4) if min_tokens is None else min_tokens
    high = attrs.get("memory_slots", 128) if max_tokens is None else max_tokens
    names = (strategies,) if isinstance(strategies, str) else strategies or COMPARED
    chosen = sorted(set(budgets or _budgets(len(scores), high, attrs.get("budget"))))
    flags = None if truth is None else check_truth(truth, len(scores))

    changed = _changed(scores, seed)
    cells: dict[str, list[Any]] = {}
    for name in names:
        share = partial(allocate, strategy=name, min_tokens=low, max_tokens=high)
        rows: dict[str, list[Any]] = {}
        for budget in chosen:
            before = share(scores, budget)
            after = {kind: [share(each, budget) for each in some] for kind, some in changed.items()}
            for quantity, value in _measures(before, after, flags).items():
                rows.setdefault(quantity, []).append(value)
        for quantity, row in rows.items():
            cells.setdefault(quantity, []).append(row)

    data: dict[str, Any] = {"score": ("segment", scores)}
    if trace:
        data |= {name: ("segment", trace.data[name].to_numpy()) for name in ("start", "end")}
    if flags is not None:
        data["evidence"] = ("segment", flags)
    data |= {name: (AllocationStudy.QUANTITIES[name].dims, rows) for name, rows in cells.items()}
    labels = {"strategy": list(names), "budget": chosen, "segment": np.arange(len(scores))}
    made = {
        "strategies": {name: STRATEGIES[name].parameters for name in names},
        "min_tokens": low,
        "max_tokens": high,
        "seed": seed,
    }
    if trace:
        keys = ("model", "model_digest", "video", "video_digest")
        known = {key: trace.provenance[key] for key in keys if key in trace.provenance}
        made |= {"question": question_read(trace), "own_budget": attrs["budget"], **known}
    return AllocationStudy(xr.Dataset(data, labels), made)


def gini(tokens: ArrayLike) -> float:
    """How concentrated counts are: mean difference of two of them over twice their mean.

    Args:
        tokens: [segment], not negative.

    Returns:
        0 where all are equal, to 1 - 1/n where one has all; NaN where there are none.
    """
    x = np.sort(np.asarray(tokens, float))
    n = len(x)
    return _ratio(float(((2 * np.arange(1, n + 1) - n - 1) * x).sum()), n * float(x.sum()))


def _scores(given: ArrayLike) -> np.ndarray:
    try:
        scores = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError):
        raise TraceError(
            "one question's budget is shared at a time",
            asked=one_line(repr(given), 120),
            found=type(given).__name__,
            fix="one trace, or relevance as float [segment]",
        ) from None
    if scores.ndim != 1 or len(scores) < 2:
        raise TraceError(
            "there is nothing to share among",
            asked="relevance of two segments or more",
            found=f"scores of shape {scores.shape}",
        )
    if not (scores.min() >= 0 and scores.max() <= 1):
        raise TraceError(
            "scores are compared as probabilities",
            asked="0 to 1",
            found=f"{scores.min():g} to {scores.max():g}",
            fix="the sigmoid of logits",
        )
    return scores


def _budgets(segments: int, slots: int, own: int | None) -> list[int]:
    each = [2**n for n in range(slots.bit_length()) if 2**n < slots] + [slots]
    found = [segments * k for k in each]
    return found + [own] if own and segments <= own < found[-1] else found


def _changed(scores: np.ndarray, seed: int) -> dict[str, list[np.ndarray]]:
    """The scores in other states of the world, by the measure that reads them."""
    certain = scores.copy()
    certain[scores.argmin()] = 1
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, TREMBLE, (DRAWS, len(scores)))
    trembling = (scores + noise).clip(0, 1).astype(np.float32)
    return {"outlier": [certain], "faded": [scores * np.float32(FADED)], "tremble": [*trembling]}


def _measures(
    before: Allocation, after: dict[str, list[Allocation]], evidence: np.ndarray | None
) -> dict[str, Any]:
    """The cell of one strategy and budget, by the names of `AllocationStudy.QUANTITIES`."""
    tokens, [certain], [faded] = before.tokens, after["outlier"], after["faded"]
    others = np.arange(len(before)) != before.scores.argmin()
    moved = [
        _ratio(float(np.abs(each.tokens - tokens).sum()), each.used + before.used)
        for each in after["tremble"]
    ]
    found = {
        "tokens": tokens,
        "used": before.used,
        "least": int((tokens <= before.min_tokens).sum()),
        "gini": gini(tokens),
        "outlier": 1 - _ratio(float(certain.tokens[others].sum()), float(tokens[others].sum())),
        "faded": _ratio(faded.used, before.used),
        "tremble": float(np.mean(moved)),
    }
    if evidence is not None:
        held = float(tokens[evidence].sum())
        found["on_evidence"] = _ratio(held, before.used)
        found["recall"] = _ratio(held, float(evidence.sum()) * before.max_tokens)
    return found


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
