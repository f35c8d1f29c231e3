"""Draw random scenes: a cast of shapes, chapters of places, and segments with items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tempo_lab.nano.world.layout import Layout
from tempo_lab.nano.world.scenes import (
    COLORS,
    DIGITS,
    EVENTS,
    HELD_OUT,
    MOTIONS,
    PLACES,
    SEGMENT_SECONDS,
    SHAPES,
    SIZES,
    WORDS,
    Item,
    Scene,
    SceneSegment,
)

VARIANTS = 12
"""Number of variants of each place's background."""


def draw_color(rng: np.random.Generator, shape: str, held_out: bool) -> str:
    """Return a random color for a shape; without ``held_out``, one of those that training shows."""
    choices = [c for c in COLORS if held_out or (shape, c) not in HELD_OUT]
    return choices[rng.integers(len(choices))]


def draw_segment(
    rng: np.random.Generator,
    *,
    place: str | None = None,
    must: str | None = None,
    shapes: tuple[str, ...] = SHAPES,
    held_out: bool = False,
) -> SceneSegment:
    """Return a random segment.

    Args:
        place: its place; drawn uniformly if None.
        must: a shape that the segment has to show, if any.
        shapes: the shapes from which the other items are drawn.
        held_out: whether pairs of shape and color that training never shows may occur.
    """
    layout = Layout(rng)
    card, card_x, card_y = None, 0.0, 0.0
    if rng.random() < 0.5:
        pool = DIGITS if rng.random() < 0.6 else WORDS
        card = pool[rng.integers(len(pool))]
        card_x, card_y = layout.put_card(card)
    count = int(rng.integers(3, 6))
    chosen = [shapes[i] for i in rng.permutation(len(shapes)) if shapes[i] != must][:count]
    chosen = chosen if must is None else [must, *chosen[: count - 1]]
    items: list[Item] = []
    sizes = tuple(SIZES)

    def size() -> str:
        return sizes[rng.integers(len(sizes))]

    if rng.random() < 0.1:
        one, two = size(), size()
        found = layout.put_meeting(SIZES[one], SIZES[two])
        if found:
            motion, x, y, x2, y2 = found
            shape, shape2, *chosen = chosen
            color, color2 = (draw_color(rng, s, held_out) for s in (shape, shape2))
            items.append(Item(shape, color, one, motion, x, y, "meets", shape2))
            items.append(Item(shape2, color2, two, "still", x2, y2))
    eventful = rng.random() < 0.35
    for shape in chosen:
        event, other, color = None, "", draw_color(rng, shape, held_out)
        if eventful and not items:
            event = EVENTS[rng.integers(3)]
            if event == "changes":
                turned = [c for c in COLORS if c != color and (shape, c) not in HELD_OUT]
                other = turned[rng.integers(len(turned))]
        for big in (size(), "small", "small"):
            motion = MOTIONS[rng.integers(len(MOTIONS))]
            spot = layout.put(SIZES[big], motion)
            if spot:
                items.append(Item(shape, color, big, motion, *spot, event, other))
                break
    items.sort(key=lambda item: item.center(SEGMENT_SECONDS / 2)[0])
    drawn = place if place is not None else PLACES[rng.integers(len(PLACES))]
    variant = int(rng.integers(VARIANTS))
    return SceneSegment(drawn, variant, tuple(items), card, card_x, card_y)


def draw_places(rng: np.random.Generator, segments: int) -> list[str]:
    """Return the place of each segment; successive chapters are in different places.

    Chapters last two to six segments. In videos of more than five minutes, chapters get longer with
    the video (a few minutes each in a video of one hour).
    """
    places: list[str] = []
    growth = max(1, segments // 72)
    while len(places) < segments:
        choices = [place for place in PLACES if not places or place != places[-1]]
        length = growth * int(rng.integers(2, 7 if segments > 8 else 5))
        places += [choices[rng.integers(len(choices))]] * length
    return places[:segments]


@dataclass(frozen=True)
class Cast:
    """The role of each shape in a video.

    Needles appear once, the rare shape two to five times (less often in videos of up to six
    segments), the absent shape never, and the common shapes anywhere.
    """

    needles: tuple[str, ...]
    rare: str
    absent: str
    common: tuple[str, ...]


def draw_cast(rng: np.random.Generator) -> Cast:
    """Return a random cast."""
    order = tuple(SHAPES[i] for i in rng.permutation(len(SHAPES)))
    return Cast(order[:3], order[3], order[4], order[5:])


def draw_plan(rng: np.random.Generator, cast: Cast, segments: int) -> list[tuple[str, str | None]]:
    """Return each segment's place, and the needle or rare shape that it has to show, if any."""
    must: list[str | None] = [None] * segments
    needles = cast.needles[: max(1, segments // 2)]
    repeats = min(int(rng.integers(2, 6)), max(0, (segments - len(needles)) // 2))
    spots = rng.permutation(segments)
    for spot, shape in zip(spots, [*needles, *[cast.rare] * repeats], strict=False):
        must[spot] = shape
    return list(zip(draw_places(rng, segments), must, strict=True))


def draw_scene(seed: int, segments: int, *, held_out: bool = True) -> Scene:
    """Return the scene of a seed.

    Args:
        seed: any non-negative integer; the same seed gives the same scene.
        segments: length of the video in segments of four seconds.
        held_out: whether pairs of shape and color that training never shows may occur.
    """
    if segments < 1:
        raise ValueError(f"a scene needs at least one segment, but segments is {segments}")
    rng = np.random.default_rng([seed, 17])
    cast = draw_cast(rng)
    drawn = [
        draw_segment(rng, place=place, must=must, shapes=cast.common, held_out=held_out)
        for place, must in draw_plan(rng, cast, segments)
    ]
    return Scene(seed, tuple(drawn))
