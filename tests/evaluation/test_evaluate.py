"""`tl.evaluate`: rows, measures, controls, and what kills and damage cost."""

from __future__ import annotations

import csv
import json
import math
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

import tempo_lab as tl
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.arms import find_arms
from tempo_lab.evaluation.measured import VARYING
from tempo_lab.evaluation.run_folder import locked, rescore
from tempo_lab.session import session as session_module
from tests.small_files import with_small_files

CLIPS = Path(__file__).parents[2] / "data" / "clips"
TABLE = """video,question,answer,start,end,kind
voyage.mp4,What color is the hourglass?,red,16,20,color
voyage.mp4,What color is the circle?,white,20,24,color
voyage.mp4,Is the star big or small?,small,32,36,size
voyage.mp4,Is the zebra big or small?,small,,,size
broken.mp4,What color is the star?,red,0,4,color
absent.mp4,What color is the star?,red,0,4,color
"""
SAME = ("video", "item", "arm", "said", "used", "logit", "truth")
"""Columns that do not depend on the clock."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A table, with a video that is whole, one that is broken and one that is missing."""
    path = tmp_path_factory.mktemp("table")
    shutil.copy(CLIPS / "voyage.mp4", path)
    (path / "broken.mp4").write_bytes(b"no video")
    (path / "mine.csv").write_text(TABLE)
    return path


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


ASKED = {"arms": ["head", "all", "shuffled", "oracle"], "budgets": [24, 48]}


@pytest.fixture(scope="module")
def answered(folder, nano, tmp_path_factory):
    """A run that was never disturbed."""
    table = tl.datasets.table(folder / "mine.csv")
    return tl.evaluate(nano, table, **ASKED, out=tmp_path_factory.mktemp("run"), progress=False)


def same(run) -> list[dict]:
    return [{name: row[name] for name in SAME if name in row} for row in run.rows]


def summary(run) -> str:
    """The summary without what depends on the clock; as text, because NaN is not equal to NaN."""
    return str([one for one in run.summary if one.measure not in VARYING])


def measures(run, group="all") -> dict:
    return {
        (one.arm, one.budget, one.measure): one for one in run.summary if one.group == group
    }  # fmt: skip


def test_rows_are_what_the_session_answers_and_failures_cost_their_own(answered, folder, nano):
    done = {(row["item"], row["arm"]): row for row in answered.rows if "failed" not in row}
    with nano.open(folder / "voyage.mp4") as session:
        trace = session.ask("What color is the circle?", budget=24, max_new_tokens=32)
        assert done["2", "head 24"]["said"] == trace.answer
        assert done["2", "head 24"]["used"] == trace.data.attrs["used"] <= 24
        assert done["2", "all"]["used"] == len(session) * nano.slots
        assert done["2", "all"]["frames"] == len(session.video.plan.indices)
    assert {item for item, _ in done} == {"1", "2", "3"}
    arms = {"head 24", "head 48", "all", "shuffled 24", "shuffled 48"}
    assert {arm for item, arm in done if item == "3"} == arms | {"oracle 24", "oracle 48"}
    failed = {(row["item"], row["arm"]): row["failed"] for row in answered.failed}
    assert {arm for item, arm in failed if item == "4"} == arms  # its evidence is not known
    assert all("zebra" in said for (item, _), said in failed.items() if item == "4")
    assert {arm for item, arm in failed if item == "5"} == arms | {"oracle 24", "oracle 48"}
    assert [one.reason for one in answered.skipped] == ["missing video"]


def test_the_summary_counts_and_measures(answered):
    found = measures(answered)
    right = [
        row["said"].strip(" .").lower() == row["truth"]
        for row in answered.rows
        if row["arm"] == "all" and "said" in row
    ]
    accuracy = found["all", None, "accuracy"]
    assert accuracy.value == pytest.approx(sum(right) / 3)
    assert (accuracy.questions, accuracy.videos) == (3, 1)
    assert math.isnan(accuracy.low)  # one video has no interval
    assert found["head", 24, "failed"].value == 2
    assert found["oracle", 48, "failed"].value == 1
    assert found["", None, "skipped"].value == 1
    assert found["head", 24, "tokens"].value <= 24
    assert measures(answered, "kind=size")["head", 48, "accuracy"].questions == 1
    with open(answered.folder / "summary.csv") as file:
        lines = list(csv.reader(file))
    columns = "arm budget group measure value low high questions videos".split()
    assert lines[0] == columns == list(answered.to_pandas().columns)
    assert len(lines) - 1 == len(answered.summary) == len(answered.to_pandas())
    assert ["head", "24", "all", "failed", "2", "", "", "5", "2"] in lines


def test_the_samples_are_all_that_is_needed_to_score_again(answered, nano, folder):
    samples = pd.read_parquet(answered.folder / "samples.parquet")
    assert len(samples) == len(answered.rows)
    alone = samples[(samples["arm"] == "all") & samples["said"].notna()]
    right = [
        said.strip(" .").lower() == truth
        for said, truth in zip(alone["said"], alone["answer"], strict=True)
    ]
    assert sum(right) / len(right) == measures(answered)["all", None, "accuracy"].value
    table = tl.datasets.table(folder / "mine.csv")
    asked = {row.id: table.prompt(row) for row in table}
    assert dict(zip(alone["item"], alone["prompt"], strict=True)) == {
        name: asked[name] for name in alone["item"]
    }
    assert (alone["seconds"] > 0).all()
    opened = tl.EvaluationRun.open(answered.folder)
    assert str(opened) == str(answered)
    assert str(opened.summary) == str(answered.summary)


def test_relevance_has_its_controls_and_needs_no_llm(folder, nano, tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "answer", None)  # no answer can be generated
    table = tl.datasets.table(folder / "mine.csv")
    run = tl.evaluate(
        nano, table, prior_only=True, budgets=[24], limit=3, out=tmp_path, progress=False
    )
    rows = {(row["item"], row["arm"]): row for row in run.rows}
    own, blank = rows["1", "prior"]["logit"], rows["1", "blank question"]["logit"]
    with nano.open(folder / "voyage.mp4") as session:
        scored = session.engine.score("What color is the hourglass?")
    assert own == scored.logit.astype(float).tolist()
    assert sorted(rows["1", "shuffled in time"]["logit"]) == sorted(own)
    assert rows["1", "shuffled in time"]["logit"] != own
    assert rows["1", "another question"]["logit"] == rows["2", "prior"]["logit"]
    assert rows["2", "blank question"]["logit"] == blank != own
    difference = rows["1", "prior - blank question"]["logit"]
    assert difference == pytest.approx([a - b for a, b in zip(own, blank, strict=True)])
    found = measures(run)
    assert found["prior", None, "auroc"].value == pytest.approx(1, abs=0.2)
    assert found["another question", None, "auroc"].value < found["prior", None, "auroc"].value
    assert 0 < found["prior", 24, "evidence_recall"].value <= 1
    assert run.config["kind"] == "prior"
    with pytest.raises(TempoLabError, match="another evaluation is in this folder"):
        tl.evaluate(nano, table, arms=["head"], out=tmp_path, progress=False)


def test_a_kill_a_damaged_line_and_a_changed_row_are_made_good(answered, folder, nano, tmp_path):
    code = """
import sys
import tempo_lab as tl
table = tl.datasets.table(sys.argv[1] + "/mine.csv")
tl.evaluate("nano", table, arms=["head", "all", "shuffled", "oracle"], budgets=[24, 48],
            out=sys.argv[2], progress=False)
"""
    path, last = tmp_path / "answers.jsonl", 0
    for _ in range(2):
        with subprocess.Popen([sys.executable, "-c", code, folder, tmp_path]) as process:
            while process.poll() is None and not (path.exists() and path.stat().st_size > last):
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
        last = path.stat().st_size
    before = path.read_bytes().split(b"\n")[:-1]
    assert 2 <= len(before) < len(answered.rows)
    path.write_bytes(b"\n".join([before[0][:-9], *before[1:], b""]))
    table = tl.datasets.table(folder / "mine.csv")
    with pytest.warns(TempoLabWarning, match="1 of .* lines .* asked again"):
        run = tl.evaluate(nano, table, **ASKED, out=tmp_path, progress=False)
    assert same(run) == same(answered)
    assert summary(run) == summary(answered)
    after = path.read_bytes().split(b"\n")
    assert after[: len(before) - 1] == before[1:]  # nothing that was finished was asked again
    assert (tmp_path / "answers.damaged").read_bytes() == before[0][:-9] + b"\n"
    table.rows[0] = tl.datasets.Row(**{**vars(table.rows[0]), "answer": "blue"})
    again = tl.evaluate(nano, table, arms=["all"], out=tmp_path, progress=False)
    (changed,) = [row for row in again.rows if (row["item"], row["arm"]) == ("1", "all")]
    assert changed["truth"] == "blue"


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path):
    code = """
import sys, time
from pathlib import Path
from tempo_lab.evaluation.run_folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TempoLabError, match="another process"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        pass


def test_a_full_disk_is_our_error_and_the_folder_stays_readable(answered, tmp_path):
    copy = shutil.copytree(answered.folder, tmp_path / "run")
    lines = (copy / "answers.jsonl").read_bytes().splitlines(keepends=True)
    (copy / "answers.jsonl").write_bytes(b"".join(lines[:5]))  # paths are long on some machines
    code = """
from tempo_lab.evaluation.run_folder import rescore, open_store, read_config
from tempo_lab.common.errors import TempoLabError
from pathlib import Path
folder = Path(sys.argv[1])
store = open_store(folder, read_config(folder))
row = next(iter(store))
try:
    for number in range(1000):
        store.append([{**row, "arm": f"extra {number}"}])
except TempoLabError as error:
    print("ours:", error)
"""
    assert "ours: answers of the evaluation cannot be written" in with_small_files(code, copy)
    run = rescore(copy)
    assert len(run.rows) > 5


def test_what_makes_no_sense_is_refused(folder, nano, tmp_path):
    table = tl.datasets.table(folder / "mine.csv")
    with pytest.raises(TempoLabError, match="must be a dataset"):
        tl.evaluate(nano, folder / "mine.csv", out=tmp_path)
    with pytest.raises(TempoLabError, match="has no arms"):
        tl.evaluate(nano, table, arms=["head"], prior_only=True, out=tmp_path)
    with pytest.raises(TempoLabError, match="limit"):
        tl.evaluate(nano, table, limit=0, out=tmp_path)
    with pytest.raises(TempoLabError, match="uniform"):
        find_arms(["unifrom"])
    with pytest.raises(TempoLabError, match="budget"):
        tl.evaluate(nano, table, budgets=[0], out=tmp_path)
    with pytest.raises(TempoLabError, match="not the folder of an evaluation"):
        rescore(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_options_of_the_tiny_checkpoint_are_scored_by_letter(tiny, frames_file, tmp_path):
    file = tmp_path / "options.jsonl"
    row = {"video": frames_file.name, "question": "Which?", "options": ["a", "b"], "answer": "B"}
    file.write_text(json.dumps(row))
    table = tl.datasets.table(file, videos=frames_file.parent)
    run = tl.evaluate(
        tiny, table, arms=["head", "sparse"], budgets=[40], out=tmp_path / "run", progress=False
    )
    found = measures(run)
    assert found["head", 40, "accuracy_strict"].value in (0, 1)
    assert found["head", 40, "unparsed_strict"].questions == 1
    (failed,) = run.failed  # an array of frames cannot be sampled again
    assert failed["family"] == "sparse"


def test_rescore_runs_no_code_that_a_configuration_names(answered, folder, tmp_path):
    out = shutil.copytree(answered.folder, tmp_path / "run")
    config = json.loads((out / "config.json").read_bytes())
    config["rules"]["aggregate"] = "os:getcwd"
    (out / "config.json").write_text(json.dumps(config))
    with pytest.raises(TempoLabError, match="not part of Tempo Lab"):
        rescore(out)
    run = rescore(out, tl.datasets.table(folder / "mine.csv"))
    assert summary(run) == summary(answered)
