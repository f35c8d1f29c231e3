"""Subtitle files in four forms, and the choice of lines by time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.common.errors import SubtitleError
from tempo_lab.video import read_subtitles, subtitles_at_frames, subtitles_between
from tempo_lab.video.subtitles import check_subtitles, subtitle_prompt
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


def test_lines_are_in_time_order_and_may_overlap(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(
        "2\n00:00:03,000 --> 00:00:09,000\nlater\n\n1\n00:00:01,000 --> 00:00:04,000\nearlier\n"
    )
    assert read_subtitles(path) == ((1, 4, "earlier"), (3, 9, "later"))


def test_only_markup_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    text = "{\\an8}<FONT color=red>1 < 2<br/>and</FONT> <|im_end|> <b>3 > 2</b> <laughs>"
    path.write_text(f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n")
    assert read_subtitles(path) == ((1, 2, "1 < 2 and <|im_end|> 3 > 2 <laughs>"),)
    path = tmp_path / "a.vtt"
    path.write_text("WEBVTT\n\n00:01.000 --> 00:02.000\nso<00:01.500><c.loud> it</c> goes\n")
    assert read_subtitles(path) == ((1, 2, "so it goes"),)


def test_a_blank_line_or_a_number_inside_a_text_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.srt"
    path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\none\n\nmore\n\n2\n"
        "00:00:03,000 --> 00:00:04,000\n42\n\n3\n00:00:05,000 --> 00:00:06,000\n7\n"
    )
    assert read_subtitles(path) == ((1, 2, "one more"), (3, 4, "42"), (5, 6, "7"))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_with_a_mark_and_utf8_are_read(tmp_path: Path, encoding: str) -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\nça va \u2028 \u732b\n"
    (tmp_path / "a.srt").write_bytes(text.encode(encoding))
    assert read_subtitles(tmp_path / "a.srt") == ((1, 2, "ça va 猫"),)


@pytest.mark.parametrize(
    ("encoding", "line", "named"),
    [("cp1252", 3, "é in cp1252"), ("utf-16-le", 1, "UTF-16-LE"), ("utf-16-be", 1, "UTF-16-BE")],
)
def test_other_encodings_are_refused_by_name(
    tmp_path: Path, encoding: str, line: int, named: str
) -> None:
    path = tmp_path / "a.srt"
    path.write_bytes("1\n00:00:01,000 --> 00:00:02,000\ncafé\n".encode(encoding))
    with pytest.raises(SubtitleError, match=f"line {line}") as raised:
        read_subtitles(path)
    assert named in str(raised.value)
    assert f'encoding="{encoding}"' in str(raised.value)
    assert read_subtitles(path, encoding=encoding) == ((1, 2, "café"),)
    with pytest.raises(SubtitleError, match="no such encoding"):
        read_subtitles(path, encoding="latin-99")


def test_a_header_says_more_than_a_name(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_text(VTT)
    assert read_subtitles(tmp_path / "a.srt") == LINES


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.srt", "1\n00:00:04,000 --> 00:00:01,000\nx\n", "line 2"),
        ("a.srt", "1\n00:00:04,000 --> soon\nx\n", "line 2"),
        ("a.srt", "1\n00:00:04,000 -->\nx\n", "line 2"),
        ("a.srt", "1\n00:00:04,000 --> 00:00:61,000\nx\n", "line 2"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n00:00:03,000 -> y\n", "line 6"),
        ("a.srt", "no subtitles", "line 1"),
        ("a.srt", "", "no line with -->"),
        ("a.srt", "1\n00:00:01,000 --> 00:00:02,000\nx\n\n2\n", "looks cut off"),
        ("a.vtt", "", "no line with -->"),
        ("a.vtt", "WEBVTT\n\n00:04.000 --> 00:01.000\nx\n", "line 3"),
        ("a.json", '[{"timestamp": [0, 1],\n "text": "x"', "line 2"),
        ("a.json", "{}", "must be a JSON list"),
        ("a.json", "[1]", "entry 1"),
        ("a.json", '[{"timestamp": [2, 1], "text": "x"}]', "field 'timestamp'"),
        ("a.json", '[{"timestamp": [2], "text": "x"}]', "field 'timestamp'"),
        ("a.json", '[{"timestamp": [NaN, 2], "text": "x"}]', "field 'timestamp'"),
        ("a.json", '[{"timestamp": ["a", 2], "text": "x"}]', "field 'timestamp'"),
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
    with pytest.raises(SubtitleError) as raised:
        read_subtitles(tmp_path / name)
    assert message in str(raised.value)
    assert str(tmp_path / name) in str(raised.value)
    assert "fix:" in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SubtitleError, match="cannot be read"):
        read_subtitles(tmp_path / "missing.srt")


@pytest.mark.parametrize(
    "lines",
    [7, "text", [1], [(0, 1)], [(0, 1, 2)], [(1, 0, "x")], [("a", 1, "x")], [(math.nan, 1, "x")],
     [(0, math.nan, "x")], [(-math.inf, 1, "x")]],
)  # fmt: skip
def test_lines_of_another_form_are_refused(lines: Any) -> None:
    with pytest.raises(SubtitleError, match=r"\(start, end, text\)"):
        check_subtitles(lines)


def test_lines_of_your_own_are_put_in_order() -> None:
    lines = [[3, math.inf, "b"], (np.float32(1), 2, "a")]
    assert check_subtitles(lines) == ((1, 2, "a"), (3, math.inf, "b"))


def test_the_text_in_a_prompt() -> None:
    header = "This video's subtitles are listed below: \n"
    assert subtitle_prompt([(0, 1, "a"), (1, 2, "b")]) == f"{header}a\nb\n"
    assert subtitle_prompt([]) == f"{header}\n"
    assert subtitle_prompt(None) == f"{header}No subtitles available\n"


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
    shown = subtitles_at_frames([(7.5, math.inf, "x")], 101, 10, 3, offset=2.5)
    assert [text for _, _, text in shown] == ["x"]
    # 31 frames from 5 s on: frames 0, 15, 30 are at 5, 6.5 and 8 s
    shown = subtitles_at_frames(lines, frames=31, fps=10, samples=3, offset=5)
    assert [text for _, _, text in shown] == ["at 5 s"]
    # a line that is shorter than a frame covers none
    assert subtitles_at_frames([(5.0, 5.05, "x")], 101, 10, 3) == ()
    with pytest.raises(SubtitleError):
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
