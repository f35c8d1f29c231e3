"""Number checks: what counts as a number, limits, and the error class of the caller."""

import numpy as np
import pytest

from tempo_lab.common.errors import BudgetError, VideoError
from tempo_lab.common.validation import check_number, check_whole


@pytest.mark.parametrize("value", [3, np.int32(3), np.uint8(3), np.array(3)])
def test_whole_numbers_are_returned_as_int(value):
    number = check_whole("budget", value, 1, 3, error=BudgetError)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize("value", [True, np.True_, 3.0, "3", None, [3]])
def test_other_values_are_refused_by_name_and_type(value):
    with pytest.raises(VideoError, match=r"budget must be a whole number\n.*budget="):
        check_whole("budget", value, error=VideoError)


@pytest.mark.parametrize(("value", "shown"), [(0, "=0"), (4, "=4"), (10**400, r"2\*\*1328")])
def test_limits_are_included_and_named(value, shown):
    with pytest.raises(BudgetError, match=rf"out of range\n.*{shown}\n.*use 1 <= budget <= 3"):
        check_whole("budget", value, 1, 3, error=BudgetError)


@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), np.int64(2)])
def test_numbers_are_returned_as_float(value):
    assert check_number("fps", value, 0, error=VideoError) == 2.0


@pytest.mark.parametrize("value", [0, -1, pytest.param(10**5000, id="huge")])
def test_a_limit_may_be_excluded(value):
    assert check_number("fps", 0.5, above=0, maximum=1, error=VideoError) == 0.5
    with pytest.raises(VideoError, match=r"fps=(0|-1|about 2\*\*16609)[\s\S]*use 0 < fps <= 1"):
        check_number("fps", value, above=0, maximum=1, error=VideoError)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "2", None, -0.5])
def test_what_is_no_number_in_range_is_refused(value):
    with pytest.raises(VideoError, match="fps"):
        check_number("fps", value, 0, error=VideoError)
