"""Tables of the front-loading study: intervals, seeds, order of facts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tempo_lab.nano.front_loading.table import arm_table, fact_table, recall_of, write_tables

SLOTS = 16
FACTS = ("color", "place", "size")
ASKED = {"color": 0.5, "place": 0.3, "size": 0.2}


def table_of(chances: dict[str, float], seed: int, segments: int = 150) -> pd.DataFrame:
    """Facts of which each condition has so large a share right; color early, size late."""
    rng = np.random.default_rng(seed)
    rows = []
    for segment in range(segments):
        luck = rng.normal(0, 0.1)
        for group in ("one word", "several parts"):
            for at, fact in enumerate(FACTS):
                row: dict[str, object] = {"segment": segment, "group": group, "fact": fact}
                for name, chance in chances.items():
                    late = 0.0 if name == "all" or not name.startswith("first") else 0.15 * (at - 1)
                    row[name] = int(rng.random() < chance - late + luck)
                rows.append(row)
    return pd.DataFrame(rows)


def chances(first: float, last: float) -> dict[str, float]:
    cuts = {f"{end}_{k}": {"first": first, "last": last, "random": 0.5}[end]
            for k in (1, 8) for end in ("first", "last", "random")}  # fmt: skip
    return {**cuts, "all": 0.8}


ARM = {"none": (0.4, 0.5), "prefix": (0.7, 0.4), "suffix": (0.3, 0.7), "random": (0.5, 0.5)}


@pytest.fixture(scope="module")
def runs() -> dict[tuple[str, int], pd.DataFrame]:
    """Three seeds of which the third has no random arm yet."""
    return {
        (arm, seed): table_of(chances(*ARM[arm]), 10 * seed + at)
        for seed in (1, 2, 3)
        for at, arm in enumerate(ARM)
        if (arm, seed) != ("random", 3)
    }


def row_of(table: pd.DataFrame, **wanted: object) -> pd.Series:
    chosen = table[np.logical_and.reduce([table[key] == value for key, value in wanted.items()])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_a_table_has_each_run_and_all_whole_seeds(runs: dict) -> None:
    table = arm_table(runs, SLOTS)
    assert len(table) == (len(runs) + len(ARM)) * 2 * 3
    assert recall_of(runs).seeds == [1, 2]
    row = row_of(table, arm="prefix", seed="all", questions="one word", tokens=1)
    each = [row_of(table, arm="prefix", seed=s, questions="one word", tokens=1) for s in (1, 2, 3)]
    assert row["first"] == pytest.approx((each[0]["first"] + each[1]["first"]) / 2)
    own = runs["prefix", 3].query("group == 'one word'")
    assert each[2]["first"] == pytest.approx(own["first_1"].mean())
    assert each[2]["facts"] == len(own)


def test_a_planted_lead_is_found_with_its_sign_and_none_where_there_is_none(runs: dict) -> None:
    table = arm_table(runs, SLOTS)
    for arm, (first, last) in ARM.items():
        for group in ("one word", "several parts"):
            row = row_of(table, arm=arm, seed="all", questions=group, tokens=8)
            low, high = row["first_minus_last_low"], row["first_minus_last_high"]
            assert low <= row["first_minus_last"] <= high
            assert low < first - last < high
            assert 0.02 < high - low < 0.2
            more = first - last - (ARM["none"][0] - ARM["none"][1])
            low, high = row["minus_none_low"], row["minus_none_high"]
            assert low < more < high or arm == "none"
            whole = row_of(table, arm=arm, seed="all", questions=group, tokens=16)
            assert whole["first_minus_last"] == whole["first_minus_last_high"] == 0
            assert whole["first"] == whole["last"] == whole["random"]
    none = table[table["arm"] == "none"]
    assert (none[["minus_none", "minus_none_low", "minus_none_high"]] == 0).all(axis=None)


def test_an_interval_is_wider_where_segments_or_seeds_differ() -> None:
    """Two seeds that disagree, of segments that do not, and segments that are all or nothing."""
    steady = {("none", s): table_of(chances(0.5, 0.5), s) for s in (1, 2)}
    apart = {("none", s): table_of(chances(0.3 * s, 0.5), s) for s in (1, 2)}

    def width(runs: dict) -> float:
        row = row_of(arm_table(runs, SLOTS), seed="all", questions="one word", tokens=1)
        return float(row["first_high"] - row["first_low"])

    assert width(apart) > 0.25 > 2 * width(steady)
    whole = {run: table.copy() for run, table in steady.items()}
    for table in whole.values():
        table["first_1"] = table["segment"] % 2  # all facts of a segment, or none
    assert width(whole) > 1.3 * width(steady)


def test_the_order_of_facts_and_how_it_follows_what_is_asked(runs: dict) -> None:
    table = fact_table(runs, SLOTS, ASKED)
    for seed in (1, 2, "all"):
        part = table[(table["arm"] == "prefix") & (table["seed"] == seed) & (table["tokens"] == 1)]
        assert part.sort_values("rank")["fact"].tolist() == ["color", "place", "size"]
        assert part["rank"].tolist() == [1, 2, 3]
    row = row_of(table, arm="prefix", seed=1, fact="size", tokens=8)
    own = runs["prefix", 1].query("fact == 'size'")
    assert row["last"] == pytest.approx(own["last_8"].mean())
    early = own[["first_1", "first_8"]].mean().mean() / own["all"].mean()
    assert row["early"] == pytest.approx(early)


def test_the_files_are_small_and_say_what_they_are_about(runs: dict, tmp_path: Path) -> None:
    table = write_tables(runs, SLOTS, ASKED, {"steps": 500}, tmp_path)
    written = pd.read_csv(tmp_path / "arms.csv")
    assert len(written) == len(table)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 300_000
    told = json.loads((tmp_path / "summary.json").read_text())
    assert told["steps"] == 500
    assert "The arms differ only in the cut" in told["base"]
    lead = told["first_minus_last"]["prefix"]["one word"]
    assert lead["interval"][0] < lead["value"] < lead["interval"][1]
    assert set(lead["seeds"]) == {"1", "2", "3"}
    order = told["order"]["prefix"]["all"]
    assert order == {"facts": ["color", "place", "size"], "correlation_with_asked": 1.0}


def test_one_run_alone_has_a_table_without_a_comparison() -> None:
    table = arm_table({("prefix", 1): table_of(chances(0.7, 0.4), 1)}, SLOTS)
    assert "minus_none" not in table
    assert set(table["seed"]) == {1, "all"}
