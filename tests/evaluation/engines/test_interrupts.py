"""Ctrl-C during an evaluation on several processes: it ends, and no process prints or stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tempo_lab.evaluation.engines import open_engine
from tests.evaluation.engines.fakes import FakeJob, answer

ROOT = Path(__file__).parents[3]
RUN = """
import signal, sys
from tests.evaluation.engines.test_interrupts import interrupted_run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores SIGINT
try:
    interrupted_run(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted")
"""


def interrupted_run(log: str) -> None:
    """Start two processes, and send Ctrl-C to the whole group."""
    jobs = [FakeJob(f"video {number} " + "x" * 100, log) for number in range(2000)]
    with open_engine("local", {}, 2) as engine:
        for _ in engine.rows(jobs, answer, ()):
            os.killpg(0, signal.SIGINT)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for a group of processes")
def test_ctrl_c_ends_all_processes_and_prints_nothing(tmp_path):
    """With more jobs in the queue than its pipe holds, Python would wait for ever at its end."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)],
        cwd=ROOT, start_new_session=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("interrupted\n", "")
    assert done.returncode == 0
