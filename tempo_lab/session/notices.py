"""Notices about a single answer: it is doubtful, or it repeats itself until it is cut.

The rule for doubtful answers was chosen on the questions of one video, and is reported on those of
another one, by `benchmarks/natural_questions.py`.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tempo_lab.common.answer_forms import misfit
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.generate import Answer

CERTAIN = 0.8
"""Probability of the least certain token below which an answer is doubtful."""
REPEATED = re.compile(r"(.{1,40}?)\1{3,}\W*\Z", re.DOTALL)
"""Four times the same at the end of an answer."""


def notices(checkpoint: Checkpoint, question: str, generated: Answer) -> list[str]:
    """Return what a reader should know about an answer, one sentence or two each.

    Args:
        checkpoint: the model that answered.
        question: as the model read it.
        generated: its answer.
    """
    found = (
        unknown_kind_notice(checkpoint, question, generated.text, generated.logprobs),
        repetition_notice(generated),
    )
    return [notice for notice in found if notice is not None]


def unknown_kind_notice(
    checkpoint: Checkpoint, question: str, answer: str, logprobs: np.ndarray
) -> str | None:
    """Return a warning about a doubtful answer to a question of none of the model's kinds.

    The answer is doubtful if it does not have the form that the question asks for, or if a token of
    it has a probability below `CERTAIN`. Only checkpoints that list their question forms get it.

    Args:
        checkpoint: the model that answered.
        question: as the model read it.
        answer: as generated.
        logprobs: float [answer_token], natural logarithm of each token's probability.
    """
    forms = checkpoint.question_forms
    if forms is None or forms.kind(question) is not None:
        return None
    reason = misfit(forms, question, answer) or _uncertain(logprobs)
    if reason is None:
        return None
    nearest = " or ".join(f'"{each}"' for each in forms.nearest(question))
    return (
        f"{Path(checkpoint.name).name} was not trained on this kind of question, and its answer is "
        f"doubtful: {reason}. The most similar questions that it knows are of the form {nearest}"
    )


def repetition_notice(generated: Answer) -> str | None:
    """Return a warning about an answer that repeats itself until its length is cut."""
    if generated.stopped == "end" or not REPEATED.search(generated.text):
        return None
    return (
        "The answer repeats itself until the limit on its length, "
        f"{len(generated.ids)} tokens, and is cut there"
    )


def _uncertain(logprobs: np.ndarray) -> str | None:
    least = float(np.exp(min(logprobs, default=0.0)))
    if least >= CERTAIN:
        return None
    return f"the probability of its least certain token is {least:.2f}"
