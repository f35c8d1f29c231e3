"""Plans of the claims that take seconds."""

from __future__ import annotations

from tempo_lab.allocation.arms import (
    Arm,
    ata,
    control_arms,
)
from tempo_lab.nano.claims import plan
from tempo_lab.nano.claims.plan import ClaimPart
from tempo_lab.nano.world.seeds import EVALUATION

SLOTS = 16
"""Memory tokens per segment of the embedded model."""


def small(segments: int = 2, videos: int = 2) -> ClaimPart:
    """A part that takes seconds."""
    sparse = Arm("sparse frames", "none", 8, sparse=True)
    arms = (*control_arms(SLOTS), sparse)
    return ClaimPart(segments, videos, 1, 1, 0, arms, (ata(SLOTS),), loaded=1, strict=True)


def small_jobs() -> list[plan.VideoJob]:
    """Two videos of two segments each; one or two tokens are kept for front-loading."""
    first = EVALUATION.seeds(0)[0]
    return [plan.VideoJob(small(), n, first + n, 2, False) for n in range(2)]
