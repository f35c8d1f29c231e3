"""Subtitle files in four forms, and the choice of lines by time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.evaluation.datasets import (
    DatasetError,
    read_subtitles,
    subtitles_at_frames,
    subtitles_between,
)
from tests.evaluation.datasets.made_up import write_json

LINES = ((1.5, 4.0, "Hello there"), (3661.25, 3662.0, "a & b"))
SRT = """\ufeff1
00:00:01,500 --> 00:00:04,000
<font color="white" size=".72c">Hello</font>
<i>there</i>

2
01:01:01,250 --> 01:01:02,000
a & b

3
01:02:00,000 --> 01:02:01,000

"""
VTT = """WEBVTT - made up

NOTE 00:00:00.000 is the start
not a line

STYLE
::cue { color: red }

intro
00:01.500 --> 00:04.000 align:start position:10%
<v Ann>Hello
there

01:01:01.250 --> 01:01:02.000
a &amp; b
"""


@pytest.mark.parametrize(("name", "content"), [("a.srt", SRT), ("a.vtt", VTT)])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_srt_and_vtt(tmp_path: Path, name: str, content: str, newline: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.replace("\n", newline).encode())
    assert read_subtitles(path) == LINES


def test_srt_without_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\none\n2\n00:00:03,000 --> 00:00:04,000\ntwo\n"
    )
    assert read_subtitles(path) == ((1, 2, "one"), (3, 4, "two"))


def test_both_json_forms(tmp_path: Path) -> None:
    first = [
        {"timestamp": [11.5, 14.0], "text": "Hello\nthere"},
        {"timestamp": [20, None], "text": "x"},
    ]
    path = write_json(tmp_path / "a.json", first)
    assert read_subtitles(path, offset=10, duration=30) == (
        (1.5, 4, "Hello there"), (10, 30, "x"),
    )  # fmt: skip
    assert read_subtitles(path)[1] == (20, float("inf"), "x")
    second = [{"start": "00:00:01.500", "end": "00:00:04.000", "line": "Hello there"}]
    assert read_subtitles(write_json(tmp_path / "b.json", second)) == LINES[:1]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.srt", "1\n00:00:04,000 --> 00:00:01,000\nx\n", "line 2"),
        ("a.srt", "1\n00:00:04,000 --> soon\nx\n", "line 2"),
        ("a.srt", "1\n00:00:04,000 -->\nx\n", "line 2"),
        ("a.srt", "no subtitles", "no line with -->"),
        ("a.vtt", "", "no line with -->"),
        ("a.json", "{}", "must be a JSON list"),
        ("a.json", "[1]", "entry 1"),
        ("a.json", '[{"timestamp": [2, 1], "text": "x"}]', "field 'timestamp'"),
        ("a.json", '[{"timestamp": [2], "text": "x"}]', "field 'timestamp'"),
        ("a.json", '[{"start": "now", "end": "0:02", "line": "x"}]', "field 'start'"),
        ("a.json", '[{"start": "0:03", "end": "0:02", "line": "x"}]', "field 'end'"),
        ("a.json", '[{"start": "0:01", "end": "0:02", "line": 7}]', "must be text"),
        ("a.json", '[{"text": "x"}]', "field 'start'"),
        ("a.ass", "x", "use .srt, .vtt"),
    ],
)
def test_damaged_subtitles_are_refused(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError) as raised:
        read_subtitles(tmp_path / name)
    assert message in str(raised.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_subtitles(tmp_path / "missing.srt")
    (tmp_path / "a.srt").write_bytes(b"1\n\xff\xfe\n")
    with pytest.raises(DatasetError, match="line 2"):
        read_subtitles(tmp_path / "a.srt")


def test_lines_between_times_are_half_open() -> None:
    lines = ((0, 2, "a"), (2, 4, "b"), (4, 6, "c"))
    assert subtitles_between(lines, 2, 4) == lines[1:2]
    assert subtitles_between(lines, 1.9, 4.1) == lines
    assert subtitles_between(lines, 6, 9) == ()


def test_lines_at_sampled_frames_by_hand() -> None:
    lines = ((0, 1, "at 0 s"), (4.0, 4.5, "before 5 s"), (5.0, 5.1, "at 5 s"), (9.9, 11, "at 10 s"))
    # 101 frames at 10 per second, 3 sampled: frames 0, 50, 100
    shown = subtitles_at_frames(lines, frames=101, fps=10, samples=3)
    assert [text for _, _, text in shown] == ["at 0 s", "at 5 s", "at 10 s"]
    # a line that is shorter than a frame covers none
    assert subtitles_at_frames([(5.0, 5.05, "x")], 101, 10, 3) == ()
    with pytest.raises(DatasetError):
        subtitles_at_frames(lines, 0, 10)


times = st.tuples(st.floats(0, 30), st.floats(0, 5)).map(lambda t: (t[0], t[0] + t[1], "x"))


@given(st.lists(times, max_size=8), st.integers(1, 900), st.integers(1, 40))
def test_all_frames_sampled_show_each_line_of_some_frame(
    lines: list[tuple[float, float, str]], frames: int, samples: int
) -> None:
    shown = subtitles_at_frames(lines, frames, 30, samples)
    every = subtitles_at_frames(lines, frames, 30, frames)
    assert set(shown) <= set(every)
    for line in lines:
        covers = int(line[0] * 30) < min(int(line[1] * 30), frames)
        assert (line in every) == covers
