"""Decoders that misbehave, named "tests.fake_decoders:NAME"; the child imports this module."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from tempo_lab.video import VideoInfo, register_decoder
from tests.media import numbered


class Fake:
    """Gives numbered frames, and something worse from frame 20 on."""

    def __init__(self, path, heartbeat):
        self.info = VideoInfo(path, "video", 64, 48, 60, 30.0, 2.0, "fake", "fake")

    def read(self, indices):
        for index in indices:
            if index >= 20:
                self.worse()
                return
            yield index / 30, numbered(index)

    def worse(self):
        """Over-reports: the frames simply end."""


register_decoder("tests.fake_decoders:over-reports")(Fake)


@register_decoder("tests.fake_decoders:notes")
class Notes(Fake):
    """Good frames; notes each one next to the file as soon as it is decoded."""

    def __init__(self, path, heartbeat):
        super().__init__(path, heartbeat)
        self.note = Path(path).with_suffix(".notes")

    def read(self, indices):
        for index in indices:
            with open(self.note, "a") as file:
                file.write(f"{index}\n")
            yield index / 30, numbered(index)


@register_decoder("tests.fake_decoders:hangs")
class Hangs(Fake):
    def worse(self):
        while True:
            time.sleep(1)


@register_decoder("tests.fake_decoders:hangs-at-open")
class HangsAtOpen(Fake):
    def __init__(self, path, heartbeat):
        Hangs.worse(self)


@register_decoder("tests.fake_decoders:crashes")
class Crashes(Fake):
    def worse(self):
        sys.stderr.write("corrupted size vs. prev_size\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGSEGV)


@register_decoder("tests.fake_decoders:raises")
class Raises(Fake):
    def worse(self):
        raise ZeroDivisionError("deep inside")


@register_decoder("tests.fake_decoders:slow")
class Slow(Fake):
    """Works for three seconds without a frame, but says so."""

    def __init__(self, path, heartbeat):
        super().__init__(path, heartbeat)
        self.heartbeat = heartbeat

    def read(self, indices):
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            time.sleep(0.05)
            self.heartbeat()
        for index in indices:
            yield index / 30, numbered(index)


@register_decoder("tests.fake_decoders:chatty")
class Chatty(Fake):
    """Prints to the standard output, as C libraries do."""

    def read(self, indices):
        os.write(1, b"hello {}\n")
        for index in indices:
            yield index / 30, numbered(index)


@register_decoder("tests.fake_decoders:opens-for-ever")
class OpensForEver(Fake):
    """Says all the time that it makes progress."""

    def __init__(self, path, heartbeat):
        while True:
            time.sleep(0.05)
            heartbeat()


@register_decoder("tests.fake_decoders:eats-memory")
class EatsMemory(Fake):
    def worse(self):
        eaten = []
        while True:
            eaten.append(os.urandom(2**20))
            time.sleep(0.005)


@register_decoder("tests.fake_decoders:eats-memory-at-open")
class EatsMemoryAtOpen(Fake):
    def __init__(self, path, heartbeat):
        EatsMemory.worse(self)
