"""A process in which files grow to 20 kB and no further, as on a disk that is full."""

import subprocess
import sys
from pathlib import Path

LIMIT = 20_000


def with_small_files(code: str, folder: Path) -> str:
    """Run Python with `sys.argv[1]` naming the folder; what it printed, errors included."""
    limit = f"import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, ({LIMIT},) * 2)\n"
    words = [sys.executable, "-c", limit + code, str(folder)]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout
