"""Evidence in every dataset that has some: reversed, missing, beyond the end, with hours."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tempo_lab.evaluation.datasets import Dataset, DatasetError, Row, load_dataset
from tempo_lab.evaluation.prior_measures import evidence_segments, measure_prior
from tests.evaluation.datasets import made_up
from tests.evaluation.datasets.made_up import write_json, write_lines

Write = Callable[[Path, Any, Any], Path]
"""Writes a dataset of two questions, of which the second has this evidence."""


def lvbench(folder: Path, start: Any, end: Any) -> Path:
    video = deepcopy(made_up.LVBENCH)
    video["qa"][1]["time_reference"] = f"{start}-{end}"
    return write_lines(folder / "video_info.meta.jsonl", [video])


def cgbench(folder: Path, start: Any, end: Any) -> Path:
    second = {**made_up.CGBENCH, "qid": 6, "clue_intervals": [[start, end]]}
    return write_json(folder / "cgbench_mini.json", [made_up.CGBENCH, second])


def qvhighlights(folder: Path, start: Any, end: Any) -> Path:
    second = {**made_up.QVHIGHLIGHTS, "qid": 1, "relevant_windows": [[start, end]]}
    return write_lines(folder / "highlight_val_release.jsonl", [made_up.QVHIGHLIGHTS, second])


def nextgqa(folder: Path, start: Any, end: Any) -> Path:
    (folder / "test.csv").write_text(made_up.NEXTGQA_CSV)
    grounding = deepcopy(made_up.NEXTGQA_JSON)
    grounding["490"]["location"]["3"] = [[start, end]]
    return write_json(folder / "gsub_test.json", grounding).parent


def rextime(folder: Path, start: Any, end: Any) -> Path:
    second = {**made_up.REXTIME_HUB, "qid": "b", "span": [start, end]}
    return write_json(folder / "rextime_val.json", [made_up.REXTIME_HUB, second])


def rextime_lines(folder: Path, start: Any, end: Any) -> Path:
    second = {**made_up.REXTIME_LINES, "qid": "b", "relevant_windows": [[start, end]]}
    return write_lines(folder / "rextime_val.jsonl", [made_up.REXTIME_LINES, second])


def charades(folder: Path, start: Any, end: Any) -> Path:
    path = folder / "charades_sta_test.txt"
    path.write_text(f"AO8RW 0.0 6.9##a person reads.\nXYZ {start} {end}##they sit down.\n")
    return path


def activitynet(folder: Path, start: Any, end: Any) -> Path:
    clips = deepcopy(made_up.ACTIVITYNET)
    clips["v_bXd"]["timestamps"][1] = [start, end]
    return write_json(folder / "val_1.json", clips)


def table(folder: Path, start: Any, end: Any) -> Path:
    (folder / "a.mp4").write_bytes(b"video")
    rows = [{"video": "a.mp4", "question": "Why?", "start": s, "end": e}
            for s, e in ((1, 2), (start, end))]  # fmt: skip
    return write_lines(folder / "mine.jsonl", rows)


WRITERS: dict[str, Write] = {
    write.__name__: write
    for write in (
        lvbench, cgbench, qvhighlights, nextgqa, rextime, rextime_lines, charades, activitynet,
        table,
    )
}  # fmt: skip
CLOCKS = ("lvbench", "table")
every = pytest.mark.parametrize("name", WRITERS)


def load(name: str, path: Path, **options: Any) -> Dataset:
    return load_dataset(name.removesuffix("_lines"), path, **options)


def second(dataset: Dataset) -> Row:
    return dataset.rows[1]


@every
def test_evidence_is_read(tmp_path: Path, name: str) -> None:
    if name == "lvbench":
        path = WRITERS[name](tmp_path, "0:03", "0:08.5")
    else:
        path = WRITERS[name](tmp_path, 3, 8.5)
    assert second(load(name, path)).evidence == ((3, 8.5),)


@pytest.mark.parametrize("name", CLOCKS)
def test_clock_times_have_hours(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path, "1:02:03", "01:02:09")
    assert second(load(name, path)).evidence == ((3723, 3729),)


@pytest.mark.parametrize(
    ("start", "end"),
    [(8.5, 3), (3, None), (None, 8.5), (3, "soon"), (3, float("nan")), (3, float("inf")), (-5, 3),
     (True, 3), (3, {})],
)  # fmt: skip
@every
def test_damaged_evidence_is_refused_or_skipped(
    tmp_path: Path, name: str, start: Any, end: Any
) -> None:
    if name == "lvbench" and (start, end) == (8.5, 3):
        start, end = "0:08", "0:03"
    path = WRITERS[name](tmp_path, start, end)
    if name == "table" and None in (start, end):
        named = "field 'end'" if end is None else "field 'start'"
    else:
        named = "field"
    with pytest.raises(DatasetError, match=named) as raised:
        load(name, path)
    assert "fix:" in str(raised.value)
    dataset = load(name, path, damaged="skip")
    assert (len(dataset), [one.reason for one in dataset.skipped]) == (1, ["damaged"])


@every
def test_evidence_beyond_the_end_stays_and_is_not_defined(tmp_path: Path, name: str) -> None:
    """The owners' files have spans that end after their videos do; a measure says so."""
    span = ("25:00", "26:00") if name == "lvbench" else (1500, 1560)
    row = second(load(name, WRITERS[name](tmp_path, *span)))
    assert row.evidence == ((1500, 1560),)
    start = np.arange(0, 12, 4.0)
    assert not evidence_segments(start, start + 4, row.evidence).any()
    assert np.isnan(measure_prior([1, 2, 3], start, start + 4, row.evidence)["auroc"])
    partly = evidence_segments(start, start + 4, ((9, 1560),))
    assert partly.tolist() == [False, False, True]


@pytest.mark.parametrize("name", ["cgbench", "qvhighlights", "rextime_lines"])
def test_no_spans_are_known_to_be_none(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path, 3, 8.5)
    path.write_text(path.read_text().replace(json.dumps([[3, 8.5]]), "[]"))
    assert second(load(name, path)).evidence == ()
