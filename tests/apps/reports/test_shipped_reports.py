"""The shipped report is about the shipped weights, and `docs/reports.md` repeats its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import tempo_lab as tl
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE
from tempo_lab.nano.claims.plan import MAIN, PLAIN
from tempo_lab.nano.world.scenes import WORLD_VERSION

ROOT = Path(__file__).parents[3]
ANALYSES = ROOT / "data" / "analysis_report"
REPORT = ROOT / "data" / "nano_report"
SEEDS = (REPORT, REPORT / "seed_11")
PAGE = ROOT / "docs" / "reports.md"


@pytest.fixture(scope="module")
def claims() -> list[dict[str, float | None]]:
    """As the columns of the page have them: of the report's own seed, and of one more."""
    return [json.loads((folder / "claims.json").read_text()) for folder in SEEDS]


@pytest.mark.parametrize("folder", SEEDS, ids=["report", "seed 11"])
def test_the_report_is_about_the_shipped_weights(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["models"][MAIN] == tl.load("nano").checkpoint.digest
    assert settings["models"][PLAIN] == tl.load("nano-plain").checkpoint.digest
    assert settings["world"] == WORLD_VERSION
    assert settings["size"] in ("quick", "full")


def test_the_report_has_every_claim(claims: list[dict[str, float | None]]) -> None:
    for values in claims:
        assert list(values) == list(claims[0])
        assert len(values) > 60
        assert all(value is not None for value in values.values())


def test_the_page_repeats_the_report(claims: list[dict[str, float | None]]) -> None:
    """Every row of its table names claims and gives their values, to two digits."""
    rows = re.findall(r"^\|.*\|$", PAGE.read_text(), re.MULTILINE)
    claim_rows = [row for row in rows if any(f"`{name}`" in row for name in claims[0])]
    assert len(claim_rows) >= 10
    for row in claim_rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        names = re.findall(r"`(\w+)`", cells[-1])
        for cell, measured in zip(cells[1:], claims, strict=False):
            values = re.findall(r"-?\d*\.\d\d\b", cell)
            assert [f"{measured[name]:.2f}".removeprefix("0") for name in names] == [
                value.removeprefix("0") for value in values
            ], row


def test_the_analyses_are_of_the_shipped_weights() -> None:
    settings = json.loads((ANALYSES / "settings.json").read_text())
    assert settings["model_digest"] == tl.load("nano").checkpoint.digest
    assert settings["world"] == WORLD_VERSION
    page = (ANALYSES / "report.html").read_text()
    for text in (settings["model_digest"], settings["held-out videos"]):
        assert text in page


def test_the_page_repeats_the_analyses() -> None:
    """Each row names a row of `report.csv` and gives its value and interval, to two digits."""
    table = pd.read_csv(ANALYSES / "report.csv").set_index(["analysis", "quantity"])
    text = PAGE.read_text()
    rows = re.findall(r"^\| .* \| (.*) \| `([^`:]+): ([^`:]+)` \|$", text, re.MULTILINE)
    assert len(rows) >= 8
    for numbers, analysis, quantity in rows:
        row = table.loc[(analysis, quantity)]
        value, low, high = (f"{row[name].round(2) + 0.0:.2f}" for name in ("value", "low", "high"))
        assert numbers == f"{value} [{low}, {high}]", quantity


def test_the_sentences_beside_the_analyses_hold() -> None:
    """What the page says in words of signs follows from intervals of `report.csv`."""
    table = pd.read_csv(ANALYSES / "report.csv").set_index(["analysis", "quantity"])

    def interval(analysis: str, quantity: str) -> tuple[float, float]:
        row = table.loc[(analysis, quantity)]
        return row["low"], row["high"]

    parts = "front_loading, multi-part"
    assert interval(parts, "lead in accuracy over tail, k=4")[0] > 0
    assert interval(parts, "lead in accuracy over random, k=4")[0] > 0
    for k in (4, 6):
        low, high = interval(parts, f"lead in accuracy over tome, k={k}")
        assert low < 0 < high
    for k in (5, 8):
        assert interval(parts, f"lead in accuracy over tome, k={k}")[0] > 0
    eight, all_tokens = (table.loc[(parts, f"accuracy, head, k={k}"), "value"] for k in (8, 16))
    assert all_tokens - eight < 0.01
    assert interval("attention", "decision on frames, random weights")[0] > 0.5
    assert interval("attention", "memory on frames, random weights")[0] > 0.5
    assert interval("attention", "decision on frames minus random")[1] < 0
    assert interval("attention", "memory on frames minus random")[1] < 0
    assert interval("attention", "decision on query minus random")[0] > 0
    assert interval("attention", "memory on query minus random")[0] > 0
    assert interval("attention", "memory on earlier memory minus random")[0] > 0
    assert interval("attention", "memory on evidence minus elsewhere")[1] < 0
    assert interval("attention", "decision on evidence minus elsewhere")[1] < 0
    alone = table.loc[("compare", FIRST_ALONE), "value"]
    assert f"({alone:.2f})" in PAGE.read_text()
    for pair in ("relevance, effect", "attention, effect"):
        low, high = interval("compare", f"rank correlation, {pair}")
        assert 0 < low < alone < high
    assert interval("compare", "rank correlation, relevance, attention")[0] > alone
    for pair in ("relevance, attention", "relevance, effect", "attention, effect"):
        assert table.loc[("compare", f"same first segment, {pair}"), "value"] > 0.9
    assert interval("prompt_sensitivity", "AUC, inverted")[0] > 0.5  # Yes still ranks the evidence


def test_figures_that_are_shown_are_there() -> None:
    for page in (PAGE, ROOT / "README.md"):
        for name in re.findall(r"\]\(([^):#]+)\)", page.read_text()):
            assert (page.parent / name).exists(), (page, name)
