"""Invalid interventions are refused when they are constructed."""

from __future__ import annotations

import math

import numpy as np
import pytest

import tempo_lab as tl
from tempo_lab.common.errors import CaptureError, QueryError
from tempo_lab.common.text import format_call
from tests.session.interventions.conftest import STAR

I = tl.Intervention  # noqa: E741


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: I("drops", {}), "did you mean 'drop'"),
        (lambda: I.drop([]), "no segment is given"),
        (lambda: I.drop([1.5]), "whole number"),
        (lambda: I.drop("3"), "whole number"),
        (lambda: I.drop([True]), "whole number"),
        (lambda: I.keep([2, 2]), "segment 2, 2 times"),
        (lambda: I.allocate({}), "number of tokens by segment"),
        (lambda: I.allocate([3]), "number of tokens by segment"),
        (lambda: I.allocate({3: -1}), "use tokens >= 0"),
        (lambda: I.allocate({3: 2.5}), "tokens must be a whole number"),
        (lambda: I.allocate({"star": 3}), "segment must be a whole number"),
        (lambda: I.swap(3, 3), "changes nothing"),
        (lambda: I.slots("tial"), "did you mean 'tail'"),
        (lambda: I.slots([1, 1]), "slot 1, 2 times"),
        (lambda: I.slots([-1]), "use slot >= 0"),
        (lambda: I.slots([]), "no slot is given"),
        (lambda: I.patch(0, "decison", 0), "did you mean 'decision'"),
        (lambda: I.patch(0, "memory[3]", 0), "did you mean 'memory 0'"),
        (lambda: I.patch(0, "memory", 0), "memory 0"),
        (lambda: I.patch(0, "vision 3", 0), "the video comes before"),
        (lambda: I.patch("last", "decision", 0), "layer must be a whole number"),
        (lambda: I.patch(0, "decision", math.nan), "1 of 1"),
        (lambda: I.patch(0, "decision", [[0.0, math.inf]]), "1 of 2"),
        (lambda: I.patch(0, "decision", "mean"), "a number or an array"),
        (lambda: I.patch(0, "decision", lambda state: state), "a number or an array"),
        (lambda: I.patch(0, "decision", np.zeros((1, 2, 3))), r"shape \(1, 2, 3\)"),
        (lambda: I.patch(0, "decision", []), r"shape \(0,\)"),
        (lambda: I.patch(0, "decision", 0, []), "no segment is given"),
        (lambda: I.patch(0, "decision", 0, "every"), "by its number"),
    ],
)
def test_what_no_video_can_have_is_refused_when_it_is_said(make, says):
    with pytest.raises(CaptureError, match=says):
        make()


def test_a_question_to_compress_for_is_text_that_the_model_knows(voyage):
    with pytest.raises(QueryError, match="must be a string"):
        I.question(3)
    with pytest.raises(QueryError, match="has a character that cannot be encoded"):
        voyage.ask(STAR, interventions=I.question("\ud800"))
    with pytest.raises(QueryError, match="does not know"):
        voyage.ask(STAR, interventions=I.question("What color is the zeppelin?"))


def test_equal_interventions_are_equal_and_print_shortly():
    assert I.patch(0, "memory 03", 1) == I.patch(0, "memory 3", np.float64(1))
    long = I.patch(0, "decision", np.zeros(2048))
    assert len(str(long)) < 150
    many = format_call("drop", {"segments": list(range(100))})
    assert many == "drop(segments=[0, 1, 2, 3, 4, 5, 6, 7, ...])"
    assert repr(I.drop(3)) == "Intervention.drop(segments=[3])"
