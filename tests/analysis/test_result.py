"""Results: labelled, checked, saved, subtracted; and none of it needs torch."""

import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import xarray as xr

from tempo_lab.analysis.result import Quantity, Result
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace


@dataclass(frozen=True, eq=False, repr=False)
class Heights(Result):
    """For these tests."""

    QUANTITIES: ClassVar = {
        "height": Quantity(("segment",), "m", "how high"),
        "tallest": Quantity((), "m", "the highest"),
        "seen": Quantity(("segment",), "1", "whether it was seen"),
        "extra": Quantity(("segment",), "m", "not always there"),
    }
    OPTIONAL: ClassVar = frozenset({"extra"})
    TABLE: ClassVar = ("segment",)


def heights(values, segments=None, **more):
    values = np.asarray(values, float)
    data = {
        "height": ("segment", values),
        "tallest": ((), values.max()),
        "seen": ("segment", values > 0),
    }
    numbers = np.arange(len(values)) if segments is None else segments
    return Heights(xr.Dataset({**data, **more}, {"segment": numbers}), {"seed": 3})


def test_units_and_meanings_are_on_every_number():
    assert heights([1, 2]).data["height"].attrs == {"units": "m", "long_name": "how high"}
    assert heights([1, 2]).numbers() == {"tallest": 2.0}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"height": ("segment", [1.0])}, "found: no tallest, seen"),
        ({**heights([1]).data, "width": ("segment", [1.0])}, "found: also width"),
        ({**heights([1]).data, "tallest": ("segment", [1.0])}, r"asked: tallest \[\]"),
    ],
)
def test_what_is_no_such_result_is_refused(data, words):
    with pytest.raises(TraceError, match=words):
        Heights(xr.Dataset(data))


def test_a_saved_result_is_the_same(tmp_path):
    result = heights([1, 2.5])
    again = Result.load(result.save(tmp_path / "r.nc"))
    assert type(again) is Heights
    xr.testing.assert_identical(again.data, result.data)
    assert again.provenance == {"seed": 3}


def test_a_result_of_another_kind_is_refused(tmp_path):
    class Widths(Heights):
        pass

    path = heights([1]).save(tmp_path / "r.nc")
    with pytest.raises(TraceError, match="found: Heights"):
        Widths.load(path)
    trace = make_trace().save(tmp_path / "t.nc")
    with pytest.raises(TraceError, match="not a result"):
        Result.load(trace)


def test_two_of_a_kind_subtract():
    change = heights([1, 5]) - heights([2, 3])
    np.testing.assert_array_equal(change.data["height"], [-1, 2])
    assert change.numbers() == {"tallest": 2.0}
    assert change.provenance == {"difference": True, "of": {"seed": 3}, "less": {"seed": 3}}
    assert change.data["height"].attrs["units"] == "m"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (heights([2, 3], segments=[4, 5]), "segment"),
        (heights([2, -3]), "seen"),
        (heights([2, 3], extra=("segment", [0.0, 1.0])), "extra"),
        (heights([2, 3, 4]), "segment"),
    ],
)
def test_other_labels_do_not_subtract(other, words):
    with pytest.raises(TraceError, match=f"asked: {words}"):
        heights([1, 5]) - other


def test_the_table_has_a_row_a_segment():
    table = heights([1, 2]).to_pandas()
    assert list(table.columns) == ["segment", "height", "seen"]
    assert "<b>Heights</b> tallest 2" in heights([1, 2])._repr_html_()


def test_opening_results_needs_no_torch():
    code = "import sys, tempo_lab.analysis, tempo_lab.plots\nprint('torch' in sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "False"
