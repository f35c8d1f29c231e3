"""Cases check their truth, and truth comes from seconds."""

from __future__ import annotations

import numpy as np
import pytest

from tempo_lab.common.errors import QueryError, TraceError
from tempo_lab.evaluation.cases import Case, check_truth, within
from tests.traces import make_trace


@pytest.mark.parametrize("truth", [[True], [0, 1, 2], [[True, False, True]], ["yes", "no", "no"]])
def test_truth_of_another_length_or_kind_is_refused(truth):
    with pytest.raises(TraceError, match="3 segments"):
        check_truth(truth, 3)


def test_truth_from_seconds():
    trace = make_trace(5, seconds=4.0)
    assert within(trace, [(5, 6), (12.5, 16.5)]).tolist() == [False, True, False, True, True]
    with pytest.raises(TraceError, match="before it begins"):
        within(trace, [(6, 5)])


@pytest.mark.parametrize(
    ("span", "segments"),
    [((8, 12), [2]), ((7.9, 12), [1, 2]), ((8, 12.1), [2, 3]), ((8, 8), [2]), ((0, 20), range(5))],
)
def test_a_span_does_not_reach_the_segment_that_begins_where_it_ends(span, segments):
    assert np.flatnonzero(within(make_trace(5, seconds=4.0), [span])).tolist() == [*segments]


@pytest.mark.parametrize("spans", [(8, 12), [("8", "noon")], [(8,), (9, 10)], "8-12", None, [[]]])
def test_spans_that_are_no_pairs_of_seconds_are_refused(spans):
    with pytest.raises(TraceError, match="pairs of seconds"):
        within(make_trace(5, seconds=4.0), spans)


@pytest.mark.parametrize(
    ("spans", "words"),
    [((1.0, 2.0), "pairs of seconds"), ([(90.0, 95.0)], r"asked: 90 to 95 s[\s\S]*0 to 12 s")],
)
def test_spans_that_mark_nothing(spans, words):
    with pytest.raises(TraceError, match=words):
        within(make_trace(3, seconds=4.0), spans)


def test_seconds_of_something_that_is_no_trace_are_refused():
    with pytest.raises(TraceError, match="clock of one trace"):
        within(object(), [(8, 12)])


def test_a_case_checks_its_truth():
    class Four:
        def __len__(self):
            return 4

    with pytest.raises(TraceError, match="4 segments"):
        Case(Four(), "Where?", "here", [True], video="x")
    case = Case(Four(), "Where?", "here", [1, 0, 0, 0], video="x")
    assert case.evidence.dtype == bool
    assert case.scored("Here.") == 1.0


def test_a_case_asks_in_words(tiny, frames_file):
    with (
        tiny.open(frames_file, progress=False) as session,
        pytest.raises(QueryError, match="found: NoneType"),
    ):
        Case(session, None, "red", np.zeros(len(session), bool))
