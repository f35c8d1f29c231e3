"""Shell completion: what bash offers after Tab, offline and without torch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tempo_lab.allocation import STRATEGIES
from tempo_lab.apps import completion
from tempo_lab.evaluation.arms import SPECIAL
from tempo_lab.evaluation.presets import PRESETS
from tempo_lab.nano.front_loading.cuts import ARMS
from tempo_lab.nano.training.recipes import RECIPES

ROOT = Path(__file__).parents[2]
PROGRAM = f"""#!{sys.executable}
import sys
from tempo_lab.apps.cli import app
try:
    app()
finally:
    assert not {{"torch", "transformers", "pandas", "xarray", "matplotlib"}} & set(sys.modules)
"""
needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def test_the_names_are_those_of_the_library():
    assert set(completion.SPECIAL_ARMS) == set(SPECIAL)
    assert tuple(PRESETS) == completion.PRESETS
    assert (*RECIPES, "front-loading") == completion.RECIPES
    assert tuple(ARMS) == completion.STUDY_ARMS
    assert set(completion.strategies("")) == set(STRATEGIES)


def test_the_last_arm_of_a_list_is_completed():
    assert completion.arms("head,uniform,or") == ["head,uniform,oracle"]
    assert "head,head" not in completion.arms("head,h")


@pytest.fixture
def bash(tmp_path):
    """Returns what a script prints in a bash that has a tempo-lab and a home of its own."""
    program = tmp_path / "bin" / "tempo-lab"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
    }

    def run(script: str) -> list[str]:
        done = subprocess.run(
            ["bash", "--norc", "-c", script], capture_output=True, text=True, env=environment
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return run


@needs_bash
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("tempo-lab a", ["ask", "app"]),
        ("tempo-lab evaluate long", ["longvideobench"]),
        ("tempo-lab world m", ["make"]),
        ("tempo-lab ask --strat", ["--strategy"]),
        (
            "tempo-lab ask --strategy uniform",
            ["uniform", "uniform-tail", "uniform-random", "uniform-tome"],
        ),
        ("tempo-lab ask --model nano", ["nano", "nano-plain"]),
        ("tempo-lab ask --device c", ["cpu", "cuda"]),
        ("tempo-lab evaluate table mine.csv --preset paper-4", ["paper-4k"]),
        ("tempo-lab evaluate table mine.csv --arms head,or", ["head,oracle"]),
        ("tempo-lab train sm", ["small"]),
        ("tempo-lab trace some", []),  # bash then offers names of files
    ],
)
def test_bash_offers_names(bash, line, offered):
    words = " ".join(f"'{word}'" for word in line.split())
    script = f"""
        eval "$(tempo-lab --show-completion)"
        COMP_WORDS=({words}); COMP_CWORD={len(line.split()) - 1}
        $(complete -p tempo-lab | sed 's/.*-F \\([^ ]*\\) .*/\\1/') tempo-lab
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    assert bash(script) == offered


@needs_bash
def test_bash_completion_is_installed_in_the_home(bash, tmp_path):
    printed = bash("tempo-lab --install-completion; complete -p tempo-lab 2>/dev/null; true")
    assert "installed" in printed
    assert bash(f"source {tmp_path}/.bashrc; complete -p tempo-lab")[0] == "complete"
