"""Claims and tables, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib import pyplot

from tempo_lab.allocation.arms import (
    PRIOR,
)
from tempo_lab.apps.reports.world import figures
from tempo_lab.common.statistics import (
    Estimate,
)
from tempo_lab.nano.claims import claims, tables
from tempo_lab.nano.claims.plan import BEFORE, MAIN
from tests.small_runs import SLOTS


def claim_rows() -> list[dict]:
    """Two videos of 32 segments with known answers under three arms, one at 64."""
    rows = []
    scores = {
        "ATA head 4": (1, 1, 1, 0),
        "uniform head 4": (0, 0, 1, 0),
        "all tokens": (1, 1, 0, 0),
    }
    for arm, values in scores.items():
        for number, score in enumerate(values):
            rows.append(
                {"video": f"v{number // 2}", "item": number, "segments": 32, "model": MAIN,
                 "kind": "color", "arm": arm, "family": arm.rstrip(" 4"), "budget": 4.0,
                 "score": float(score), "used": 80}
            )  # fmt: skip
    for number, value in enumerate((1.0, 0.5)):
        rows.append(
            {"video": f"v{number}", "item": number, "segments": 32, "model": MAIN,
             "kind": "color", "arm": PRIOR, "family": PRIOR, "auc": value}
        )  # fmt: skip
    return rows


def test_claims_by_hand() -> None:
    told = claims.as_json(claims.measure(tables.to_frame(claim_rows()), SLOTS))
    assert told["needle_32_ata"] == 0.75
    assert told["tokens_32_ata"] == 2.5
    assert told["auc_32"] == 0.75
    assert told["needle_32_uniform_head"] == 0.25
    # per video, ATA minus uniform head is 1 and 0
    assert (told["needle_32_uniform_head_low"], told["needle_32_uniform_head_high"]) == (0, 1)
    assert told["needle_32_all"] == 0.5
    assert told["auc_8"] is None
    assert told["needle_64_ata"] is None
    assert told["multi_32_ata"] is None


def test_relevance_before_compressor_training_is_a_claim_of_its_own() -> None:
    rows = claim_rows()
    rows += [{**row, "model": BEFORE, "auc": 0.25} for row in rows if row["arm"] == PRIOR]
    told = claims.measure(tables.to_frame(rows), SLOTS)
    assert (told["auc_32"].value, told["before_auc_32"].value) == (0.75, 0.25)
    assert "before_auc_32" not in claims.measure(tables.to_frame(claim_rows()), SLOTS)


def test_baselines_of_a_kind_are_compared_with_ata_on_the_questions_that_all_were_asked() -> None:
    rows = [{**row, "kind": "time"} for row in claim_rows() if row["arm"] != PRIOR]
    rows += [{**rows[0], "item": n, "score": 0.0} for n in (8, 9)]  # ATA alone answered these
    found = claims.measure(tables.to_frame(rows), SLOTS)
    assert found["time_32"].value == 0.5
    assert found["time_32_shared"].value == 0.75
    assert found["time_32_all"].value == 0.5
    assert found["time_32_ata_minus_uniform_head"].value == 0.5
    assert np.isnan(found["time_32_shuffled"].value)


def test_multi_part_claims_by_hand() -> None:
    rows = [{**row, "kind": "multi"} for row in claim_rows()]
    told = claims.as_json(claims.measure(tables.to_frame(rows), SLOTS))
    assert (told["multi_32_ata"], told["multi_32_uniform_head"], told["multi_32_all"]) == (
        0.75, 0.25, 0.5,
    )  # fmt: skip
    assert (told["multi_32_uniform_head_low"], told["multi_32_uniform_head_high"]) == (0, 1)
    assert told["multi_32_shuffled"] is None
    assert told["needle_32_ata"] is None


def test_front_loading_of_the_ablation_is_a_claim_of_its_own() -> None:
    rows = [
        {"video": "v", "item": 0, "segments": 8, "model": model, "kind": "multi", "arm": arm,
         "family": arm.rsplit(" ", 1)[0], "score": score, "used": 80}
        for model, scores in (("main", (0.8, 0.2)), ("plain", (0.3, 0.4)))
        for arm, score in zip(("first tokens 4", "last tokens 4"), scores, strict=True)
    ]  # fmt: skip
    told = claims.as_json(claims.measure(tables.to_frame(rows), SLOTS))
    assert (told["frontload_head"], told["frontload_tail"]) == (0.8, 0.2)
    assert (told["plain_frontload_head"], told["plain_frontload_tail"]) == (0.3, 0.4)
    assert told["plain_frontload_all"] is None


def test_claims_have_exactly_their_names() -> None:
    told = claims.as_json(claims.measure(tables.to_frame([]), SLOTS))
    assert list(told) == (
        "auc_8 auc_32 needle_32_ata tokens_32_ata needle_32_uniform_head"
        " needle_32_uniform_head_low needle_32_uniform_head_high needle_32_uniform_tome"
        " needle_32_uniform_tome_low needle_32_uniform_tome_high needle_32_oracle needle_32_all"
        " needle_64_ata needle_64_all needle_32_shuffled frontload_head frontload_tail"
        " frontload_random frontload_first frontload_all"
        " needle_128_ata multi_32_ata multi_32_uniform_head multi_32_uniform_head_low"
        " multi_32_uniform_head_high multi_32_uniform_tome multi_32_uniform_tome_low"
        " multi_32_uniform_tome_high multi_32_top_k multi_32_all multi_32_shuffled"
        " plain_frontload_head plain_frontload_tail plain_frontload_random"
        " plain_frontload_first plain_frontload_all"
    ).split() + [
        f"{kind}_32{end}"
        for kind in ("time", "order", "count", "absence", "place", "two_hop")
        for end in ("", "_shared", "_uniform_head", "_all", "_shuffled", "_oracle")
    ]
    assert set(told.values()) == {None}
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize(
    ("low", "high", "reached"),
    [(0.91, 0.95, "reached"), (0.89, 0.95, "open"), (0.8, 0.89, "not reached")],
)
def test_verdicts_follow_from_the_interval(low: float, high: float, reached: str) -> None:
    told = {"needle_32_ata": Estimate(0.93, low, high, 100, 20)}
    by_claim = {v.claim: v for v in claims.verdicts(told, SLOTS)}
    assert by_claim["needles, 32 segments, ATA head"].reached == reached
    assert by_claim["AUC of relevance, 8 segments"].reached == "no number"
    assert "not measured" in by_claim["AUC of relevance, 8 segments"].measured


def test_aims_that_are_upper_bounds_are_met_from_below() -> None:
    name = "needle_32_shuffled_minus_halfway"
    for low, high, reached in ((-0.2, -0.1, "reached"), (-0.1, 0.1, "open"), (0.1, 0.2, "not")):
        verdicts = claims.verdicts({name: Estimate(0, low, high, 9, 3)}, SLOTS)
        (found,) = [v for v in verdicts if "shuffled" in v.claim]
        assert found.reached.startswith(reached)
    found = claims.measure(tables.to_frame(claim_rows()), SLOTS)
    tokens = next(v for v in claims.verdicts(found, SLOTS) if "tokens used" in v.claim)
    assert (tokens.asked, tokens.reached) == ("at most 2.5 of a budget of 4", "reached")
    wide = next(v for v in claims.verdicts(found, 128) if "tokens used" in v.claim)
    assert wide.asked == "at most 20 of a budget of 32"


def test_a_score_at_its_ceiling_has_the_exact_binomial_interval() -> None:
    rows = [{**row, "score": 1.0} for row in claim_rows() if row["arm"] == "ATA head 4"]
    ata_alone = claims.measure(tables.to_frame(rows), SLOTS)["needle_32_ata"]
    assert ata_alone.low == pytest.approx(0.025**0.25)


def test_arms_are_compared_on_the_same_questions() -> None:
    rows = claim_rows()
    more = {**rows[0], "item": 99, "score": 0.0}  # ATA alone answered this one
    table = tables.allocation_table(tables.to_frame([*rows, more]))
    assert set(table["n"]) == {4}
    assert table.set_index("family").loc["ATA head", "score"] == 0.75


def test_each_phrasing_has_its_own_score() -> None:
    plain, again = "Where does the {} move?", "What is the direction of the {}?"
    asked = {plain: (1.0, 1.0, 0.0, 1.0), again: (0.0, 0.0), "Whither, star?": (1.0,)}
    rows = [
        {"video": f"v{n}", "segments": 8, "item": n, "kind": "motion", "model": "main"}
        | {"arm": "ATA head 4", "question": form.format("red star"), "score": score, "used": 30}
        for form, scores in asked.items()
        for n, score in enumerate(scores)
    ]
    rows += [{**row, "arm": "all tokens", "score": 1.0} for row in rows]
    table = tables.phrasing_table(tables.to_frame(rows), SLOTS)
    found = table.set_index("phrasing")[["kept_out", "score", "n"]]
    assert found.T.to_dict("list") == {plain: [False, 0.75, 4], again: [True, 0.0, 2]}
    figure, axes = figures.phrasings(table)
    assert [text.get_text() for text in axes[0].get_xticklabels()] == ["motion"]
    pyplot.close(figure)
