"""`docs/command_line.md` says what the commands are, and every command is explained alike."""

from __future__ import annotations

import re
import shlex

import pytest
from typer.testing import CliRunner

from tempo_lab.apps import terminal
from tempo_lab.apps.cli import app
from tests.apps.command_reference import BENCHMARKS, PAGE, commands, page, parameters

COMMANDS = commands()
VERBS = set("Ask Show Serve Evaluate Measure Compare Write Run Train Make".split())


def test_the_page_is_equal_to_the_commands():
    fix = "run python -m tests.apps.command_reference"
    assert PAGE.read_text(encoding="utf-8") == page(), fix


def test_the_page_names_every_command_option_and_exit_code():
    """The reference is checked, too: nothing is left out of it."""
    text = PAGE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(.+?)`\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    shared = sections.pop("tempo-lab evaluate DATASET")
    benchmarks = {f"tempo-lab evaluate {name}" for name in BENCHMARKS}
    assert set(sections) == set(COMMANDS) - benchmarks
    for name, command in COMMANDS.items():
        for option in parameters(command):
            assert f"| `{option}` |" in sections.get(name, shared), (name, option)
    for name in benchmarks:
        assert f"| `{name}` |" in shared
    codes = {
        terminal.REFUSED, terminal.USAGE, terminal.SOME_FAILED, terminal.INTERRUPTED,
        terminal.PIPE_CLOSED,
    }  # fmt: skip
    assert set(map(int, re.findall(r"^\| (\d+) \|", text, re.M))) == {0, *codes}
    assert codes == {1, 2, 3, 130, 141}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_begins_with_a_verb(name):
    command = COMMANDS[name]
    assert command.help.split()[0].rstrip(":") in VERBS
    for option, parameter in parameters(command).items():
        assert parameter.help[0].isupper() or parameter.help.startswith("nano"), option
        assert parameter.help.endswith("."), option
    shown = {flag: CliRunner().invoke(app, [*name.split()[1:], flag]) for flag in ("-h", "--help")}
    assert shown["-h"].exit_code == shown["--help"].exit_code == 0
    assert shown["-h"].stdout == shown["--help"].stdout
    assert "Usage:" in shown["-h"].stdout


def test_the_examples_of_the_page_are_understood():
    lines = re.findall(r"^    (?:\$ )?(tempo-lab [^#\n]+)", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(lines) == 5
    for line in lines:
        words = shlex.split(re.split(r"2>&1|\|", line)[0])
        command = COMMANDS["tempo-lab"]
        while hasattr(command, "commands") and len(words) > 1:
            command = command.commands[words.pop(1)]
        command.make_context(line, words[1:])  # an unknown or missing option is an error
