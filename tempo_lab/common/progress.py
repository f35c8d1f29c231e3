"""Progress of long computations: a bar, or a display of the caller."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

HIDE_BARS = "TQDM_DISABLE"
"""Environment variable that hides every progress bar, also those of the processes started here."""

Progress = bool | Callable[[str, int], AbstractContextManager[Any]]
"""Whether to show a bar for each stage that takes longer than a second. Or a function: it takes the
stage's name and number of segments and returns a context manager whose `update(segments)` is called
after each step. An exception that `update` raises ends the computation, as Ctrl-C does."""


def progress_bar(
    iterable: Iterable[Any] | None = None, *, disable: bool = False, **options: Any
) -> Any:
    """Return a tqdm progress bar; it is hidden with TQDM_DISABLE=1 in the environment.

    tqdm itself reads the variable only when it is imported, and ignores it if `disable` is passed.

    Args:
        iterable: what to iterate over; without it, the caller updates the bar.
        disable: hide the bar.
        options: other options of `tqdm.tqdm`.
    """
    from tqdm.auto import tqdm

    hidden = os.environ.get(HIDE_BARS, "").lower() not in ("", "0", "false")
    return tqdm(iterable, disable=disable or hidden, **options)


def stage(progress: Progress, name: str, segments: int) -> AbstractContextManager[Any]:
    """Return the context manager that shows the progress of one stage."""
    if callable(progress):
        return progress(name, segments)
    bar: AbstractContextManager[Any] = progress_bar(
        total=segments, desc=name, unit="segment", delay=1, leave=False, disable=not progress
    )
    return bar
