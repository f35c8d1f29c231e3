"""Recognize the kind of a question by its phrasing."""

from __future__ import annotations

import re

from tempo_lab.common.question_forms import NOUN, NUMBER, QuestionForms
from tempo_lab.nano.world.kinds import ATTRIBUTES
from tempo_lab.nano.world.questions import MARKUP, PHRASES
from tempo_lab.nano.world.scenes import COLORS, DIGITS, MOTIONS, PLACES, SHAPES, SIZES, WORDS

SHAPE = "shape"
FIELDS = {
    "color": (SHAPE,),  # the color of "the red star" is no question
    "with": (NOUN, SHAPE),
    "order": (SHAPE, SHAPE),
    "two_hop": (SHAPE, "digit"),
    "describe": (NUMBER,),
}
"""What the fields of a phrase can contain; other phrases are about one item."""
POSITIONS = tuple(f"{row} {column}" for row in ("top", "bottom") for column in ("left", "right"))
UNNAMED = re.compile(r"\{(\d*)\}")


def _named(phrase: str, fields: tuple[str, ...]) -> str:
    """Return a phrase of `PHRASES` whose fields have the names that `QuestionForms` knows."""
    numbers = iter(range(len(fields)))

    def name(match: re.Match[str]) -> str:
        return f"{{{fields[int(match[1]) if match[1] else next(numbers)]}}}"

    return UNNAMED.sub(name, phrase.replace("{a}", f"{{a {fields[0]}}}"))


FORMS = QuestionForms(
    words={
        "color": COLORS,
        SHAPE: SHAPES,
        "size": tuple(SIZES),
        "motion": MOTIONS,
        "position": POSITIONS,
        "place": PLACES,
        "digit": DIGITS,
        "word": WORDS,
    },
    kinds={
        kind: tuple(_named(phrase, FIELDS.get(kind, (NOUN,))) for phrase in phrases)
        for kind, phrases in PHRASES.items()
    },
    parts=ATTRIBUTES,
    markup=MARKUP,
)
"""The question forms of the world; `export` writes them into a checkpoint."""


def question_kind(text: str) -> str | None:
    """Return the kind of a question, a key of `KINDS`; None if the world asks no such question.

    The phrases include those held out from training. Questions about an item that is not shown
    (kind "absence") have the phrases of other kinds, and the kind of their phrase is returned.

    >>> question_kind("What color is the star?"), question_kind("What color is the sea?")
    ('color', None)
    """
    return FORMS.kind(text)
