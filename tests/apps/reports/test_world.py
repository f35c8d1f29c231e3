"""`tempo-lab evaluate world`: its page and its command."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from tempo_lab.apps.cli import app
from tempo_lab.apps.reports.html import render_page
from tempo_lab.apps.reports.world import evaluate as evaluation
from tempo_lab.apps.reports.world.evaluate import NOTICE
from tempo_lab.apps.reports.world.sections import allocation_sentences
from tempo_lab.apps.terminal import REFUSED
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.statistics import Estimate
from tempo_lab.nano.claims import claims, plan
from tempo_lab.nano.claims.plan import BEFORE
from tests.small_runs import SLOTS, small

SETTINGS = {
    "model": "nano", "models": {}, "memory_tokens_a_segment": SLOTS, "seed": 5, "claims": "digest",
}  # fmt: skip


def test_the_page_is_escaped_and_stands_alone(world_rows: list[dict], tmp_path: Path) -> None:
    wild = "<script>alert('x')</script>\x1b[31m"
    rows = [{**row, "said": wild, "question": wild} for row in world_rows]
    rows.append({**rows[-1], "item": 99, "score": None, "used": None, "error": wild})
    settings = {**SETTINGS, "model": wild}
    evaluation.write_results(tmp_path, settings, rows, ["before", "plain"])
    text = (tmp_path / "report.html").read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text
    assert set(re.findall(r'(?:src|href)="?([^">]{5})', text)) == {"data:"}
    assert "no checkpoint from before it was given" in text
    assert "their relevance is not zero-shot" in text
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == {
        "prior", "controls", "allocation", "kinds", "front_loading", "strictness", "phrasings",
    }  # fmt: skip
    assert text.count("data:image/png;base64,") == len(names)
    table = pd.read_csv(tmp_path / "results.csv")
    assert len(table) == len(rows)
    record = json.loads((tmp_path / "claims.json").read_text())
    assert list(record["claims"]) == [claim.name for claim in claims.registered()]
    assert (record["seed"], record["held_out"]) == (5, True)
    assert NOTICE not in text


def test_the_page_says_where_relevance_is_the_same_before_compressor_training(
    world_rows: list[dict], tmp_path: Path
) -> None:
    prior = [row for row in world_rows if row.get("auc") is not None]
    before = [{**row, "model": BEFORE} for row in prior]
    settings = {**SETTINGS, "seed": 7}
    evaluation.write_results(tmp_path, settings, [*world_rows, *before], ["plain"])
    text = (tmp_path / "report.html").read_text()
    assert f"The AUC is the same as after it for {len(prior)} of {len(prior)} questions." in text
    assert "no: this seed was used to choose the model or the claims" in text
    assert NOTICE in text
    assert json.loads((tmp_path / "claims.json").read_text())["held_out"] is False


def test_a_page_without_any_row_is_a_page() -> None:
    verdicts = claims.verdicts({})
    text = render_page("nothing", {}, [], verdicts)
    assert text.count("<td>not measured</td>") == len(verdicts)


def test_the_command_measures_writes_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "parts", lambda size, slots: (small(videos=1),))
    out = tmp_path / "here"
    words = ["evaluate", "world", "--quick", "--seed", "7", "--workers", "1", "--out", str(out)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "verdict" in done.stdout
    assert NOTICE in done.stderr
    assert {path.name for path in out.iterdir()} >= {
        "answers.jsonl", "answers.jsonl.gz", "results.csv", "claims.csv", "claims.json",
        "controls.csv", "noise.csv", "report.html", "prior.png",
    }  # fmt: skip
    again = tmp_path / "again"
    evaluation.recompute(out, again)
    for path in again.iterdir():
        if path.suffix != ".html" and path.suffix != ".png":
            assert path.read_bytes() == (out / path.name).read_bytes(), path.name
    first = (out / "answers.jsonl").read_bytes()
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (out / "answers.jsonl").read_bytes() == first
    words[4] = "8"
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == REFUSED
    assert "another evaluation is in this folder" in refused.stderr


@pytest.mark.parametrize("damage", ["missing", "cut", "no JSON"])
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, damage: str) -> None:
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    path = tmp_path / "answers.jsonl.gz"
    if damage == "cut":
        path.write_bytes(gzip.compress(b'{"a": 1}\n' * 99)[:-9])
    elif damage == "no JSON":
        path.write_bytes(gzip.compress(b"nothing"))
    with pytest.raises(TempoLabError, match="the rows of the evaluation cannot be read"):
        evaluation.recompute(tmp_path, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_what_the_page_says_about_allocation_follows_from_the_intervals() -> None:
    """Time: every control falls. Order: one does not. Count: nothing was measured."""
    good, zero = Estimate(0.3, 0.2, 0.4, 50, 9), Estimate(0.0, -0.04, 0.04, 48, 9)
    by_name = {claim.name: claim for claim in claims.registered()}
    measured = dict.fromkeys(by_name["allocation_time"].estimates, good)
    measured |= dict.fromkeys(by_name["rivals_time"].estimates, good)
    measured |= dict.fromkeys(by_name["allocation_order"].estimates, good)
    measured["order_32_ata_minus_shuffled"] = zero
    sentences = allocation_sentences(claims.verdicts(measured))
    assert sentences == [
        "Evidence that allocation by relevance matters: time.",
        "Evidence that ATA is as good as top-k and the hard router: time.",
        "No evidence on order (refuted): ATA minus shuffled scores is +0.00 [-0.04, +0.04] on 48"
        " questions.",
    ]
    assert allocation_sentences(claims.verdicts({}))[0].endswith("for no kind of question.")
