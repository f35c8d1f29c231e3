"""The peak memory of a block."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tempo_lab.common.machine import peak_memory, reset_peak_memory
from tempo_lab.model import memory as memory_module
from tempo_lab.model.memory import PeakMemory

needs_linux = pytest.mark.skipif(
    not reset_peak_memory(), reason="this system has no peak that can be reset"
)


@needs_linux
def test_the_peak_is_that_of_the_block():
    def peak(mebibytes: int) -> float:
        with PeakMemory(torch.device("cpu")) as memory:
            np.ones(mebibytes << 20, dtype=np.uint8)
        assert memory.mib is not None
        return memory.mib

    before, large, after = peak(1), peak(128), peak(1)
    assert large > before + 100
    assert after < large - 100  # the peak of an earlier block is forgotten


def test_without_such_files_nothing_is_measured(tmp_path, monkeypatch):
    assert not reset_peak_memory(tmp_path / "none" / "clear_refs")
    assert peak_memory(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name:\tpython\n")
    assert peak_memory(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    2048 kB\n")
    assert peak_memory(tmp_path / "status") == 2 << 20
    monkeypatch.setattr(memory_module, "reset_peak_memory", lambda: False)
    with PeakMemory(torch.device("cpu")) as memory:
        pass
    assert memory.mib is None
