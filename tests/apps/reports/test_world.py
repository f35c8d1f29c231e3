"""`tempo-lab evaluate world`: its page and its command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tempo_lab.apps.cli import app
from tempo_lab.apps.reports.html import render_page
from tempo_lab.apps.reports.world import evaluate as evaluation
from tempo_lab.apps.terminal import REFUSED
from tempo_lab.nano.claims import claims, plan
from tempo_lab.nano.claims.plan import BEFORE
from tests.small_runs import SLOTS, small


def test_the_page_is_escaped_and_stands_alone(world_rows: list[dict], tmp_path: Path) -> None:
    wild = "<script>alert('x')</script>\x1b[31m"
    rows = [{**row, "said": wild, "question": wild} for row in world_rows]
    rows.append({**rows[-1], "item": 99, "score": None, "used": None, "error": wild})
    settings = {"model": wild, "memory_tokens_a_segment": SLOTS}
    evaluation.write_results(tmp_path, settings, rows, ["before", "plain"])
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert set(re.findall(r'(?:src|href)="?([^">]{5})', text)) == {"data:"}
    assert "no checkpoint from before it was given" in text
    assert "their relevance is not zero-shot" in text
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {"prior", "allocation", "kinds", "front_loading", "strictness", "phrasings"}
    assert text.count("data:image/png;base64,") == len(names)
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == len(rows)
    assert list(json.loads((tmp_path / "claims.json").read_text())) == list(claims.NAMES)


def test_the_page_says_where_relevance_is_the_same_before_compressor_training(
    world_rows: list[dict], tmp_path: Path
) -> None:
    prior = [row for row in world_rows if row.get("auc") is not None]
    before = [{**row, "model": BEFORE} for row in prior]
    settings = {"model": "nano", "memory_tokens_a_segment": SLOTS, "seed": 7}
    evaluation.write_results(tmp_path, settings, [*world_rows, *before], ["plain"])
    text = (tmp_path / "report.html").read_text()
    assert f"The AUC is the same as after it for {len(prior)} of {len(prior)} questions." in text
    assert "no: the recipe of the embedded models was chosen by it" in text


def test_a_page_without_any_row_is_a_page() -> None:
    verdicts = claims.verdicts({}, SLOTS)
    text = render_page("nothing", {}, [], verdicts)
    assert text.count("not measured") == len(verdicts)


def test_the_command_measures_writes_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "parts", lambda size, slots: (small(videos=1),))
    out = tmp_path / "here"
    words = ["evaluate", "world", "--quick", "--seed", "7", "--workers", "1", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "by its interval" in done.stdout
    assert {path.name for path in out.iterdir()} >= {
        "answers.jsonl", "results.csv", "claims.csv", "claims.json", "report.html", "prior.png"
    }  # fmt: skip
    first = (out / "answers.jsonl").read_bytes()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (out / "answers.jsonl").read_bytes() == first
    words[4] = "8"
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == REFUSED
    assert "another evaluation is in this folder" in refused.stderr
