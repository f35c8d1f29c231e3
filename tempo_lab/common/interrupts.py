"""Ctrl-C reaches a whole group of processes; the processes that this one starts must not see it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def children_ignore_interrupts() -> Iterator[None]:
    """Block Ctrl-C for the processes that are started in this block, for as long as they run.

    They inherit the blocked signal from this thread, so that no moment is left in which Ctrl-C
    prints a traceback of theirs. This process receives a Ctrl-C of the block at its end, and is
    the one that must stop them. On Windows, where signals cannot be blocked, nothing happens.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
