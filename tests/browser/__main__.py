"""Run the browser tests in their own process: python -m tests.browser

Rarely, on busy cores, the browser and its driver hang while page and kernel are idle. Closing such
a browser hangs as well, so pytest's timeouts do not help. All of it is then stopped and run once
more. A test that fails is never repeated.
"""

import os
import signal
import subprocess
import sys

LIMIT = 900
"""Seconds; on two cores the tests take two minutes, or five if the cores are busy."""


def run(command: list[str], limit: float) -> int:
    """Return the exit status of a command; stop it with all its children if it hangs.

    A command that hangs is run once more; if it hangs again, the status is 1.
    """
    for attempt in ("first", "second"):
        process = subprocess.Popen(command, start_new_session=True)
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            print(f"the {attempt} run hangs after {limit} s and is stopped", flush=True)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    return 1


if __name__ == "__main__":
    sys.exit(run([sys.executable, "-m", "pytest", "tests/browser", *sys.argv[1:]], LIMIT))
