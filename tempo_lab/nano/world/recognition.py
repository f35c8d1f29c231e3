"""Recognize the kind of a question by its phrasing."""

from __future__ import annotations

import re
from functools import cache

from tempo_lab.nano.world.kinds import ATTRIBUTES
from tempo_lab.nano.world.questions import MARKUP, PHRASES
from tempo_lab.nano.world.scenes import COLORS, DIGITS, SHAPES

SHAPE = f"(?:{'|'.join(SHAPES)})"
NOUN = f"(?:(?:{'|'.join(COLORS)}) )?{SHAPE}"
FIELDS = {
    "color": (SHAPE,),  # the color of "the red star" is no question
    "with": (NOUN, SHAPE),
    "order": (SHAPE, SHAPE),
    "two_hop": (SHAPE, f"(?:{'|'.join(DIGITS)})"),
    "describe": (r"\d+",),
}
"""What the fields of a phrase can contain; other phrases are about one thing."""
FIELD = re.compile(r"\{(\w*)\}")
LOOSE = re.compile("|".join(map(re.escape, MARKUP)) + r"|^\s*please tell me,\s*", re.IGNORECASE)
"""What `rephrase` adds to a question without changing it."""


def question_kind(text: str) -> str | None:
    """Return the kind of a question, a key of `KINDS`; None if the world asks no such question.

    The phrases include those held out from training. Questions about an item that is not shown
    (kind "absence") have the phrases of other kinds, and the kind of their phrase is returned.

    >>> question_kind("What color is the star?"), question_kind("What color is the sea?")
    ('color', None)
    """
    words = " ".join(LOOSE.sub(" ", text).split())
    parts = [_trimmed(part) for part in re.split(r"\bQ\d+:", words)]
    if len(parts) == 1:
        return next((kind for kind in PHRASES if _pattern(kind).fullmatch(parts[0])), None)
    before, first, *others = parts
    several = (
        bool(others)
        and not before
        and any(_pattern(kind).fullmatch(first) for kind in ATTRIBUTES)
        and all(any(_pattern(kind, it=True).fullmatch(part) for kind in ATTRIBUTES)
                for part in others)
    )  # fmt: skip
    return "multi" if several else None


def _trimmed(text: str) -> str:
    return text.strip(" ?.").replace("colour", "color")


@cache
def _pattern(kind: str, *, it: bool = False) -> re.Pattern[str]:
    """Return a pattern of all phrases of a kind; with `it`, the thing is called "it"."""
    fields = FIELDS.get(kind, (NOUN,))

    def literal(text: str) -> str:
        return re.escape(text).replace(r"the\ ", r"(?:the\ )?")  # rephrase may leave it out

    patterns = []
    for phrase in PHRASES[kind]:
        if it:
            phrase = phrase.replace("the {}", "it")
        first, *rest = FIELD.split(_trimmed(phrase))  # text, field, text, field, ..., text
        pattern = literal(first)
        for number, (name, text) in enumerate(zip(rest[::2], rest[1::2], strict=True)):
            if name == "a":
                field = f"an? {fields[0]}"
            else:
                field = fields[int(name) if name else number]
            pattern += field + literal(text)
        patterns.append(pattern)
    return re.compile("|".join(f"(?:{each})" for each in patterns), re.IGNORECASE)
