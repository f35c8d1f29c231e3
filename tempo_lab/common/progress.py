"""Progress of long computations: a bar, or a display of the caller."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from tqdm.auto import tqdm

Progress = bool | Callable[[str, int], AbstractContextManager[Any]]
"""Whether to show a bar for each stage that takes longer than a second. Or a function: it takes the
stage's name and number of segments and returns a context manager whose `update(segments)` is called
after each step. An exception that `update` raises ends the computation, as Ctrl-C does."""


def stage(progress: Progress, name: str, segments: int) -> AbstractContextManager[Any]:
    """Return the context manager that shows the progress of one stage."""
    if callable(progress):
        return progress(name, segments)
    return tqdm(
        total=segments, desc=name, unit="segment", delay=1, leave=False, disable=not progress
    )
