"""What all commands share: exit codes, output on stdout, messages on stderr."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.table import Table

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import escape_control_chars

REFUSED, USAGE, SOME_FAILED, INTERRUPTED, PIPE_CLOSED = 1, 2, 3, 130, 141
EXIT_CODES = {
    0: "The command finished.",
    REFUSED: "The input was refused, or a file cannot be read or written; stderr says why.",
    USAGE: "The command line is wrong: an unknown command or option, or a missing value.",
    SOME_FAILED: "An evaluation finished, but rows failed or were skipped; "
    "or an answer of the demo is wrong.",
    INTERRUPTED: "Ctrl-C stopped the command. Evaluations, reports and training resume "
    "if you repeat the command.",
    PIPE_CLOSED: "The program that reads the output closed the pipe, as `head` does.",
}
"""Exit codes of all commands, and what each means."""
MIN_TABLE_WIDTH = 80
"""On a narrower terminal the lines of a table continue on the next line, and no number is cut."""


def console() -> Console:
    """Return a console that prints text as it is: no markup, no colors of its own."""
    return Console(highlight=False, markup=False)


def print_table(table: Table) -> None:
    """Print a table, at least 80 columns wide."""
    width = max(MIN_TABLE_WIDTH, console().width)
    Console(highlight=False, markup=False, width=width).print(table, crop=False)


def print_json(values: Any) -> None:
    """Print values as JSON on stdout; NaN and infinities become null."""
    from tempo_lab.trace.tables import plain

    print(json.dumps(plain(values), indent=2, allow_nan=False))


def print_error(message: object) -> None:
    """Print a message on stderr, its control characters escaped."""
    print(escape_control_chars(f"tempo-lab: {message}"), file=sys.stderr)


def print_json_error(
    kind: str,
    message: str,
    exit_code: int,
    *,
    asked: object = None,
    found: object = None,
    fix: str | None = None,
) -> None:
    """Print an error on stderr as one line of JSON, for commands with --json.

    Args:
        kind: name of the error's class.
        message: what went wrong, in one sentence.
        exit_code: of the command.
        asked, found, fix: see `TempoLabError`; null where the error does not have them.
    """
    texts = {"asked": asked, "found": found}
    record = {
        "type": kind,
        "message": message,
        **{name: None if value is None else str(value) for name, value in texts.items()},
        "fix": fix,
        "exit_code": exit_code,
    }
    print(json.dumps(record), file=sys.stderr)


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
