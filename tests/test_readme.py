"""Every command and every snippet of the README is run, and says what it is said to say."""

from __future__ import annotations

import ast
import re
import shlex
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import yaml
from typer.testing import CliRunner

from tempo_lab.apps.cli import app
from tests import media
from tests.evaluation.datasets.test_benchmarks import VIDEOS, write_all

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].rstrip()
    for line in re.findall(r"^    (tempo-lab .+)", TEXT.replace("\\\n", " "), re.M)
]
SNIPPETS = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
RELEASED = "Vision-CAIR/Tempo-6B"
SERVES = "tempo-lab app"
"""Runs until it is stopped; `tests/apps/test_page.py` and `tests/browser` run it."""


@pytest.fixture
def folder(tmp_path, monkeypatch, tiny):
    """A working folder with the repository's data and what else the README names.

    A tiny checkpoint is in a folder with the name of the released one.
    """
    tiny.save_pretrained(tmp_path / RELEASED)
    (tmp_path / "data").symlink_to(ROOT / "data")
    video = media.write_video(tmp_path / "my.mp4", frames=40, fps=10)
    (tmp_path / "made").mkdir()
    shutil.copy(write_all(tmp_path / "made")["lvbench"], tmp_path / "video_info.meta.jsonl")
    for name in VIDEOS:
        place = tmp_path / "lvbench" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, place)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_runs(folder):
    assert COMMANDS.count(SERVES) == 1
    assert sum(RELEASED in command for command in COMMANDS) >= 3
    for command in COMMANDS:
        if command != SERVES:
            result = CliRunner().invoke(app, shlex.split(command)[1:])
            assert result.exit_code == 0, (command, result.output)
    for name in ("star.png", "star.nc", "star.html", "prior/report.html", "lvbench-8k/summary.csv"):
        assert (folder / name).stat().st_size > 0


def test_every_snippet_runs_and_its_comments_hold(folder):
    names: dict[str, object] = {}
    values = 0
    for snippet in SNIPPETS:
        lines = snippet.splitlines()
        for statement in ast.parse(snippet).body:
            code = ast.unparse(statement)
            comment = lines[statement.end_lineno - 1].partition("  #")[2].strip()
            if not isinstance(statement, ast.Expr):
                exec(code, names)
                continue
            value = eval(code, names)
            if comment.startswith("'"):
                assert value == ast.literal_eval(comment), code
                values += 1
            if comment == "(figure, axes)":
                assert isinstance(value[0], plt.Figure), code
                plt.close(value[0])
    assert values >= 3
    names["video"].close()


def test_the_citation_is_the_one_of_the_readme():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    assert paper["title"] in " ".join(TEXT.split())
    assert paper["url"] in TEXT
    assert paper["authors"][0]["family-names"] in TEXT
    assert citation["license"] == "Apache-2.0"
