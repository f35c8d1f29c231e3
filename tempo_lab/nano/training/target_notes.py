"""Target notes: the words that an ideal memory of a segment contains for a question."""

from __future__ import annotations

import numpy as np

from tempo_lab.nano.world.kinds import KINDS, attributes, draw_questions, happening
from tempo_lab.nano.world.questions import DESCRIBE, NOT_SHOWN, Question, caption, plain, relevant
from tempo_lab.nano.world.scenes import (
    COLORS,
    DIGITS,
    SEGMENT_SECONDS,
    SHAPES,
    Noun,
    Scene,
    SceneSegment,
)

LOCAL = {
    "color": 0.08, "size": 0.05, "motion": 0.1, "position": 0.11, "digit": 0.08, "word": 0.06,
    "place": 0.06, "with": 0.11, "event": 0.14, "present": 0.08, "absence": 0.08, "time": 0.03,
    "count": 0.03, "order": 0.03, "two_hop": 0.03, "most": 0.03,
}  # fmt: skip
"""Relative frequency of each kind of question about one segment, if it has such a question; only
four of ten segments have an event."""

LONG = {"multi": 0.6, "describe": 0.15, "caption": 0.25}
"""The same for questions with long texts or long answers."""


def stated_facts(question: Question, segment: SceneSegment, index: int) -> list[str]:
    """Return the facts that the segment, number ``index``, adds to an answer, if it is relevant."""
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


def answer(question: Question, segment: SceneSegment, index: int) -> str:
    """Return what a model that sees only this segment should answer.

    If the answer needs other segments, too, it is the part that this segment shows.
    """
    parts = stated_facts(question, segment, index)
    if question.kind == "present":
        return "yes" if parts else "no"
    return ", ".join(parts) if parts else NOT_SHOWN


def subject(question: Question, segment: SceneSegment) -> list[str]:
    """Return the words that name a question's items, for those that the segment shows."""
    return " ".join(str(noun) for noun in question.nouns if segment.find(noun)).split()


def target_note(question: Question, segment: SceneSegment, index: int) -> list[list[str]]:
    """Return the words that memory should contain of the segment, number ``index``, by token.

    Each token has one fact and its item's name, from general to detailed: the name alone, place,
    color, size, motion, corner, card, event, the color of a second item in the question, and then
    the names of the other items. The order does not depend on which fact the question asks for. A
    description has the place, the card, and from left to right each item and its color.

    Returns:
        The words of each token, none for a blank one; no tokens if the segment is irrelevant.
        Names are spelled as within a question, with a space, and facts as at the start of an
        answer, so that the LLM can match and copy them. (With a space before both, it learned to
        answer with colors, but in 1800 steps with neither places nor motions.)
    """
    if not relevant(question, segment, index):
        return []
    if question.kind == "most":
        return [[segment.place]]
    card = segment.card or "none"
    if question.kind in ("describe", "caption"):
        things = [t for i in segment.items for t in ([f" {i.shape}"], [f" {i.shape}", i.color])]
        return [[segment.place], [card], *things]
    found = [item for noun in question.nouns if (item := segment.find(noun))]
    if not found:  # it shows only the digit of a question about what comes after
        return [[f" {card}"], [f" {card}", segment.place]]
    item, name = found[0], [f" {word}" for word in subject(question, segment)]
    height, side = item.position.split() or ("middle", "middle")
    happens = [word for word in happening(item).split() if word != "the"]
    tokens = [name]
    tokens += [[*name, f] for f in (segment.place, item.color, item.size, item.motion)]
    tokens += [[*name, height], [*name, height, side], [*name, card]]
    tokens += [[*name, word] for word in happens] + [[]] * (2 - len(happens))
    other = segment.find(Noun(question.fill[1])) if question.kind == "with" else None
    tokens.append([*name, f" {other.shape}", other.color] if other else [])
    return [*tokens, *([f" {i.shape}"] for i in segment.items if i not in found)]


def note_text(tokens: list[list[str]]) -> str:
    """Return a note as text, with one word per token: the fact that the token adds."""
    return " ".join(token[-1].strip() if token else "none" for token in tokens)


def _shapes_of(segment: SceneSegment) -> tuple[list[str], list[str]]:
    here = [item.shape for item in segment.items]
    return here, [shape for shape in SHAPES if shape not in here]


def _after_a_digit(segment: SceneSegment, rng: np.random.Generator) -> Question | None:
    """Return a question about what comes after a digit, mostly if the segment has a digit.

    It is mostly about an item that the segment does not show. Relevance then depends on the digit
    alone, which is another one in half of the questions. When questions had the segment's own digit
    three times as often as another, the SVLM took any digit for it.
    """
    digit = segment.card if segment.card in DIGITS else None
    if not digit and rng.random() < 0.75:
        return None
    if not digit or rng.random() < 0.5:
        digit = str(rng.choice([other for other in DIGITS if other != digit]))
    here, missing = _shapes_of(segment)
    shapes = missing if rng.random() < 0.75 else here
    thing = Noun(shapes[rng.integers(len(shapes))])
    return plain("two_hop", nouns=(thing,), fill=(str(thing), digit))


def segment_question(
    segment: SceneSegment, index: int, source: SceneSegment, rng: np.random.Generator, kind: str
) -> Question | None:
    """Return a question of a kind made from ``source``, to ask about ``segment``.

    If the source is the segment itself, the question is mostly relevant, otherwise mostly not. A
    question about what comes after a digit does not depend on the source. The result is None if the
    source has no question of that kind.
    """
    if kind == "caption":
        return Question(DESCRIBE, "", "caption", ())
    if kind == "most":
        return plain(kind)
    if kind == "describe":
        asked = index if source is segment else max(0, index + int(rng.integers(-3, 4)))
        second = int(SEGMENT_SECONDS * asked + rng.integers(int(SEGMENT_SECONDS)))
        return plain(kind, fill=(str(second),))
    if kind == "two_hop":
        return _after_a_digit(segment, rng)
    here, missing = _shapes_of(source)
    if kind == "order":
        one = Noun(here[rng.integers(len(here))])
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
    noun = question.nouns[0]  # by shape and color, sometimes a color not shown
    item = source.find(noun)
    if item is None or item.event == "changes" or kind == "color" or "color" in question.asks:
        return question
    color = item.color if rng.random() < 0.6 else COLORS[rng.integers(len(COLORS))]
    full = Noun(noun.shape, color)
    fill = (str(full), *question.fill[1:])
    return plain(kind, nouns=(full,), asks=question.asks, fill=fill)


def is_skipped(kind: str, answer: str, rng: np.random.Generator) -> bool:
    """Whether to skip a question for a card's digit or word: mostly if the answer is "none".

    With as many "none" as other answers, the LLM learned only to answer "none" in 3000 steps.
    """
    return kind in ("digit", "word") and answer == "none" and rng.random() < 0.75


def draw_asked(
    scene: Scene, rng: np.random.Generator, count: int, weights: dict[str, float]
) -> list[Question]:
    """Return questions to train on, by the kinds' weights; about cards mostly if there are any."""
    asked = draw_questions(scene, rng, count, weights)
    for at, question in enumerate(asked):
        if is_skipped(question.kind, question.answer, rng):
            others = [q for q in KINDS[question.kind](scene) if q.answer != "none"]
            asked[at] = others[rng.integers(len(others))] if others else question
    return asked


def draw_kind(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """Return a random kind by its weight."""
    names = list(weights)
    chance = np.array([weights[name] for name in names])
    return names[rng.choice(len(names), p=chance / chance.sum())]
