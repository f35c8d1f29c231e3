"""Traces that an analysis cannot use are refused in words."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest

from tempo_lab import Intervention, analysis
from tempo_lab.analysis.validation import (
    by_place,
    check_model,
    check_traces,
    question_read,
    recorded,
)
from tempo_lab.common.errors import TraceError
from tests.traces import make_trace


def of_model(digest, **more):
    return make_trace(provenance={"model": "nano", "model_digest": digest}, **more)


class Opened:
    def __init__(self, segments, digest, part=None):
        self.segments = segments
        self.video = SimpleNamespace(part=part)
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
        ("t.nc", "asked: 't.nc'"),
        (None, "found: NoneType"),
        ([of_model("aa"), of_model("bb")], "found: aa, bb"),
    ],
)
def test_what_cannot_be_analysed_together(given, words):
    with pytest.raises(TraceError, match=words):
        check_traces(given)


@pytest.mark.parametrize(
    "run",
    [analysis.attribution, analysis.prompt_sensitivity, partial(analysis.rollout, segment=0)],
    ids=["attribution", "prompt_sensitivity", "rollout"],
)
def test_an_analysis_that_runs_the_model_wants_an_opened_video(run):
    with pytest.raises(TraceError, match=r"found: Trace[\s\S]*with tempo.open"):
        run(of_model("a"), "What color is the star?")


def test_another_model_or_video_is_refused():
    check_model(of_model("a"), Opened(6, "a"))
    with pytest.raises(TraceError, match=r"asked: nano b[\s\S]*found: nano a"):
        check_model(of_model("a"), Opened(6, "b"))
    with pytest.raises(TraceError, match=r"asked: 7 segments[\s\S]*found: 6 segments"):
        check_model(of_model("a"), Opened(7, "a"))


def test_another_part_of_the_video_is_refused():
    whole = of_model("a")
    part = make_trace(provenance={"model": "nano", "model_digest": "a", "part": [2.0, 26.0]})
    check_model(part, Opened(6, "a", (2.0, 26.0)))
    with pytest.raises(TraceError, match=r"asked: 3 to 27 s[\s\S]*found: 2 to 26 s of"):
        check_model(part, Opened(6, "a", (3.0, 27.0)))
    with pytest.raises(TraceError, match=r"asked: the whole video[\s\S]*found: 2 to 26 s of"):
        check_model(part, Opened(6, "a"))
    with pytest.raises(TraceError, match=r"asked: 2 to 26 s[\s\S]*found: the whole video of"):
        check_model(whole, Opened(6, "a", (2.0, 26.0)))


def test_the_question_that_was_compressed_for():
    done = [Intervention.drop([1]).describe(), Intervention.question("Where is it?").describe()]
    assert question_read(of_model("a", question="What?")) == "What?"
    trace = make_trace(question="What?", provenance={"interventions": done})
    assert question_read(trace) == "Where is it?"


def test_whose_memory_stands_where():
    trace = make_trace(3)
    own = trace.data["relevance"].to_numpy()
    assert by_place(trace, "relevance").to_numpy().tolist() == own.tolist()
    swapped = replace(trace, data=trace.data.assign(memory_from=("segment", [2, 1, 0])))
    assert by_place(swapped, "relevance").to_numpy().tolist() == own[::-1].tolist()


def test_what_was_not_recorded_says_how_to_record_it():
    trace = make_trace()
    call = 'Capture(attention=["decision"])'
    with pytest.raises(TraceError, match="not recorded") as error:
        recorded(trace, "attention", call)
    assert call in error.value.fix
    with pytest.raises(TraceError, match=r"relevance by layer[\s\S]*found: \[segment\]"):
        recorded(trace, "relevance", call, ("segment", "layer"))
    assert recorded(trace, "relevance", call).dims == ("segment",)
