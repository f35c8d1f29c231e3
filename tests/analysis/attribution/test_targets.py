"""Targets: margins by hand, and targets of users."""

import pytest

from tempo_lab.analysis import attribution, register_target
from tempo_lab.analysis.attribution.targets import TARGETS
from tempo_lab.common.errors import TraceError
from tempo_lab.session.scoring import answer_logprob
from tests.analysis.attribution.explained import ANSWER, explain


def test_a_target_that_gives_no_numbers_is_refused(session, trace):
    @register_target("one_number", reads="answer")
    def one_number(output):
        return output.logprob(output.answer).sum()

    try:
        with pytest.raises(TraceError, match="one finite number for each mask"):
            explain(session, trace, target="one_number")
    finally:
        del TARGETS["one_number"]
    with pytest.raises(TraceError, match="did you mean 'answer'"):
        register_target("x", reads="answers")


def test_margins_are_of_two_answers_or_of_the_first_token(session, trace):
    def at(**options):
        return explain(session, trace, target="answer_margin", **options).numbers()["all"]

    dog, cat = (answer_logprob(session, trace, text).sum() for text in (ANSWER, "a cat"))
    assert at(against="a cat") == pytest.approx(dog - cat, abs=1e-5)
    own = attribution(session, trace, target="answer_margin", progress=False).numbers()["all"]
    assert own > 0  # the model's own answer begins with its best token
    assert at() < 0  # another does not


def test_only_results_of_one_target_subtract(session, trace):
    one, two = (
        explain(session, trace, target=name) for name in ("answer_logprob", "answer_margin")
    )
    with pytest.raises(TraceError, match=r"target: answer_logprob[\s\S]*found: answer_margin"):
        one - two
    assert (one - one).provenance["target"] == "answer_logprob"
