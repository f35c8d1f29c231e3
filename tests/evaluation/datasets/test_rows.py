"""Rows check themselves; options and videos are found."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.evaluation.datasets.base import DATASETS, Dataset, register_dataset
from tempo_lab.evaluation.datasets.prompts import (
    lettered,
    plain_prompt,
    split_options,
    without_letter,
)
from tempo_lab.evaluation.datasets.rows import DatasetError, Row, Saliency
from tempo_lab.evaluation.datasets.videos import Videos
from tests.evaluation.datasets.made_up import write_videos

GOOD: dict[str, Any] = {"id": "1", "video": "a.mp4", "question": "Which?"}


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"question": " "},
        {"question": None},
        {"options": ("one",)},
        {"options": "red"},
        {"options": ("red", "")},
        {"options": ("red", "blue"), "answer": 2},
        {"options": ("red", "blue"), "answer": -1},
        {"options": ("red", "blue"), "answer": "red"},
        {"options": ("red", "blue"), "answer": True},
        {"answer": 0},
        {"answer": ""},
        {"evidence": ((2, 1),)},
        {"evidence": ((-1, 1),)},
        {"evidence": ((0, math.nan),)},
        {"evidence": (3,)},
        {"duration": 0},
        {"duration": math.inf},
    ],
)
def test_a_row_refuses_what_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(DatasetError):
        Row(**{**GOOD, **change})


def test_a_row_keeps_tuples_and_can_be_sent_to_a_worker() -> None:
    row = Row(**GOOD, options=["a", "b"], answer=1, evidence=[[1, 2]], categories={"kind": "x"})
    assert row.options == ("a", "b")
    assert row.evidence == ((1, 2),)
    assert pickle.loads(pickle.dumps(row)) == row


def test_saliency_is_a_table() -> None:
    assert Saliency(2, [[1, 2], [3, 4]]).scores == ((1, 2), (3, 4))  # type: ignore[arg-type]
    for scores in ((), ((),), ((1,), (1, 2))):
        with pytest.raises(DatasetError):
            Saliency(2, scores)


def test_rotations_need_options_and_an_answer() -> None:
    for row in (Row(**GOOD), Row(**GOOD, options=("a", "b"))):
        with pytest.raises(DatasetError, match="can be rotated"):
            row.rotations()


option = st.text("abc xyz()", min_size=1, max_size=8).filter(lambda text: text.strip() == text)


@given(st.lists(option, min_size=2, max_size=8), st.sampled_from(["({letter}) ", "{letter}. "]))
def test_options_are_found_again_in_the_question(options: list[str], form: str) -> None:
    text = "Which one?\nMind the gap.\n" + lettered(options, form + "{option}")
    assert split_options(text) == ("Which one?\nMind the gap.", tuple(options))


@pytest.mark.parametrize(
    "text", ["Which?", "Which?\n(A) x", "Which?\n(B) x\n(C) y", "(A) x\n(B) y z"]
)
def test_a_text_without_options_has_none(text: str) -> None:
    assert split_options(text) is None


def test_only_the_letter_of_its_place_is_removed() -> None:
    assert without_letter("C) green", 2) == "green"
    assert without_letter("A. Smith", 1) == "A. Smith"
    assert without_letter("A.", 0) == "A."


def test_videos_are_found_by_path_name_and_stem(tmp_path: Path) -> None:
    folder = write_videos(tmp_path, "a.mp4", "deep/er/b.webm", "deep/c.MP4", "x.txt", "x/a.mkv")
    videos = Videos(folder)
    assert videos.find("a") == folder / "a.mp4"
    assert videos.find("a.mp4") == folder / "a.mp4"
    assert videos.find("b") == videos.find("b.webm") == folder / "deep/er/b.webm"
    assert videos.find("b.mp4") == folder / "deep/er/b.webm"  # in another format
    assert videos.find("other/b") == folder / "deep/er/b.webm"
    assert videos.find("c") == folder / "deep/c.MP4"
    assert Videos(None).find("anything") == Path("anything")


@pytest.mark.parametrize("name", ["x", "missing", "../outside", "/etc/hostname"])
def test_other_files_are_no_videos(tmp_path: Path, name: str) -> None:
    write_videos(tmp_path, "outside.mp4", "videos/a.mp4", "videos/x.txt")
    with pytest.raises(DatasetError, match="missing"):
        Videos(tmp_path / "videos").find(name)


def test_a_dataset_of_your_own_can_be_registered() -> None:
    @register_dataset("mine")
    def mine(data: str, videos: str | None = None) -> Dataset:
        return Dataset("mine", [Row(id=data, video=Path("a"), question="?")], plain_prompt)

    try:
        assert DATASETS["mine"]("7", None).rows[0].id == "7"
    finally:
        del DATASETS["mine"]
