"""Writes the tables of `docs/command_line.md` from the commands themselves.

python -m tests.apps.command_reference      # rewrites the page below its mark
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from tempo_lab.apps.cli import app
from tempo_lab.apps.evaluate_commands import DATASETS
from tempo_lab.apps.terminal import EXIT_CODES

PAGE = Path(__file__).parents[2] / "docs" / "command_line.md"
MARK = "<!-- From here on, `python -m tests.apps.command_reference` writes this page. -->\n"
BENCHMARKS = [name for name in DATASETS if name != "table"]


def commands() -> dict[str, Any]:
    """Return every command that does something, by its full name, and the root."""
    root = get_command(app)
    return {"tempo-lab": root, **dict(_leaves("tempo-lab", root))}


def _leaves(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    for word, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(f"{name} {word}", command)
        else:
            yield f"{name} {word}", command


def parameters(command: Any) -> dict[str, Any]:
    """Return the arguments and options of a command by their names, without --help."""
    return {_name(one): one for one in command.params if one.name != "help"}


def reference() -> str:
    """Return the text below the mark: exit codes, and the options of every command."""
    parts = ["## Exit codes\n", _table(("code", "meaning"), EXIT_CODES.items())]
    every = commands()
    shared = {
        f"tempo-lab evaluate {name}": every[f"tempo-lab evaluate {name}"] for name in BENCHMARKS
    }
    for name, command in every.items():
        if name not in shared:
            parts += [f"## `{name}`\n", f"{command.help}\n", _options(parameters(command))]
        elif name == next(iter(shared)):
            parts += ["## `tempo-lab evaluate DATASET`\n", *_datasets(shared)]
    return "\n".join(parts)


def _datasets(shared: dict[str, Any]) -> Iterator[str]:
    """The commands of the benchmarks, which have nearly all options in common."""
    yield _table(
        ("command", "what it does"),
        ((f"`{name}`", command.help) for name, command in shared.items()),
    )
    union: dict[str, Any] = {}
    for command in shared.values():
        union |= parameters(command)
    notes = {
        option: [name.split()[-1] for name, c in shared.items() if option in parameters(c)]
        for option in union
    }
    only = {o: f" Only {', '.join(n)}." for o, n in notes.items() if len(n) < len(shared)}
    yield _options(union, only)


def _options(named: dict[str, Any], notes: dict[str, str] | None = None) -> str:
    if not named:
        return "It has no options.\n"
    return _table(
        ("option", "what it does", "default"),
        ((f"`{name}`", one.help + (notes or {}).get(name, ""), _default(one))
         for name, one in named.items()),
    )  # fmt: skip


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return (parameter.metavar or parameter.name).upper()
    return ", ".join([*parameter.opts, *parameter.secondary_opts])


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if isinstance(parameter.show_default, str):
        return parameter.show_default
    if isinstance(parameter.default, bool):
        return "yes" if parameter.default else ""
    return "" if parameter.default is None else f"`{parameter.default}`"


def _table(heads: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(heads)]
    lines += [["---"] * len(lines[0])]
    lines += [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def page() -> str:
    """Return the whole page as it must be: its own text above the mark, and the reference."""
    text, mark, _ = PAGE.read_text(encoding="utf-8").partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE} does not have the line {MARK!r}")
    return f"{text}{MARK}\n{reference()}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
