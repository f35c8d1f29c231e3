"""Options of `tl.evaluate`: sampling, presets, circular scoring, the blind arm, own strategies."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tempo_lab as tl
from tempo_lab.allocation import Strategy
from tempo_lab.common.errors import StrategyError, TempoLabError, TempoLabWarning, VideoError
from tempo_lab.common.machine import reset_peak_memory
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.datasets.prompts import plain_prompt
from tempo_lab.evaluation.datasets.table import aggregate
from tempo_lab.evaluation.summary import measure_rows, rule_names
from tests import media

CLIPS = Path(__file__).parents[2] / "data" / "clips"
TABLE = """video,question,answer,kind
broken.mp4,What color is the star?,red,color
voyage.mp4,What color is the circle?,white,color
voyage.mp4,Is the star big or small?,small,size
"""


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Dataset:
    """Two questions about a whole video, and one about a broken one."""
    path = tmp_path_factory.mktemp("table")
    shutil.copy(CLIPS / "voyage.mp4", path)
    (path / "broken.mp4").write_bytes(b"no video")
    (path / "mine.csv").write_text(TABLE)
    return tl.datasets.table(path / "mine.csv")


@pytest.fixture(scope="module")
def whole(table) -> Dataset:
    """The questions about the whole video."""
    return Dataset("table", table.rows[1:], plain_prompt, aggregate=aggregate)


def by_arm(run) -> dict:
    return {(row["item"], row["arm"]): row for row in run.rows}


def measures(summary, group="all") -> dict:
    return {(one.arm, one.measure): one.value for one in summary if one.group == group}


# Sampling


def test_a_preset_samples_as_published_and_what_is_given_wins(nano, whole, tmp_path):
    options = {"preset": "paper-4k", "max_frames": 24, "max_new_tokens": 1, "limit": 1}
    run = tl.evaluate(nano, whole, arms=["head"], **options, out=tmp_path, progress=False)
    (row,) = run.rows
    assert (row["arm"], row["frames"], row["segments"]) == ("head 4096", 24, 3)
    expected = {"preset": "paper-4k", "fps": 2, "min_frames": 8, "max_frames": 24}
    stored = json.loads((tmp_path / "config.json").read_bytes())
    assert {name: stored[name] for name in expected} == expected
    assert (stored["max_new_tokens"], stored["circular"]) == (1, False)
    for other in ({"fps": 1}, {"max_new_tokens": 2}, {"preset": None}):
        with pytest.raises(TempoLabError, match="another evaluation is in this folder"):
            tl.evaluate(nano, whole, **{**options, **other}, out=tmp_path, progress=False)


def test_an_answer_is_as_long_and_dense_as_asked(nano, whole, tmp_path):
    with nano.open(CLIPS / "voyage.mp4", fps=0.5) as session:
        trace = session.ask("What color is the circle?", budget=24, max_new_tokens=1)
        facts = {name: int(trace.data.attrs[name]) for name in ("text_tokens", "context_left")}
        run = tl.evaluate(
            nano, whole, arms=["head"], budgets=[24], fps=0.5, max_new_tokens=1, limit=1,
            out=tmp_path, progress=False,
        )  # fmt: skip
        (row,) = run.rows
        assert (row["said"], row["frames"]) == (trace.answer, len(session.video.plan))
        assert {name: row[name] for name in facts} == facts
    assert row["seconds"] > 0
    assert (row["memory_mib"] is not None and row["memory_mib"] > 1) == reset_peak_memory()


def test_the_default_budget_follows_the_model(nano, whole, tmp_path):
    run = tl.evaluate(
        nano, whole, arms=["uniform"], max_frames=8, limit=1, out=tmp_path, progress=False
    )
    (row,) = run.rows
    assert row["budget"] == row["used"] == nano.slots // 2


def test_a_budget_that_limits_nothing_is_named(nano, whole, tmp_path):
    options = {"arms": ["head", "uniform"], "limit": 1, "max_frames": 16, "progress": False}
    tokens = 2 * nano.slots
    with pytest.warns(TempoLabWarning, match=f"budget of {tokens} .* limits nothing") as caught:
        tl.evaluate(nano, whole, budgets=[tokens - 1, tokens], **options, out=tmp_path)
    (idle,) = (one for one in caught if "limits nothing" in str(one.message))
    assert idle.filename == __file__
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options |= {"arms": ["head", "all"]}  # one arm is not compared with any
        tl.evaluate(nano, whole, budgets=[tokens], **options, out=tmp_path)
    assert not any("limits nothing" in str(one.message) for one in caught)


def other_world(folder: Path) -> Path:
    """A video that nano was not trained on, and a table with times after its end."""
    media.write_video(folder / "noise.mp4", frames=80, fps=10, size=(64, 64))
    path = folder / "mine.csv"
    path.write_text(
        "video,question,answer,start,end\n"
        "noise.mp4,What color is the star?,red,0,4\n"
        "noise.mp4,What color is the moon?,red,4,99\n"
    )
    return path


@pytest.mark.parametrize("prior_only", [False, True])
def test_warnings_about_videos_and_times_are_in_the_rows_and_said_once(nano, tmp_path, prior_only):
    table = tl.datasets.table(other_world(tmp_path))
    options = {} if prior_only else {"arms": ["head"], "budgets": [8]}
    with pytest.warns(TempoLabWarning, match=r"1 of 1 videos have warnings.*does not look") as all_:
        run = tl.evaluate(
            nano, table, prior_only=prior_only, out=tmp_path / "run", progress=False, **options
        )
    assert len([one for one in all_ if one.category is TempoLabWarning]) == 1
    for row in run.rows:
        texts = " ".join(row["warnings"])
        assert "noise.mp4 does not look like" in texts
        assert ("the evidence ends at 99 s, and the video at 8 s" in texts) == (row["item"] == "2")


def test_relevance_without_evidence_is_compared_with_nothing(nano, tmp_path):
    shutil.copy(CLIPS / "voyage.mp4", tmp_path / "a.mp4")
    (tmp_path / "mine.csv").write_text("video,question\na.mp4,What color is the star?\n")
    table = tl.datasets.table(tmp_path / "mine.csv")
    with pytest.warns(TempoLabWarning, match="columns start and end"):
        tl.evaluate(nano, table, prior_only=True, out=tmp_path / "run", progress=False)


@pytest.mark.parametrize("prior_only", [False, True])
def test_the_folder_of_an_older_version_continues(nano, whole, tmp_path, prior_only):
    options = {"limit": 1, "prior_only": prior_only, "out": tmp_path, "progress": False}
    if not prior_only:
        options |= {"arms": ["head"], "budgets": [24]}
    before = tl.evaluate(nano, whole, **options)
    path = tmp_path / "config.json"
    config = json.loads(path.read_bytes())
    for name in ("preset", "fps", "min_frames", "max_frames", "circular"):
        del config[name]
    if prior_only:
        config["budgets"] = [8192]  # the default of older versions
    path.write_text(json.dumps(config, indent=1))
    files = path.read_bytes(), (tmp_path / "answers.jsonl").read_bytes()
    after = tl.evaluate(nano, whole, **options)
    assert (path.read_bytes(), (tmp_path / "answers.jsonl").read_bytes()) == files
    assert after.rows == before.rows
    assert after.config == config
    with pytest.raises(TempoLabError, match="fps None instead of 1"):
        tl.evaluate(nano, whole, fps=1, **options)


# Blind


def test_the_blind_arm_needs_no_video(nano, table, tmp_path, monkeypatch):
    run = tl.evaluate(
        nano, table, arms=["head"], budgets=[24], blind=True, out=tmp_path / "both", progress=False
    )
    rows = by_arm(run)
    assert [row["arm"] for row in run.failed] == ["head 24"]  # of the broken video
    blind = rows["1", "blind"]
    assert (blind["used"], blind["frames"], blind["budget"]) == (0, 0, None)
    assert blind["text_tokens"] + blind["context_left"] == nano.config.context_length
    assert blind["text_tokens"] == nano.ask(CLIPS / "voyage.mp4", blind["question"]).data.attrs[
        "text_tokens"
    ]  # fmt: skip
    found = measures(run.summary)
    assert (found["blind", "failed"], found["blind", "tokens"]) == (0, 0)
    assert ("blind", "tokens_per_frame") not in found
    assert ("blind", "accuracy") in measures(run.summary, "kind=color")

    def open_nothing(*_, **__):
        raise VideoError("opened")

    monkeypatch.setattr(type(nano), "open", open_nothing)
    alone = tl.evaluate(nano, table, arms=["blind"], out=tmp_path / "alone", progress=False)
    said = {item: row["said"] for (item, arm), row in rows.items() if arm == "blind"}
    assert {row["item"]: row["said"] for row in alone.rows} == said


def test_a_question_that_the_llm_cannot_read_costs_its_blind_row(nano, whole, tmp_path):
    rows = [tl.datasets.Row("1", "none.mp4", "Is the zebra big?"), whole.rows[0]]
    run = tl.evaluate(
        nano, Dataset("table", rows, plain_prompt), arms=["blind"], out=tmp_path, progress=False
    )
    (failed,) = run.failed
    assert failed["item"] == "1"
    assert "zebra" in failed["failed"]
    assert len(run.rows) == 2


@pytest.mark.parametrize("listed", [True, False])
def test_a_prompt_with_subtitles_is_blind_to_the_video_only(tiny, frames_file, tmp_path, listed):
    """Which subtitles are in the prompt depends on the frames, so the video is opened for them."""
    lines = ((0.0, 1.0, "a red star"),)
    row = tl.datasets.Row("7", frames_file, "What?", None, "red", subtitles=lines)
    missing = replace(row, id="8", video=tmp_path / "missing.mp4")
    dataset = Dataset("table", [row, missing], plain_prompt, with_subtitles=listed)
    run = tl.evaluate(
        tiny, dataset, arms=["blind"], max_new_tokens=2, out=tmp_path / "run", progress=False
    )
    rows = {row["item"]: row for row in run.rows}
    assert rows["7"]["said"]
    assert rows["7"]["used"] == 0
    assert ("a red star" in rows["7"]["prompt"]) == listed
    assert ("failed" in rows["8"]) == listed


# Circular


def test_all_rotations_are_asked(tiny, frames_file, tmp_path):
    rows = [
        tl.datasets.Row("7", frames_file, "Which?", ("x", "y", "z"), 1),
        tl.datasets.Row("8", frames_file, "What?", None, "red"),
    ]
    dataset = Dataset("table", rows, plain_prompt, aggregate=aggregate)
    options = {"arms": ["uniform", "blind"], "budgets": [40], "max_new_tokens": 2}
    run = tl.evaluate(tiny, dataset, **options, circular=True, out=tmp_path, progress=False)
    items = {"7@0", "7@1", "7@2", "8"}
    assert by_arm(run).keys() == {(item, arm) for item in items for arm in ("uniform 40", "blind")}
    counts = {
        one.measure: one.questions
        for one in run.summary
        if one.arm == "blind" and one.group == "all"
    }
    assert (counts["accuracy"], counts["accuracy_circular"], counts["failed"]) == (2, 1, 4)
    assert run.config["circular"]
    with pytest.raises(TempoLabError, match="another evaluation"):
        tl.evaluate(tiny, dataset, **options, out=tmp_path, progress=False)
    free = Dataset("table", rows[1:], plain_prompt)
    with pytest.raises(TempoLabError, match="questions with options"):
        tl.evaluate(tiny, free, **options, circular=True, out=tmp_path / "free")


def test_a_question_is_right_only_if_all_its_rotations_are():
    """The answer is option B, then A, then C."""
    dataset = Dataset("table", [], plain_prompt, aggregate=aggregate)
    rows = [
        {
            "video": item, "item": f"{item}@{number}", "family": "head", "budget": 8,
            "truth": truth, "options": 3, "categories": {"kind": "k"}, "said": text, "used": 1,
            "frames": 1, "model": "model", "arm": "head 8",
        }
        for item, texts in {"q": "BAC", "r": "BAA", "s": "AAC"}.items()
        for number, (text, truth) in enumerate(zip(texts, (1, 0, 2), strict=True))
    ]  # fmt: skip
    config = {"kind": "answers", "rules": rule_names(dataset), "circular": True}
    for group in ("all", "kind=k"):
        found = measures(measure_rows(rows, config, dataset), group)
        assert found["head", "accuracy"] == pytest.approx(2 / 3)  # of the original order
        assert found["head", "accuracy_circular"] == pytest.approx(1 / 3)
        assert found["head", "accuracy_circular_strict"] == pytest.approx(1 / 3)
    plain = measures(measure_rows(rows, {**config, "circular": False}, dataset))
    assert plain["head", "accuracy"] == pytest.approx(7 / 9)
    assert not any("circular" in measure for _, measure in plain)


# Strategies


class First(Strategy):
    """Everything to the first segments."""

    def allocate(self, scores, budget, low, high, mode):
        tokens = np.diff(np.minimum(np.arange(len(scores) + 1) * high, budget))
        return tokens, tokens


class Broken(First):
    """Has a fault of its own."""

    def allocate(self, scores, budget, low, high, mode):
        raise ZeroDivisionError


class Greedy(First):
    """Takes more than the budget."""

    def allocate(self, scores, budget, low, high, mode):
        return super().allocate(scores, budget + 1, low, high, mode)


def test_a_strategy_is_an_arm(nano, whole, tmp_path):
    run = tl.evaluate(
        nano, whole, arms=[First(), "head"], budgets=[24], limit=1, out=tmp_path, progress=False
    )
    rows = by_arm(run)
    with nano.open(CLIPS / "voyage.mp4") as session:
        trace = session.ask("What color is the circle?", budget=24, strategy=First())
    assert rows["2", "First 24"]["said"] == trace.answer
    assert rows["2", "First 24"]["used"] == 24


@pytest.mark.parametrize(
    ("strategy", "error"), [(Broken(), ZeroDivisionError), (Greedy(), StrategyError)]
)
def test_a_fault_of_an_arm_ends_the_run_and_what_is_finished_stays(
    nano, whole, tmp_path, strategy, error
):
    with pytest.raises(error):
        tl.evaluate(
            nano, whole, arms=["head", strategy], budgets=[24], out=tmp_path, progress=False
        )
    run = tl.evaluate(nano, whole, arms=["head"], budgets=[24], out=tmp_path, progress=False)
    assert [row["arm"] for row in run.rows] == ["head 24"] * 2
    assert not run.failed


def test_options_of_answers_make_no_sense_for_the_prior(nano, whole, tmp_path):
    for option in ({"circular": True}, {"blind": True}, {"max_new_tokens": 4}):
        with pytest.raises(TempoLabError, match="no options of answers"):
            tl.evaluate(nano, whole, prior_only=True, **option, out=tmp_path)
    with pytest.raises(TempoLabError, match="max_new_tokens"):
        tl.evaluate(nano, whole, max_new_tokens=0, out=tmp_path)
    assert list(tmp_path.iterdir()) == []
