"""How every command ends: an error becomes one message on stderr and an exit code."""

from __future__ import annotations

import errno
import io
import os
import sys
import warnings
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from tempo_lab.apps.terminal import (
    INTERRUPTED,
    PIPE_CLOSED,
    REFUSED,
    USAGE,
    print_error,
    print_json_error,
)
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.text import escape_control_chars

UsageError: Any = typer.BadParameter.__bases__[0]  # typer exports only this subclass of it
OUTPUT_ERRORS = {
    errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS,
    errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG,
}  # fmt: skip
"""Errors of the file system that a user can fix; any other is a bug and shows a traceback."""
AS_JSON = "tempo_lab.json_errors"
"""Key in the context's `meta`: whether the command line contains --json."""


class Commands(TyperGroup):
    """The root of the command line: prints each error and warning as one message on stderr.

    With --json, the error is one line of JSON.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        ctx.meta[AS_JSON] = "--json" in options
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal may lack characters of answers
        as_json = ctx.meta[AS_JSON]
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _print_warning
                result = super().invoke(ctx)
                sys.stdout.flush()  # a failed write fails here, where it is reported
                return result
        except TempoLabError as error:
            code = REFUSED
            if as_json:
                print_json_error(
                    type(error).__name__, error.message, code,
                    asked=error.asked, found=error.found, fix=error.fix,
                )  # fmt: skip
            else:
                print_error(error)
        except UsageError as error:
            if not as_json:
                raise  # typer prints it with the usage of the command
            code = USAGE
            help_command = f"{error.ctx.command_path} --help" if error.ctx else None
            print_json_error(type(error).__name__, error.format_message(), code, fix=help_command)
        except KeyboardInterrupt:
            code = INTERRUPTED
            if as_json:
                print_json_error("KeyboardInterrupt", "interrupted", code)
            else:
                print_error("interrupted")
        except BrokenPipeError:
            code = PIPE_CLOSED
            discard_output()
        except OSError as error:
            if error.errno not in OUTPUT_ERRORS:
                raise
            code = REFUSED
            named = error.filename is not None
            if not named:
                discard_output()
            message = "cannot read or write a file" if named else "cannot write the output"
            if as_json:
                print_json_error(
                    type(error).__name__, message, code,
                    asked=error.filename, found=error.strerror,
                )  # fmt: skip
            else:
                print_error(f"{message}: {error.strerror}" + f": {error.filename}" * named)
        raise typer.Exit(code) from None


def discard_output() -> None:
    """Discard what is printed from now on; otherwise Python tries to write it again at its end."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of this library like an error: without the line of code that Python shows."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, TempoLabWarning):
        text = escape_control_chars(f"tempo-lab: warning: {message}") + "\n"
    print(text, end="", file=file or sys.stderr)
