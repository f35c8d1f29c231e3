"""The evaluation: its arithmetic, its plan, runs that go on where they stopped, its page."""

from __future__ import annotations

import json
import queue
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from typer.testing import CliRunner

import tempo_lab as tl
from tempo_lab.allocation.arms import (
    ALL,
    PRIOR,
    Arm,
    allocation_arms,
    ata,
    brief_arms,
    budgets,
    front_loading_arms,
    kept_lengths,
    quarter,
    strictness_arms,
)
from tempo_lab.allocation.ata import allocate
from tempo_lab.apps.cli import app
from tempo_lab.apps.reports.html import page
from tempo_lab.apps.reports.world import evaluate as evaluation
from tempo_lab.apps.reports.world import figures
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.statistics import (
    DIFFERENCE,
    SHARE,
    Estimate,
    auc,
    bootstrap_mean,
    reliability,
)
from tempo_lab.evaluation import runner
from tempo_lab.evaluation.arm_runner import ArmRunner, keys_of
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.store import Store
from tempo_lab.nano.claims import claims, plan, tables
from tempo_lab.nano.claims.plan import BEFORE, MAIN, Part, draw_jobs
from tempo_lab.nano.world.seeds import EVALUATION
from tempo_lab.session.scoring import answer_logprob
from tests.small_files import with_small_files

CLIP = Path(__file__).parents[2] / "data" / "clips" / "voyage.mp4"
SLOTS = 16


# Arithmetic


def test_auc_counts_ties_half() -> None:
    assert auc([0.9, 0.1, 0.2], [True, False, False]) == 1.0
    assert auc([0.1, 0.1, 0.2], [True, False, False]) == 0.25
    assert np.isnan(auc([0.1, 0.2], [True, True]))


def test_calibration_by_hand() -> None:
    found = reliability([0.1, 0.1, 0.9, 1.0], [False, True, True, True], bins=2)
    np.testing.assert_allclose(found.predicted, [0.1, 0.95])
    np.testing.assert_allclose(found.observed, [0.5, 1.0])
    assert found.count.tolist() == [2, 2]
    assert found.error == pytest.approx((2 * 0.4 + 2 * 0.05) / 4)
    assert reliability([0.5], [True], bins=2).count.tolist() == [0, 1]
    assert np.isnan(reliability([], []).error)


def test_the_bootstrap_of_independent_questions_is_the_normal_interval() -> None:
    values = np.arange(400) % 4 == 0
    found = bootstrap_mean(values, np.arange(400))
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert found.value == 0.25
    assert (found.n, found.videos) == (400, 400)
    assert (found.low, found.high) == pytest.approx((0.25 - half, 0.25 + half), abs=0.004)
    assert found == bootstrap_mean(values, np.arange(400))


def test_questions_of_one_video_are_drawn_together() -> None:
    values = np.repeat(np.arange(40) % 2, 10)
    apart = bootstrap_mean(values, np.arange(400))
    together = bootstrap_mean(values, np.repeat(np.arange(40), 10))
    width = (apart.high - apart.low, together.high - together.low)
    assert width[1] == pytest.approx(np.sqrt(10) * width[0], rel=0.1)


def test_nothing_and_a_single_video_have_no_interval() -> None:
    assert np.isnan(bootstrap_mean([], []).value)
    assert np.isnan(bootstrap_mean([np.nan], ["a"]).value)
    one = bootstrap_mean([0.0, 1.0, np.nan], ["a", "a", "b"])
    assert one.value == 0.5
    assert np.isnan(one.low)


# Arms


def test_rivals_share_evenly_and_keep_what_they_say() -> None:
    scores, options = [0.9, 0.1, 0.2], {"max_tokens": 8, "min_tokens": 1}
    tail = allocate(scores, 9, strategy="uniform-tail", **options)
    assert [tail.slots(i).tolist() for i in range(3)] == [[5, 6, 7]] * 3
    drawn = allocate(scores, 9, strategy="uniform-random", **options)
    assert [len(set(drawn.slots(i))) for i in range(3)] == [3, 3, 3]
    merged = allocate(scores, 9, strategy="uniform-tome", **options)
    assert merged.merged
    assert merged.tokens.tolist() == [3, 3, 3]


def test_arms_of_a_question_have_names_of_their_own() -> None:
    every = (*allocation_arms(budgets(SLOTS), budgets(SLOTS)), *strictness_arms(SLOTS))
    every += front_loading_arms(range(1, SLOTS + 1))
    assert len({arm.name for arm in every}) == len(every)
    assert set(brief_arms(SLOTS)) <= set(every)
    assert ata(SLOTS) in brief_arms(SLOTS)


def test_budgets_follow_the_model() -> None:
    """With the released K of 128 and minimum of 4, ATA at a budget of 4 would share evenly."""
    assert (budgets(16), budgets(128)) == ((2, 4, 8), (16, 32, 64))
    scores = np.linspace(0, 1, 32)
    for size in plan.SIZES:
        for part in plan.parts(size, 128):
            for arm in (*part.arms, *part.other_arms, *strictness_arms(128)):
                if arm.family.startswith("ATA"):
                    assert arm.budget is not None
                    shared = allocate(scores, 32 * arm.budget, strategy=arm.strategy, mode=arm.mode)
                    abstains = arm.strategy == "abstain"
                    assert abstains or len(set(shared.tokens.tolist())) > 2, arm


@pytest.mark.parametrize("slots", [1, 2, 6, 16, 24, 128])
def test_kept_lengths_hold_the_ends_and_a_quarter(slots: int) -> None:
    for every in (False, True):
        kept = kept_lengths(slots, every)
        assert {1, quarter(slots), slots} <= set(kept)
        assert list(kept) == sorted(set(kept))
        assert kept[-1] == slots
    assert kept == tuple(range(1, slots + 1))


# Plan


def small(segments: int = 2, videos: int = 2) -> Part:
    """A part that takes seconds."""
    sparse = Arm("sparse frames", "none", 8, sparse=True)
    arms = (*brief_arms(SLOTS), sparse)
    return Part(segments, videos, 1, 1, 0, arms, (ata(SLOTS),), loaded=1, strict=True)


@pytest.fixture
def tiny_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quick plan of one video."""
    monkeypatch.setattr(plan, "parts", lambda size, slots: (small(videos=1),))


def test_runs_and_lengths_share_no_video() -> None:
    runs = (0, 1, 9, 10, 11, EVALUATION.runs - 1)
    seeds = [job.seed for seed in runs for job in draw_jobs("full", seed, SLOTS)]
    assert len(set(seeds)) == len(seeds)
    for seed in runs:  # the control of a video is about the scene after it
        drawn = {job.seed + more for job in draw_jobs("full", seed, SLOTS) for more in (0, 1)}
        assert drawn <= set(EVALUATION.seeds(seed))
    for size in plan.SIZES:
        parts = plan.parts(size, SLOTS)
        assert max(part.videos for part in parts) < plan.SEEDS_A_LENGTH
        assert len(parts) * plan.SEEDS_A_LENGTH <= len(EVALUATION.seeds(0))


def test_a_video_is_always_asked_the_same(tiny_plan: None) -> None:
    one, other = draw_jobs("quick", 5, SLOTS), draw_jobs("quick", 5, SLOTS)
    assert [job.items for job in one] == [job.items for job in other]
    for job in one:
        texts = [item.question.text for item in job.items]
        assert len(set(texts)) == len(texts)
        keys = keys_of(job, (MAIN,))
        assert len(set(keys)) == len(keys)


def test_questions_of_several_parts_are_asked_under_all_arms() -> None:
    job = next(job for job in draw_jobs("quick", 5, SLOTS) if job.part.segments == 32)
    asked = [item.arms for item in job.items if item.question.kind == "multi"]
    assert len(asked) == 4
    assert all(arms == brief_arms(SLOTS) for arms in asked)
    assert not any(
        item.question.kind == "multi"
        for job in draw_jobs("quick", 5, SLOTS)
        if job.part.segments == 128
        for item in job.items
    )


def test_the_control_asks_about_something_else() -> None:
    jobs = [job for job in draw_jobs("quick", 1, SLOTS) if job.part.segments == 8]
    asked = [item for job in jobs for item in job.items if item.control is not None]
    assert asked
    assert all(item.control != item.question.text for item in asked)
    everything = [item for job in jobs for item in job.items]
    for item in everything:
        whole = len(item.question.evidence) in (0, 8)
        assert item.control is None or not whole


def test_a_plan_names_what_it_lacks() -> None:
    with pytest.raises(TempoLabError, match="no such evaluation"):
        draw_jobs("slow", 0, SLOTS)
    for seed in (-1, EVALUATION.runs):
        with pytest.raises(TempoLabError, match="no such seed"):
            draw_jobs("quick", seed, SLOTS)


# Rows on disk


def test_a_torn_line_is_dropped_and_the_rest_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, {"seed": 1})
    store.append([{"a": 1}, {"b": "ü\n\ud800"}])
    with open(store.path, "ab") as file:
        file.write(b'{"c": ')
    again = Store(tmp_path, {"seed": 1})
    again.append([{"d": 4}])
    rows = list(Store(tmp_path, {"seed": 1}))
    assert [sorted(row) for row in rows] == [["a"], ["b"], ["d"]]


@pytest.mark.parametrize("damage", ["number", "no json", "no text", "half", "no check", "list"])
def test_a_damaged_line_is_set_aside_and_the_rest_kept(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path, {"seed": 1})
    store.append([{"a": 1.5}, {"b": 2.5}, {"c": 3.5}])
    first, second, third, _ = store.path.read_bytes().split(b"\n")
    changed = {
        "number": second.replace(b"2.5", b"2.7"),
        "no json": second.replace(b"{", b"("),
        "no text": b"\xff\xfe" + second,
        "half": second[: len(second) // 2],
        "no check": b'{"b": 2.5}',
        "list": b"[2.5]",
    }[damage]
    store.path.write_bytes(b"\n".join([first, changed, third, b""]))
    with pytest.warns(TempoLabWarning, match="1 of 3 lines .* asked again"):
        again = Store(tmp_path, {"seed": 1})
    assert list(again) == [{"a": 1.5}, {"c": 3.5}]
    assert (tmp_path / "answers.damaged").read_bytes() == changed + b"\n"
    again.append([{"b": 2.5}])
    assert len(list(Store(tmp_path, {"seed": 1}))) == 3  # and without a warning


def test_a_disk_that_fills_up_is_named_and_what_was_written_stays(tmp_path: Path) -> None:
    code = """
from tempo_lab.evaluation.store import Store
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
store = Store(sys.argv[1], {})
try:
    for number in range(1000):
        store.append([{"number": number}])
except TempoLabError as error:
    print(error)
"""
    told = with_small_files(code, tmp_path)
    assert "answers of the evaluation cannot be written" in told
    assert "it goes on" in told
    rows = list(Store(tmp_path, {}))
    assert 10 < len(rows) < 1000
    assert rows == [{"number": number} for number in range(len(rows))]


def test_a_video_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    code = """
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.arm_runner import answer_video
from tempo_lab.nano.claims.plan import draw_jobs
try:
    answer_video(draw_jobs("quick", 0, 16)[0], {"main": None}, (), print)
except TempoLabError as error:
    print(error)
"""
    told = with_small_files(code, tmp_path)
    assert "the video could not be written" in told
    assert "TMPDIR" in told
    assert "File too large" in told


def test_another_run_in_the_folder_is_refused(tmp_path: Path) -> None:
    Store(tmp_path, {"seed": 1, "size": "quick"})
    with pytest.raises(TempoLabError, match="seed 1 instead of 2"):
        Store(tmp_path, {"seed": 2, "size": "quick"})
    (tmp_path / "file").write_text("")
    with pytest.raises(TempoLabError, match="cannot be written to"):
        Store(tmp_path / "file", {})


# The pipeline


def small_jobs() -> list[plan.Job]:
    """Two videos of two segments each; one or two tokens are kept for front-loading."""
    first = EVALUATION.seeds(0)[0]
    return [plan.Job(small(), n, first + n, 2, False) for n in range(2)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[dict]:
    """The rows of a small run that was never stopped."""
    return run(small_jobs(), {MAIN: "nano"}, Store(tmp_path_factory.mktemp("whole"), {}))


def test_every_arm_stays_within_its_budget(whole: list[dict]) -> None:
    arms = {row["arm"] for row in whole}
    assert {arm.name for arm in (*small().arms, *strictness_arms(2))} | {PRIOR} <= arms
    for row in whole:
        if row["arm"] == ALL.name:
            assert row["used"] == SLOTS * row["segments"]
        elif row["budget"] is not None:
            assert 0 < row["used"] <= row["budget"] * row["segments"]
            assert 0 <= row["score"] <= 1
    sparse = [row["used"] for row in whole if row["family"] == "sparse frames"]
    assert set(sparse) == {SLOTS}  # 8 tokens for each of two segments hold one segment


def test_prior_rows_hold_a_relevance_for_each_segment(whole: list[dict]) -> None:
    rows = [row for row in whole if row["arm"] == PRIOR]
    assert all(len(row["logit"]) == row["segments"] for row in rows)
    some = [row for row in rows if row.get("auc") is not None]
    assert some
    for row in some:
        flags = np.isin(np.arange(2), row["evidence"])
        assert row["auc"] == auc(row["logit"], flags)


class Stopped(BaseException):
    """Stands for the end of a process."""


def test_a_stopped_run_goes_on_and_repeats_nothing(
    whole: list[dict], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, written = Store.append, []

    def stop(store: Store, rows: list[dict]) -> None:
        if len(written) == 4:
            raise Stopped
        written.append(len(rows))
        append(store, rows)

    monkeypatch.setattr(Store, "append", stop)
    with pytest.raises(Stopped):
        run(small_jobs(), {MAIN: "nano"}, Store(tmp_path, {}))
    monkeypatch.setattr(Store, "append", append)
    before = list(Store(tmp_path, {}))
    assert len(before) == sum(written) < len(whole)
    asked, rows_of = [], ArmRunner.rows

    def note(desk, item, names):
        asked.extend((desk.job.video, item.number, name) for name in names)
        return rows_of(desk, item, names)

    monkeypatch.setattr(ArmRunner, "rows", note)
    assert run(small_jobs(), {MAIN: "nano"}, Store(tmp_path, {})) == whole
    stored = list(Store(tmp_path, {}))
    assert stored[: len(before)] == before
    assert len(stored) == len(whole)
    finished = {(row["video"], row["item"], row["arm"]) for row in before}
    assert asked
    assert not finished & set(asked)
    asked.clear()
    assert run(small_jobs(), {MAIN: "nano"}, Store(tmp_path, {})) == whole
    assert not asked


def test_worker_processes_answer_the_same(whole: list[dict], tmp_path: Path) -> None:
    job = small_jobs()[0]
    rows = run([job], {MAIN: "nano"}, Store(tmp_path, {}), workers=2)
    expected = [row for row in whole if row["video"] == job.video]
    for row, other in zip(rows, expected, strict=True):  # threads may differ: the last bits too
        assert row == {
            name: pytest.approx(value, abs=1e-4) if name == "logprob" else value
            for name, value in other.items()
        }


def test_a_worker_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner.signal, "signal", lambda *ignored: None)
    results: queue.Queue = queue.Queue()
    runner._work({MAIN: str(tmp_path / "no-such-model")}, queue.Queue(), results)
    assert "no-such-model" in str(results.get_nowait())


def test_what_the_model_says_is_as_probable_as_its_own_trace_says() -> None:
    tempo = tl.load("nano")
    with tempo.open(CLIP, progress=False) as session:
        for strategy in ("head", "tome"):
            trace = session.ask("What color is the star?", budget=40, strategy=strategy)
            assert trace.provenance["stopped"] == "end"
            found = answer_logprob(session, trace, trace.answer)
            np.testing.assert_allclose(found, trace.data["answer_logprob"], atol=1e-4)
        worse = answer_logprob(session, trace, f"{trace.answer} {trace.answer}")
        assert worse.sum() < found.sum()


# Claims


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


def test_rivals_of_a_kind_stand_beside_ata_on_the_questions_that_all_were_asked() -> None:
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


def test_front_loading_of_the_ablation_stands_beside_the_models_by_hand() -> None:
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
    """Clopper-Pearson of 10 of 10 and 0 of 10, from tables: [.692, 1] and [0, .308]."""
    videos = np.repeat(np.arange(5), 2)
    right = bootstrap_mean(np.ones(10), videos, bounds=SHARE)
    assert (right.low, right.high) == (pytest.approx(0.6915, abs=1e-4), 1)
    wrong = bootstrap_mean(np.zeros(10), videos, bounds=SHARE)
    assert (wrong.low, wrong.high) == (0, pytest.approx(0.3085, abs=1e-4))
    equal = bootstrap_mean(np.zeros(10), videos, bounds=DIFFERENCE)
    assert (equal.low, equal.high) == pytest.approx((-0.3085, 0.3085), abs=1e-4)
    same = bootstrap_mean(np.full(10, 0.125), videos, bounds=SHARE)  # no chance is in it
    assert (same.low, same.high) == (0.125, 0.125)
    some = bootstrap_mean([1.0, 0.0, 1.0], [0, 1, 2], bounds=SHARE)
    assert some == bootstrap_mean([1.0, 0.0, 1.0], [0, 1, 2])
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


# The page


def test_the_page_is_escaped_and_stands_alone(whole: list[dict], tmp_path: Path) -> None:
    wild = "<script>alert('x')</script>\x1b[31m"
    rows = [{**row, "said": wild, "question": wild} for row in whole]
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
    whole: list[dict], tmp_path: Path
) -> None:
    prior = [row for row in whole if row.get("auc") is not None]
    before = [{**row, "model": BEFORE} for row in prior]
    settings = {"model": "nano", "memory_tokens_a_segment": SLOTS, "seed": 7}
    evaluation.write_results(tmp_path, settings, [*whole, *before], ["plain"])
    text = (tmp_path / "report.html").read_text()
    assert f"The AUC is the same as after it for {len(prior)} of {len(prior)} questions." in text
    assert "no: the recipe of the embedded models was chosen by it" in text


def test_a_page_without_any_row_is_a_page() -> None:
    verdicts = claims.verdicts({}, SLOTS)
    text = page("nothing", {}, [], verdicts)
    assert text.count("not measured") == len(verdicts)


# The command


def test_the_command_measures_writes_and_goes_on(
    tiny_plan: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert refused.exit_code == 2
    assert "another evaluation is in this folder" in refused.stderr
