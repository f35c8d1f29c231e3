"""Procedural videos and questions about them, with known answers (no torch).

``make`` writes a video as an H.264 file, and its ground truth as JSON. ``make`` and the encoder are
imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tempo_lab.nano.world.casting import draw_scene
from tempo_lab.nano.world.kinds import KINDS, NEEDLE, draw_questions, questions, reworded
from tempo_lab.nano.world.questions import Question
from tempo_lab.nano.world.recognition import question_kind
from tempo_lab.nano.world.scenes import (
    COLORS,
    MOTIONS,
    PLACES,
    SHAPES,
    WORLD_VERSION,
    Scene,
    SceneSegment,
)

if TYPE_CHECKING:
    from tempo_lab.nano.world.files import make, write_video

__all__ = [
    "COLORS",
    "KINDS",
    "MOTIONS",
    "NEEDLE",
    "PLACES",
    "SHAPES",
    "WORLD_VERSION",
    "Question",
    "Scene",
    "SceneSegment",
    "draw_questions",
    "draw_scene",
    "make",
    "question_kind",
    "questions",
    "reworded",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name in ("make", "write_video"):
        from tempo_lab.nano.world import files

        return getattr(files, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
