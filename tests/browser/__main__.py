"""The tests in a browser, in a process of their own: python -m tests.browser

Rarely, on busy cores, the browser and its driver keep each other busy without end while page and
kernel rest. Closing such a browser hangs as well, so that pytest's limits are of no help. Then all
of it is stopped, and asked once more. A test that fails is never asked again.
"""

import os
import signal
import subprocess
import sys

LIMIT = 900
"""Seconds; on two cores the tests take two minutes, on busy ones five."""


def run(command: list[str], limit: float) -> int:
    """The exit status of a command that is stopped, with all that it started, when it hangs.

    It may hang once; 1 if it does so again.
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
