"""Many random segments, from which training composes videos without drawing segments again."""

from __future__ import annotations

import numpy as np

from tempo_lab.nano.world.casting import Cast, draw_cast, draw_plan, draw_segment
from tempo_lab.nano.world.scenes import PLACES, Scene, SceneSegment

CHUNK = 64


class SegmentPool:
    """Segments grouped by their cast, their place, and the needle that they show.

    Args:
        seed: the seed of everything drawn.
        count: number of segments.
        casts: number of casts.
    """

    def __init__(self, seed: int, count: int, casts: int = 48) -> None:
        rng = np.random.default_rng([seed, 1013])
        self.casts: list[Cast] = [draw_cast(rng) for _ in range(casts)]
        self.segments: list[SceneSegment] = []
        rows: dict[tuple[int, str, str | None], list[int]] = {}
        for row in range(count):
            if row % CHUNK == 0:
                rng = np.random.default_rng([seed, 1009, row])
            number = row % casts
            cast = self.casts[number]
            place = PLACES[rng.integers(len(PLACES))]
            special = (*cast.needles, cast.rare)
            must = special[rng.integers(len(special))] if rng.random() < 0.5 else None
            self.segments.append(draw_segment(rng, place=place, must=must, shapes=cast.common))
            rows.setdefault((number, place, must), []).append(row)
        self.rows = {key: np.array(value) for key, value in rows.items()}

    def __len__(self) -> int:
        return len(self.segments)

    def pick(self, rng: np.random.Generator, cast: int, place: str, must: str | None) -> int:
        """Return a random row of this cast, place and needle, else of any place, else any row."""
        for key in [(cast, place, must), *((cast, other, must) for other in PLACES)]:
            if key in self.rows:
                return int(self.rows[key][rng.integers(len(self.rows[key]))])
        return int(rng.integers(len(self)))

    def video(self, rng: np.random.Generator, segments: int) -> tuple[list[int], Scene]:
        """Return the rows of a random video of that many segments, and its scene."""
        if segments == 1:
            rows = [int(rng.integers(len(self)))]
        else:
            cast = int(rng.integers(len(self.casts)))
            plan = draw_plan(rng, self.casts[cast], segments)
            rows = [self.pick(rng, cast, place, must) for place, must in plan]
        return rows, Scene(0, tuple(self.segments[row] for row in rows))
