"""Render a scene: cached backgrounds, sprites and cards, pasted with numpy.

Frames are square, of any size: 128 for the embedded model, larger ones for people.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from tempo_lab.nano.world.layout import card_box
from tempo_lab.nano.world.scenes import UNITS, Item, SceneSegment

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

RGB = {
    "red": (222, 38, 38),
    "green": (36, 176, 58),
    "blue": (40, 84, 226),
    "yellow": (250, 214, 36),
    "purple": (172, 52, 200),
    "white": (248, 248, 248),
}
DARK = (24, 20, 26)
FONT = {
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
    "7": "11111 00001 00010 00100 01000 01000 01000",
    "8": "01110 10001 10001 01110 10001 10001 01110",
    "9": "01110 10001 10001 01111 00001 00010 01100",
    "a": "01110 10001 10001 11111 10001 10001 10001",
    "c": "01111 10000 10000 10000 10000 10000 01111",
    "e": "11111 10000 10000 11110 10000 10000 11111",
    "f": "11111 10000 10000 11110 10000 10000 10000",
    "i": "11111 00100 00100 00100 00100 00100 11111",
    "j": "00111 00010 00010 00010 00010 10010 01100",
    "k": "10001 10010 10100 11000 10100 10010 10001",
    "l": "10000 10000 10000 10000 10000 10000 11111",
    "m": "10001 11011 10101 10101 10001 10001 10001",
    "n": "10001 11001 11001 10101 10011 10011 10001",
    "o": "01110 10001 10001 10001 10001 10001 01110",
    "p": "11110 10001 10001 11110 10000 10000 10000",
    "s": "01111 10000 10000 01110 00001 00001 11110",
    "t": "11111 00100 00100 00100 00100 00100 00100",
    "u": "10001 10001 10001 10001 10001 10001 01110",
    "w": "10001 10001 10001 10101 10101 11011 10001",
    "x": "10001 10001 01010 00100 01010 10001 10001",
    "y": "10001 10001 01010 00100 00100 00100 00100",
}
"""Characters on cards: seven rows of five dots each."""


def _polygon(points: Floats, x: Floats, y: Floats) -> Floats:
    """Return the signed distance to a closed polygon [corner, xy], negative inside."""
    best = np.full(x.shape, np.inf, np.float32)
    sign = np.ones(x.shape, np.float32)
    previous = np.roll(points, 1, axis=0)
    for (ax, ay), (bx, by) in zip(points, previous, strict=True):
        ex, ey, wx, wy = bx - ax, by - ay, x - ax, y - ay
        t = np.clip((wx * ex + wy * ey) / (ex * ex + ey * ey), 0, 1)
        best = np.minimum(best, (wx - ex * t) ** 2 + (wy - ey * t) ** 2)
        above, below, left = y >= ay, y < by, ex * wy > ey * wx
        sign = np.where((above & below & left) | (~above & ~below & ~left), -sign, sign)
    return (sign * np.sqrt(best)).astype(np.float32)


def _distance(shape: str, x: Floats, y: Floats) -> Floats:
    """Return the signed distance to a shape of radius one, negative inside."""
    if shape == "circle":
        return (np.hypot(x, y) - 0.92).astype(np.float32)
    if shape == "ring":
        return (np.abs(np.hypot(x, y) - 0.73) - 0.24).astype(np.float32)
    if shape == "moon":
        outer, bite = np.hypot(x, y) - 1.0, np.hypot(x - 0.55, y + 0.12) - 0.82
        return np.maximum(outer, -bite).astype(np.float32)
    if shape == "star":
        angle = np.arange(10) * np.pi / 5 - np.pi / 2
        radius = np.where(np.arange(10) % 2 == 0, 1.08, 0.42)
        corners = np.stack([radius * np.cos(angle), radius * np.sin(angle) + 0.06], 1)
    elif shape == "triangle":
        corners = np.array([[0, -0.98], [1.0, 0.8], [-1.0, 0.8]])
    elif shape == "diamond":
        corners = np.array([[0, -1.08], [0.72, 0], [0, 1.08], [-0.72, 0]])
    elif shape == "hourglass":
        corners = np.array(
            [[-0.86, -0.96], [0.86, -0.96], [0.16, 0], [0.86, 0.96], [-0.86, 0.96], [-0.16, 0]]
        )
    elif shape == "arrow":
        corners = np.array(
            [[0, -1.04], [0.94, -0.02], [0.36, -0.02], [0.36, 1.0]]
            + [[-0.36, 1.0], [-0.36, -0.02], [-0.94, -0.02]]
        )
    elif shape == "bolt":
        corners = np.array(
            [[0.3, -1.06], [-0.72, 0.16], [-0.1, 0.16], [-0.34, 1.06], [0.74, -0.26], [0.1, -0.26]]
        )
    elif shape == "cross":
        a, b = 0.3, 0.96
        corners = np.array(
            [[-a, -b], [a, -b], [a, -a], [b, -a], [b, a], [a, a]]
            + [[a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a]]
        )
    else:
        raise ValueError(f"unknown shape {shape!r}")
    return _polygon(corners.astype(np.float32), x, y)


@lru_cache(maxsize=2048)
def sprite(shape: str, color: str, radius: int, size: int) -> tuple[Floats, Floats]:
    """Return color * alpha [row, column, rgb] and 1 - alpha [row, column, 1] of a shape."""
    scale = size / UNITS
    half = int(np.ceil((radius * 1.1 + 4) * scale))
    axis = (np.arange(2 * half, dtype=np.float32) - half + 0.5) / (radius * scale)
    x, y = np.meshgrid(axis, axis)
    distance = _distance(shape, x, y) * radius  # in units

    def cover(edge: float) -> Floats:
        return np.clip(0.5 + (edge - distance) * scale, 0, 1).astype(np.float32)[..., None]

    halo, dark, fill = cover(1.6), cover(0.4), cover(-1.2)
    image = np.full((*x.shape, 3), 255, np.float32)
    image = image + (np.array(DARK, np.float32) - image) * dark
    image = image + (np.array(RGB[color], np.float32) - image) * fill
    return image * halo, 1 - halo


@lru_cache(maxsize=64)
def card(text: str, size: int) -> Floats:
    """Return a white card with dark characters, [row, column, rgb], of :func:`card_box` units."""
    wide, high = card_box(text)
    ink = np.zeros((high, wide), np.float32)
    for index, character in enumerate(text):
        dots = np.array([[int(bit) for bit in row] for row in FONT[character].split()], np.float32)
        left = 4 + 18 * index
        ink[3:24, left : left + 15] = np.kron(dots, np.ones((3, 3), np.float32))
    paper = 252 - ink * 232
    paper[[0, -1], :] = paper[:, [0, -1]] = 60
    index_y = (np.arange(round(high * size / UNITS)) * UNITS / size).astype(int)
    index_x = (np.arange(round(wide * size / UNITS)) * UNITS / size).astype(int)
    return np.repeat(paper[index_y][:, index_x, None], 3, axis=2)


def _grid(size: int) -> tuple[Floats, Floats]:
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size
    columns, rows = np.meshgrid(axis, axis)
    return columns.astype(np.float32), rows.astype(np.float32)


def _rgb(mask: Floats, over: Floats, color: tuple[int, int, int]) -> Floats:
    return over + (np.array(color, np.float32) - over) * mask[..., None]


def _ramp(y: Floats, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> Floats:
    a, b = np.array(top, np.float32), np.array(bottom, np.float32)
    return (a + (b - a) * y[..., None]).astype(np.float32)


@lru_cache(maxsize=256)
def background(place: str, variant: int, size: int) -> Floats:
    """Return a place, float32 [row, column, rgb] in 0..255; ``variant`` moves its details."""
    rng = np.random.default_rng([variant, sum(map(ord, place))])
    x, y = _grid(size)
    soft = size / 1.5

    def edge(inside: Floats) -> Floats:
        return np.clip(0.5 + inside * soft, 0, 1).astype(np.float32)

    if place == "forest":
        image = _ramp(y, (150, 190, 160), (46, 84, 40))
        for center in np.linspace(0.02, 0.98, 6) + rng.uniform(-0.05, 0.05, 6):
            top, foot = rng.uniform(0.1, 0.3), rng.uniform(0.7, 0.9)
            trunk = edge(0.015 - np.abs(x - center)) * edge(y - foot) * edge(foot + 0.09 - y)
            image = _rgb(trunk, image, (84, 56, 34))
            width = 0.11 * (y - top) / (foot - top)
            green = (20 + int(rng.integers(14)), 74 + int(rng.integers(24)), 38)
            image = _rgb(edge(width - np.abs(x - center)) * edge(foot - y), image, green)
    elif place == "desert":
        image = _ramp(y, (250, 226, 186), (252, 206, 150))
        for level, tone in ((0.45, (232, 178, 108)), (0.62, (214, 154, 84)), (0.8, (190, 130, 66))):
            phase, wave = rng.uniform(0, 6.28), rng.uniform(3, 7)
            dune = level + 0.06 * np.sin(wave * x + phase)
            image = _rgb(edge(y - dune), image, tone)
    elif place == "sea":
        image = _ramp(y, (180, 222, 246), (206, 236, 250))
        horizon = rng.uniform(0.25, 0.36)
        image = np.where((y > horizon)[..., None], _ramp(y, (28, 118, 176), (10, 66, 122)), image)
        for level in np.linspace(horizon + 0.06, 0.98, 8):
            wave = level + 0.012 * np.sin(22 * x + rng.uniform(0, 6.28))
            image = _rgb(edge(0.006 - np.abs(y - wave)) * 0.7, image, (150, 210, 232))
    elif place == "city":
        image = _ramp(y, (176, 178, 190), (214, 208, 204))
        left = -0.05
        while left < 1:
            wide, top = rng.uniform(0.12, 0.24), rng.uniform(0.12, 0.5)
            gray = int(rng.integers(78, 122))
            inside = edge(x - left) * edge(left + wide - x) * edge(y - top)
            image = _rgb(inside, image, (gray, gray, gray + 10))
            window = (np.sin(x * 88) > 0.3) & (np.sin(y * 70) > 0.3) & (y > top + 0.04)
            window &= (x > left + 0.02) & (x < left + wide - 0.02)
            image = _rgb(window.astype(np.float32) * 0.75, image, (246, 226, 160))
            left += wide + rng.uniform(0, 0.03)
    elif place == "space":
        image = _ramp(y, (8, 8, 26), (24, 12, 44))
        cx, cy = rng.uniform(0.2, 0.8, 2)
        glow = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) * 9).astype(np.float32) * 0.5
        image = _rgb(glow, image, (70, 40, 110))
        for sx, sy in rng.uniform(0.02, 0.98, (46, 2)):
            dot = edge(rng.uniform(0.004, 0.009) - np.hypot(x - sx, y - sy))
            image = _rgb(dot, image, (235, 235, 245))
    elif place == "snow":
        image = _ramp(y, (150, 186, 220), (216, 228, 240))
        for center in rng.uniform(0, 1, 3):
            peak, slope = rng.uniform(0.12, 0.3), rng.uniform(0.9, 1.5)
            rock = edge(y - peak - slope * np.abs(x - center))
            image = _rgb(rock, image, (120, 132, 150))
            image = _rgb(rock * edge(peak + 0.12 - y), image, (246, 250, 255))
        ground = 0.66 + 0.04 * np.sin(5 * x + rng.uniform(0, 6.28))
        image = _rgb(edge(y - ground), image, (236, 242, 250))
    else:
        raise ValueError(f"unknown place {place!r}")
    return np.ascontiguousarray(image, dtype=np.float32)


def _paste(frame: Pixels, item: Item, seconds: float, scale: float) -> None:
    """Draw an item into a frame [row, column, rgb]."""
    size = len(frame)
    paint, through = sprite(item.shape, item.color_at(seconds), item.radius, size)
    half = paint.shape[0] // 2
    cx, cy = item.center(seconds)
    left, top = round(cx * scale) - half, round(cy * scale) - half
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + 2 * half, size), min(top + 2 * half, size)
    window = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
    mixed = paint[window] + frame[y0:y1, x0:x1] * through[window]
    frame[y0:y1, x0:x1] = (mixed + 0.5).astype(np.uint8)


def render(segment: SceneSegment, seconds: npt.ArrayLike, size: int = UNITS) -> Pixels:
    """Render a segment at the given seconds after its start.

    Returns:
        uint8 [frame, row, column, rgb], with ``size`` rows and columns.
    """
    times = np.atleast_1d(np.asarray(seconds, np.float64))
    scale = size / UNITS
    still = (background(segment.place, segment.variant, size) + 0.5).astype(np.uint8)
    if segment.card is not None:
        paper = card(segment.card, size)
        high, wide = paper.shape[:2]
        row, column = round(segment.card_y * scale) - high // 2, round(segment.card_x * scale)
        column -= wide // 2
        still[row : row + high, column : column + wide] = paper
    frames = np.repeat(still[None], len(times), axis=0)
    for frame, time in zip(frames, times, strict=True):
        for item in segment.items:
            if item.shown(float(time)):
                _paste(frame, item, float(time), scale)
    return frames


def sampled(segment: SceneSegment, size: int = UNITS, phase: float = 0.0) -> Pixels:
    """Return the eight frames sampled at two frames per second, ``phase`` seconds late."""
    return render(segment, np.arange(8) * 0.5 + phase, size)
