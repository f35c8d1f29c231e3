"""Questions that a model can answer, as examples to click."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tempo_lab.common.text import one_line
from tempo_lab.nano.world import question_kind

if TYPE_CHECKING:
    from tempo_lab.model.checkpoint import Checkpoint

MOST = 5
"""Number of examples."""
WITH_TRUTH = ("order", "time", "count", "present", "most")
"""Kinds that follow those that the ground truth proposes for a demonstration."""
WITHOUT_TRUTH = ("most", "color", "present", "count", "order")
"""Kinds of examples for a video of unknown content; the first needs no item in the video."""
GENERAL = ("What happens in this video?", "What is shown first?", "Where does this take place?")
"""Examples for a model with an open vocabulary."""
LONGEST = 120
"""Characters of an example."""


@dataclass(frozen=True)
class Example:
    """A question to click.

    Attributes:
        text: the question.
        answer: the ground truth; "" if it is not known.
    """

    text: str
    answer: str = ""


def example_questions(checkpoint: Checkpoint, video: Path) -> list[Example]:
    """Return up to `MOST` questions for a video, each of another kind if possible.

    They come from the ground truth next to the video, as `tempo-lab world make` writes it; without
    one, from the questions that the checkpoint lists; or else they are general.
    """
    if truth := _ground_truth(video):
        return truth
    listed = checkpoint.model.config.example_questions
    if not listed:
        return [Example(text) for text in GENERAL]
    by_kind = {question_kind(text): text for text in reversed(listed)}
    chosen = [by_kind[kind] for kind in WITHOUT_TRUTH if kind in by_kind] or list(listed)
    return [Example(text) for text in chosen[:MOST]]


def _ground_truth(video: Path) -> list[Example]:
    """Return examples from the JSON file next to a video; an empty list if it has none."""
    try:
        truth = json.loads(video.with_suffix(".json").read_text(encoding="utf-8"))
        rows = [
            (
                str(row["kind"]),
                Example(*(one_line(row[key], LONGEST) for key in ("text", "answer"))),
            )
            for row in [*truth["demo"], *truth["questions"]]
        ]
        proposed, others = rows[: len(truth["demo"])], rows[len(truth["demo"]) :]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return []  # no such file, or JSON of something else
    first = dict(reversed(others))
    more = [first[kind] for kind in WITH_TRUTH if kind in first]
    chosen = dict.fromkeys([*(example for _, example in proposed), *more])
    return [example for example in chosen if example.text][:MOST]
