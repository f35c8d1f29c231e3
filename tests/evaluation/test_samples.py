"""`samples.parquet` holds all that is needed to score a run again."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.evaluation.answer_scoring import LETTERS, compat_letter
from tempo_lab.evaluation.run_folder import EvaluationRun, rescore
from tempo_lab.evaluation.samples import read_samples, write_samples
from tests.evaluation.made_runs import answer_row, prior_row, write_run

pytest.importorskip("pyarrow")

ANSWERS = [
    answer_row("1", "B", video="a.mp4", memory_mib=12.5, text_tokens=30),
    answer_row("1", "A", arm="uniform", video="a.mp4"),
    answer_row("2", "none of these", video="b.mp4", categories={"type": ["x", "y"]}),
    answer_row("3", None, video="b.mp4", categories={}),
    answer_row("4", "Red.", video="c.mp4", options=0, choices=None, truth="red", budget=None),
    answer_row("5", "B", video="c.mp4", truth=None, evidence=[[1.0, 2.5], [4.0, 4.0]]),
    answer_row("6", "B", video="ü\udcff\n.mp4", unheard={"of": [1, "x"]}, warnings=["dark"]),
]
SALIENCY = {"clip": 2.0, "scores": [[4.0, 0.0]] * 8}
PRIOR = [
    prior_row("1", [0.1, 1 / 3, -2.0, 1e-300]),
    prior_row("1", [0.1, 0.0, -2.0, 5.0], arm="blank question", prompt=""),
    prior_row("2", [0.1, 0.2, 0.3, 0.4], saliency=SALIENCY, evidence=[[0.0, 4.0], [9.0, 9.5]]),
    prior_row("3", [0.1, 0.2, 0.3, 0.4], evidence=None),
]


def test_pandas_reads_them_and_finds_the_same_accuracy(tmp_path: Path) -> None:
    run = rescore(write_run(tmp_path / "run", ANSWERS))
    table = pd.read_parquet(run.folder / "samples.parquet")
    assert len(table) == len(ANSWERS)
    head = table[(table["arm"] == "head 64") & table["said"].notna()]
    scored = head[head["answer_index"].notna()]
    right = [
        compat_letter(said, LETTERS[:count]) == LETTERS[int(index)]
        for said, count, index in zip(
            scored["said"], scored["options"], scored["answer_index"], strict=True
        )
    ]
    found = {(one.arm, one.budget, one.group, one.measure): one for one in run.summary}
    accuracy = found["head", 64, "all", "accuracy"]
    assert len(right) == accuracy.questions == 3
    assert np.mean(right) == pytest.approx(accuracy.value) == pytest.approx(2 / 3)
    assert head["answer"].iloc[0] == "blue"
    assert list(head["choices"].iloc[0]) == ["red", "blue", "green", "white"]
    assert head["prompt"].iloc[0].startswith("Which?")
    assert {name: list(each) for name, each in head["categories"].iloc[1]} == {"type": ["x", "y"]}
    assert table.loc[table["item"] == "4", "answer"].item() == "red"
    assert table.loc[table["item"] == "3", "failed"].item() == "the video is broken"


@pytest.mark.parametrize(
    ("rows", "config"), [(ANSWERS, {}), (PRIOR, {"kind": "prior", "budgets": [32]})]
)
def test_a_run_is_scored_again_from_its_samples_alone(
    tmp_path: Path, rows: list, config: dict
) -> None:
    folder = write_run(tmp_path / "run", rows, **config)
    whole = rescore(folder)
    table = (folder / "summary.csv").read_bytes()
    (folder / "answers.jsonl").unlink()
    (folder / "summary.csv").unlink()
    assert str(EvaluationRun.open(folder).summary) == str(whole.summary)
    assert str(rescore(folder).summary) == str(whole.summary)
    assert (folder / "summary.csv").read_bytes() == table


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write_samples(tmp_path, [*ANSWERS, *PRIOR])
    for row, back in zip([*ANSWERS, *PRIOR], read_samples(tmp_path), strict=True):
        expected = {name: value for name, value in row.items() if name != "categories"}
        if row["item"] == "6" and "unheard" in row:
            expected["video"] = "ü\\udcff\n.mp4"  # Parquet holds UTF-8 alone
        for name, value in expected.items():
            assert back.get(name) == value, name
        each = {name: [v] if isinstance(v, str) else v for name, v in row["categories"].items()}
        assert back["categories"] == each


def test_no_rows_give_a_table_without_rows(tmp_path: Path) -> None:
    write_samples(tmp_path, [])
    assert read_samples(tmp_path) == []
    assert "logit" in pd.read_parquet(tmp_path / "samples.parquet").columns


def test_without_pyarrow_the_run_says_so_once_and_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_run(tmp_path / "run", ANSWERS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)  # as if it were not installed
    with pytest.warns(TempoLabWarning, match=r"samples\.parquet was not written") as said:
        rescore(folder)
    assert len(said) == 1
    assert not (folder / "samples.parquet").exists()
    assert (folder / "summary.csv").exists()
    monkeypatch.undo()
    rescore(folder)
    (folder / "answers.jsonl").unlink()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TempoLabError, match="needs pyarrow"):
        EvaluationRun.open(folder)


def test_samples_that_are_cut_off_are_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", ANSWERS)
    rescore(folder)
    (folder / "answers.jsonl").unlink()
    path = folder / "samples.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TempoLabError, match="samples of the evaluation cannot be read"):
        EvaluationRun.open(folder)
