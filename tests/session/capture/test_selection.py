"""Selections of layers, heads, slots and segments."""

from __future__ import annotations

import numpy as np
import pytest

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError
from tempo_lab.session.capture.selection import check_numbers, check_selection, resolve
from tests.session.capture.conftest import ASK


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"attention": ["decision"], "layers": [0, 3]}, "nearest is 2"),
        ({"attention": ["decision"], "layers": [-4]}, "nearest is 0"),
        ({"attention": ["decision"], "heads": [4]}, "heads: 4[\\s\\S]*nearest is 3"),
        ({"attention": ["decision"], "heads": [-5]}, "nearest is 0"),
        ({"attention": ["answer"], "llm_layers": [9]}, "llm_layers: 9"),
        ({"attention": tl.Rows(["memory"], slots=[128])}, "nearest is 127"),
        ({"attention": ["memory"], "max_bytes": 100_000}, r"max_bytes=100000, 0\.10 MiB"),
    ],
)
def test_what_this_model_does_not_have_is_refused_before_any_work(session, spec, says):
    with pytest.raises(CaptureError, match=says):
        session.ask(**ASK, capture=tl.Capture(**spec))
    assert session.engine.computed["decoded"] == 0


def test_numbers_are_resolved_in_ascending_order():
    assert resolve("all", 3, "layer") == (0, 1, 2)
    assert resolve([2, -3], 3, "layer", from_end=True) == (0, 2)
    assert resolve([2, 0], 3, "slot") == (0, 2)
    with pytest.raises(CaptureError, match=r"no such slot\n.*slot -1\n.*0 to 2\n.*is 0"):
        resolve([-1], 3, "slot")
    with pytest.raises(CaptureError, match=r"llm_layers: 3\n.*\n.*nearest is 2"):
        resolve([0, 3], 3, "layer", option="llm_layers", from_end=True)


def test_one_or_several_numbers_are_accepted():
    assert check_numbers(3, "segment") == (3,)
    assert check_numbers(np.array([4, 1]), "segment") == (4, 1)
    assert check_numbers([1, 1, 0], "layer", unique=False) == (1, 0)
    assert check_selection("all", "layer") == "all"
    assert check_selection(range(2), "layer") == (0, 1)
