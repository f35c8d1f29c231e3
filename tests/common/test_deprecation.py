"""Old keywords work for one version: they warn, name the new one, and blame the caller."""

from __future__ import annotations

import inspect
import warnings

import pytest

from tempo_lab.common.deprecation import renamed_keywords, warn_renamed


@renamed_keywords(top="top_k", limit_mib=("max_bytes", lambda mib: int(mib * 2**20)))
def largest(values, *, top_k=2, max_bytes=2**30):
    """Return the arguments."""
    return values, top_k, max_bytes


def test_a_new_keyword_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert largest(1, top_k=3, max_bytes=5) == (1, 3, 5)


def test_an_old_keyword_works_and_the_warning_names_the_new_one():
    with pytest.warns(DeprecationWarning, match=r"largest\(top=\) .* use top_k=") as caught:
        assert largest(1, top=3) == (1, 3, 2**30)
    assert caught[0].filename == __file__


def test_an_old_unit_is_converted():
    with pytest.warns(DeprecationWarning, match="max_bytes"):
        assert largest(1, limit_mib=2) == (1, 2, 2**21)


def test_an_old_and_a_new_name_together_are_refused():
    with pytest.raises(TypeError, match="top_k= or its old name top=, not both"):
        largest(1, top=3, top_k=3)


def test_an_unknown_keyword_is_still_refused():
    with pytest.raises(TypeError, match="unexpected keyword"):
        largest(1, bottom=3)


def test_the_signature_and_the_docstring_are_those_of_the_function():
    assert list(inspect.signature(largest).parameters) == ["values", "top_k", "max_bytes"]
    assert largest.__doc__ == "Return the arguments."


def test_a_class_takes_old_keywords():
    class Spec:
        @renamed_keywords(most="top_k")
        def __init__(self, top_k):
            self.top_k = top_k

    with pytest.warns(DeprecationWarning, match=r"Spec\(most=\) .* use top_k="):
        assert Spec(most=4).top_k == 4


def test_a_renamed_attribute_blames_its_reader():
    def old():
        warn_renamed("rivals", "baselines")

    with pytest.warns(DeprecationWarning, match="rivals is deprecated .* use baselines") as caught:
        old()
    assert caught[0].filename == __file__
