"""Progress of what takes long: a bar, or what the caller would rather have."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tqdm.auto import tqdm

Progress = bool | Callable[[str, int], AbstractContextManager[Any]]
"""Whether to show bars for what takes longer than a second; or a function of a stage's name and
its number of segments, which gives a context whose `update(segments)` tells what was just done.
What that raises, ends the work as Ctrl-C does."""


def stage(progress: Progress, name: str, segments: int) -> AbstractContextManager[Any]:
    """Where the progress of one stage is told."""
    if callable(progress):
        return progress(name, segments)
    return tqdm(
        total=segments, desc=name, unit="segment", delay=1, leave=False, disable=not progress
    )
