"""The shipped report is about the shipped weights, and the README repeats its numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import tempo_lab as tl
from tempo_lab.evaluation.claims import NAMES
from tempo_lab.evaluation.plan import MAIN
from tempo_lab.world.scenes import WORLD_VERSION

ROOT = Path(__file__).parents[1]
REPORT = ROOT / "data" / "nano_report"


@pytest.fixture(scope="module")
def claims() -> dict[str, float | None]:
    found: dict[str, float | None] = json.loads((REPORT / "claims.json").read_text())
    return found


def test_the_report_is_about_the_shipped_weights() -> None:
    settings = json.loads((REPORT / "settings.json").read_text())
    assert settings["models"][MAIN] == tl.load("nano").checkpoint.digest
    assert settings["world"] == WORLD_VERSION
    assert settings["size"] in ("quick", "full")


def test_the_report_has_every_claim(claims: dict[str, float | None]) -> None:
    assert tuple(claims) == NAMES
    assert all(value is not None for value in claims.values())


def test_the_readme_repeats_the_report(claims: dict[str, float | None]) -> None:
    """Every row of its table names claims and gives their values, to two digits."""
    rows = re.findall(r"^\|.*\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    told = [row for row in rows if any(f"`{name}`" in row for name in NAMES)]
    assert len(told) >= 10
    for row in told:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        names = re.findall(r"`(\w+)`", cells[-1])
        values = re.findall(r"-?\d*\.\d\d\b", cells[1])
        assert [f"{claims[name]:.2f}".removeprefix("0") for name in names] == [
            value.removeprefix("0") for value in values
        ], row


def test_figures_that_are_shown_are_there() -> None:
    for name in re.findall(r"\]\((data/[^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / name).exists(), name
