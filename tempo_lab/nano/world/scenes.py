"""Scenes: sequences of four-second segments, each with three to five items in a place.

A place lasts several segments (a chapter). A :class:`SceneSegment` and its items contain everything
that a question can ask about. ``casting.py`` draws random scenes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, NamedTuple

WORLD_VERSION = "2"
SHAPES = (
    "circle", "ring", "triangle", "star", "cross", "moon", "diamond", "hourglass", "arrow", "bolt",
)  # fmt: skip
COLORS = ("red", "green", "blue", "yellow", "purple", "white")
SIZES = {"small": 12, "big": 18}
"""Radius of an item in units."""
MOTIONS = ("left", "right", "up", "down", "still")
PLACES = ("forest", "desert", "sea", "city", "space", "snow")
DIGITS = tuple(str(n) for n in range(10))
WORDS = ("sun", "map", "key", "owl", "ice", "jam", "fox", "tea")
CARDS = (*DIGITS, *WORDS)
EVENTS = ("appears", "leaves", "changes", "meets")

HELD_OUT = frozenset(zip(SHAPES, COLORS, strict=False))
"""Pairs of shape and color that no training video shows: one in ten of all pairs."""

SEGMENT_SECONDS = 4.0
"""Length of a segment: eight frames at two frames per second."""

EVENT_SECONDS = 2.0
"""When an event happens, in seconds after the start of its segment."""

UNITS = 128
"""Coordinates of a scene range from 0 to 128 on both axes, for frames of any size."""

SPEED = 6.0
"""Units per second of a moving item: three units per sampled frame."""

STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
CLEAR = 12.0
"""An item at least this many units from both middle lines is in a corner of the frame."""


class Noun(NamedTuple):
    """Name of an item in a question: "star", or "red star" where the color distinguishes it."""

    shape: str
    color: str = ""

    def __str__(self) -> str:
        return f"{self.color} {self.shape}".strip()


@dataclass(frozen=True)
class Item:
    """One colored shape.

    Attributes:
        shape, color, size, motion: of `SHAPES`, `COLORS`, `SIZES` and `MOTIONS`.
        x, y: its center at the start of the segment, in units.
        event: one of `EVENTS`, or None.
        other: the color that it changes to, or the shape that it meets.
    """

    shape: str
    color: str
    size: str
    motion: str
    x: float
    y: float
    event: str | None = None
    other: str = ""

    @property
    def radius(self) -> int:
        """Radius in units."""
        return SIZES[self.size]

    def center(self, seconds: float) -> tuple[float, float]:
        """Return the center, in units, this many seconds after the segment's start."""
        dx, dy = STEP[self.motion]
        return self.x + dx * SPEED * seconds, self.y + dy * SPEED * seconds

    def shown(self, seconds: float) -> bool:
        """Whether the item is visible this many seconds after the segment's start."""
        if self.event == "appears":
            return seconds >= EVENT_SECONDS
        return self.event != "leaves" or seconds < EVENT_SECONDS

    def color_at(self, seconds: float) -> str:
        """Return the color this many seconds after the segment's start."""
        return self.other if self.event == "changes" and seconds >= EVENT_SECONDS else self.color

    @property
    def position(self) -> str:
        """The corner that contains the item during the whole segment; "" if there is none."""
        x, y = self.center(SEGMENT_SECONDS / 2)
        if min(abs(x - UNITS / 2), abs(y - UNITS / 2)) < CLEAR:
            return ""
        return f"{'top' if y < UNITS / 2 else 'bottom'} {'left' if x < UNITS / 2 else 'right'}"


@dataclass(frozen=True)
class SceneSegment:
    """Four seconds of a scene: a place, its items from left to right, and sometimes a card.

    ``card`` is a digit, a short word or None; ``card_x, card_y`` is its center in units.
    """

    place: str
    variant: int
    items: tuple[Item, ...]
    card: str | None = None
    card_x: float = 0.0
    card_y: float = 0.0

    def find(self, noun: Noun) -> Item | None:
        """Return the item of that name, or None; no shape appears twice in a segment."""
        for item in self.items:
            if item.shape == noun.shape and noun.color in ("", item.color):
                return item
        return None


@dataclass(frozen=True)
class Scene:
    """A whole video: its seed and its segments in order."""

    seed: int
    segments: tuple[SceneSegment, ...]

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def seconds(self) -> float:
        """Length of the video in seconds."""
        return len(self) * SEGMENT_SECONDS

    def chapters(self) -> list[dict[str, Any]]:
        """Return runs of segments in the same place: place, first and last segment."""
        runs: list[dict[str, Any]] = []
        for index, segment in enumerate(self.segments):
            if runs and runs[-1]["place"] == segment.place:
                runs[-1]["last"] = index
            else:
                runs.append({"place": segment.place, "first": index, "last": index})
        return runs

    @cached_property
    def where(self) -> dict[Noun, tuple[int, ...]]:
        """Segments that show each item, by shape alone and by shape and color."""
        found: dict[Noun, list[int]] = {}
        for index, segment in enumerate(self.segments):
            for item in segment.items:
                for noun in (Noun(item.shape), Noun(item.shape, item.color)):
                    found.setdefault(noun, []).append(index)
        return {noun: tuple(indices) for noun, indices in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return the scene as plain JSON values."""
        return {
            "seed": self.seed,
            "world_version": WORLD_VERSION,
            "segment_seconds": SEGMENT_SECONDS,
            "chapters": self.chapters(),
            "segments": [asdict(segment) for segment in self.segments],
        }
