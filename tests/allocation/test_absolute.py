"""Strategies that fix min-max: each known fault and its fix; and what strict mode guarantees."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tempo_lab.allocation import (
    STRATEGIES,
    Absolute,
    Abstain,
    Floor,
    Tail,
    Temperature,
    Threshold,
    allocate,
    register_strategy,
)
from tempo_lab.allocation.absolute import RELEVANT
from tempo_lab.common.errors import BudgetError

FIXES = ("abstain", "floor", "temperature", "threshold")
ABSOLUTE = ("temperature", "threshold")
probability = st.floats(0, 1, width=32)
cases = st.lists(probability, min_size=1, max_size=40).flatmap(
    lambda scores: st.tuples(st.just(scores), st.integers(len(scores), 130 * len(scores)))
)


def tokens(scores, budget, strategy, **options):
    return allocate(scores, budget, strategy=strategy, **options).tokens.tolist()


# What strict mode guarantees


@pytest.mark.parametrize("strategy", FIXES)
@given(cases)
def test_never_over_budget_and_the_same_again(strategy, case):
    scores, budget = case
    allocation = allocate(scores, budget, strategy=strategy)
    assert allocation.used <= budget
    assert allocation.min_tokens <= allocation.tokens.min()
    assert allocation.tokens.max() <= 128
    assert tokens(scores, budget, strategy) == allocation.tokens.tolist()


@pytest.mark.parametrize("strategy", FIXES)
@given(cases)
def test_more_relevance_never_means_fewer_tokens(strategy, case):
    allocation = allocate(*case, strategy=strategy)
    order = np.argsort(allocation.scores, kind="stable")
    values, given_tokens = allocation.scores[order], allocation.tokens[order]
    assert (np.diff(given_tokens)[np.diff(values) > 0] >= 0).all()


@pytest.mark.parametrize("strategy", FIXES)
@given(probability, st.integers(1, 20), st.integers(1, 130))
def test_equal_scores_share_evenly(strategy, score, segments, each):
    given_tokens = np.array(tokens([score] * segments, each * segments, strategy))
    assert np.ptp(given_tokens) <= 1
    assert (np.diff(given_tokens) <= 0).all()  # the remainder goes to earlier segments


@pytest.mark.parametrize("strategy", FIXES)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(strategy, bad):
    with pytest.raises(BudgetError, match="segment 1"):
        allocate([0.2, bad, 0.4], 60, strategy=strategy)
    assert len(allocate([0.2, bad, 0.4], 60, strategy=strategy, mode="faithful")) == 3


@pytest.mark.parametrize("strategy", ["abstain", "temperature", "threshold"])
@pytest.mark.parametrize(
    ("scores", "found"), [([-0.5, 0.5], "-0.5 to 0.5"), ([0, 8.5], "0 to 8.5")]
)
def test_scores_that_are_no_probabilities_are_refused(strategy, scores, found):
    with pytest.raises(BudgetError, match=f"'{strategy}'.*\n.*0 to 1\n.*found: {found}"):
        allocate(scores, 60, strategy=strategy)


# The faults of min-max, and what fixes each


def test_a_video_without_any_relevant_segment():
    nothing = [0.001, 0.03, 0.002, 0.0]
    assert max(tokens(nothing, 400, "head")) == 128
    for strategy in ("abstain", "threshold"):
        assert tokens(nothing, 400, strategy) == [4, 4, 4, 4]
    assert max(tokens(nothing, 400, "temperature")) < 30


def test_scores_that_hardly_differ():
    close = [0.98, 0.985, 0.99, 0.981]
    spread = {name: np.ptp(tokens(close, 200, name)) for name in ("head", *ABSOLUTE)}
    assert spread["head"] > 80
    assert spread["temperature"] <= 4
    assert spread["threshold"] <= 4


def test_one_outlier_does_not_starve_the_rest():
    scores, outlier = [0.55, 0.6, 0.5, 0.52], [0.55, 0.6, 0.5, 0.52, 1.0]
    for strategy in ABSOLUTE:
        assert tokens(outlier, 640, strategy)[:4] == tokens(scores, 640, strategy)
    assert sum(tokens(outlier, 640, "head")[:4]) < 0.4 * sum(tokens(scores, 640, "head"))
    assert min(tokens(outlier, 640, "floor")) == 64


# Each strategy


def test_abstaining_is_the_formula_once_anything_is_relevant():
    options = {"max_tokens": 8, "min_tokens": 2}
    assert tokens([0.3, 0.1, RELEVANT - 0.01], 24, "abstain", **options) == [2, 2, 2]
    enough = [0.3, 0.1, RELEVANT]
    assert tokens(enough, 24, "abstain", **options) == tokens(enough, 24, "head", **options)
    assert tokens([0.3, 0.1], 2, "abstain", min_tokens=0) == [0, 0]


@given(cases)
def test_a_floor_is_a_larger_minimum(case):
    scores, _ = case
    options = {"max_tokens": 16, "min_tokens": 2}
    floor = tokens(scores, 8 * len(scores), "floor", **options)
    assert floor == tokens(scores, 8 * len(scores), "head", **{**options, "min_tokens": 4})


@given(cases)
def test_floors_of_nothing_and_of_everything(case):
    scores, budget = case
    assert tokens(scores, budget, Floor(0.0)) == tokens(scores, budget, "head")
    whole = np.array(tokens(scores, budget, Floor(1.0)))
    assert (whole >= tokens(scores, budget, "uniform")).all()


def test_below_the_threshold_the_minimum_and_above_it_relevance():
    given_tokens = tokens([0.49, 0.5, 0.75, 1.0], 1000, "threshold", max_tokens=104)
    assert given_tokens == [4, 54, 79, 104]
    scarce = tokens([0.49, 0.5, 0.75, 1.0], 61, "threshold", max_tokens=104)
    assert scarce == [4, 14, 19, 24]  # 45 beyond the minima, as 2 to 3 to 4


def test_temperature_one_is_relevance_itself_and_others_bend_it():
    scores = np.array([0.0, 0.1, 0.5, 0.9, 1.0], dtype=np.float32)
    with np.errstate(divide="ignore"):  # as `allocate` does
        soft, sharp = Temperature(2.0).weigh(scores), Temperature(0.1).weigh(scores)
        as_is = Temperature(1.0).weigh(scores)
    np.testing.assert_allclose(as_is, scores, atol=1e-7)
    np.testing.assert_allclose(soft, [0, 0.25, 0.5, 0.75, 1])  # odds of 9 become odds of 3
    np.testing.assert_allclose(sharp, [0, 0, 0.5, 1, 1], atol=1e-8)


def test_scores_without_a_finite_logit():
    for strategy in FIXES:
        assert tokens([0.0, 1.0, 1e-45], 400, strategy)[1] == 128


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Abstain(1.5), "threshold=1.5"),
        (lambda: Threshold(-0.1), "threshold=-0.1"),
        (lambda: Threshold(float("nan")), "threshold=nan"),
        (lambda: Floor(2), "coverage=2"),
        (lambda: Temperature(0), "above 0"),
        (lambda: Temperature("2"), "above 0"),
        (lambda: Temperature([2.0]), "above 0"),
        (lambda: Abstain("0.5"), "threshold must be a finite number"),
        (lambda: Abstain(None), "threshold must be a finite number"),
        (lambda: Threshold([0.5]), "threshold must be a finite number"),
        (lambda: Floor("half"), "coverage must be a finite number"),
        (lambda: Floor(True), "coverage must be a finite number"),
        (lambda: Temperature(float("inf")), "above 0"),
    ],
)
def test_parameters_without_meaning_are_refused(make, words):
    with pytest.raises(BudgetError, match=words):
        make()


# User-defined strategies


def test_a_strategy_with_other_parameters_is_registered():
    strict = Abstain(threshold=0.8)
    register_strategy("abstain-80")(strict)
    register_strategy("again")(strict)
    try:
        assert tokens([0.1, 0.7], 200, "abstain-80") == [4, 4]
        assert tokens([0.1, 0.7], 200, "abstain") == [4, 128]
        assert STRATEGIES["abstain-80"].name == "abstain-80"
        assert STRATEGIES["again"].name == "again"
        assert STRATEGIES["again"].parameters == {"threshold": 0.8}
    finally:
        del STRATEGIES["abstain-80"], STRATEGIES["again"]
    assert STRATEGIES["head"].parameters == {}


def test_only_a_strategy_is_registered():
    with pytest.raises(BudgetError, match=r"0\.8 as 'high'\n.*found: float"):
        register_strategy("high")(0.8)
    assert "high" not in STRATEGIES


def test_user_defined_weights_with_other_slots():
    @register_strategy("squared")
    class Squared(Absolute, Tail):
        def weigh(self, scores):
            return scores**2

    try:
        allocation = allocate([0.5, 1.0], 40, strategy="squared", max_tokens=16, min_tokens=0)
        assert allocation.tokens.tolist() == [4, 16]
        assert allocation.slots(0).tolist() == [12, 13, 14, 15]
    finally:
        del STRATEGIES["squared"]
    with pytest.raises(NotImplementedError):
        Absolute().weigh(np.ones(1))
