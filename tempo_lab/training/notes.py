"""What a segment tells about a question: the ideal memory, in words."""

from __future__ import annotations

import numpy as np

from tempo_lab.world.kinds import attributes, draw_questions, happening
from tempo_lab.world.questions import DESCRIBE, NOT_SHOWN, Question, caption, plain, relevant
from tempo_lab.world.scenes import COLORS, DIGITS, SEGMENT_SECONDS, SHAPES, Noun, Scene, Segment

LOCAL = {
    "color": 0.08, "size": 0.05, "motion": 0.1, "position": 0.11, "digit": 0.08, "word": 0.06,
    "place": 0.06, "with": 0.11, "event": 0.14, "present": 0.08, "absence": 0.08, "time": 0.03,
    "count": 0.03, "order": 0.03, "two_hop": 0.03,
}  # fmt: skip
"""How often a question about one segment is of each kind, where it has one: something happens in
four of ten."""

LONG = {"multi": 0.6, "describe": 0.15, "caption": 0.25}
"""The same, of questions with long words or long answers."""


def told(question: Question, segment: Segment, index: int) -> list[str]:
    """What the segment of that number says to a question, part by part; nothing if irrelevant."""
    kind = question.kind
    if not relevant(question, segment, index):
        return []
    if kind == "most":
        return [segment.place]
    if kind in ("describe", "caption"):
        return caption(segment).split(", ")
    found = [(noun, item) for noun in question.nouns if (item := segment.find(noun))]
    if kind in ("count", "time", "present", "order"):
        return [str(noun) for noun, _ in found]
    if kind == "two_hop":
        digit = [question.fill[1]] if segment.card == question.fill[1] else []
        return digit + [item.color for _, item in found]
    noun, item = found[0]
    if kind == "event":
        return [happening(item) or "none"]
    if kind == "with":
        other = segment.find(Noun(question.fill[1]))
        return [other.color if other else "none"]
    known = attributes(noun, item, segment)
    return [known.get(ask, "none") for ask in question.asks]


def answer(question: Question, segment: Segment, index: int) -> str:
    """What a model that sees this segment alone should say.

    The answer, or, where that takes other segments too, what this one has to say about it.
    """
    parts = told(question, segment, index)
    if question.kind == "present":
        return "yes" if parts else "no"
    return ", ".join(parts) if parts else NOT_SHOWN


def subject(question: Question, segment: Segment) -> list[str]:
    """Words that name those of a question's things that the segment shows."""
    return " ".join(str(noun) for noun in question.nouns if segment.find(noun)).split()


def _shapes_of(segment: Segment) -> tuple[list[str], list[str]]:
    here = [item.shape for item in segment.items]
    return here, [shape for shape in SHAPES if shape not in here]


def segment_question(
    segment: Segment, index: int, source: Segment, rng: np.random.Generator, kind: str
) -> Question | None:
    """A question of a kind as ``source`` gives rise to it, to be asked about ``segment``.

    With the segment itself as its source a question is mostly relevant, with another one mostly
    not. None where the source has no question of that kind.
    """
    if kind == "caption":
        return Question(DESCRIBE, "", "caption", ())
    if kind == "describe":
        asked = index if source is segment else max(0, index + int(rng.integers(-3, 4)))
        second = int(SEGMENT_SECONDS * asked + rng.integers(int(SEGMENT_SECONDS)))
        return plain(kind, fill=(str(second),))
    here, missing = _shapes_of(source)
    if kind in ("order", "two_hop"):
        one = Noun(here[rng.integers(len(here))])
        if kind == "two_hop":
            own = source.card if source.card in DIGITS and rng.random() < 0.5 else None
            digit = own or DIGITS[rng.integers(10)]
            return plain(kind, nouns=(one,), fill=(str(one), digit))
        nouns = [one, Noun(missing[rng.integers(len(missing))])]
        if rng.random() < 0.5:
            nouns.reverse()
        return plain(kind, nouns=tuple(nouns))
    found = draw_questions(Scene(0, (source,)), rng, 1, (kind,))
    if not found:
        return None
    question = found[0]
    if kind in ("absence", "present") or question.nouns[0].color or rng.random() < 0.6:
        return question
    noun = question.nouns[0]  # by shape and colour, now and then a colour that is not there
    item = source.find(noun)
    if item is None or item.event == "changes" or kind == "color" or "color" in question.asks:
        return question
    color = item.color if rng.random() < 0.6 else COLORS[rng.integers(len(COLORS))]
    full = Noun(noun.shape, color)
    fill = (str(full), *question.fill[1:])
    return plain(kind, nouns=(full,), asks=question.asks, fill=fill)


def draw_kind(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A kind by its weight."""
    names = list(weights)
    chance = np.array([weights[name] for name in names])
    return names[rng.choice(len(names), p=chance / chance.sum())]
