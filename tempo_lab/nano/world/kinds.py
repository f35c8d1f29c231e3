"""Make the questions of each kind: all questions about a scene that have one right answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from tempo_lab.nano.world.questions import NOT_SHOWN, Question, caption, plain, rephrase
from tempo_lab.nano.world.scenes import (
    COLORS,
    DIGITS,
    SEGMENT_SECONDS,
    SHAPES,
    WORDS,
    Item,
    Noun,
    Scene,
    SceneSegment,
)

ATTRIBUTES = ("color", "size", "motion", "position", "digit", "word", "place")
NEEDLE = (*ATTRIBUTES, "with")
"""Kinds whose answer is one attribute in one segment."""

MOST_COUNTED = 5


def attributes(noun: Noun, item: Item, segment: SceneSegment) -> dict[str, str]:
    """Return every attribute that can be asked about an item alone, with the answer."""
    card = segment.card
    found = {
        "size": item.size,
        "motion": item.motion,
        "digit": card if card in DIGITS else "none",
        "word": card if card in WORDS else "none",
        "place": segment.place,
    }
    if not noun.color and item.event != "changes":
        found["color"] = item.color
    if item.position:
        found["position"] = item.position
    return found


def happening(item: Item) -> str:
    """Return what happens to an item; "" if nothing happens."""
    said = {"changes": f"turns {item.other}", "meets": f"meets the {item.other}"}
    return said.get(item.event or "", item.event or "")


def _changes(scene: Scene, noun: Noun) -> bool:
    """Whether an item of this shape changes from or to the color in its name."""
    return bool(noun.color) and any(
        item.event == "changes"
        and item.shape == noun.shape
        and noun.color in (item.color, item.other)
        for segment in scene.segments
        for item in segment.items
    )


def _once(scene: Scene) -> Iterator[tuple[Noun, int, Item]]:
    """Yield items that appear in one segment only, named by color if others share the shape."""
    for noun, indices in scene.where.items():
        if len(indices) == 1 and (not noun.color or len(scene.where[Noun(noun.shape)]) > 1):
            item = scene.segments[indices[0]].find(noun)
            if item and not _changes(scene, noun):
                yield noun, indices[0], item


def _about(attribute: str) -> Callable[[Scene], list[Question]]:
    def make(scene: Scene) -> list[Question]:
        rows = []
        for noun, index, item in _once(scene):
            known = attributes(noun, item, scene.segments[index])
            if attribute in known:
                rows.append(plain(attribute, known[attribute], (index,), (noun,)))
        return rows

    return make


def _with(scene: Scene) -> list[Question]:
    return [
        plain("with", item.color, (index,), (noun,), fill=(str(noun), item.shape))
        for noun, index, _ in _once(scene)
        for item in scene.segments[index].items
        if item.shape != noun.shape and item.event != "changes"
    ]


def _event(scene: Scene) -> list[Question]:
    return [
        plain("event", happening(item), (index,), (noun,))
        for noun, index, item in _once(scene)
        if item.event
    ]


def _multi(scene: Scene) -> list[Question]:
    rows = []
    for noun, index, item in _once(scene):
        segment = scene.segments[index]
        known = attributes(noun, item, segment)
        rng = np.random.default_rng([segment.variant, int(item.x), int(item.y)])
        asks = tuple(str(a) for a in rng.permutation(list(known))[: rng.integers(2, 5)])
        answer = ", ".join(known[a] for a in asks)
        rows.append(plain("multi", answer, (index,), (noun,), asks=asks))
    return rows


def _nouns(scene: Scene) -> Iterator[tuple[Noun, tuple[int, ...]]]:
    """Yield every shape, and every color of the shapes that are shown, with their segments."""
    for shape in SHAPES:
        yield Noun(shape), scene.where.get(Noun(shape), ())
        if Noun(shape) in scene.where:
            for color in COLORS:
                yield Noun(shape, color), scene.where.get(Noun(shape, color), ())


def _present(scene: Scene) -> list[Question]:
    return [
        plain("present", "yes" if indices else "no", indices, (noun,))
        for noun, indices in _nouns(scene)
        if not _changes(scene, noun)
    ]


def _absence(scene: Scene) -> list[Question]:
    missing = [n for n, where in _nouns(scene) if not where and not _changes(scene, n)]
    asked = ("motion", "place", "size", "position", "digit", "color")
    return [
        plain("absence", NOT_SHOWN, (), (noun,), asks=(ask,))
        for number, noun in enumerate(missing)
        if (ask := asked[number % len(asked)]) != "color" or not noun.color
    ]


def _count(scene: Scene) -> list[Question]:
    return [
        plain("count", str(len(indices)), indices, (noun,))
        for noun, indices in scene.where.items()
        if len(indices) <= MOST_COUNTED and not _changes(scene, noun)
    ]


def _order(scene: Scene) -> list[Question]:
    once = [(noun, index) for noun, index, _ in _once(scene) if not noun.color]
    return [
        plain("order", str(one if i < j else two), tuple(sorted((i, j))), (one, two))
        for one, i in once
        for two, j in once
        if i != j
    ]


def _time(scene: Scene) -> list[Question]:
    middle = SEGMENT_SECONDS / 2
    return [
        plain("time", f"at {SEGMENT_SECONDS * index + middle:.0f} seconds", (index,), (noun,))
        for noun, index, _ in _once(scene)
    ]


def _most(scene: Scene) -> list[Question]:
    counts = Counter(segment.place for segment in scene.segments).most_common()
    lead = counts[0][1] - (counts[1][1] if len(counts) > 1 else 0)
    if lead < max(1, len(scene) // 16):
        return []
    return [plain("most", counts[0][0], tuple(range(len(scene))))]


def _two_hop(scene: Scene) -> list[Question]:
    cards: dict[str, list[int]] = {}
    for index, segment in enumerate(scene.segments):
        if segment.card in DIGITS:
            cards.setdefault(str(segment.card), []).append(index)
    rows = []
    for digit, (first, *others) in cards.items():
        for noun, where in scene.where.items():
            after = [index for index in where if index > first]
            if others or noun.color or first in where or not after:
                continue
            item = scene.segments[after[0]].find(noun)
            if 2 <= len(where) <= MOST_COUNTED and item and item.event != "changes":
                fill = (str(noun), digit)
                rows.append(plain("two_hop", item.color, (first, after[0]), (noun,), fill=fill))
    return rows


def _describe(scene: Scene) -> list[Question]:
    rows = []
    for index, segment in enumerate(scene.segments):
        second = int(SEGMENT_SECONDS) * index + segment.variant % int(SEGMENT_SECONDS)
        rows.append(plain("describe", caption(segment), (index,), fill=(str(second),)))
    return rows


KINDS: dict[str, Callable[[Scene], list[Question]]] = {
    **{name: _about(name) for name in ATTRIBUTES},
    "with": _with,
    "event": _event,
    "multi": _multi,
    "present": _present,
    "absence": _absence,
    "count": _count,
    "order": _order,
    "time": _time,
    "most": _most,
    "two_hop": _two_hop,
    "describe": _describe,
}
"""By kind of question: a scene -> all its questions of that kind, in the plain phrasing."""


def questions(scene: Scene, kinds: tuple[str, ...] | None = None) -> list[Question]:
    """Return all questions of a scene that have one right answer, in the plain phrasing."""
    return [q for kind in (kinds or tuple(KINDS)) for q in KINDS[kind](scene)]


def draw_questions(
    scene: Scene,
    rng: np.random.Generator,
    count: int,
    weights: Mapping[str, float] | tuple[str, ...] = tuple(KINDS),
) -> list[Question]:
    """Return different random questions of a scene, in the plain phrasing.

    Args:
        count: how many; there are fewer if the scene has no more.
        weights: relative frequency of each kind; equal if only the kinds are given.
    """
    kinds = list(weights)
    chance = np.array([weights[k] if isinstance(weights, Mapping) else 1.0 for k in kinds], float)
    pools: dict[str, list[Question]] = {}
    chosen: list[Question] = []
    while len(chosen) < count and chance.sum() > 0:
        kind = kinds[rng.choice(len(kinds), p=chance / chance.sum())]
        if kind not in pools:
            pools[kind] = KINDS[kind](scene)
        pool = pools[kind]
        if not pool:
            chance[kinds.index(kind)] = 0
            continue
        if kind in ("present", "digit", "word"):  # balance "no" and "none" with the others
            usual = rng.random() < 0.5
            pool = [q for q in pool if (q.answer in ("no", "none")) == usual] or pool
        if kind == "count":
            answers = sorted({q.answer for q in pool})
            wanted = answers[rng.integers(len(answers))]
            pool = [q for q in pool if q.answer == wanted]
        chosen.append(pool[rng.integers(len(pool))])
        pools[kind].remove(chosen[-1])
    return chosen


def reworded(question: Question, rng: np.random.Generator) -> Question:
    """Return the question in a random phrasing, spelled correctly; the phrasing may be held out."""
    return replace(question, text=rephrase(question, rng, held_out=True, rough=False))
