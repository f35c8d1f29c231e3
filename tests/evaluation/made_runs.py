"""Folders of evaluations that no model made: rows as `evaluate` writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tempo_lab.evaluation.store import Row, Store

CONFIG: dict[str, Any] = {
    "kind": "answers",
    "model": "made",
    "dataset": "table",
    "rules": {
        "extract": "tempo_lab.evaluation.answer_scoring:compat_letter",
        "letters": None,
        "aggregate": "tempo_lab.evaluation.datasets.table:aggregate",
    },
    "slots": 16,
    "min_tokens": 4,
}
OPTIONS = ("red", "blue", "green", "white")


def answer_row(
    item: str, said: str | None, arm: str = "head", budget: int | None = 64, **more: Any
) -> Row:
    """A row of a question with four options, of which B is right; without `said` it failed."""
    row = {
        "video": "v.mp4",
        "item": item,
        "model": "model",
        "question": f"Which color, {item}?",
        "truth": 1,
        "options": 4,
        "choices": list(OPTIONS),
        "evidence": None,
        "categories": {"kind": "color"},
        "arm": arm if budget is None else f"{arm} {budget}",
        "family": arm,
        "budget": budget,
        "digest": f"d{item}",
    }
    if said is None:
        return {**row, "failed": "the video is broken", **more}
    answered = {
        "prompt": "Which?\nA. red\nB. blue", "said": said, "used": 60, "segments": 4,
        "frames": 20, "context_left": 900, "warnings": [], "seconds": 0.5,
    }  # fmt: skip
    return {**row, **answered, **more}


def prior_row(item: str, logit: list[float], arm: str = "prior", **more: Any) -> Row:
    """A row of a question about four segments of 4 s; the evidence is the second one."""
    return {
        "video": f"{item}.mp4", "item": item, "model": "model", "question": f"When, {item}?",
        "truth": None, "options": 0, "choices": None, "evidence": [[4.0, 8.0]],
        "categories": {}, "saliency": None, "arm": arm, "family": arm, "budget": None,
        "digest": f"d{item}", "prompt": "When?", "start": [0.0, 4.0, 8.0, 12.0],
        "end": [4.0, 8.0, 12.0, 16.0], "logit": logit, **more,
    }  # fmt: skip


def write_run(folder: Path, rows: Iterable[Row], **config: Any) -> Path:
    """Write the files of a run that was not summarized yet, and return its folder."""
    Store(folder, {**CONFIG, **config}, "config.json").append(rows)
    return folder
