"""The page of a report: everything is inside it, and all text is escaped."""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
from matplotlib import pyplot

from tempo_lab.apps.reports.html import Picture, Section, render_page, render_picture
from tempo_lab.common.statistics import Estimate
from tempo_lab.nano.claims.claims import Claim, ClaimVerdict

WILD = "<script>alert('$x$')</script>\x1b[31m"


def test_text_is_escaped_wherever_it_stands():
    table = pd.DataFrame({"text": [WILD]})
    section = Section(WILD, [WILD], [Picture("a", WILD, b"png")], {WILD: table})
    claim = Claim(WILD, WILD, WILD, WILD, (WILD, WILD), at_least=0.0)
    verdict = ClaimVerdict(claim, WILD, Estimate(1, 1, 1, 1, 2), WILD)
    page = render_page(WILD, {WILD: WILD}, [section], [verdict], notice=WILD)
    assert "<script" not in page
    assert "\x1b" not in page
    # title and heading, notice, setting, verdict (statement, weakest estimate, verdict), section:
    # title, paragraph, two captions, table, cell
    assert page.count("&lt;script&gt;") == 2 + 1 + 2 + 3 + 1 + 1 + 2 + 1 + 1
    assert page.count(r"\x1b[31m") == page.count("&lt;script&gt;")


def test_tables_show_three_digits_and_nothing_for_a_missing_number():
    table = pd.DataFrame({"value": [0.12345, np.nan], "n": [3, 4]})
    folded, shown = (Section("a", [], (), {"b": table}, folded) for folded in (True, False))
    assert "<td>0.123</td>\n      <td>3</td>" in render_page("t", {}, [folded])
    assert "<td></td>\n      <td>4</td>" in render_page("t", {}, [folded])
    assert "<summary>b (2 rows)</summary>" in render_page("t", {}, [folded])
    assert "<details>" not in render_page("t", {}, [shown])


def test_verdicts_are_marked_and_are_there_only_when_asked_for():
    claim = Claim("c", "It is so.", "accuracy", "none", ("a",), at_least=0.5)
    words = ("shown", "refuted", "undecided")
    verdicts = [ClaimVerdict(claim, "a", Estimate(1, 1, 1, 9, 2), word) for word in words]
    page = render_page("t", {}, [], verdicts)
    for mark, word in (("shown", "shown"), ("refuted", "refuted"), ("", "undecided")):
        assert f'<td class="{mark}">{word}</td>' in page
    assert "<td>It is so.</td><td>at least 0.5</td>" in page
    assert "Verdicts" not in render_page("t", {}, [])


def test_one_row_is_one_row_and_a_notice_stands_first():
    section = Section("a", [], (), {"b": pd.DataFrame({"n": [1]})})
    page = render_page("t", {}, [section], notice="Mind this.")
    assert "<summary>b (1 row)</summary>" in page
    assert page.index("Mind this.") < page.index("<h2>")
    assert "class=notice" not in render_page("t", {}, [section])


def test_a_picture_is_closed_and_stands_in_the_page():
    figure, axes = pyplot.subplots()
    picture = render_picture("a", "caption", (figure, axes))
    assert not pyplot.fignum_exists(figure.number)
    assert picture.png.startswith(b"\x89PNG")
    page = render_page("t", {}, [Section("s", [], [picture])])
    assert f'src="{picture.data_uri}"' in page
    assert picture.data_uri.startswith("data:image/png;base64,iVBOR")


def test_the_wheel_brings_the_template(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert "tempo_lab/apps/reports/page.html.jinja" in archive.namelist()
