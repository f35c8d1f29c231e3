"""How videos are sampled and at which budgets, by hand or as in the paper (presets). No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tempo_lab.common.errors import BudgetError, TempoLabError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.video.sampling import check_sampling

MAX_BUDGET = 8192
"""Default budget of the released model, whose segments have 128 memory tokens each."""


@dataclass(frozen=True)
class Sampling:
    """How many frames of each video are sampled.

    Attributes:
        fps: frames per second.
        min_frames, max_frames: limits on the number of frames; `max_frames` wins.

    Raises:
        VideoError: nothing can be sampled with a value.
    """

    fps: float = 2.0
    min_frames: int = 4
    max_frames: int = 1024

    def __post_init__(self) -> None:
        check_sampling(self.fps, self.min_frames, self.max_frames)
        for name, kind in (("fps", float), ("min_frames", int), ("max_frames", int)):
            object.__setattr__(self, name, kind(getattr(self, name)))  # NumPy's are not JSON


DEFAULT_SAMPLING = Sampling()


@dataclass(frozen=True)
class Preset:
    """The settings of a published result. Segments have as many frames as the model has them.

    Attributes:
        sampling: of the videos.
        budget: memory tokens for the whole video.
    """

    sampling: Sampling
    budget: int


PRESETS: Mapping[str, Preset] = {
    "paper-4k": Preset(Sampling(fps=2.0, min_frames=8, max_frames=1024), 4096),
    "paper-8k": Preset(Sampling(fps=2.0, min_frames=8, max_frames=1024), 8192),
    "paper-12k": Preset(Sampling(fps=2.0, min_frames=8, max_frames=2048), 12288),
}
"""Presets by name."""

OLDER: Mapping[str, Any] = {
    "preset": None,
    **asdict(DEFAULT_SAMPLING),
    "circular": False,
}
"""What holds for the folder of a run whose configuration does not have these keys."""


def find_preset(name: str) -> Preset:
    """Return the preset of a name.

    Raises:
        TempoLabError: there is none of this name.
    """
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]
    raise TempoLabError(
        "no preset has this name",
        asked=one_line(repr(name), 120),
        found=", ".join(PRESETS),
        fix=did_you_mean(name, PRESETS, "use one of these, or fps=, max_frames= and budgets="),
    )


def choose_sampling(preset: str | None, fps: float | None, max_frames: int | None) -> Sampling:
    """Return the sampling of a preset, or without one the default, with the values given changed.

    Raises:
        TempoLabError: there is no such preset, or nothing can be sampled with a value.
    """
    base = DEFAULT_SAMPLING if preset is None else find_preset(preset).sampling
    return Sampling(
        fps=base.fps if fps is None else fps,
        min_frames=base.min_frames,
        max_frames=base.max_frames if max_frames is None else max_frames,
    )


def choose_budgets(budgets: Sequence[int] | None, preset: str | None) -> tuple[int, ...] | None:
    """Return the budgets given, without repetitions; or the preset's; or None for the default.

    Raises:
        BudgetError: a budget is not a whole number from 1.
        TempoLabError: the list of budgets is empty, or there is no such preset.
    """
    if budgets is None:
        return None if preset is None else (find_preset(preset).budget,)
    values = budgets if isinstance(budgets, (list, tuple)) else [budgets]
    if not values:
        raise TempoLabError("there must be at least one budget", found="none", fix="budgets=[8192]")
    return tuple(
        dict.fromkeys(check_whole("budget", value, 1, error=BudgetError) for value in values)
    )


def default_budget(slots: int, segment_frames: int, sampling: Sampling) -> int:
    """Return the budget of a run that names none, in memory tokens for the whole video.

    It is half of the memory tokens of a video with `max_frames` frames, at most 8192. With the
    default sampling this is 8192 for the released model (K = 128, 8 frames per segment) and 1024
    for a model with K = 16, which 8192 tokens would never restrict. Without memory tokens (a plain
    Qwen3-VL) it is 8192.

    Args:
        slots: memory tokens of a segment (K).
        segment_frames: frames of a segment.
        sampling: of the videos.
    """
    if not slots:
        return MAX_BUDGET
    segments = -(-sampling.max_frames // segment_frames)
    return min(MAX_BUDGET, max(1, slots * segments // 2))
