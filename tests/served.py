"""Starts a page or a JupyterLab in its own process, for tests."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
# a process in a shell's background inherits that SIGINT is ignored
CODE = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from tempo_lab.apps.cli import app
app()"""
APP = ["-c", CODE, "app", "--no-browser", "--port", "0"]


def lab_command() -> list[str]:
    """Return the arguments of `make lab` for Python, without a browser and at any port.

    They open the folder in which they are run.
    """
    dry = [
        "make",
        "--dry-run",
        "--no-print-directory",
        "lab",
        "READY=",
        "ARGS=--no-browser --port=0",
    ]
    printed = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    jupyter, lab, *options = shlex.split(printed.replace("\\\n", " "))
    assert (Path(jupyter).name, lab) == ("jupyter", "lab")
    return ["-m", "jupyterlab", *options]


@dataclass
class Served:
    """A running server, its address with the token, and its log."""

    process: subprocess.Popen
    url: str
    log: Path

    @property
    def root(self) -> str:
        """The address without the token."""
        return self.url.split("?")[0]

    @property
    def origin(self) -> str:
        """The address without a path."""
        return "/".join(self.url.split("/")[:3])

    @property
    def token(self) -> str:
        return self.url.split("token=")[1]

    def output(self) -> str:
        return self.log.read_text()


@contextmanager
def served(folder: Path, command: list[str] | None = None, **environment: str) -> Iterator[Served]:
    """Run a server until the end of the block; all its files are in `folder`."""
    log = folder / "log.txt"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"}
    with open(log, "w") as out:
        process = subprocess.Popen(
            [sys.executable, *(command or APP)], cwd=folder, stdout=out, stderr=out,
            env=env | environment,
        )  # fmt: skip
    try:
        for _ in range(3000):
            if address := re.search(r"http://127\.0\.0\.1:\d+/\S*\?token=\S+", log.read_text()):
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        else:
            raise AssertionError(f"no address was printed: {log.read_text()}")
        yield Served(process, address[0], log)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=240)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
