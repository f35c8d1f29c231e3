"""The shipped report is about the shipped weights, and `docs/reports.md` repeats its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

import tempo_lab as tl
from tempo_lab.apps.reports.analyses.findings import FIRST_ALONE
from tempo_lab.apps.reports.world.evaluate import read_rows
from tempo_lab.nano.claims.claims import as_json, digest, registered, verdicts
from tempo_lab.nano.claims.measures import as_table, measure
from tempo_lab.nano.claims.plan import MAIN, PLAIN
from tempo_lab.nano.claims.tables import to_frame
from tempo_lab.nano.world.scenes import WORLD_VERSION
from tempo_lab.nano.world.seeds import REPORTED
from tests.apps.reports.world_page import PAGE, REPORTS, page

ROOT = Path(__file__).parents[3]
ANALYSES = ROOT / "data" / "analysis_report"


@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.name)
def test_the_report_is_about_the_shipped_weights_and_the_registered_claims(folder: Path) -> None:
    settings = json.loads((folder / "settings.json").read_text())
    assert settings["models"][MAIN] == tl.load("nano").checkpoint.digest
    assert settings["models"][PLAIN] == tl.load("nano-plain").checkpoint.digest
    assert settings["world"] == WORLD_VERSION
    assert settings["size"] in ("quick", "full")
    assert settings["claims"] == digest()
    assert settings["seed"] in REPORTED
    assert folder.name == f"seed_{settings['seed']}"
    record = json.loads((folder / "claims.json").read_text())
    assert record["held_out"] is True
    assert list(record["claims"]) == [claim.name for claim in registered()]
    assert not [each for each in record["claims"].values() if each["verdict"] == "not measured"]


def test_every_reported_seed_is_shipped() -> None:
    assert [folder.name for folder in REPORTS] == [f"seed_{seed}" for seed in sorted(REPORTED)]


@pytest.mark.slow
@pytest.mark.parametrize("folder", REPORTS, ids=lambda folder: folder.name)
def test_the_claims_follow_from_the_shipped_rows(folder: Path) -> None:
    settings, rows = read_rows(folder)
    slots = settings["memory_tokens_a_segment"]
    assert len({row["video"] for row in rows}) == settings["videos"]
    measured = measure(to_frame(rows), slots)
    stored = json.loads((folder / "claims.json").read_text())["claims"]
    for name, claim in as_json(verdicts(measured)).items():
        assert claim["verdict"] == stored[name]["verdict"], name
        assert claim["value"] == pytest.approx(stored[name]["value"], abs=2e-4), name
    table = pd.read_csv(folder / "claims.csv", index_col="name")
    found = as_table(measured).set_index("name")
    pd.testing.assert_frame_equal(table, found, check_dtype=False, atol=1e-6)


def test_the_page_repeats_the_report() -> None:
    text = PAGE.read_text()
    assert text == page(text), "run python -m tests.apps.reports.world_page"


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
    for path in (PAGE, ROOT / "README.md"):
        for name in re.findall(r"\]\(([^):#]+)\)", path.read_text()):
            assert (path.parent / name).exists(), (path, name)
