"""The comparison of notebooks: what the last digit may do, and what nothing may do."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.notebook_numbers import same

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    ("stored", "now"),
    [
        ("0.12 nat", "0.13 nat"),
        ("correlation .13", "correlation .12"),
        ("a lead of -0.00", "a lead of 0.00"),
        ("-0.01", "0.00"),
        ("+0.05 [-0.10, +0.20]", "+0.06 [-0.11, +0.20]"),
        ("\u22120.5", "-0.6"),
        ("47.5%", "47.4%"),
        ("1.24e-05", "1.23e-05"),
        ("1.00e-05", "9.99e-06"),
        ("2e-07", "3e-07"),
        ("it takes 0.5.", "it takes 0.6."),
        ("0.5 0.25", "0.5 0.26"),
        ("{'p': 0.3}", "{'p': 0.31}"),
        ("   a     b\n0 1.00 -0.01", "   a    b\n0 1.00 0.00"),
        ("<td>0.99</td>", "<td>1.00</td>"),
    ],
)
def test_one_unit_of_the_last_digit_is_no_difference(stored, now):
    assert same(stored, now)
    assert same(now, stored)


@pytest.mark.parametrize(
    ("stored", "now"),
    [
        ("0.12 nat", "0.15 nat"),
        ("0.12 nat", "0.14 nat"),
        ("correlation .13", "correlation .16"),
        ("0.5", "0.52"),
        ("-0.02", "0.02"),
        ("1.24e-05", "1.24e-06"),
        ("1.24e-05", "1.27e-05"),
        ("47.5%", "47.5"),
        ("[3, 5]", "[3, 6]"),
        ("24 questions", "25 questions"),
        ("0.12 nat", "0.12 bit"),
        ("0.12", "0"),
        ("array([ 5., 95.])", "array([ 5., 96.])"),
        ("2026-11-30", "2026-11-29"),
        ("transformers 5.23.0", "transformers 5.23.1"),
        ("transformers 5.23.0", "transformers 5.24.0"),
        ("nano-1.5b", "nano-1.6b"),
        ("clip_0.5", "clip_0.6"),
        ("3f2a.1e-07", "3f2a.2e-07"),
        ("one\ntwo 0.5", "one two 0.5"),
        ("one two 0.5", "onetwo 0.5"),
        ("0.5 and 0.5", "0.5"),
    ],
)
def test_anything_else_is_one(stored, now):
    assert not same(stored, now)
    assert not same(now, stored)


def stream(text):
    return new_output("stream", name="stdout", text=text), f"print({text.strip()!r})"


def result(text):
    return new_output("execute_result", data={"text/plain": text}, execution_count=1), text


def table(value):
    html = f"<table><tr><td>{value}</td></tr></table>"
    output = new_output("execute_result", data={"text/plain": "T", "text/html": html})
    return (
        output,
        f"type('T', (), {{'_repr_html_': lambda s: {html!r}, '__repr__': lambda s: 'T'}})()",
    )


PLANTED = [
    (stream("24 questions, 0.12 nat\n"), stream("24 questions, 0.13 nat\n"), True),
    (stream("24 questions, 0.12 nat\n"), stream("24 questions, 0.15 nat\n"), False),
    (stream("24 questions, 0.12 nat\n"), stream("25 questions, 0.12 nat\n"), False),
    (stream("24 questions, 0.12 nat\n"), stream("24 questions, 0.12 bit\n"), False),
    (result("{'red': 0.12}"), result("{'red': 0.11}"), True),
    (result("{'red': 0.12}"), result("{'red': 0.09}"), False),
    (result("{'red': [3, 5]}"), result("{'red': [3, 6]}"), False),
    (result("{'red': 0.12}"), result("{'blue': 0.12}"), False),
    (table("0.12"), table("0.13"), True),
    (table("0.12"), table("0.15"), False),
    (table("12"), table("13"), False),
    (table("red"), table("blue"), False),
]


@pytest.mark.slow
def test_nbval_compares_so_in_streams_results_and_tables(tmp_path):
    cells = [
        new_code_cell(now[1], outputs=[stored[0]], execution_count=1) for stored, now, _ in PLANTED
    ]
    path = tmp_path / "planted.ipynb"
    nbformat.write(new_notebook(cells=cells), path)
    command = [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path, "-rA",
        "--nbval", "--nbval-current-env", "-p", "tests.notebook_numbers", path,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    for number, (*_, equal) in enumerate(PLANTED):
        verdict = "PASSED" if equal else "FAILED"
        assert re.search(rf"^{verdict} .*::Cell {number}\b", done.stdout, re.M), done.stdout
