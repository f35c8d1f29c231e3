"""Token allocation: the recorded cases of the released code, and what strict mode guarantees."""

import doctest
import json
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tempo_lab.allocation.ata
from tempo_lab.allocation import (
    STRATEGIES,
    Abstain,
    Allocation,
    Pair,
    Strategy,
    Tail,
    Uniform,
    allocate,
    keep_tokens,
    register_strategy,
)
from tempo_lab.allocation.strategies import EQUAL_RANGE, RENAMED
from tempo_lab.common.errors import BudgetError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "alloc_cases.json").read_text())
CASES = {case["name"]: case for case in GOLDEN["cases"]}
ALLOCATED = {name: case for name, case in CASES.items() if case["error"] is None}
NUMERIC = GOLDEN["strategy_numeric"]

finite = st.floats(-(2.0**120), 2.0**120, width=32)
scores_and_budget = st.lists(finite, min_size=1, max_size=40).flatmap(
    lambda scores: st.tuples(st.just(scores), st.integers(len(scores), 130 * len(scores)))
)


def recorded(case, mode):
    """The allocation of a recorded case."""
    return allocate(
        [float(score) for score in case["scores"]],
        case["max_budget"],
        strategy=case["strategy"],
        mode=mode,
        min_tokens=case["min_tokens"],
        max_tokens=min(case["max_tokens"] or case["n_tokens"], case["n_tokens"]),
    )


# The record


@pytest.mark.parametrize("name", ALLOCATED)
def test_faithful_equals_the_record(name):
    case = ALLOCATED[name]
    tokens = recorded(case, "faithful").tokens.tolist()
    if "TIE_AT_REMAINDER_CUT" in case["flags"]:
        assert Counter(tokens) == Counter(case["allocations"])
    else:
        assert tokens == case["allocations"]


@pytest.mark.parametrize("name", ALLOCATED)
def test_strict_equals_the_record_or_refuses(name):
    case = ALLOCATED[name]
    faulty = {"EXCEEDS_BUDGET", "ALL_ZERO_THEN_torch.cat_CRASH_DOWNSTREAM"} & set(case["flags"])
    if faulty or "NaN" in case["scores"]:
        with pytest.raises(BudgetError):
            recorded(case, "strict")
        return
    allocation = recorded(case, "strict")
    assert Counter(allocation.tokens.tolist()) == Counter(case["allocations"])
    assert allocation.used <= case["max_budget"]


def test_every_recorded_case_is_tried():
    assert len(CASES) == 49
    assert len(ALLOCATED) == 46


@pytest.mark.parametrize("strategy", ["head", "tail", "tome"])
def test_kept_features_equal_the_record(strategy):
    features = np.array(NUMERIC["features"], dtype=np.float32)
    allocation = allocate(
        NUMERIC["scores"],
        NUMERIC["max_budget"],
        strategy=strategy,
        mode="faithful",
        min_tokens=NUMERIC["min_tokens"],
        max_tokens=features.shape[1],
    )
    wanted = next(r for r in NUMERIC["results"] if r["strategy"] == strategy)
    assert allocation.tokens.tolist() == wanted["allocations"]
    for segment, result in enumerate(wanted["result"]):
        np.testing.assert_allclose(
            keep_tokens(features[segment], allocation, segment), result, rtol=0, atol=1e-6
        )


def test_faithful_keeps_the_head_of_equal_scores_and_strict_does_not():
    case = CASES["strategy_tail_equal_scores"]
    assert recorded(case, "faithful").slots(0).tolist() == list(range(40))
    assert recorded(case, "strict").slots(0).tolist() == list(range(88, 128))


# What strict mode guarantees


@given(scores_and_budget, st.sampled_from(["head", "tail", "random", "tome", "topk", "uniform"]))
def test_never_over_budget(scores_and_budget, strategy):
    scores, budget = scores_and_budget
    allocation = allocate(scores, budget, strategy=strategy)
    assert allocation.used <= budget
    assert allocation.tokens.max() <= 128
    dropped = len(scores) // 2 if strategy == "topk" else 0
    assert (allocation.tokens == 0).sum() == dropped


@given(scores_and_budget)
def test_more_relevance_never_means_fewer_tokens(scores_and_budget):
    scores, budget = scores_and_budget
    allocation = allocate(scores, budget)
    order = np.argsort(allocation.scores, kind="stable")
    values, tokens = allocation.scores[order], allocation.tokens[order]
    assert (np.diff(tokens)[np.diff(values) > 0] >= 0).all()


@given(scores_and_budget, st.randoms(use_true_random=False))
def test_the_order_of_segments_matters_only_among_ties(scores_and_budget, rnd):
    scores, budget = scores_and_budget
    order = list(range(len(scores)))
    rnd.shuffle(order)
    before, after = allocate(scores, budget), allocate([scores[i] for i in order], budget)

    def by_score(allocation):
        return sorted(zip(allocation.scores.tolist(), allocation.tokens.tolist(), strict=True))

    assert by_score(before) == by_score(after)


@given(scores_and_budget)
def test_ties_go_to_the_earlier_segment(scores_and_budget):
    scores, budget = scores_and_budget
    allocation = allocate([*scores, *scores], 2 * budget)
    first, second = np.split(allocation.tokens, 2)
    assert (first >= second).all()
    assert (first - second <= 1).all()


@given(scores_and_budget)
def test_a_larger_budget_never_takes_tokens_from_all(scores_and_budget):
    scores, budget = scores_and_budget
    allocations = [allocate(scores, budget + more) for more in range(4)]
    used = [allocation.used for allocation in allocations]
    assert used == sorted(used)
    if np.ptp(allocations[0].scores) >= EQUAL_RANGE:  # of equal scores no one gets the remainder
        for allocation in allocations:
            assert allocation.used == min(allocation.budget, allocation.wanted.sum())
    plenty = allocate(scores, 128 * len(scores))
    assert (plenty.tokens == plenty.wanted).all()


def test_a_sum_rounded_in_another_order_changes_nothing():
    # Scores in hundredths and a budget that makes every share a whole number, but for rounding.
    moved = {"strict": 0, "faithful": 0}
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scores = (np.append([0, 100], rng.integers(0, 101, 48)) / 100).astype(np.float32)
        order = rng.permutation(50)
        budget = 4 * 50 + round(100 * float(scores.sum()))
        for mode in moved:
            before = allocate(scores, budget, mode=mode).tokens
            after = allocate(scores[order], budget, mode=mode).tokens
            pairs = [sorted(zip(scores, before, strict=True)),
                     sorted(zip(scores[order], after, strict=True))]  # fmt: skip
            moved[mode] += pairs[0] != pairs[1]
    assert moved["strict"] == 0
    assert moved["faithful"] > 0


def test_a_budget_that_float32_cannot_count_is_still_kept():
    scores = np.ones(200_001)
    scores[7] = 0
    budget = 4 * 200_001 + 100 * 200_000 - 1  # in float32, the -1 is lost
    assert allocate(scores, budget, mode="faithful").used == budget + 1
    allocation = allocate(scores, budget)
    assert allocation.used == budget
    assert allocation.tokens[7] == 4
    assert np.flatnonzero(allocation.tokens == 103).tolist() == [200_000]


def test_scores_at_the_ends_of_float32_are_ranked():
    assert allocate([-3e38, 3e38, 0.0], 300).tokens.tolist() == [4, 128, 66]


def test_min_tokens_zero_may_leave_the_least_relevant_out():
    allocation = allocate(np.linspace(0, 1, 30), 20, min_tokens=0)
    assert allocation.used == 20
    assert allocation.tokens[0] == 0
    assert allocation.tokens[-1] >= 1


@pytest.mark.parametrize(
    ("scores", "budget", "options", "words"),
    [
        ([], 10, {}, ["one score per segment"]),
        ([[0.1, 0.2]], 10, {}, ["(1, 2)"]),
        ([0.1, float("nan")], 10, {}, ["nan", "segment 1"]),
        ([0.1, float("inf")], 10, {}, ["inf", "segment 1"]),
        ([0.1, 1e300], 10, {}, ["inf", "segment 1"]),
        ([0.1, 0.2, 0.3], 2, {}, ["budget 2", "3 segments", "smallest budget that works is 3"]),
        ([0.1, 0.2, 0.3], 0, {}, ["budget 0"]),
        ([0.1, 0.2, 0.3], -5, {}, ["budget -5", "hold 0 segments"]),
        ([0.1, 0.2, 0.3], 8.0, {}, ["whole number", "8.0", "float"]),
        ([0.1, 0.2, 0.3], None, {}, ["whole number", "None"]),
        ([0.1, 0.2, 0.3], True, {}, ["whole number", "True"]),
        ([0.1, 0.2, 0.3], "64", {}, ["whole number", "'64'"]),
        ([0.1, 0.2, 0.3], 10**30, {}, ["budget is out of range", "2**99"]),
        ([0.1, 0.2, 0.3], 10**30, {"mode": "faithful"}, ["budget is out of range", "2**99"]),
        ([0.1, 0.2, 0.3], 9, {"max_tokens": 10**30}, ["max_tokens is out of range"]),
        ([0.1, 0.2, 0.3], 9, {"seed": -1}, ["seed=-1", "0 <= seed"]),
        ([0.1, 0.2, 0.3], 9, {"seed": 1.5}, ["seed", "whole number", "1.5"]),
        ([0.1, 0.2, 0.3], 9, {"seed": None}, ["seed", "whole number"]),
        ([0.1, 0.2, 0.3], 9, {"strategy": "haed"}, ["haed", "did you mean 'head'"]),
        ([0.1, 0.2, 0.3], 9, {"mode": "loose"}, ["loose", "strict, faithful"]),
        ([0.1, 0.2, 0.3], 9, {"min_tokens": -1}, ["min_tokens=-1"]),
        ([0.1, 0.2, 0.3], 383, {"strategy": "none"}, ["383", "= 384"]),
        ([0.1, 0.2, 0.3, 0.4], 1, {"strategy": "topk"}, ["smallest budget that works is 2"]),
        ([0.5, 0.5, 0.5], 2, {"min_tokens": 0}, ["smallest budget that works is 3"]),
    ],
)
def test_what_has_no_meaning_is_refused(scores, budget, options, words):
    with pytest.raises(BudgetError) as error:
        allocate(scores, budget, **options)
    for word in words:
        assert word in str(error.value)


# Strategies and what they keep


@given(st.integers(0, 32), st.integers(0, 9))
def test_kept_slots_are_ascending_distinct_and_as_many_as_given(k, seed):
    for strategy in STRATEGIES.values():
        slots = strategy.slots(k, 32, (seed, 0))
        if slots is None:
            assert strategy.merges
            continue
        assert len(slots) == k
        assert (np.diff(slots) > 0).all()
        assert ((slots >= 0) & (slots < 32)).all()
        if strategy.prefix_only:
            assert slots.tolist() == list(range(k))


def test_more_tokens_of_the_head_begin_with_fewer():
    features = np.random.default_rng(0).normal(size=(128, 8)).astype(np.float32)
    small, large = allocate([0.2, 0.7, 0.4], 60), allocate([0.2, 0.7, 0.4], 120)
    for segment in range(3):
        fewer, more = (keep_tokens(features, a, segment) for a in (small, large))
        np.testing.assert_array_equal(more[: len(fewer)], fewer)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_slots_said_to_be_needed_are_enough(strategy):
    features = np.random.default_rng(1).normal(size=(16, 4)).astype(np.float32)
    allocation = allocate([0.2, 0.9, 0.5], 48, strategy=strategy, max_tokens=16, seed=3)
    for segment, needed in enumerate(allocation.needed):
        whole = keep_tokens(features, allocation, segment)
        assert whole.shape == (allocation.tokens[segment], 4)
        np.testing.assert_array_equal(keep_tokens(features[:needed], allocation, segment), whole)
        if needed:
            with pytest.raises(BudgetError, match="fewer memory tokens"):
                keep_tokens(features[: needed - 1], allocation, segment)


def test_random_follows_its_seed_and_differs_between_segments():
    one, same, other = (
        allocate([0.4, 0.5, 0.5], 60, strategy="random", seed=seed) for seed in (1, 1, 2)
    )
    assert one.tokens.tolist() == allocate([0.4, 0.5, 0.5], 60).tokens.tolist()
    assert one.slots(1).tolist() == same.slots(1).tolist()
    assert one.slots(1).tolist() != other.slots(1).tolist()
    assert one.slots(1).tolist() != one.slots(2).tolist()
    assert one.slots(-1).tolist() == one.slots(2).tolist()


def test_merging_keeps_the_mean_of_equal_groups_and_everything_when_nothing_is_cut():
    pair = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    allocation = allocate([0.5], 2, strategy="tome", max_tokens=4)
    np.testing.assert_allclose(keep_tokens(pair, allocation, 0), [[1, 0], [0, 1]])
    assert allocation.merged
    assert not allocation.kept.any()
    everything = allocate([0.5], 4, strategy="tome", max_tokens=4)
    np.testing.assert_array_equal(keep_tokens(pair, everything, 0), pair)
    assert everything.kept.all()


@given(st.integers(1, 33), st.integers(0, 99))
def test_merging_weights_are_means(k, seed):
    features = np.random.default_rng(seed).normal(size=(33, 5)).astype(np.float32)
    weights = STRATEGIES["tome"].merge_weights(features, k)
    assert weights.shape == (k, 33)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    assert ((weights > 0).sum(axis=0) == 1).all()  # each token goes into exactly one


def test_topk_drops_the_lower_half_and_shares_evenly():
    allocation = allocate([0.9, 0.1, 0.5, 0.5, 0.2], 100, strategy="topk")
    assert allocation.tokens.tolist() == [33, 0, 33, 33, 0]
    assert allocate([0.5, 0.5, 0.5, 0.5], 10, strategy="topk").tokens.tolist() == [5, 5, 0, 0]


def test_uniform_and_none_do_not_look_at_the_scores():
    assert allocate([0.9, 0.1, 0.3], 100, strategy="uniform").tokens.tolist() == [33, 33, 33]
    assert allocate([0.9, 0.1, 0.3], 384, strategy="none").tokens.tolist() == [128, 128, 128]
    over = allocate([0.9, 0.1, 0.3], 10, strategy="none", mode="faithful")
    assert over.used == 384


class EveryOther(Strategy):
    prefix_only = False

    def slots(self, k, total, seed):
        return np.sort(np.argsort(np.arange(total) % 2, kind="stable")[:k])


def test_a_user_defined_strategy_is_used_by_its_name_or_as_an_object():
    register_strategy("every-other")(EveryOther)
    try:
        by_name = allocate([0.1, 0.9], 20, strategy="every-other", max_tokens=16)
    finally:
        del STRATEGIES["every-other"]
    as_object = allocate([0.1, 0.9], 20, strategy=EveryOther(), max_tokens=16)
    assert by_name.strategy == "every-other"
    assert as_object.strategy == "EveryOther"
    for allocation in (by_name, as_object, replace(as_object, tokens=as_object.tokens)):
        assert allocation.slots(0).tolist() == [0, 2, 4, 6]
        assert allocation.needed[0] == 7


def test_an_object_is_recorded_under_its_name():
    def name(strategy):
        return allocate([0.1, 0.9], 20, strategy=strategy).strategy

    assert name(STRATEGIES["tail"]) == "tail"
    assert name(Abstain(threshold=0.8)) == "Abstain(threshold=0.8)"
    assert name(Abstain(threshold=0.8).named("strict")) == "strict"
    assert name(Abstain().named("abstain")) == "abstain"  # equal to the registered one
    assert name(Pair(STRATEGIES["uniform"], STRATEGIES["tome"])) == "uniform, tome"
    with pytest.raises(BudgetError, match="another strategy is registered"):
        name(Abstain(threshold=0.8).named("abstain"))


def test_a_pair_shares_as_one_strategy_and_keeps_as_the_other():
    options = {"max_tokens": 8, "seed": 2}
    for keeps in ("tail", "random", "tome"):
        pair = allocate(
            [0.1, 0.9, 0.2], 12, strategy=Pair(STRATEGIES["topk"], STRATEGIES[keeps]), **options
        )
        shares = allocate([0.1, 0.9, 0.2], 12, strategy="topk", **options)
        assert pair.tokens.tolist() == shares.tokens.tolist()
        kept = allocate([0.5] * 3, 18, strategy=f"uniform-{keeps}", **options)
        assert pair.tokens[1] == kept.tokens[1]
        np.testing.assert_array_equal(pair.kept[1], kept.kept[1])
        features = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
        np.testing.assert_array_equal(
            keep_tokens(features, pair, 1), keep_tokens(features, kept, 1)
        )


PROGRAM = """
import tempo_lab as tl

def kept():
    allocation = tl.allocate([0.1, 0.9, 0.5], 8, strategy="uniform-tail")
    return [allocation.slots(segment).tolist() for segment in range(3)]

before = kept()
tl.analysis.allocation_study
print(before, before == kept())
"""


def test_strategies_do_not_depend_on_what_was_imported():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{[[126, 127]] * 3} True\n"


# Old names, which work for one version


def old_strategy():
    class Old(Strategy):
        graded = False
        relative = False

        def share(self, scores, budget, low, high, mode):
            wanted, tokens = super().share(scores, budget, low, high, mode)
            return wanted, tokens[::-1]

        def fewest(self, segments):
            return 2 * segments

        def mix(self, features, k):
            return np.eye(len(features), dtype=np.float32)[:k]

        def slots(self, k, total, seed):
            return None

    return Old


def test_a_strategy_with_old_names_works_and_warns():
    with pytest.warns(DeprecationWarning, match="Old") as caught:
        kind = old_strategy()
    messages = {str(warning.message) for warning in caught}
    assert messages == {
        f"old_strategy.<locals>.Old.{old} is deprecated and will be removed in the next version; "
        f"use {new}"
        for old, new in RENAMED.items()
    }
    assert {warning.filename for warning in caught} == {__file__}
    with pytest.warns(DeprecationWarning, match=r"Strategy\.share is deprecated.*use allocate"):
        allocation = allocate([0.1, 0.9], 20, strategy=kind(), max_tokens=16)
    head = allocate([0.1, 0.9], 20, max_tokens=16)
    assert allocation.tokens.tolist() == head.tokens[::-1].tolist()
    features = np.arange(32, dtype=np.float32).reshape(16, 2)
    np.testing.assert_array_equal(
        keep_tokens(features, allocation, 0), features[: allocation.tokens[0]]
    )
    assert not kind().uses_scores
    assert not kind().scale_invariant
    with pytest.raises(BudgetError, match="smallest budget that works is 4"):
        allocate([0.1, 0.9], 3, strategy=kind())


def test_a_strategy_with_old_names_from_a_mixin():
    class Half:
        def share(self, scores, budget, low, high, mode):
            return Uniform().allocate(scores, budget // 2, low, high, mode)

    with pytest.warns(DeprecationWarning, match=r"Mixed\.share.*use allocate"):

        class Mixed(Half, Strategy):
            pass

    assert allocate([0.1, 0.9], 40, strategy=Mixed()).tokens.tolist() == [10, 10]


@pytest.mark.parametrize("old", RENAMED)
def test_old_names_lead_to_the_new_ones_of_each_strategy(old):
    pair = Pair(STRATEGIES["topk"], STRATEGIES["tome"])
    with pytest.warns(DeprecationWarning, match=f"Strategy.{old} is deprecated.*{RENAMED[old]}"):
        value = getattr(pair, old)
    assert value == getattr(pair, RENAMED[old])


def test_an_old_name_is_set_and_called_on_the_strategy_itself():
    class New(Tail):
        def __init__(self):
            self.graded = False

    with pytest.warns(DeprecationWarning, match="graded"):
        strategy = New()
    assert strategy.uses_scores is False
    with pytest.warns(DeprecationWarning, match="mix"):
        assert STRATEGIES["tome"].mix(np.eye(4, dtype=np.float32), 4).shape == (4, 4)


def test_a_parameter_may_have_the_old_name_of_a_method(recwarn):
    @dataclass(frozen=True)
    class Part(Strategy):
        share: float = 0.5

    assert allocate([0.1, 0.9], 20, strategy=Part(0.25)).strategy.endswith("Part(share=0.25)")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ([10, 11], ["21 tokens in all", "budget of 20"]),
        ([3, 17], ["17 tokens in segment 1", "0 to 16"]),
        ([-1, 12], ["-1 tokens in segment 0"]),
        ([1.5, 2.5], ["float64"]),
    ],
)
def test_a_user_defined_strategy_cannot_overspend(tokens, words):
    class Greedy(Strategy):
        def allocate(self, scores, budget, low, high, mode):
            return np.array(tokens), np.array(tokens)

    with pytest.raises(BudgetError) as error:
        allocate([0.1, 0.9], 20, strategy=Greedy(), max_tokens=16)
    for word in ["Greedy", "asked:", "found:", "fix:", *words]:
        assert word in str(error.value)
    assert len(allocate([0.1, 0.9], 20, strategy=Greedy(), mode="faithful", max_tokens=16)) == 2


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("mode", ["strict", "faithful"])
def test_the_largest_budget_overflows_nowhere(strategy, mode):
    for scores in ([0.1, 0.9, 0.4], [0.5, 0.5, 0.5]):
        huge, enough = (
            allocate(scores, budget, strategy=strategy, mode=mode) for budget in (2**62, 3 * 128)
        )
        if strategy not in ("temperature", "threshold"):  # they give what relevance is worth
            assert huge.tokens.max() == 128
        if strategy not in ("topk", "floor"):  # they share out a part of any budget
            assert huge.tokens.tolist() == enough.tokens.tolist()


def test_tensors_are_kept_as_tensors():
    torch = pytest.importorskip("torch")
    features = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))
    for strategy in ("head", "tail", "random", "tome"):
        allocation = allocate([0.3, 0.6], 20, strategy=strategy, max_tokens=16)
        kept = keep_tokens(features, allocation, 0)
        np.testing.assert_allclose(
            kept.numpy(), keep_tokens(features.numpy(), allocation, 0), rtol=0, atol=1e-6
        )
        half = keep_tokens(features.bfloat16(), allocation, 0)
        assert half.dtype == torch.bfloat16
        assert half.shape == kept.shape


# What is no number


@pytest.mark.parametrize(
    "scores",
    [
        "0.5",
        ["0.5", "0.9"],
        [[0.1], [0.2, 0.3]],
        [0.1, None],
        [0.1, [0.2]],
        None,
        [1j, 2],
        {0.5: 1},
    ],
    ids=str,
)
def test_scores_that_are_no_numbers_are_refused(scores):
    with pytest.raises(BudgetError, match="scores must be numbers"):
        allocate(scores, 20)


@pytest.mark.parametrize(
    "argument",
    [
        {"budget": "20"}, {"budget": [20]}, {"budget": None}, {"budget": 20.0},
        {"strategy": ["head"]}, {"strategy": None}, {"mode": ["strict"]}, {"mode": None},
        {"min_tokens": "4"}, {"max_tokens": [16]}, {"seed": "0"}, {"seed": [1]},
    ],
    ids=str,
)  # fmt: skip
def test_arguments_of_other_types_are_refused_by_name(argument):
    with pytest.raises(BudgetError, match=r"asked: .*\n  found: "):
        allocate([0.1, 0.9], **{"budget": 20, **argument})


@pytest.mark.parametrize("segment", ["0", [0], None, 0.0])
def test_a_segment_is_a_whole_number(segment):
    with pytest.raises(BudgetError, match="segment must be a whole number"):
        keep_tokens(np.zeros((128, 2)), allocate([0.1, 0.9], 20), segment)


@pytest.mark.parametrize("name", [None, 3, ["head"]])
def test_a_strategy_is_registered_under_text(name):
    with pytest.raises(BudgetError, match="name of a strategy must be a string"):
        register_strategy(name)


# The record of an allocation


def test_an_allocation_cannot_be_changed_or_be_inconsistent():
    scores = np.array([0.2, 0.8], dtype=np.float32)
    allocation = allocate(scores, 20)
    with pytest.raises(ValueError, match="read-only"):
        allocation.tokens[0] = 99
    with pytest.raises(AttributeError):
        allocation.budget = 3
    scores[0] = 5
    assert allocation.scores[0] == np.float32(0.2)
    with pytest.raises(BudgetError, match="one value per segment"):
        Allocation(scores, np.array([1]), np.array([1, 2]), 3)


def test_kept_says_which_slots():
    allocation = allocate([0.1, 0.9], 12, strategy="tail", max_tokens=8)
    assert allocation.kept.sum(axis=1).tolist() == allocation.tokens.tolist()
    assert np.flatnonzero(allocation.kept[0]).tolist() == [4, 5, 6, 7]
    with pytest.raises(BudgetError, match="segment is out of range"):
        keep_tokens(np.zeros((8, 2)), allocation, 2)


def test_the_doctests():
    assert doctest.testmod(tempo_lab.allocation.ata) == doctest.TestResults(0, 1)
