"""Exercises that predict first and then intervene: the run has the last word.

The learner gives a prediction and the trace of a run with an intervention. A check reads the right
answer off that run, so a prediction is right if it agrees with what the model did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from tempo_lab.course.checking import number
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

STAR = "What color is the star?"
STAR_AT = 8
"""The segment of the clip "voyage" that shows the star."""


def judge_run(run: Any, question: str, *wanted: Intervention) -> str | None:
    """Return None if a run asked this question with these interventions, else a hint.

    Args:
        run: the learner's trace; `...` if there is none yet.
        question: that the run must ask.
        wanted: interventions of the run, in any order; the values of patches are not compared.
    """
    if run is ...:
        return "The prediction is noted. Now run it, and put the trace in place of the dots."
    if not isinstance(run, Trace):
        return "Give the trace that `ask` returns, not a part of it."
    if run.question.strip().lower() != question.lower():
        return "This run asks another question than the exercise does."
    if _described(Intervention.of(run)) != _described(wanted):
        return "This run has other interventions than the exercise: look at its `interventions`."
    return None


def judge_number(
    predicted: Any, run: Any, question: str, wanted: Intervention, read: Callable[[Trace], float]
) -> str | None:
    """Return None if a run is as asked and its number is the predicted one, else a hint.

    Args:
        predicted: the learner's number.
        run: the learner's trace.
        question: that the run must ask.
        wanted: intervention of the run.
        read: returns the number of the run that was to be predicted.
    """
    value = number(predicted)
    hint = judge_run(run, question, wanted)
    if hint is None and value != read(run):
        return "The run is as asked, and it says otherwise. Look at its table: what did you miss?"
    return hint


def example_run(question: str, *interventions: Intervention, **options: Any) -> Trace:
    """Return the trace of the embedded model for the clip "voyage", for examples of answers.

    Args:
        question: to ask.
        interventions: changes of the run.
        options: of `Session.ask`; the budget is 64 by default.
    """
    return example_session().ask(question, interventions=interventions, **{"budget": 64, **options})


@cache
def example_session() -> Session:
    """Return the clip "voyage", opened with the embedded model, for examples of answers."""
    from tempo_lab.course.setup import clip
    from tempo_lab.session.tempo import load

    return load("nano", device="cpu").open(clip("voyage"), progress=False)


def _described(interventions: Sequence[Intervention]) -> list[str]:
    """Return interventions as sorted text, without the values of patches."""
    plain = ({**each.describe(), "value": None} for each in interventions)
    return sorted(repr(sorted(each.items())) for each in plain)
