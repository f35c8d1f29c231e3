"""A table that is reordered or shortened between two runs: an answer stays with its question."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tempo_lab as tl
from tempo_lab.common.errors import TempoLabWarning

CLIPS = Path(__file__).parents[2] / "data" / "clips"
QUESTIONS = (
    ("What color is the hourglass?", "red"),
    ("What color is the circle?", "white"),
    ("Is the star big or small?", "small"),
)


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(CLIPS / "voyage.mp4", tmp_path)
    return tmp_path


def ask(nano: tl.Tempo, folder: Path, order: list[int], ids: bool = False) -> dict[str, dict]:
    """Write a table with questions in this order, ask them, and return the rows by question."""
    rows = [
        f"voyage.mp4,{question},{answer}" + f",{number}" * ids
        for number, (question, answer) in enumerate(QUESTIONS)
    ]
    header = "video,question,answer" + ",id" * ids
    (folder / "mine.csv").write_text("\n".join([header, *(rows[number] for number in order)]))
    table = tl.datasets.table(folder / "mine.csv")
    run = tl.evaluate(nano, table, arms=["head"], budgets=[24], out=folder / "run", progress=False)
    by_id = {row["item"]: row for row in run.rows}
    for row in table.rows:  # the answer in the run's folder is to this row's question
        assert by_id[row.id]["question"] == row.question
        assert by_id[row.id]["truth"] == row.answer
    return {by_id[row.id]["question"]: by_id[row.id] for row in table.rows}


def said(rows: dict[str, dict]) -> dict[str, str]:
    return {question: row["said"] for question, row in rows.items()}


@pytest.mark.parametrize("order", [[2, 0, 1], [0, 2], [1, 2], [2]])
def test_row_numbers_move_no_answer_to_another_question(nano, folder, order):
    first = said(ask(nano, folder, [0, 1, 2]))
    assert len(set(first.values())) > 1  # so that an answer to another question is seen
    with pytest.warns(TempoLabWarning, match="have another id or other words"):
        later = said(ask(nano, folder, order))
    assert later == {QUESTIONS[n][0]: first[QUESTIONS[n][0]] for n in order}
    # each question counts once; one that the table has no longer keeps its answer
    asked = [row["question"] for row in tl.EvaluationRun.open(folder / "run").rows]
    assert len(asked) == len(set(asked))
    assert {QUESTIONS[n][0] for n in order} <= set(asked)


def test_with_ids_nothing_is_asked_again(nano, folder):
    first = ask(nano, folder, [0, 1, 2], ids=True)
    later = ask(nano, folder, [2, 0], ids=True)
    assert all(later[question] == first[question] for question in later)  # with its seconds
