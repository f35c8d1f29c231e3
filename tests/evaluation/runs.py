"""Runs with known measures, as `tempo_lab.evaluate` returns them, for tables, figures and pages."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from tempo_lab.evaluation.datasets import Skipped
from tempo_lab.evaluation.run_folder import EvaluationRun
from tempo_lab.evaluation.summary import Measure

RULES = {
    "extract": "tempo_lab.evaluation.answer_scoring:compat_letter",
    "letters": "ABCD",
    "aggregate": "tempo_lab.evaluation.datasets.base:accuracy_only",
}
CONFIG = {
    "model": "nano", "model_digest": "0", "dtype": "float32", "max_new_tokens": 16, "slots": 16,
    "min_tokens": 2, "rules": RULES,
}  # fmt: skip
ARMS = ("head", "uniform", "topk", "all", "sparse", "shuffled", "oracle", "abstain", "blind")
PRIOR_ARMS = (
    "another question", "blank question", "prior", "prior - blank question", "shuffled in time",
)  # fmt: skip


def measure(arm: str, budget: int | None, name: str, value: float, **more: Any) -> Measure:
    """A measure of 40 questions about 9 videos, with an interval of 0.1 on both sides."""
    whole = isinstance(value, int)
    ends = (math.nan, math.nan) if whole else (value - 0.1, value + 0.1)
    values = {"group": "all", "questions": 40, "videos": 9, "low": ends[0], "high": ends[1], **more}
    return Measure(arm=arm, budget=budget, measure=name, value=value, **values)


def answers_run(
    folder: Path = Path("run"),
    dataset: str = "table",
    budgets: tuple[int, ...] = (4096, 8192),
    main: str = "accuracy",
) -> EvaluationRun:
    """A run with answers of many arms: one failed, one unparsed and one skipped row."""
    summary = [Measure("", None, "all", "skipped", 1, math.nan, math.nan, 1, 0)]
    for number, arm in enumerate(ARMS):
        for budget in (None,) if arm in ("all", "blind") else budgets:
            tokens = {"all": 2.0 * budgets[-1], "blind": 0.0}.get(arm, 0.9 * (budget or 0))
            value = 0.8 - 0.05 * number + (budget or 0) / 100_000
            summary += [
                measure(arm, budget, "failed", 1),
                measure(arm, budget, main, value),
                measure(arm, budget, "unparsed", 2),
                measure(arm, budget, main, value / 2, group="duration=long", questions=11),
                measure(arm, budget, f"{main}_strict", value - 0.1),
                measure(arm, budget, "tokens", tokens),
                measure(arm, budget, "tokens_per_frame", tokens / 1024),
                measure(arm, budget, "seconds", 1.25),
                measure(arm, budget, "memory_mib", 512.0),
                measure(arm, budget, "context_left", 9000.0),
            ]
    summary.append(measure("uniform minus head", budgets[0], main, -0.05))
    known = {"video": "a.mp4", "model": "model", "truth": 1, "options": 4, "evidence": None}
    known |= {"categories": {"duration": "long"}, "family": "head", "budget": budgets[0]}
    rows = [
        {**known, "item": "1", "arm": "head", "question": "Which one?", "said": "B", "used": 9},
        {**known, "item": "2", "arm": "head", "question": "And this?", "said": "-", "used": 9},
        {
            **known,
            "item": "3",
            "arm": "head",
            "question": "<b>What</b>?",
            "failed": "the \x1b file",
        },
    ]
    config = {**CONFIG, "kind": "answers", "dataset": dataset}
    skipped = [Skipped("mine.csv, line 4", "missing video", "the video <i>x</i> is missing")]
    return EvaluationRun(folder, config, rows, skipped, summary)


def relevance_run(folder: Path = Path("run")) -> EvaluationRun:
    """A run that only scored the segments: the prior and its controls."""
    names = {"auroc": 0.6, "average_precision": 0.4, "hit@1": 0.3, "hit@5": 0.5, "R1@0.5": 0.2}
    summary = []
    for number, arm in enumerate(PRIOR_ARMS):
        better = 0.2 if arm == "prior" else 0.01 * number
        summary += [measure(arm, None, "failed", 0), measure(arm, None, "no_evidence", 3)]
        summary += [measure(arm, None, name, value + better) for name, value in names.items()]
        summary += [
            measure(arm, 64, "evidence_recall", 0.5 + better),
            measure(arm, 64, "evidence_recall_uniform", 0.25),
        ]
    summary.append(measure("prior minus shuffled in time", None, "auroc", 0.16))
    config = {**CONFIG, "kind": "prior", "dataset": "charades", "budgets": [64]}
    return EvaluationRun(folder, config, [], [], summary)
