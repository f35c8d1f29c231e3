"""How commands end: errors as text and as JSON, pipes, progress bars, terminals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

import tempo_lab
from tempo_lab.apps.cli import app
from tempo_lab.apps.command_group import discard_output
from tempo_lab.apps.terminal import INTERRUPTED, PIPE_CLOSED, REFUSED, USAGE
from tempo_lab.common.errors import BudgetError, VideoError
from tempo_lab.common.files import shipped
from tempo_lab.common.progress import progress_bar
from tempo_lab.trace.trace import Trace
from tests.apps.command_reference import commands, parameters
from tests.traces import make_trace

CLIP = str(shipped("data/clips/voyage.mp4"))
STAR = "What color is the star?"
FIELDS = ["type", "message", "asked", "found", "fix", "exit_code"]
PROGRAM = [sys.executable, "-c", "from tempo_lab.apps.cli import app; app()"]


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def saved(tmp_path):
    return make_trace(segments=40, budget=400).save(tmp_path / "trace.nc")


# Errors as JSON

WITH_JSON = {
    name: command for name, command in commands().items() if "--json" in parameters(command)
}
NEEDED = {"ask": "What?", "compare": "missing"}
"""The second argument of the commands that have two."""


def missing_input(name, folder):
    """Return the words of a command whose input does not exist."""
    words = name.split()[1:]
    if {"--data", "--out"} <= set(parameters(WITH_JSON[name])):
        words += ["--data", folder / "none", "--videos", folder, "--out", folder / "run"]
    else:
        words += [folder / "none", *([NEEDED[words[-1]]] if words[-1] in NEEDED else [])]
        words += ["--out", folder / "run"] if words[-1:] and "table" in words else []
    return words


def test_the_commands_with_json_are_found():
    assert {"ask", "trace", "info", "table", "lvbench", "compare", "rescore"} <= {
        name.split()[-1] for name in WITH_JSON
    }


@pytest.mark.parametrize("name", WITH_JSON)
def test_an_error_is_one_line_of_json(name, tmp_path):
    words = missing_input(name, tmp_path)
    result, plain = run(*words, "--json"), run(*words)
    assert result.exit_code == plain.exit_code == REFUSED, plain.output
    assert result.stdout == ""
    error = json.loads(result.stderr)
    assert list(error) == FIELDS
    assert error["type"].endswith("Error")
    assert error["exit_code"] == REFUSED
    assert plain.stderr.startswith(f"tempo-lab: {error['message']}\n")
    for field in ("asked", "found", "fix"):
        assert error[field] is None or f"{error[field]}\n" in plain.stderr


def test_json_errors_have_the_values_of_the_exception():
    nano = tempo_lab.load("nano", device="cpu")
    with nano.open(CLIP, progress=False) as session, pytest.raises(BudgetError) as raised:
        session.ask(STAR, budget=2)
    error = json.loads(run("ask", CLIP, STAR, "--budget", 2, "--json").stderr)
    assert error["type"] == "BudgetError"
    assert error["message"] == raised.value.message
    assert error["asked"] == str(raised.value.asked)
    assert error["fix"] == raised.value.fix.replace("fps or max_f", "--fps or --max-f")


def test_json_errors_send_no_terminal_escapes(tmp_path):
    result = run("info", tmp_path / "a\x1b[2J.mp4", "--json")
    assert "\x1b" not in result.stderr
    assert json.loads(result.stderr)["asked"].endswith("a\x1b[2J.mp4")


@pytest.mark.parametrize(
    ("words", "kind", "asked", "found"),
    [
        (["ask", CLIP, "--json"], "MissingParameter", "question", "no value"),
        (["ask", CLIP, STAR, "--json", "--budget", "many"], "BadParameter", "--budget", "integer"),
        (["trace", "a.nc", "--json", "--nope"], "NoSuchOption", "--nope", "--figure"),
        (["evaluate", "tabel", "--json"], "UsageError", "tempo-lab evaluate tabel", "table"),
        (
            ["evaluate", "compare", "a", "b", "--json", "--csv"],
            "BadParameter",
            "tempo-lab",
            "--csv",
        ),
    ],
)
def test_usage_errors_are_json_too(words, kind, asked, found):
    result = run(*words)
    assert result.exit_code == USAGE
    error = json.loads(result.stderr)
    assert (error["type"], error["exit_code"]) == (kind, USAGE)
    assert error["asked"].startswith(asked)
    assert found in error["found"]
    assert error["fix"].endswith("--help")


def test_a_question_that_is_called_json_is_no_option():
    result = run("ask", "missing.mp4", "--", "--json")
    assert result.exit_code == REFUSED
    assert result.stderr.startswith("tempo-lab: ")


def test_an_interrupt_is_json_too(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(tempo_lab, "load", interrupt, raising=False)
    result = run("ask", CLIP, STAR, "--json")
    assert result.exit_code == INTERRUPTED
    assert json.loads(result.stderr)["exit_code"] == INTERRUPTED


def test_an_unwritable_file_is_a_message_and_a_bug_a_traceback(monkeypatch, saved):
    def deny(*_):
        raise PermissionError(13, "Permission denied", "here.nc")

    monkeypatch.setattr(Trace, "load", deny)
    result = run("trace", saved)
    assert result.exit_code == REFUSED
    assert result.stderr == "tempo-lab: cannot read or write a file: Permission denied: here.nc\n"
    error = json.loads(run("trace", saved, "--json").stderr)
    assert (error["type"], error["asked"]) == ("PermissionError", "here.nc")
    monkeypatch.setattr(Trace, "load", lambda *_: 1 / 0)
    assert isinstance(run("trace", saved).exception, ZeroDivisionError)


@pytest.mark.parametrize(("typed", "meant"), [("aks", "ask"), ("evalute", "evaluate")])
def test_an_unknown_command_is_answered_with_a_similar_one(typed, meant):
    result = run(typed)
    assert result.exit_code == USAGE
    assert f"Did you mean '{meant}'?" in result.stderr


# Pipes


def read_first_line(*arguments):
    """Run a command whose reader closes the pipe after one line; return the line and the end."""
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        line = process.stdout.readline()
        process.stdout.close()
        return line, process.stderr.read(), process.wait()


@pytest.mark.skipif(os.name == "nt", reason="Windows reports closed pipes in another way")
def test_a_closed_pipe_ends_quietly(tmp_path):
    many = make_trace(segments=2000, budget=20000).save(tmp_path / "many.nc")  # more than a pipe
    for option in ("--all", "--json"):
        line, errors, code = read_first_line("trace", many, option)
        assert line
        assert (errors, code) == ("", PIPE_CLOSED)


@pytest.mark.skipif(os.name == "nt", reason="Windows reports closed pipes in another way")
@pytest.mark.parametrize("saving", [True, False])
def test_an_answer_that_nobody_reads_is_saved(tmp_path, saving):
    """The pipe is closed before the first piece of the answer."""
    reader, writer = os.pipe()
    os.close(reader)
    files = ["--save", tmp_path / "t.nc", "--figure", tmp_path / "f.png"] if saving else []
    with os.fdopen(writer, "wb") as out:
        done = subprocess.run(
            [*PROGRAM, "ask", CLIP, STAR, "--budget", "64", "--quiet", *files],
            stdout=out, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert done.stderr == ""
    if saving:
        assert done.returncode == 0
        assert Trace.load(tmp_path / "t.nc").answer == "red"
        assert (tmp_path / "f.png").exists()
    else:
        assert done.returncode == PIPE_CLOSED


def test_discarded_output_goes_nowhere(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # restored afterwards
    discard_output()
    print("lost", flush=True)
    sys.stdout.close()
    assert capsys.readouterr().out == ""


# Progress bars


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["trace", "{}"], True),
        (["--quiet", "trace", "{}"], False),
        (["-q", "trace", "{}"], False),
        (["info", CLIP], True),
        (["info", CLIP, "--quiet"], False),
        (["info", CLIP, "-q", "--json"], False),
    ],
)
def test_quiet_hides_bars_and_no_result(monkeypatch, saved, words, shown):
    """Both commands are made to show a bar; --quiet ends with the command."""
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    load, describe = Trace.load, sys.modules["tempo_lab.apps.describe"].describe

    def with_bar(function):
        def called(*arguments, **options):
            list(progress_bar(range(2), desc="counting"))
            return function(*arguments, **options)

        return called

    monkeypatch.setattr(Trace, "load", with_bar(load))
    monkeypatch.setattr("tempo_lab.apps.describe.describe", with_bar(describe))
    result = run(*(word.format(saved) for word in words))
    assert result.exit_code == 0, result.output
    assert ("counting" in result.stderr) == shown
    assert "star" in result.stdout or "voyage" in result.stdout
    assert "TQDM_DISABLE" not in os.environ


def test_quiet_keeps_errors(tmp_path):
    result = run("--quiet", "info", tmp_path / "none.mp4", "-q")
    assert result.exit_code == REFUSED
    assert result.stderr.startswith("tempo-lab: ")
    assert VideoError("x").message == "x"


# Terminals


def in_terminal(*arguments, **environment):
    """Return what a command prints into a terminal."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], stdout=theirs, stderr=theirs, stdin=theirs,
        env=env | {"TERM": "xterm-256color", **environment},
    ) as process:  # fmt: skip
        os.close(theirs)
        printed = b""
        try:
            while piece := os.read(ours, 65536):
                printed += piece
        except OSError:  # Linux: the other end is closed
            pass
        os.close(ours)
        assert process.wait() == 0
    return printed.decode()


COLOR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


def test_no_color_removes_colors():
    assert COLOR.search(in_terminal("--help"))
    assert not COLOR.search(in_terminal("--help", NO_COLOR="1"))


@pytest.mark.parametrize("columns", [20, 40, 200])
def test_a_table_loses_nothing_on_a_narrow_terminal(monkeypatch, saved, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    result = run("trace", saved, "--all")
    assert result.exit_code == 0, result.output
    assert "…" not in result.stdout
    for segment in range(40):
        assert f"{4 * segment:.1f} - {4 * (segment + 1):.1f}" in result.stdout


def test_help_is_shown_on_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    for words in ([], ["ask"], ["evaluate", "table"]):
        result = run(*words, "-h")
        assert result.exit_code == 0
        assert max(map(len, result.stdout.splitlines())) <= 40
