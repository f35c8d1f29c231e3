"""Writes the tables of `docs/reports.md` about the embedded model from its shipped reports.

python -m tests.apps.reports.world_page      # rewrites the page between its two marks
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from tempo_lab.nano.claims.claims import ALLOCATION, RIVALS, registered
from tempo_lab.nano.claims.measures import ARMS, GROUPS
from tempo_lab.nano.claims.tables import QUESTIONS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reports.md"
REPORTS = sorted((ROOT / "data" / "nano_report").glob("seed_*"))
"""Folders of the shipped reports; each has its seed in its name."""
BEGIN = (
    "<!-- Up to the next mark, `python -m tests.apps.reports.world_page` writes this page. -->\n"
)
END = "<!-- The end of the tables. -->\n"
OTHER = {
    "AUC of relevance, 8 / 32 segments": ("auc_8", "auc_32"),
    "the same for the question of another video (control)": ("auc_8_control", "auc_32_control"),
    "tokens per segment that ATA used of a budget of 4, needles, 32 segments": ("tokens_32_ata",),
    "needles, 64 segments: ATA / all tokens": ("needle_64_ata", "needle_64_all"),
    "needles, 128 segments: ATA / uniform head / top-k / shuffled scores / all tokens": (
        "needle_128_ata", "needle_128_uniform_head", "needle_128_top_k", "needle_128_shuffled",
        "needle_128_all",
    ),
    "several parts, 8 segments: first 4 / last 4 / random 4 / first 1 / all 16 tokens": (
        "frontload_head", "frontload_tail", "frontload_random", "frontload_first", "frontload_all",
    ),
    "the same for `nano-plain`, trained without truncated memory": (
        "plain_frontload_head", "plain_frontload_tail", "plain_frontload_random",
        "plain_frontload_first", "plain_frontload_all",
    ),
}  # fmt: skip
"""Rows of the last table: label, and names in `claims.csv`."""


def page(text: str) -> str:
    """Return the page with its tables written again.

    Args:
        text: of the page, with both marks.
    """
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def tables() -> str:
    """Return the tables between the marks."""
    seeds = [folder.name.removeprefix("seed_") for folder in REPORTS]
    measured = [pd.read_csv(folder / "claims.csv", index_col="name") for folder in REPORTS]
    claims = [json.loads((folder / "claims.json").read_text())["claims"] for folder in REPORTS]
    arms = ["ATA", *ARMS.values(), "allocation matters", "ATA as good as rivals"]
    columns = [f"seed {seed}" for seed in seeds]
    return "\n".join(
        (
            "Accuracy under every arm, 32 segments, a budget of 4 tokens per segment (all tokens:"
            " 16). The last two columns are verdicts:\n",
            _table(["questions", "seed", "n", *arms], _by_kind(seeds, measured, claims)),
            "Every registered claim; where it has several estimates, the weakest one:\n",
            _table(["claim", "in `claims.json`", "threshold", *columns], _verdicts(claims)),
            "Other measures:\n",
            _table(["", *columns, "in `claims.csv`"], _others(measured)),
        )
    )


def _by_kind(
    seeds: list[str], measured: list[pd.DataFrame], claims: list[dict[str, Any]]
) -> Iterator[list[str]]:
    for group, kind in GROUPS.items():
        for seed, values, verdicts in zip(seeds, measured, claims, strict=True):
            names = [f"{group}_32_ata", *(f"{group}_32_{arm}" for arm in ARMS)]
            yield [
                QUESTIONS[kind],
                seed,
                str(values.loc[names[0], "n"]),
                *(_number(values.loc[name, "value"]) for name in names),
                verdicts[ALLOCATION + group]["verdict"],
                verdicts[RIVALS + group]["verdict"],
            ]


def _verdicts(claims: list[dict[str, Any]]) -> Iterator[list[str]]:
    for claim in registered():
        yield [
            claim.statement.rstrip("."),
            f"`{claim.name}`",
            claim.threshold,
            *(_verdict(each[claim.name]) for each in claims),
        ]


def _verdict(claim: dict[str, Any]) -> str:
    value, low, high = (_number(claim[name]) for name in ("value", "low", "high"))
    numbers = f"{value} [{low}, {high}]"
    if len(claim["estimates"]) > 1 and "_minus_" in claim["decided_by"]:
        numbers = f"{ARMS[claim['decided_by'].split('_minus_')[1]]} {numbers}"
    return f"**{claim['verdict']}**: {numbers}"


def _others(measured: list[pd.DataFrame]) -> Iterator[list[str]]:
    for label, names in OTHER.items():
        cells = (
            " / ".join(_number(values.loc[name, "value"]) for name in names) for values in measured
        )
        yield [label, *cells, ", ".join(f"`{name}`" for name in names)]


def _number(value: float) -> str:
    """Two digits, as in .97, 1.00 and -.05."""
    text = f"{round(value, 2) + 0.0:.2f}"  # + 0.0: no minus before a zero
    return text.replace("0.", ".", 1) if abs(value) < 0.995 else text


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(columns)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
