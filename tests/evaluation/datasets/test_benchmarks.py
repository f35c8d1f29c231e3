"""Each benchmark: its format, its prompt word for word, its rule for scores."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tempo_lab.common.errors import SubtitleError
from tempo_lab.evaluation import datasets
from tempo_lab.evaluation.datasets import DATASETS, Dataset, DatasetError, Row, load_dataset
from tests.evaluation.datasets import made_up
from tests.evaluation.datasets.made_up import write_json, write_lines, write_videos

SRT = """1
00:00:00,000 --> 00:00:02,000
<font color="white" size=".72c">first line</font>

2
00:00:50,000 --> 00:00:52,000
between
"""


def write_all(folder: Path) -> dict[str, Path]:
    """The data of every benchmark that needs no Parquet, by name."""
    (folder / "nextgqa").mkdir()
    (folder / "nextgqa" / "test.csv").write_text(made_up.NEXTGQA_CSV)
    write_json(folder / "nextgqa" / "gsub_test.json", made_up.NEXTGQA_JSON)
    (folder / "charades_sta_test.txt").write_text(made_up.CHARADES)
    return {
        "lvbench": write_lines(folder / "video_info.meta.jsonl", [made_up.LVBENCH]),
        "videomme": write_lines(folder / "videomme.jsonl", [made_up.VIDEOMME]),
        "mlvu": write_json(folder / "mlvu" / "json" / "5_order.json", [made_up.MLVU]).parent.parent,
        "longvideobench": write_json(folder / "lvb_val.json", [made_up.LONGVIDEOBENCH]),
        "cgbench": write_json(folder / "cgbench_mini.json", [made_up.CGBENCH]),
        "qvhighlights": write_lines(folder / "highlight_val_release.jsonl", [made_up.QVHIGHLIGHTS]),
        "nextgqa": folder / "nextgqa",
        "rextime": write_lines(folder / "rextime_val.jsonl", [made_up.REXTIME_LINES]),
        "charades": folder / "charades_sta_test.txt",
        "activitynet": write_json(folder / "val_1.json", made_up.ACTIVITYNET),
    }


VIDEOS = (
    "abc123.mp4", "data/x1.mp4", "5_order/order_9.mp4", "v.mp4", "c1.mp4", "R_360.0_370.0.mp4",
    "1164/490.mp4", "v_hw.mkv", "AO8RW.mp4", "XYZ.mp4", "v_bXd.webm",
)  # fmt: skip


def test_every_dataset_loads_by_name_and_finds_its_videos(tmp_path: Path) -> None:
    data, videos = write_all(tmp_path), write_videos(tmp_path / "videos", *VIDEOS)
    assert {*data, "table"} == set(DATASETS)
    for name, path in data.items():
        dataset = load_dataset(name, path, videos)
        assert dataset.name == name
        assert dataset.citation
        assert dataset.skipped == []
        for row in dataset:
            assert row.video.is_file()
            assert row.question in dataset.prompt(row)


def test_importing_the_datasets_imports_no_torch() -> None:
    import subprocess

    code = "import sys, tempo_lab.evaluation.datasets, tempo_lab.evaluation.prior_measures; "
    code += "sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_unknown_datasets_and_options_are_named() -> None:
    with pytest.raises(DatasetError, match="did you mean 'lvbench'"):
        load_dataset("lvbenchh", "x")
    with pytest.raises(DatasetError, match="did you mean 'split'"):
        load_dataset("nextgqa", "x", splits="val")


# LVBench


def test_lvbench(tmp_path: Path) -> None:
    dataset = datasets.lvbench(write_lines(tmp_path / "a.meta.jsonl", [made_up.LVBENCH]))
    first, second = dataset.rows
    assert (first.id, first.video, first.answer) == ("abc123-17", Path("abc123"), 1)
    assert first.question == "What colour is the second car?"
    assert first.options == ("Red", "Blue", "Green", "White")
    assert first.evidence == ((724, 729),)
    assert second.evidence == ((3723, 3729),)
    assert dataset.max_new_tokens == 16
    assert dataset.prompt(first) == (
        "What colour is the second car?\n(A) Red\n(B) Blue\n(C) Green\n(D) White\n"
        "Answer the question with the option letter"
    )


def test_lvbench_counts_a_question_in_each_type_and_keeps_unparsed_answers(tmp_path: Path) -> None:
    dataset = datasets.lvbench(write_lines(tmp_path / "a.meta.jsonl", [made_up.LVBENCH]))
    scores = {(s.group, s.measure): s for s in dataset.score(dataset.rows, ["B", "who knows"])}
    assert scores["all", "accuracy"].value == 0.5
    assert scores["all", "accuracy"].unparsed == 1
    assert scores["all", "accuracy_of_parsed"].value == 1
    assert scores["question_type=entity recognition", "accuracy"].value == 0.5
    assert scores["question_type=key information retrieval", "accuracy"].questions == 1
    assert scores["type=tv", "accuracy"].questions == 2


@pytest.mark.parametrize(
    ("reference", "evidence"),
    [("0:07", ((7, 7),)), ("1:00 – 1:05", ((60, 65),)), ("", None), (None, None)],
)
def test_lvbench_time_references(tmp_path: Path, reference: Any, evidence: Any) -> None:
    video = deepcopy(made_up.LVBENCH)
    video["qa"][0]["time_reference"] = reference
    assert datasets.lvbench(write_lines(tmp_path / "a.jsonl", [video])).rows[0].evidence == evidence


def test_lvbench_with_a_row_for_each_question(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    row = {"video_path": "abc.mp4", "question": "Which?", "options": ["x", "y"], "answer": "A"}
    pd.DataFrame([row]).to_parquet(tmp_path / "test.parquet")
    dataset = datasets.lvbench(tmp_path)
    assert dataset.rows[0].evidence is None
    assert dataset.prompt(dataset.rows[0]) == (
        "Which?\n(A) x\n(B) y\nAnswer the question with the option letter"
    )


# Video-MME


def test_videomme_without_subtitles(tmp_path: Path) -> None:
    dataset = datasets.videomme(write_lines(tmp_path / "a.jsonl", [made_up.VIDEOMME]))
    (row,) = dataset.rows
    assert row.options == ("1.", "2.", "3.", "4.")
    assert dataset.prompt(row) == (
        "Select the best answer to the following multiple-choice question based on the video and "
        "the subtitles. Respond with only the letter (A, B, C, or D) of the correct option.\n"
        "How many moons are there?\nA. 1.\nB. 2.\nC. 3.\nD. 4.\n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert {score.group for score in dataset.score([row], ["B"])} == {
        "all", "duration=long", "domain=Knowledge", "sub_category=Astronomy",
        "task_type=Counting Problem",
    }  # fmt: skip


def test_videomme_with_subtitles(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [made_up.VIDEOMME])
    folder = tmp_path / "subtitle"
    folder.mkdir()
    with pytest.raises(DatasetError, match="no subtitle file is in this folder"):
        datasets.videomme(path, subtitles=folder)
    (folder / "other.srt").write_text(SRT)
    dataset = datasets.videomme(path, subtitles=folder)
    beginning = "This video's subtitles are listed below: \n{}\nSelect the best answer"
    assert dataset.prompt(dataset.rows[0]).startswith(beginning.format("No subtitles available"))
    (folder / "x1.srt").write_text(SRT)
    dataset = datasets.videomme(path, subtitles=folder)
    # 32 of 3,101 frames at 10 per second: one each 10 s, so the line from 50 to 52 s is shown at
    # frame 500 and the first one at frame 0
    text = dataset.prompt(dataset.rows[0], frames=3101, fps=10.0)
    assert text.startswith(beginning.format("first line\nbetween"))
    assert text.endswith("D. 4.\nThe best answer is:")
    # one frame each 40 s: none from 50 to 52 s
    assert "between" not in dataset.prompt(dataset.rows[0], frames=12401, fps=10.0)
    with pytest.raises(DatasetError, match="pass both"):
        dataset.prompt(dataset.rows[0])
    with pytest.raises(DatasetError, match="no such folder of subtitles"):
        datasets.videomme(path, subtitles=tmp_path / "missing")
    (folder / "x1.srt").write_text(SRT + "\n")
    changed = datasets.videomme(path, subtitles=folder).rows[0]
    assert changed != dataset.rows[0]
    (folder / "x1.srt").write_text(SRT + "\n\n")
    with pytest.raises(SubtitleError, match="changed since it was opened"):
        changed.read_subtitles()
    (folder / "x1.srt").write_text("1\n00:00:01,000 --> soon\nx\n")
    with pytest.raises(DatasetError, match=r"x1\.srt, line 2"):
        datasets.videomme(path, subtitles=folder)


def test_subtitles_in_a_prompt_are_those_of_a_session(
    tmp_path: Path, tiny: Any, frames_file: Path
) -> None:
    from tempo_lab.evaluation.datasets.subtitles import subtitle_columns

    path = write_lines(tmp_path / "a.jsonl", [made_up.VIDEOMME])
    (tmp_path / "x1.srt").write_text(SRT)
    dataset = datasets.videomme(path, subtitles=tmp_path)
    (row,) = dataset.rows
    with tiny.open(frames_file, progress=False) as session:
        info = session.video.info
        question = dataset.make_prompt(row)
        trace = session.ask(question, subtitles=row.read_subtitles(), budget=60, max_new_tokens=2)
        assert trace.question == dataset.prompt(row, info.frames, info.fps)
        assert subtitle_columns(dataset, row, session) == {
            "subtitle_lines": 1, "subtitle_tokens": trace.totals["subtitles"]
        }  # fmt: skip
        plain = datasets.videomme(path)
        assert subtitle_columns(plain, plain.rows[0], session) == {}
        none = Row(**{**vars(row), "subtitles": None})
        trace = session.ask(question, subtitles=(), budget=60, max_new_tokens=2)
        assert trace.question == dataset.prompt(none)
        assert "No subtitles available" in trace.question
        assert subtitle_columns(dataset, none, session) == {
            "subtitle_lines": 0, "subtitle_tokens": trace.totals["subtitles"]
        }  # fmt: skip


def test_parquet_is_read_through_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="pip install pyarrow"):
        datasets.videomme(tmp_path)


def test_videomme_as_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    pd.DataFrame([made_up.VIDEOMME]).to_parquet(tmp_path / "a.parquet")
    as_lines = datasets.videomme(write_lines(tmp_path / "b.jsonl", [made_up.VIDEOMME]))
    assert datasets.videomme(tmp_path / "a.parquet").rows == as_lines.rows
    content = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match="Parquet file cannot be read"):
        datasets.videomme(tmp_path / "a.parquet")


# MLVU


def test_mlvu_reads_all_tasks_and_averages_without_weights(tmp_path: Path) -> None:
    count = {**made_up.MLVU, "question_type": "count", "answer": "none", "video": "count_1.mp4"}
    open_ended = {
        "video": "s.mp4",
        "question": "Sum up.",
        "answer": "..",
        "question_type": "summary",
    }
    write_json(tmp_path / "json" / "5_order.json", [made_up.MLVU] * 3)
    write_json(tmp_path / "json" / "4_count.json", [count])
    write_json(tmp_path / "json" / "9_summary.json", [open_ended])
    dataset = datasets.mlvu(tmp_path)
    assert [row.id for row in dataset] == ["count-1", "order-1", "order-2", "order-3"]
    assert [row.answer for row in dataset] == [3, 1, 1, 1]
    assert dataset.prompt(dataset.rows[1]) == (
        "Arrange (1) and (2).\n(A) 1->2\n(B) 2->1\n(C) both\n(D) none\n"
        "Only give the best option.\nBest option: ("
    )
    average, micro, *tasks = dataset.score(dataset.rows, ["A", "B) 2->1", "B", "B"])
    assert (average.measure, average.value) == ("M-Avg", 0.5)
    assert micro.value == 0.75
    assert [score.group for score in tasks] == ["task=count", "task=order"]


def test_mlvu_with_options_inside_the_question(tmp_path: Path) -> None:
    row = {
        "video_name": "order_9.mp4", "question": "Which?\n(A) x\n(B) y\n(C) z\n(D) w",
        "answer": "C", "task_type": "order",
    }  # fmt: skip
    dataset = datasets.mlvu(write_json(tmp_path / "a.json", [row]))
    assert dataset.rows[0].options == ("x", "y", "z", "w")
    assert dataset.rows[0].answer == 2
    assert dataset.prompt(dataset.rows[0]).startswith("Which?\n(A) x\n(B) y\n(C) z\n(D) w\nOnly")


def test_an_answer_that_is_no_option_is_refused(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", [{**made_up.MLVU, "answer": "2 -> 1"}])
    with pytest.raises(DatasetError, match=r"entry 1, field 'answer'"):
        datasets.mlvu(path)


# LongVideoBench


def test_longvideobench(tmp_path: Path) -> None:
    subtitles = [
        {"timestamp": [10.5, 12.0], "text": "hello"},
        {"timestamp": [400.0, None], "text": "bye"},
    ]
    write_json(tmp_path / "subtitles" / "v.json", subtitles)
    path = write_json(tmp_path / "lvb_val.json", [made_up.LONGVIDEOBENCH])
    dataset = datasets.longvideobench(tmp_path, subtitles=tmp_path / "subtitles")
    (row,) = dataset.rows
    assert (row.answer, row.duration, dataset.max_new_tokens) == (2, 412.3, 32)
    assert row.read_subtitles() == ((0.5, 2, "hello"), (390, 412.3, "bye"))
    assert len(pickle.dumps(row)) < 2000  # the lines stay in the file
    plain = (
        "What is on the table?\nA. a cup\nB. a key\nC. a map\nD. a pen\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert dataset.prompt(row, frames=4123, fps=10.0) == (
        "This video's subtitles are listed below: \nbye\n" + plain
    )  # at 399 s; at 0 s nobody speaks
    (tmp_path / "subtitles" / "v.json").rename(tmp_path / "subtitles" / "w.json")
    without = datasets.longvideobench(tmp_path, subtitles=tmp_path / "subtitles")
    assert without.prompt(without.rows[0]).startswith(
        "This video's subtitles are listed below: \nNo subtitles available\nWhat is"
    )
    dataset = datasets.longvideobench(path)
    assert dataset.rows[0].subtitles is None
    assert dataset.prompt(row) == plain
    scores = {(s.group, s.measure): s.value for s in dataset.score([row, row], ["C. a map", "?"])}
    assert scores["all", "accuracy"] == 0.5
    assert scores["all", "accuracy_with_guesses"] == 0.625
    assert scores["duration_group=600", "accuracy"] == 0.5
    assert scores["question_category=T2O", "accuracy"] == 0.5


def test_longvideobench_with_option_columns(tmp_path: Path) -> None:
    row = {k: v for k, v in made_up.LONGVIDEOBENCH.items() if k != "candidates"}
    row |= {"option0": "a", "option1": "b", "option2": "c", "option3": "N/A", "option4": "N/A"}
    dataset = datasets.longvideobench(write_json(tmp_path / "lvb_val.json", [row]))
    assert dataset.rows[0].options == ("a", "b", "c")


def test_longvideobench_takes_the_first_letter(tmp_path: Path) -> None:
    dataset = datasets.longvideobench(
        write_json(tmp_path / "lvb_val.json", [made_up.LONGVIDEOBENCH])
    )
    assert dataset.judge(dataset.rows, ["The answer is C, not A."])[0].correct == 1
    assert dataset.judge(dataset.rows, ["not A but C"])[0].letter == "A"


# Evidence


def test_cgbench(tmp_path: Path) -> None:
    (row,) = datasets.cgbench(write_json(tmp_path / "cgbench_mini.json", [made_up.CGBENCH])).rows
    assert (row.id, row.answer) == ("5", 1)
    assert row.evidence == ((30, 34), (61.5, 70))


def test_qvhighlights(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "highlight_val_release.jsonl", [made_up.QVHIGHLIGHTS])
    (row,) = datasets.qvhighlights(path).rows
    assert row.evidence == ((2, 6),)
    assert row.answer is None
    assert row.saliency is not None
    assert row.saliency.clip == 2
    assert row.saliency.scores == ((0, 0, 0), (4, 4, 2), (0, 1, 3), (0, 0, 0), (0, 0, 0))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"relevant_clip_ids": [1, 5]}, "relevant_clip_ids"),
        ({"relevant_clip_ids": [1]}, "saliency_scores"),
        ({"saliency_scores": [[4, 4], [0, 1]]}, "saliency_scores"),
        ({"saliency_scores": [[4, 4, 5], [0, 1, 0]]}, "saliency_scores"),
        ({"relevant_windows": [[6, 2]]}, "relevant_windows"),
        ({"relevant_windows": [[6]]}, "relevant_windows"),
        ({"relevant_windows": None}, "relevant_windows"),
        ({"query": " "}, "query"),
        ({"duration": "long"}, "duration"),
    ],
)
def test_a_damaged_field_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    rows = [made_up.QVHIGHLIGHTS, {**made_up.QVHIGHLIGHTS, "qid": 1, **change}]
    path = write_lines(tmp_path / "a.jsonl", rows)
    with pytest.raises(DatasetError) as raised:
        datasets.qvhighlights(path)
    assert f"{path}, line 2, field '{field}'" in str(raised.value)
    assert "damaged=" in str(raised.value)
    dataset = datasets.qvhighlights(path, damaged="skip")
    assert [row.id for row in dataset] == ["7803"]
    assert [(skipped.reason, "line 2" in skipped.place) for skipped in dataset.skipped] == [
        ("damaged", True)
    ]


def test_nextgqa(tmp_path: Path) -> None:
    folder = write_all(tmp_path)["nextgqa"]
    grounded, other = datasets.nextgqa(folder).rows
    assert (grounded.id, grounded.answer, grounded.duration) == ("490-2", 2, 32)
    assert grounded.options is not None
    assert grounded.options[1] == "rest, a while"
    assert grounded.evidence == ((0, 4.5), (9, 11.5))  # -0.2 counts as 0
    assert other.evidence is None
    with pytest.raises(DatasetError, match=r"val\.csv"):
        datasets.nextgqa(folder, split="val")


def test_rextime_in_both_forms(tmp_path: Path) -> None:
    (row,) = datasets.rextime(write_lines(tmp_path / "a.jsonl", [made_up.REXTIME_LINES])).rows
    assert (row.options, row.answer, row.evidence) == (None, None, ((0, 18),))
    (row,) = datasets.rextime(write_lines(tmp_path / "b.jsonl", [made_up.REXTIME_HUB])).rows
    assert (row.answer, row.evidence) == (2, ((0, 18),))


def test_charades(tmp_path: Path) -> None:
    path = tmp_path / "charades_sta_test.txt"
    path.write_text(made_up.CHARADES)
    first, second = datasets.charades(path).rows
    assert (first.id, first.evidence) == ("AO8RW-1", ((0, 6.9),))
    assert second.question == "they sit down."
    for line in ("AO8RW 0.0##x", "AO8RW 0.0 6.9 x", "AO8RW 6.9 0.0##x", "AO8RW 0 six##x"):
        path.write_text(f"{made_up.CHARADES}{line}\n")
        with pytest.raises(DatasetError, match="line 3"):
            datasets.charades(path)


def test_activitynet(tmp_path: Path) -> None:
    path = write_json(tmp_path / "val_1.json", made_up.ACTIVITYNET)
    first, second = datasets.activitynet(tmp_path).rows
    assert (first.id, first.evidence) == ("v_bXd-0", ((0.83, 19.86),))
    assert second.question == "She stands up."
    broken = deepcopy(made_up.ACTIVITYNET)
    broken["v_bXd"]["timestamps"][1] = [60.81, 17.37]
    write_json(path, broken)
    with pytest.raises(DatasetError, match="v_bXd, sentence 2, field 'timestamps'"):
        datasets.activitynet(path)
    assert len(datasets.activitynet(path, damaged="skip")) == 1


# Damage


Damage = Callable[[bytes], bytes]


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"table", "nextgqa", "mlvu"}))
def test_a_truncated_file_is_refused(tmp_path: Path, name: str) -> None:
    path = write_all(tmp_path)[name]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 20])
    with pytest.raises(DatasetError) as raised:
        load_dataset(name, path)
    assert str(path) in str(raised.value)
    assert "fix:" in str(raised.value)


def test_a_cut_off_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(made_up.QVHIGHLIGHTS) + '\n{"qid": 3, "query": "A')
    with pytest.raises(DatasetError, match=r"a\.jsonl, line 2"):
        datasets.qvhighlights(path)
    assert len(datasets.qvhighlights(path, damaged="skip")) == 1


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"[1, 2]", b'{"qid": 1}', b"nothing", b"[[[" * 50_000]
)
def test_other_content_is_refused(tmp_path: Path, content: bytes) -> None:
    for name in sorted(set(DATASETS) - {"nextgqa"}):
        for suffix in (".jsonl", ".json", ".csv", ".txt"):
            path = tmp_path / f"a{suffix}"
            path.write_bytes(content)
            with pytest.raises(DatasetError):
                load_dataset(name, path)


def test_a_missing_file_and_a_folder_without_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"video_info\.meta\.jsonl"):
        datasets.lvbench(tmp_path / "missing")
    (tmp_path / "readme.txt").write_text("x")
    with pytest.raises(DatasetError, match=r"readme\.txt"):
        datasets.lvbench(tmp_path)


def test_a_missing_video_costs_its_own_rows(tmp_path: Path) -> None:
    other = {**made_up.QVHIGHLIGHTS, "qid": 1, "vid": "other"}
    path = write_lines(tmp_path / "a.jsonl", [made_up.QVHIGHLIGHTS, other])
    videos = write_videos(tmp_path / "videos", "R_360.0_370.0.mp4")
    dataset = datasets.qvhighlights(path, videos)
    assert [row.id for row in dataset] == ["7803"]
    (skipped,) = dataset.skipped
    assert skipped.reason == "missing video"
    assert "line 2" in skipped.place
    assert "other" in skipped.message
    with pytest.raises(DatasetError, match="no row can be used"):
        datasets.qvhighlights(path, write_videos(tmp_path / "none", "x.mp4"))
    with pytest.raises(DatasetError, match="no such folder"):
        datasets.qvhighlights(path, tmp_path / "missing")


def test_two_videos_of_one_name_are_not_guessed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [made_up.QVHIGHLIGHTS])
    videos = write_videos(tmp_path / "v", "a/R_360.0_370.0.mp4", "b/R_360.0_370.0.mp4")
    with pytest.raises(DatasetError, match="2 videos have this name"):
        datasets.qvhighlights(path, videos)


def test_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [made_up.QVHIGHLIGHTS] * 2)
    with pytest.raises(DatasetError, match="two rows have the same id"):
        datasets.qvhighlights(path)


def test_a_released_rule_and_a_strict_one(tmp_path: Path) -> None:
    dataset = datasets.lvbench(write_lines(tmp_path / "a.meta.jsonl", [made_up.LVBENCH]))
    answers = ["A person is blue", "D"]
    assert [one.letter for one in dataset.judge(dataset.rows, answers)] == ["A", "D"]
    assert [one.letter for one in dataset.judge(dataset.rows, answers, "strict")] == [None, "D"]
    with pytest.raises(DatasetError, match="did you mean 'strict'"):
        dataset.judge(dataset.rows, answers, "stricter")  # type: ignore[arg-type]
    with pytest.raises(DatasetError, match="1 answers"):
        dataset.judge(dataset.rows, ["A"])


def test_rotations_score_in_circles(tmp_path: Path) -> None:
    from tempo_lab.evaluation.answer_scoring import circular

    dataset: Dataset = datasets.lvbench(write_lines(tmp_path / "a.meta.jsonl", [made_up.LVBENCH]))
    rows = [rotation for row in dataset for rotation in row.rotations()]
    assert dataset.prompt(rows[0]) == dataset.prompt(dataset.rows[0])
    assert "(A) Blue\n(B) Green\n(C) White\n(D) Red" in dataset.prompt(rows[1])
    right = ["ABCD"[int(row.answer or 0)] for row in rows]
    assert dataset.aggregate(circular(dataset.judge(rows, right)))[0].value == 1
    always = circular(dataset.judge(rows, ["A"] * len(rows)))
    assert dataset.aggregate(always)[0].value == 0
