"""Seeded scenes: a video is a row of four-second segments, each with one moving shape in a place.

Places last several segments (chapters). Everything a question can ask about is in the
:class:`Segment`; nothing here draws a pixel.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

WORLD_VERSION = "1"
SHAPES = ("circle", "triangle", "star", "cross", "ring", "moon", "diamond", "hourglass")
COLORS = ("red", "green", "blue", "yellow", "purple", "white")
MOTIONS = ("left", "right", "up", "down")
PLACES = ("forest", "desert", "sea", "city", "space", "snow")

SEGMENT_SECONDS = 4.0
"""Length of a segment: eight frames at two frames a second."""

UNITS = 96
"""Coordinates of a scene run over 0..96 on both axes, whatever the size of the frame."""

SPEED = 6.0
"""Units a shape moves in a second, three in a sampled frame."""

STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
VARIANTS = 12


@dataclass(frozen=True)
class Segment:
    """What four seconds show. ``x, y`` is the shape's centre at the start, in units."""

    place: str
    shape: str
    color: str
    motion: str
    digit: int | None
    radius: int
    x: float
    y: float
    corner: int
    variant: int

    def center(self, seconds: float) -> tuple[float, float]:
        """Centre of the shape, in units, so many seconds after the segment's start."""
        dx, dy = STEP[self.motion]
        return self.x + dx * SPEED * seconds, self.y + dy * SPEED * seconds


@dataclass(frozen=True)
class Scene:
    """A whole video: its seed and its segments in order."""

    seed: int
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def seconds(self) -> float:
        """Length of the video in seconds."""
        return len(self) * SEGMENT_SECONDS

    def chapters(self) -> list[dict[str, Any]]:
        """Runs of segments in the same place: place, first and last segment."""
        runs: list[dict[str, Any]] = []
        for index, segment in enumerate(self.segments):
            if runs and runs[-1]["place"] == segment.place:
                runs[-1]["last"] = index
            else:
                runs.append({"place": segment.place, "first": index, "last": index})
        return runs

    def to_dict(self) -> dict[str, Any]:
        """The scene as plain JSON values."""
        return {
            "seed": self.seed,
            "world_version": WORLD_VERSION,
            "segment_seconds": SEGMENT_SECONDS,
            "chapters": self.chapters(),
            "segments": [asdict(segment) for segment in self.segments],
        }


def draw_segment(
    rng: np.random.Generator,
    *,
    place: str | None = None,
    shape: str | None = None,
    color: str | None = None,
) -> Segment:
    """One random segment; what is given is kept, the rest is drawn evenly."""
    radius = int(rng.integers(18, 22))
    motion = MOTIONS[rng.integers(len(MOTIONS))]
    dx, dy = STEP[motion]
    travel = SPEED * SEGMENT_SECONDS
    low, high = radius + 2.0, UNITS - radius - 2.0
    along = float(rng.integers(int(low), int(high - travel) + 1))
    across = float(rng.integers(int(low), int(high) + 1))
    if dx + dy < 0:
        along += travel
    x, y = (along, across) if dx else (across, along)
    middle = (x + dx * travel / 2, y + dy * travel / 2)
    # The digit card takes the corner farthest from the shape's path: 0 1 / 2 3.
    corner = int(middle[0] < UNITS / 2) + 2 * int(middle[1] < UNITS / 2)
    return Segment(
        place=place if place is not None else PLACES[rng.integers(len(PLACES))],
        shape=shape if shape is not None else SHAPES[rng.integers(len(SHAPES))],
        color=color if color is not None else COLORS[rng.integers(len(COLORS))],
        motion=motion,
        digit=int(rng.integers(10)) if rng.random() < 0.5 else None,
        radius=radius,
        x=x,
        y=y,
        corner=corner,
        variant=int(rng.integers(VARIANTS)),
    )


def draw_places(rng: np.random.Generator, segments: int) -> list[str]:
    """Places of a video's segments, never the same twice in a row.

    Chapters last two to six segments; in videos of more than five minutes they grow with the video
    (a few minutes each in an hour).
    """
    places: list[str] = []
    growth = max(1, segments // 72)
    while len(places) < segments:
        choices = [place for place in PLACES if not places or place != places[-1]]
        length = growth * int(rng.integers(2, 7 if segments > 8 else 5))
        places += [choices[rng.integers(len(choices))]] * length
    return places[:segments]


def draw_shapes(rng: np.random.Generator, segments: int, needles: int = 1) -> list[str]:
    """Shapes of a video's segments; at least ``needles`` of them appear exactly once."""
    order = [SHAPES[i] for i in rng.permutation(len(SHAPES))]
    needles = min(needles, segments, len(SHAPES) - 1)
    unique, common = order[:needles], order[needles:]
    shapes = [common[rng.integers(len(common))] for _ in range(segments)]
    for spot, shape in zip(rng.permutation(segments)[:needles], unique, strict=True):
        shapes[spot] = shape
    return shapes


def draw_scene(seed: int, segments: int, *, needles: int | None = None) -> Scene:
    """The scene of a seed.

    Args:
        seed: any non-negative integer; the same seed gives the same scene.
        segments: length of the video in segments of four seconds.
        needles: how many shapes appear exactly once; half of the segments, at most three, if None.
    """
    if segments < 1:
        raise ValueError(f"a scene needs at least one segment, asked: {segments}")
    rng = np.random.default_rng([seed, 17])
    wanted = needles if needles is not None else max(1, min(3, segments // 2))
    places = draw_places(rng, segments)
    shapes = draw_shapes(rng, segments, wanted)
    drawn = [draw_segment(rng, place=p, shape=s) for p, s in zip(places, shapes, strict=True)]
    return Scene(seed, tuple(drawn))
