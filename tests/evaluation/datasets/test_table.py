"""Your own table in its formats, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tempo_lab.evaluation import datasets
from tempo_lab.evaluation.datasets import DatasetError, Row
from tests.evaluation.datasets.made_up import write_json, write_lines, write_videos

FULL = """video,question,answer,options,start,end,kind
a.mp4,"Which color, then?",B,red|blue,1,2.5,color
a.mp4,Which color?,red,"[""red"", ""dark|blue""]",0:01|1:00,0:02|1:02:03,color
b.mp4,What is it?,a star,,,,shape
b.mp4,Why?,,,,,
"""


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return write_videos(tmp_path / "clips", "a.mp4", "b.mp4")


def table(path: Path, content: str, **options: str) -> list[Row]:
    file = path / "mine.csv"
    file.write_text(content)
    return datasets.table(file, path / "clips", **options).rows


def test_all_columns_of_a_csv(tmp_path: Path, clips: Path) -> None:
    first, second, third, fourth = table(tmp_path, FULL)
    assert (first.id, first.video, first.question) == (
        "1",
        clips / "a.mp4",
        "Which color, then?",
    )
    assert (first.options, first.answer, first.evidence) == (("red", "blue"), 1, ((1, 2.5),))
    assert first.categories == {"kind": "color"}
    assert (second.options, second.answer) == (("red", "dark|blue"), 0)
    assert second.evidence == ((1, 2), (60, 3723))
    assert (third.options, third.answer, third.evidence) == (None, "a star", None)
    assert (fourth.answer, fourth.categories) == (None, {})


def test_the_formats_agree(tmp_path: Path, clips: Path) -> None:
    rows = [
        {"video": "a.mp4", "question": "Which?", "answer": "B", "options": ["red", "blue"],
         "start": [1.0], "end": [2.5], "kind": "color"},
        {"video": "b.mp4", "question": "What?", "answer": "a star"},
    ]  # fmt: skip
    as_lines = datasets.table(write_lines(tmp_path / "mine.jsonl", rows), clips)
    as_json = datasets.table(write_json(tmp_path / "mine.json", rows), clips)
    text = "video,question,answer,options,start,end,kind\na.mp4,Which?,B,red|blue,1,2.5,color\n"
    as_csv = table(tmp_path, text + "b.mp4,What?,a star,,,,\n")
    assert as_lines.rows == as_json.rows == as_csv
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    pd.DataFrame(rows).to_parquet(tmp_path / "mine.parquet")
    assert datasets.table(tmp_path / "mine.parquet", clips).rows == as_csv


def test_prompts_and_scores(tmp_path: Path, clips: Path) -> None:
    (tmp_path / "mine.csv").write_text(FULL)
    dataset = datasets.table(tmp_path / "mine.csv", videos=clips)
    assert dataset.prompt(dataset.rows[0]) == (
        "Which color, then?\nA. red\nB. blue\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert dataset.prompt(dataset.rows[2]) == "What is it?"
    scores = dataset.score(dataset.rows, ["B", "who?", "It is a star.", "no truth here"])
    assert [(s.group, round(s.value, 3), s.questions, s.unparsed) for s in scores] == [
        ("all", 0.667, 3, 1), ("kind=color", 0.5, 2, 1), ("kind=shape", 1, 1, 0),
    ]  # fmt: skip


def test_videos_are_next_to_the_table_by_default(tmp_path: Path) -> None:
    write_videos(tmp_path, "a.mp4")
    (tmp_path / "mine.csv").write_text("video,question\na.mp4,Why?\n")
    assert datasets.table(tmp_path / "mine.csv").rows[0].video == tmp_path / "a.mp4"


def test_a_byte_order_mark_quotes_and_line_ends_are_read(tmp_path: Path, clips: Path) -> None:
    text = '\ufeffvideo,question\r\na.mp4,"two\nlines, ""so"" \u2028 here"\r\n\r\nb.mp4,Why?\r\n'
    first, second, third = table(tmp_path, text + "a.mp4,not a\u2028line end\n")
    assert first.question == 'two\nlines, "so" \u2028 here'
    assert (second.id, third.id) == ("2", "3")
    assert third.question == "not a\u2028line end"


def test_a_missing_video_costs_its_own_rows(tmp_path: Path, clips: Path) -> None:
    (tmp_path / "mine.csv").write_text("video,question\na.mp4,Why?\nbb.mp4,Why?\na.mp4,How?\n")
    dataset = datasets.table(tmp_path / "mine.csv", clips)
    assert [row.id for row in dataset] == ["1", "3"]
    assert "a similar name: b.mp4" in dataset.skipped[0].message
    assert "line 3" in dataset.skipped[0].place


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("video,questoin\na.mp4,Why?\n", "columns are missing: question"),
        ("video,question,anwser\na.mp4,Why?,x\n", "did you mean 'answer'"),
        ("video,question,weather\na.mp4,Why?,x\n", "the column 'weather' is unknown"),
        ("video;question\na.mp4;Why?\n", "separate the columns by commas"),
        ("video,question,video\na.mp4,Why?,x\n", "twice: video"),
        ("video,question\n", "no row can be used"),
        ("", "columns are missing: video, question"),
        ("video,question\na.mp4,Why?,more\n", "line 2, field '(line)'"),
        ("video,question\na.mp4\n", "1 cells"),
        ('video,question\na.mp4,"cut off', "line 2"),
        ("video,question\na.mp4,\n", "line 2, field 'question'"),
        ("video,question,options\na.mp4,Why?,red\n", "at least two"),
        ("video,question,options,answer\na.mp4,Why?,red|blue,green\n", "fits 0 of red, blue"),
        ("video,question,options,answer\na.mp4,Why?,red|A,A\n", "fits 2 of red, A"),
        ("video,question,start\na.mp4,Why?,3\n", "line 2, field 'end'"),
        ("video,question,start,end\na.mp4,Why?,3,2\n", "ends before it begins"),
        ("video,question,start,end\na.mp4,Why?,1|2,3\n", "2 starts and 1 ends"),
        ("video,question,start,end\na.mp4,Why?,soon,3\n", "'soon'"),
        ("video,question,start,end\na.mp4,Why?,nan,3\n", "finite"),
        ("video,question,id\na.mp4,Why?,x\na.mp4,How?,x\n", "two rows have the same id"),
    ],
)
def test_what_is_refused_says_why(tmp_path: Path, clips: Path, content: str, message: str) -> None:
    with pytest.raises(DatasetError) as raised:
        table(tmp_path, content)
    text = str(raised.value)
    assert message in text
    assert "found:" in text
    assert "fix:" in text


def test_a_damaged_row_can_be_skipped_but_not_an_unknown_column(
    tmp_path: Path, clips: Path
) -> None:
    rows = table(tmp_path, "video,question\na.mp4,\na.mp4,Why?\n", damaged="skip")
    assert [row.id for row in rows] == ["2"]
    with pytest.raises(DatasetError, match="did you mean 'kind'"):
        table(tmp_path, "video,question,kinds\na.mp4,Why?,x\n", damaged="skip")
    with pytest.raises(DatasetError, match='damaged="refuse" or damaged="skip"'):
        table(tmp_path, FULL, damaged="ignore")


def test_an_unknown_field_of_json_lines_is_named(tmp_path: Path, clips: Path) -> None:
    path = write_lines(tmp_path / "mine.jsonl", [{"video": "a.mp4", "question": "?", "star": 1}])
    with pytest.raises(DatasetError, match="did you mean 'start'"):
        datasets.table(path, clips)


def test_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.xlsx").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"use one of \.jsonl, \.json, \.csv, \.parquet"):
        datasets.table(tmp_path / "mine.xlsx")


def test_a_missing_file_names_one_with_a_similar_name(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"(?s)no such regular file.*check the path"):
        datasets.table(tmp_path / "mine.csv")
    (tmp_path / "mine.csv").write_text("video,question\n")
    with pytest.raises(DatasetError, match=r"did you mean 'mine\.csv'"):
        datasets.table(tmp_path / "mien.csv")
    with pytest.raises(DatasetError, match=r"found: mine\.csv"):
        datasets.lvbench(tmp_path, tmp_path)
