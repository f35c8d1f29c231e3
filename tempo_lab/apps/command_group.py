"""How every command ends: an error becomes one message on stderr and an exit code."""

from __future__ import annotations

import errno
import io
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Any, TextIO

import typer
from typer.core import TyperGroup

from tempo_lab.apps.option_advice import as_options
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
ARGUMENTS = "tempo_lab.arguments"
"""Key in the context's `meta`: the command line."""


class Commands(TyperGroup):
    """The root of the command line: prints each error and warning as one message on stderr.

    With --json, the error is one line of JSON.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = args[: args.index("--")] if "--" in args else args
        ctx.meta[AS_JSON], ctx.meta[ARGUMENTS] = "--json" in options, tuple(args)
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
            advice = error.fix and as_options(error.fix, _options(self, ctx.meta[ARGUMENTS]))
            texts: Any = {"asked": error.asked, "found": error.found, "fix": advice}
            if as_json:
                print_json_error(type(error).__name__, error.message, code, **texts)
            else:
                print_error(TempoLabError(error.message, **texts))
        except UsageError as error:
            if not as_json:
                raise  # typer prints it with the usage of the command
            code = USAGE
            print_json_error(
                type(error).__name__, error.format_message(), code,
                **_usage(error, self, ctx.meta[ARGUMENTS]),
            )  # fmt: skip
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


def _command(root: Any, arguments: Sequence[str]) -> Any:
    """Return the command that a command line names, or the group in which it names none."""
    command = root
    for argument in arguments:
        if argument.startswith("-"):
            continue
        if argument not in getattr(command, "commands", {}):
            break
        command = command.commands[argument]
    return command


def _options(root: Any, arguments: Sequence[str]) -> list[str]:
    """Return the options of the command that a command line names."""
    return [name for option in _command(root, arguments).params for name in option.opts]


def _usage(error: Any, root: Any, arguments: Sequence[str]) -> dict[str, str | None]:
    """Return what was asked and found, and the fix, of a usage error."""
    command = _command(root, arguments)
    path = error.ctx.command_path if error.ctx else "tempo-lab"
    asked, fix = shlex.join(["tempo-lab", *arguments]), f"{path} --help"
    commands = getattr(command, "commands", None)
    parameter = getattr(error, "param", None)
    if option := getattr(error, "option_name", None):
        asked = option
        if near := getattr(error, "possibilities", None):
            fix = f"did you mean {near[0]}? See {fix}"
        known = [name for name in _options(root, arguments) if name.startswith("--")]
        found = "no value" if option in known else f"the options {', '.join(known)}"
    elif parameter is not None:
        asked, found = "/".join(parameter.opts), error.message or "no value"
    elif commands is not None:
        found = f"the commands {', '.join(commands)}"
    else:
        found = error.format_message()
    return {"asked": asked, "found": found, "fix": fix}


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
