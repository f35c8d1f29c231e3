"""Notebooks are stored as they ran; nbval compares their outputs, this counts what it compares."""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
IGNORED = re.compile(r"NBVAL_(IGNORE_OUTPUT|SKIP)", re.I)


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_is_a_quickstart():
    assert "00_quickstart.ipynb" in [path.name for path in NOTEBOOKS]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_every_cell_ran_once_in_order_without_an_error(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert not any(output.output_type == "error" for output in cell.outputs)
        assert not any(output.get("name") == "stderr" for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_nine_cells_in_ten_are_compared(path):
    cells = code_cells(path)
    ignored = [
        cell
        for cell in cells
        if IGNORED.search(cell.source) or IGNORED.search(" ".join(cell.metadata.get("tags", [])))
    ]
    assert len(ignored) <= len(cells) / 10


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_cells_are_short_and_say_no_place_of_one_machine(path):
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 12
    text = re.sub(r'"image/png": "[^"]*"', "", path.read_text())
    assert not re.search(r"/(home|root|Users|tmp|work)/", text)
