"""The commands that the site names exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from tempo_lab.apps.cli import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in (ROOT / "docs").rglob("*.md") if "_build" not in path.relative_to(ROOT).parts
)
TEXTS = {path: path.read_text(encoding="utf-8").replace("\\\n", " ") for path in PAGES}
LINES = [
    pytest.param(line, id=f"{path.stem}: {line[:50]}")
    for path, text in TEXTS.items()
    for line in re.findall(r"^    (tempo-lab [^#\n]+)", text, re.M)
]


def test_targets_of_make_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    named = {name for text in TEXTS.values() for name in re.findall(r"`make ([a-z-]+)", text)}
    assert named
    assert named <= targets


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_understood(line):
    command, (_, *words) = get_command(app), shlex.split(line)
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)  # an unknown or missing option is an error
