"""Jobs without a model, for tests of engines: each question is noted in a file when it is asked."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.store import Row

QUESTIONS, ARMS = 4, ("one", "other")


@dataclass(frozen=True)
class FakeJob:
    """Questions about one video, two rows for each.

    Attributes:
        name: of the video. "deadly" kills its process at question 2, "deadly once" only the first
            time; "broken" costs its own rows; "fault" has an error that is not about the video.
        log: folder; file `name` has a line for each question that was asked, with the process.
    """

    name: str
    log: str

    def keys(self, models):
        return [(self.name, item, "-", arm) for item in range(QUESTIONS) for arm in ARMS]

    def failed(self, reason, done):
        return [{**row(key), "failed": reason} for key in self.keys(()) if key not in done]


def row(key) -> Row:
    return dict(zip(("video", "item", "model", "arm"), key, strict=True))


def answer(job, models, done, seconds=0.01) -> Iterator[list[Row]]:
    """Answer a question in some milliseconds."""
    if job.name == "broken":
        yield job.failed("no video", done)
        return
    for item in range(QUESTIONS):
        missing = [key for key in job.keys(models) if key[1] == item and key not in done]
        if not missing:
            continue
        note = Path(job.log, job.name)
        asked = note.read_text().split() if note.exists() else []
        with open(note, "a") as file:
            file.write(f"{item}:{os.getpid()}\n")
        if item == 2:
            _disturb(job.name, again=any(entry.startswith("2:") for entry in asked))
        time.sleep(seconds)
        yield [{**row(key), "score": len(job.name) * item / 3} for key in missing]


def slowly(job, models, done) -> Iterator[list[Row]]:
    """Answer so slowly that a test can find the process at work."""
    yield from answer(job, models, done, seconds=0.5)


def _disturb(name: str, *, again: bool) -> None:
    if name == "deadly" or (name == "deadly once" and not again):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "fault":
        raise ZeroDivisionError
    if name == "our fault":
        raise TempoLabError("no such arm", fix="another arm")


def asked(folder: Path) -> dict[str, list[int]]:
    """The questions that were asked of each video, in order."""
    return {
        path.name: [int(line.split(":")[0]) for line in path.read_text().split()]
        for path in folder.iterdir()
    }


def role_of(models) -> list[str]:
    """What `Engine.call` is asked to compute."""
    return [*sorted(models), str(os.getpid())]
