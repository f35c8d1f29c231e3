"""Folders of evaluations: read without writing, and what damage and a full disk leave of them."""

from __future__ import annotations

import json
import math
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.run_folder import EvaluationRun, locked, rescore
from tests.evaluation.made_runs import CONFIG, answer_row, write_run
from tests.small_files import with_small_files

ROWS = [
    answer_row(str(n), "B" if n % 2 else "A", arm=arm, video=f"{n % 3}.mp4")
    for n in range(6)
    for arm in ("head", "uniform")
]


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_stopped_run_opens_without_writing(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", ROWS[:7])
    with open(folder / "answers.jsonl", "ab") as file:
        file.write(b'{"video": "v.mp4", "item"')  # being written, or cut off by a kill
    before = content(folder)
    run = EvaluationRun.open(folder)
    assert content(folder) == before
    assert [row["item"] for row in run.rows if row["family"] == "head"] == ["0", "3", "1", "2"]
    found = {(one.arm, one.group, one.measure): one.value for one in run.summary}
    assert found["head", "all", "accuracy"] == 0.5
    assert found["uniform minus head", "all", "accuracy"] == 0
    assert repr(run) == f"EvaluationRun({str(folder)!r}, 7 rows, 0 failed, 0 skipped)"


def test_a_run_that_has_just_begun_opens_as_an_empty_one(tmp_path: Path) -> None:
    run = EvaluationRun.open(write_run(tmp_path / "run", []))
    assert run.rows == []
    assert [one.measure for one in run.summary] == ["skipped"]


def test_a_run_opens_while_another_process_writes_to_it(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", ROWS)
    code = """
import sys, time
from pathlib import Path
from tempo_lab.evaluation.run_folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code, folder], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(TempoLabError, match="another process is writing"):
            rescore(folder)
        assert not (folder / "summary.csv").exists()
        assert len(EvaluationRun.open(folder).rows) == len(ROWS)
        holder.kill()
    rescore(folder)


def test_a_damaged_line_in_the_middle_is_reported_and_only_a_writer_moves_it(
    tmp_path: Path,
) -> None:
    folder = write_run(tmp_path / "run", ROWS)
    path = folder / "answers.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    damaged = lines[4].replace(b'"said": "A"', b'"said": "B"')
    assert damaged != lines[4]
    path.write_bytes(b"".join([*lines[:4], damaged, *lines[5:]]))
    before = content(folder)
    with pytest.warns(TempoLabWarning, match="1 of 12 lines .* left out"):
        run = EvaluationRun.open(folder)
    assert content(folder) == before
    assert len(run.rows) == 11
    with pytest.warns(TempoLabWarning, match="1 of 12 lines .* asked again"):
        scored = rescore(folder)
    assert str(scored.summary) == str(run.summary)
    assert (folder / "answers.damaged").read_bytes() == damaged
    assert path.read_bytes() == b"".join([*lines[:4], *lines[5:]])


@pytest.mark.parametrize("length", [0, 1, 40])
def test_a_configuration_that_is_cut_off_is_named(tmp_path: Path, length: int) -> None:
    folder = write_run(tmp_path / "run", ROWS)
    path = folder / "config.json"
    path.write_bytes(path.read_bytes()[:length])
    before = content(folder)
    for use in (EvaluationRun.open, rescore, lambda path: write_run(path, [])):
        with pytest.raises(TempoLabError, match=r"are damaged[\s\S]*config.json[\s\S]*cut off"):
            use(folder)
    assert content(folder) == before


@pytest.mark.parametrize("config", [None, [], {"seed": 1}])
def test_what_is_no_evaluation_is_refused(tmp_path: Path, config: object) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    for use in (EvaluationRun.open, rescore):
        with pytest.raises(TempoLabError, match="not the folder of an evaluation"):
            use(tmp_path)
    with pytest.raises(TempoLabError, match="not the folder of an evaluation"):
        EvaluationRun.open(tmp_path / "absent")


RESCORE = """
from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.run_folder import rescore
try:
    rescore(sys.argv[1])
except TempoLabError as error:
    print("ours:", error)
"""


@pytest.mark.parametrize("file", ["summary", "samples"])
def test_a_disk_that_is_full_of_answers_keeps_them(tmp_path: Path, file: str) -> None:
    """Each file is larger than `with_small_files` allows: many groups, or texts without pattern."""
    large = {
        "summary": [answer_row(str(n), "B", categories={"kind": f"{n}"}) for n in range(500)],
        "samples": [answer_row(str(n), "B", prompt=secrets.token_hex(500)) for n in range(100)],
    }[file]
    folder = write_run(tmp_path / "run", ROWS)
    rescore(folder)
    write_run(folder, large)
    before = content(folder)
    said = with_small_files(RESCORE, folder)
    assert f"ours: the {file} of the evaluation cannot be written; the answers are kept" in said
    assert "free some space" in said
    after = content(folder)
    assert after.keys() == before.keys()  # no part of a file is left
    changed = {name for name in before if after[name] != before[name]}
    assert changed == ({"summary.csv"} if file == "samples" else set())
    run = EvaluationRun.open(folder)
    assert len(run.rows) == len({(row["item"], row["arm"], row["video"]) for row in ROWS + large})
    assert str(rescore(folder).summary) == str(run.summary)
    assert content(folder)["samples.parquet"] != before["samples.parquet"]


def test_a_folder_that_cannot_be_written_to_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TempoLabError, match="cannot be written to"), locked(tmp_path / "file"):
        pass


def test_a_question_that_was_asked_again_counts_once(tmp_path: Path) -> None:
    rows = [answer_row("1", None), answer_row("2", "B"), answer_row("1", "B")]
    run = EvaluationRun.open(write_run(tmp_path / "run", rows))
    assert [row.get("said") for row in run.rows] == ["B", "B"]
    assert run.failed == []


def test_open_scores_by_the_rules_of_a_dataset_where_it_is_given(tmp_path: Path) -> None:
    rules = {**CONFIG["rules"], "aggregate": "elsewhere:aggregate"}
    folder = write_run(tmp_path / "run", ROWS, rules=rules)
    with pytest.raises(TempoLabError, match="not part of Tempo Lab"):
        EvaluationRun.open(folder)
    from tempo_lab.evaluation.datasets.base import Dataset

    dataset = Dataset("mine", [], lambda row, frames=None, fps=None: row.question)
    found = {(one.arm, one.measure): one for one in EvaluationRun.open(folder, dataset).summary}
    assert found["head", "accuracy"].value == 0.5
    assert math.isfinite(found["head", "accuracy"].low)
