"""Place items in a frame: they keep apart at all times, and do not touch the card."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tempo_lab.nano.world.scenes import MOTIONS, SEGMENT_SECONDS, SPEED, STEP, UNITS

CELLS = 4
"""Cells per side of a frame: at whole seconds, no cell contains the centers of two items."""

TIMES = np.array([0.0, 1.0, 2.0, 3.0, 4.0])

Floats = npt.NDArray[np.float64]


def card_box(card: str) -> tuple[int, int]:
    """Return the columns and rows of a card, in units."""
    return 18 * len(card) + 6, 27


def _cell(x: Floats, y: Floats) -> Floats:
    edge = UNITS / CELLS
    return np.floor(x / edge) + CELLS * np.floor(y / edge)


class Layout:
    """Finds free space for items and a card, and records what is placed."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.placed: list[tuple[Floats, Floats, float]] = []
        self.card: tuple[float, float, float, float] | None = None

    def put_card(self, card: str) -> tuple[float, float]:
        """Place a card near the top or bottom edge; return its center, in units."""
        wide, high = card_box(card)
        x = float(self.rng.integers(wide // 2 + 2, UNITS - wide // 2 - 1))
        y = float(self.rng.choice((high // 2 + 3, UNITS - high // 2 - 3)))
        self.card = x, y, wide / 2, high / 2
        return x, y

    def _free(self, xs: Floats, ys: Floats, radius: float) -> npt.NDArray[np.bool_]:
        """Return which of the paths [candidate, time] touch nothing that is placed: [candidate]."""
        free = np.ones(len(xs), bool)
        for x, y, other in self.placed:
            apart = np.hypot(xs - x, ys - y) > radius + other + 3
            free &= (apart & (_cell(xs, ys) != _cell(x, y))).all(1)
        if self.card:
            x0, y0, half_wide, half_high = self.card
            dx = np.maximum(np.abs(xs - x0) - half_wide, 0)
            dy = np.maximum(np.abs(ys - y0) - half_high, 0)
            free &= (np.hypot(dx, dy) > radius + 2).all(1)
        return free

    def put(self, radius: int, motion: str, tries: int = 40) -> tuple[float, float] | None:
        """Place an item; return its start, in units; None if ``tries`` random starts are taken."""
        dx, dy = STEP[motion]
        travel = SPEED * SEGMENT_SECONDS
        low, high = radius + 3.0, UNITS - radius - 3.0
        starts = []
        for step in (dx, dy):
            first, last = low + travel * (step < 0), high - travel * (step > 0)
            starts.append(np.floor(self.rng.uniform(first, last, tries)))
        xs = starts[0][:, None] + dx * SPEED * TIMES
        ys = starts[1][:, None] + dy * SPEED * TIMES
        free = np.flatnonzero(self._free(xs, ys, radius))
        if not len(free):
            return None
        self.placed.append((xs[free[0]], ys[free[0]], radius))
        return float(starts[0][free[0]]), float(starts[1][free[0]])

    def put_meeting(self, radius: int, other: int) -> tuple[str, float, float, float, float] | None:
        """Place two items that meet; return the mover's motion and start, the other's center."""
        for _ in range(12):
            motion = MOTIONS[self.rng.integers(4)]
            start = self.put(radius, motion, tries=1)
            if start is None:
                continue
            dx, dy = STEP[motion]
            reach = SPEED * SEGMENT_SECONDS + radius + other
            x, y = start[0] + dx * reach, start[1] + dy * reach
            inside = other + 3 <= min(x, y) and max(x, y) <= UNITS - other - 3
            mover = self.placed.pop()
            stays = np.full((1, len(TIMES)), x), np.full((1, len(TIMES)), y)
            if inside and self._free(*stays, other)[0]:
                self.placed += [mover, (stays[0][0], stays[1][0], other)]
                return motion, *start, x, y
        return None
