"""Find an answer that cannot be right by its form alone, as "small" to "Is the star red?"."""

from __future__ import annotations

import re

from tempo_lab.common.question_forms import PART, QuestionForms, trimmed

UNKNOWABLE = re.compile(r"(?:who|whom|whose|why)\b")
YES_NO = re.compile(r"(?:is|are|was|were|do|does|did|can|could|has|have)\b")
DESCRIBE = re.compile(r"describe\b")
COUNT = re.compile(r"how (?:many|often)\b")
WHEN = re.compile(r"when\b|at (?:what|which) (?:time|second)\b")
WHICH = re.compile(r"(?:what|which) (color|digit|number|word|place)\b")
WHERE = re.compile(r"where\b")
TIME = re.compile(r"at \d{1,4} seconds?")
NOT_SHOWN, NONE = "not shown", "none"
"""Answers that say that there is nothing of what was asked about."""


def misfit(forms: QuestionForms, question: str, answer: str) -> str | None:
    """Return why an answer cannot be right by its form alone; None if it can.

    Args:
        forms: of a model that answers with words of `forms.words`, numbers and times.
        question: as the model reads it.
        answer: as generated.
    """
    asked, said = trimmed(question).lower(), trimmed(answer).lower()
    if UNKNOWABLE.match(asked):
        return "no kind of question that it knows asks who or why"
    if PART.search(question):
        fits, form = "," in said, "several parts"
    elif re.search(r"\bor\b", asked):
        fits = said == NOT_SHOWN or re.search(rf"\b{re.escape(said)}\b", asked) is not None
        form = "one of the objects that it names"
    elif YES_NO.match(asked):
        fits, form = said in ("yes", "no"), "yes or no"
    elif DESCRIBE.match(asked) or re.search(r"\band\b", asked):
        fits, form = "," in said, "several parts"
    elif COUNT.match(asked):
        fits, form = said.isdigit(), "a number"
    elif WHEN.match(asked):
        fits, form = said == NOT_SHOWN or TIME.fullmatch(said) is not None, "a time"
    elif which := WHICH.match(asked):
        form = f"a {which[1]}"
        known = forms.words.get("digit" if which[1] == "number" else which[1], ())
        fits = said in (*known, NOT_SHOWN, NONE)
    elif WHERE.match(asked):
        form, known = "a place or a direction", ("place", "motion", "position")
        fits = said == NOT_SHOWN or any(said in forms.words.get(name, ()) for name in known)
    else:
        return None
    return None if fits else f"the question asks for {form}"
