"""What all commands share: exit codes, the console, messages on stderr."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from rich.console import Console

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import escape_control_chars

REFUSED, SOME_FAILED, INTERRUPTED = 2, 3, 130
"""Exit codes: a command was refused; some rows of an evaluation failed; Ctrl-C."""


def console() -> Console:
    """Return a console that prints text as it is: no markup, no colours of its own."""
    return Console(highlight=False, markup=False)


def print_error(message: object) -> None:
    """Print a message on stderr, its control characters escaped."""
    print(escape_control_chars(f"tempo-lab: {message}"), file=sys.stderr)


def require(package: str, *, extra: str) -> None:
    """Refuse a command whose packages are not installed.

    Raises:
        TempoLabError: the package is not installed.
    """
    if find_spec(package) is None:
        raise TempoLabError(
            "this command needs a package that is not installed",
            found=f"no {package}",
            fix=f"pip install 'tempo-lab[{extra}]'",
        )
