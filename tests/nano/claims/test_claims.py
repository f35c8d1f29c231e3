"""Measures, claims and tables, by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib import pyplot

from tempo_lab.allocation.arms import CONTROLS, PRIOR, RIVALS, control_arms
from tempo_lab.apps.reports.world import figures
from tempo_lab.common.statistics import NOTHING, Estimate
from tempo_lab.nano.claims import claims, measures, tables
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
                 "kind": "color", "arm": arm, "family": arm.rstrip(" 4"),
                 "budget": None if arm == "all tokens" else 4.0, "score": float(score), "used": 80}
            )  # fmt: skip
    for number, value in enumerate((1.0, 0.5)):
        rows.append(
            {"video": f"v{number}", "item": number, "segments": 32, "model": MAIN,
             "kind": "color", "arm": PRIOR, "family": PRIOR, "auc": value}
        )  # fmt: skip
    return rows


def test_measures_by_hand() -> None:
    found = measures.measure(tables.to_frame(claim_rows()), SLOTS)
    assert found["needle_32_ata"].value == 0.75
    assert found["tokens_32_ata"].value == 2.5
    assert found["budget_share_32_ata"].value == 0.625
    assert found["auc_32"].value == 0.75
    assert found["needle_32_uniform_head"].value == 0.25
    lead = found["needle_32_ata_minus_uniform_head"]  # per video 1 and 0
    assert (lead.value, lead.low, lead.high, lead.n, lead.videos) == (0.5, 0, 1, 4, 2)
    assert found["needle_32_all"].value == 0.5
    for name in ("auc_8", "needle_64_ata", "multi_32_ata", "needle_32_shuffled"):
        assert np.isnan(found[name].value)


def test_relevance_before_compressor_training_is_a_measure_of_its_own() -> None:
    rows = claim_rows()
    rows += [{**row, "model": BEFORE, "auc": 0.25} for row in rows if row["arm"] == PRIOR]
    found = measures.measure(tables.to_frame(rows), SLOTS)
    assert (found["auc_32"].value, found["before_auc_32"].value) == (0.75, 0.25)
    assert "before_auc_32" not in measures.measure(tables.to_frame(claim_rows()), SLOTS)


@pytest.mark.parametrize(
    ("kind", "name"), [("multi", "multi"), ("time", "time"), ("most", "place")]
)
def test_each_group_has_its_own_measures(kind: str, name: str) -> None:
    rows = [{**row, "kind": kind} for row in claim_rows()]
    found = measures.measure(tables.to_frame(rows), SLOTS)
    assert found[f"{name}_32_ata"].value == 0.75
    assert found[f"{name}_32_ata_minus_uniform_head"].value == 0.5
    assert found[f"{name}_32_ata_minus_all"].value == 0.25
    assert np.isnan(found["needle_32_ata"].value)


def test_front_loading_of_the_ablation_is_a_measure_of_its_own() -> None:
    rows = [
        {"video": "v", "item": 0, "segments": 8, "model": model, "kind": "multi", "arm": arm,
         "family": arm.rsplit(" ", 1)[0], "score": score, "used": 80}
        for model, scores in (("main", (0.8, 0.2)), ("plain", (0.3, 0.4)))
        for arm, score in zip(("first tokens 4", "last tokens 4"), scores, strict=True)
    ]  # fmt: skip
    found = measures.measure(tables.to_frame(rows), SLOTS)
    assert (found["frontload_head"].value, found["frontload_tail"].value) == (0.8, 0.2)
    assert (found["plain_frontload_head"].value, found["plain_frontload_tail"].value) == (0.3, 0.4)
    assert np.isnan(found["plain_frontload_all"].value)


def noisy_rows() -> list[dict]:
    """The rows of `claim_rows`, and ATA and top-k with noise of 14."""
    rows = claim_rows()
    own = [row for row in rows if row["arm"] == "ATA head 4"]
    for family, scores in (("ATA, noise 14", (1, 0, 1, 0)), ("top-k, noise 14", (0, 0, 1, 0))):
        rows += [
            {**row, "family": family, "arm": f"{family} 4", "score": float(score), "auc": 0.6}
            for row, score in zip(own, scores, strict=True)
        ]
    return rows


def test_the_dose_response_by_hand() -> None:
    frame = tables.to_frame(noisy_rows())
    found = measures.measure(frame, SLOTS)
    assert found["noise_14_auc"].value == 0.6
    assert found["noise_14_ata"].value == 0.5
    assert found["noise_14_ata_lost"].value == 0.25
    assert found["noise_14_ata_minus_top_k"].value == 0.25
    assert found["noise_14_ata_minus_uniform_head"].value == 0.25
    assert np.isnan(found["noise_6_ata"].value)
    assert found["auc_32"].value == 0.75  # that of noisy relevance is not the model's
    table = tables.noise_table(frame, SLOTS).set_index(["noise", "family"])
    # without noise: only of questions that were asked with noise, here one
    assert table.loc[(0, "ATA"), ["auc", "score"]].tolist() == [1.0, 0.75]
    assert table.loc[(14, "ATA"), ["auc", "score"]].tolist() == [0.6, 0.5]
    assert table.loc[(14, "uniform head"), ["auc", "score"]].tolist() == [0.6, 0.25]
    assert not len(tables.noise_table(tables.to_frame(claim_rows()), SLOTS))


def test_controls_stand_beside_ata_with_their_paired_difference() -> None:
    table = tables.controls_table(tables.to_frame(noisy_rows()), SLOTS)
    assert table["family"].tolist() == ["ATA head", "all tokens", "uniform head"]
    assert table["role"].tolist() == ["", "all tokens", "control"]
    assert table["score"].tolist() == [0.75, 0.5, 0.25]
    assert table["ata_minus"].tolist()[1:] == [0.25, 0.5]
    assert table["n"].tolist() == [4, 4, 4]


# The registered claims


def test_every_claim_is_about_measures_and_has_one_threshold() -> None:
    measured = measures.measure(tables.to_frame([]), SLOTS)
    registered = claims.registered()
    assert len({claim.name for claim in registered}) == len(registered)
    for claim in registered:
        assert claim.statement
        assert claim.measure
        assert claim.control
        assert set(claim.estimates) <= set(measured), claim.name
        assert (claim.at_least is None) != (claim.at_most is None), claim.name


def test_every_group_of_questions_has_its_controls_and_rivals() -> None:
    """No claim about answers without all of them; the arms are those that the plan asks."""
    by_name = {claim.name: claim for claim in claims.registered()}
    short = {family: name for name, family in measures.ARMS.items()}
    for group in measures.GROUPS:
        for prefix, families in ((claims.ALLOCATION, CONTROLS), (claims.RIVALS, RIVALS)):
            expected = [f"{group}_32_ata_minus_{short[family]}" for family in families]
            assert list(by_name[prefix + group].estimates) == expected
    accuracies = [name for name in by_name if name.startswith("accuracy_")]
    assert accuracies
    for name in accuracies:
        assert name.split("_")[1] in measures.GROUPS
    asked = {arm.family for arm in control_arms(SLOTS)}
    assert asked == {*measures.ARMS.values(), "ATA head"}


def test_nothing_measured_is_no_verdict_and_valid_json() -> None:
    found = claims.verdicts(measures.measure(tables.to_frame([]), SLOTS))
    record = claims.as_json(found)
    assert list(record) == [claim.name for claim in claims.registered()]
    assert {each["verdict"] for each in record.values()} == {"not measured"}
    assert {each["value"] for each in record.values()} == {None}
    assert json.loads(json.dumps(record, allow_nan=False)) == record


def claim(*estimates: str, **threshold: float) -> claims.Claim:
    return claims.Claim("name", "It is so.", "accuracy", "none", estimates, **threshold)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(0.9, 0.95, "shown"), (0.89, 0.95, "undecided"), (0.8, 0.89, "refuted")],
)
def test_verdicts_follow_from_the_interval(low: float, high: float, verdict: str) -> None:
    estimate = Estimate(0.93, low, high, 100, 20)
    assert claim("a", at_least=0.9).verdict(estimate) == verdict
    turned = Estimate(-0.93, -high, -low, 100, 20)
    assert claim("a", at_most=-0.9).verdict(turned) == verdict
    assert claim("a", at_least=0.9).verdict(NOTHING) == "not measured"
    one_video = Estimate(0.95, np.nan, np.nan, 9, 1)
    assert claim("a", at_least=0.9).verdict(one_video) == "undecided"


def test_a_claim_is_as_good_as_its_weakest_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "registered", lambda: (claim("a", "b", at_least=0.05),))
    good, zero = Estimate(0.3, 0.2, 0.4, 50, 9), Estimate(0.0, -0.1, 0.1, 50, 9)
    worse = Estimate(-0.2, -0.3, -0.1, 50, 9)
    for other, verdict in ((good, "shown"), (zero, "undecided"), (worse, "refuted")):
        (found,) = claims.verdicts({"a": good, "b": other})
        assert found.verdict == verdict
        assert found.decided_by == ("a" if other is good else "b")
    (found,) = claims.verdicts({"a": zero, "b": worse})
    assert found.measured == "b: -0.200 [-0.300, -0.100] (n=50)"
    (found,) = claims.verdicts({"b": good})
    assert (found.verdict, found.measured) == ("not measured", "not measured")


def test_a_score_at_its_ceiling_has_the_exact_binomial_interval() -> None:
    rows = [{**row, "score": 1.0} for row in claim_rows() if row["arm"] == "ATA head 4"]
    ata_alone = measures.measure(tables.to_frame(rows), SLOTS)["needle_32_ata"]
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
