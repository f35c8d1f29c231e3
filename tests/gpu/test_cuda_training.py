"""The recipe on a CUDA device; skipped where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch

import tempo_lab as tl
from tests.two_workers import STOPPED

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
STOP = """
import sys
from tempo_lab.nano.training.train import train
from tests.two_workers import stop_at
stop_at(int(sys.argv[2]))
train("tiny", sys.argv[1], in_process=True)
"""
COMMAND = "from tempo_lab.apps.cli import app; app()"


def run(*arguments: object, cpu: bool = False) -> int:
    """Exit status of a Python of its own, as accelerate chooses a process's device once."""
    env = {**os.environ, "ACCELERATE_USE_CPU": str(cpu), "PYTHONPATH": str(Path.cwd())}
    return subprocess.run([sys.executable, *map(str, arguments)], env=env, timeout=280).returncode


def test_a_run_begun_on_the_cpu_goes_on_and_resumes_on_cuda(tmp_path, frames_file):
    assert run("-c", STOP, tmp_path / "cuda", 2, cpu=True) == STOPPED
    assert run("-c", STOP, tmp_path / "cuda", 16) == STOPPED
    assert run("-c", COMMAND, "train", "tiny", "--out", tmp_path / "cuda") == 0
    assert run("-c", STOP, tmp_path / "cpu", 1000, cpu=True) == 0
    for stage in ("vision", "svlm", "align", "single", "long"):  # the others were stopped
        logs = [pd.read_csv(tmp_path / place / f"{stage}.csv") for place in ("cpu", "cuda")]
        first, second = (log[log["name"] == "loss"]["value"].iloc[-1] for log in logs)
        assert first == pytest.approx(second, abs=0.1), stage

    tempo = tl.load(tmp_path / "cuda" / "checkpoint")
    assert tempo.config.training["device"] == torch.cuda.get_device_name()
    assert tempo.config.training["finished"] is True
    with tempo.open(frames_file, progress=False) as session:
        assert session.ask("What color is the star?", max_new_tokens=4).data["tokens"].size
