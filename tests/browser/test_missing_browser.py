"""Without a browser the tests are skipped, and in continuous integration they fail."""

import os
import subprocess
import time

import psutil
import pytest

from tests.browser.__main__ import run
from tests.browser.conftest import find_browser


@pytest.mark.parametrize(
    ("ci", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_a_missing_browser_is_skipped_but_never_in_ci(monkeypatch, tmp_path, ci, outcome):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match="apt-get install chromium"):
        find_browser()


def test_a_run_that_hangs_is_stopped_with_what_it_started_and_asked_once_more(monkeypatch, capfd):
    groups, start = [], subprocess.Popen

    def started(*args, **kwargs):
        process = start(*args, **kwargs)
        groups.append(process.pid)  # which leads a group of its own
        return process

    monkeypatch.setattr(subprocess, "Popen", started)
    assert run(["sh", "-c", "sleep 600 & wait"], limit=0.5) == 1
    assert "the second run hangs" in capfd.readouterr().out
    assert len(set(groups)) == 2
    for _ in range(600):  # what was killed ends when the system comes to it
        running = [process for process in psutil.process_iter() if group(process) in groups]
        if not running:
            break
        time.sleep(0.1)
    assert not running
    assert run(["sh", "-c", "exit 3"], limit=60) == 3


def group(process):
    """Return the process group of a running process, and None for one that is gone or a zombie."""
    try:
        return None if process.status() == psutil.STATUS_ZOMBIE else os.getpgid(process.pid)
    except (psutil.NoSuchProcess, ProcessLookupError):
        return None
