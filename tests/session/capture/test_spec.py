"""Invalid captures are refused when they are constructed."""

from __future__ import annotations

import pytest

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tl.Rows(["decison"]), "did you mean 'decision'"),
        (lambda: tl.Rows([]), "no row"),
        (lambda: tl.Rows(["memory"], slots=[-1]), "use slot >= 0"),
        (lambda: tl.Rows(["memory"], slots=[1.5]), "whole number"),
        (lambda: tl.Rows(["decision"], slots=[1]), 'add the row "memory"'),
        (lambda: tl.Rows(["memory"], slots="tail"), "each slot by its number"),
        (lambda: tl.Capture(), "records nothing"),
        (lambda: tl.Capture(attention=["decision"], reduce="key_groups"), "did you mean"),
        (lambda: tl.Capture(attention=["decision"], layers="last"), "each layer by its number"),
        (lambda: tl.Capture(attention=["decision"], layers=[]), "at least one layer"),
        (lambda: tl.Capture(attention=["decision"], heads="some"), "each head by its number"),
        (lambda: tl.Capture(attention=["answer"], heads=[0]), "no row of it is requested"),
        (lambda: tl.Capture(attention=["decision"], top_k=0), "use top_k >= 1"),
        (lambda: tl.Capture(hidden=["answer"]), "the SVLM only"),
    ],
)
def test_what_makes_no_sense_is_refused_when_it_is_said(make, says):
    with pytest.raises(CaptureError, match=says):
        make()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attention": True}, "must be given by name"),
        ({"memory": True, "max_bytes": "1"}, "max_bytes must be a whole number"),
        ({"memory": True, "max_bytes": 1e9}, "max_bytes must be a whole number"),
        ({"memory": True, "max_bytes": 0}, "use max_bytes >= 1"),
    ],
)
def test_options_that_are_none(options, words):
    with pytest.raises(CaptureError, match=words):
        tl.Capture(**options)


def test_old_names_of_options_warn():
    with (
        pytest.warns(DeprecationWarning, match="use max_bytes="),
        pytest.warns(DeprecationWarning, match="use top_k="),
    ):
        old = tl.Capture(attention=["decision"], top=3, limit_mib=0.5)
    assert old == tl.Capture(attention=["decision"], top_k=3, max_bytes=2**19)
    with pytest.warns(DeprecationWarning, match="use max_bytes="):
        assert tl.Capture(memory=True, limit_mib=float("inf")).max_bytes > 2**60


def test_a_price_is_of_an_opened_video():
    with pytest.raises(CaptureError, match=r"asked: 'a\.mp4'"):
        tl.Capture(memory=True).price("a.mp4")
