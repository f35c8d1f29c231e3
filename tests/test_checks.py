"""Traces that an analysis cannot use are refused in words."""

from types import SimpleNamespace

import pytest

from tempo_lab.analysis.checks import check_model, check_traces, recorded
from tempo_lab.errors import TraceError
from tests.traces import make_trace


def of_model(digest, **more):
    return make_trace(provenance={"model": "nano", "model_digest": digest}, **more)


class Opened:
    def __init__(self, segments, digest):
        self.segments = segments
        self.checkpoint = SimpleNamespace(name="nano", digest=digest)

    def __len__(self):
        return self.segments


def test_one_trace_or_several():
    trace = of_model("a")
    assert check_traces(trace) == [trace]
    assert check_traces((trace, trace)) == [trace, trace]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ([], "found: none"),
        (["t.nc"], "found: str"),
        ([of_model("aa"), of_model("bb")], "found: aa, bb"),
    ],
)
def test_what_cannot_be_analysed_together(given, words):
    with pytest.raises(TraceError, match=words):
        check_traces(given)


def test_another_model_or_video_is_refused():
    check_model(of_model("a"), Opened(6, "a"))
    with pytest.raises(TraceError, match=r"asked: nano b[\s\S]*found: nano a"):
        check_model(of_model("a"), Opened(6, "b"))
    with pytest.raises(TraceError, match=r"asked: 7 segments[\s\S]*found: 6 segments"):
        check_model(of_model("a"), Opened(7, "a"))


def test_what_was_not_recorded_says_how_to_record_it():
    trace = make_trace()
    call = 'Capture(attention=["decision"])'
    with pytest.raises(TraceError, match="not recorded") as error:
        recorded(trace, "attention", call)
    assert call in error.value.fix
    with pytest.raises(TraceError, match=r"relevance by layer[\s\S]*found: \[segment\]"):
        recorded(trace, "relevance", call, ("segment", "layer"))
    assert recorded(trace, "relevance", call).dims == ("segment",)
