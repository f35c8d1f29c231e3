"""What a scene is: a row of four-second segments, each of three to five items in a place.

Places last several segments (chapters). Everything a question can ask about is in the
:class:`SceneSegment` and its items. Scenes are drawn at random in ``casting.py``.
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
"""Pairs of shape and colour that no training video shows: one in ten of all."""

SEGMENT_SECONDS = 4.0
"""Length of a segment: eight frames at two frames a second."""

EVENT_SECONDS = 2.0
"""When an event happens, in seconds after the start of its segment."""

UNITS = 128
"""Coordinates of a scene run over 0..128 on both axes, whatever the size of the frame."""

SPEED = 6.0
"""Units that a moving item travels in a second, three in a sampled frame."""

STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
CLEAR = 12.0
"""Units off the middle lines from which an item counts as in a corner of the picture."""


class Noun(NamedTuple):
    """What a question calls an item: "star", or "red star" where the colour tells it apart."""

    shape: str
    color: str = ""

    def __str__(self) -> str:
        return f"{self.color} {self.shape}".strip()


@dataclass(frozen=True)
class Item:
    """One coloured shape.

    Attributes:
        shape, color, size, motion: what it is and what it does.
        x, y: its centre at the start of the segment, in units.
        event: one of `EVENTS`, or None.
        other: the colour it changes to, or the shape it meets.
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
        """Centre, in units, so many seconds after the segment's start."""
        dx, dy = STEP[self.motion]
        return self.x + dx * SPEED * seconds, self.y + dy * SPEED * seconds

    def shown(self, seconds: float) -> bool:
        """Whether it is there, so many seconds after the segment's start."""
        if self.event == "appears":
            return seconds >= EVENT_SECONDS
        return self.event != "leaves" or seconds < EVENT_SECONDS

    def color_at(self, seconds: float) -> str:
        """Its colour, so many seconds after the segment's start."""
        return self.other if self.event == "changes" and seconds >= EVENT_SECONDS else self.color

    @property
    def position(self) -> str:
        """The corner it is in over the whole segment, "" for one that is in none."""
        x, y = self.center(SEGMENT_SECONDS / 2)
        if min(abs(x - UNITS / 2), abs(y - UNITS / 2)) < CLEAR:
            return ""
        return f"{'top' if y < UNITS / 2 else 'bottom'} {'left' if x < UNITS / 2 else 'right'}"


@dataclass(frozen=True)
class SceneSegment:
    """What four seconds show: a place, its items from left to right, now and then a card.

    ``card`` is a digit or a short word, or None; ``card_x, card_y`` its centre in units.
    """

    place: str
    variant: int
    items: tuple[Item, ...]
    card: str | None = None
    card_x: float = 0.0
    card_y: float = 0.0

    def find(self, noun: Noun) -> Item | None:
        """The item of that name, if it is here; no shape comes twice in a segment."""
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
        """Runs of segments in the same place: place, first and last segment."""
        runs: list[dict[str, Any]] = []
        for index, segment in enumerate(self.segments):
            if runs and runs[-1]["place"] == segment.place:
                runs[-1]["last"] = index
            else:
                runs.append({"place": segment.place, "first": index, "last": index})
        return runs

    @cached_property
    def where(self) -> dict[Noun, tuple[int, ...]]:
        """Segments of each thing that is shown, by shape alone and by shape and colour."""
        found: dict[Noun, list[int]] = {}
        for index, segment in enumerate(self.segments):
            for item in segment.items:
                for noun in (Noun(item.shape), Noun(item.shape, item.color)):
                    found.setdefault(noun, []).append(index)
        return {noun: tuple(indices) for noun, indices in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """The scene as plain JSON values."""
        return {
            "seed": self.seed,
            "world_version": WORLD_VERSION,
            "segment_seconds": SEGMENT_SECONDS,
            "chapters": self.chapters(),
            "segments": [asdict(segment) for segment in self.segments],
        }
