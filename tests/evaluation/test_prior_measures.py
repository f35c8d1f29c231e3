"""Measures of the relevance prior, against hand-computed cases and brute force."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tempo_lab.common.errors import TempoLabError
from tempo_lab.evaluation.measured import Measured, summarize
from tempo_lab.evaluation.prior_measures import (
    auroc,
    average_precision,
    best,
    correct_and_grounded,
    evidence_recall,
    evidence_segments,
    hit_at,
    iop,
    iou,
    mean_recall,
    measure_prior,
    moment_average_precision,
    saliency_average_precision,
    saliency_hit,
    scores_of_clips,
    set_iou,
    spans_from_scores,
)

START, END = [0, 4, 8, 12], [4, 8, 12, 16]
ranked = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=7)


def both(pairs: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])


# Segments


def test_spans_and_segments_are_half_open() -> None:
    def marked(*spans: tuple[float, float]) -> list[int]:
        return np.flatnonzero(evidence_segments(START, END, spans)).tolist()

    assert marked((4, 8)) == [1]  # not the next segment, nor the one before
    assert marked((4, 8.1)) == [1, 2]
    assert marked((3.9, 8)) == [0, 1]
    assert marked((8, 8)) == [2]  # a moment
    assert marked((16, 20)) == marked() == []
    assert marked((0, 1), (15, 99)) == [0, 3]
    with pytest.raises(TempoLabError, match="ends before"):
        marked((8, 4))


# Rankings


def test_rankings_by_hand() -> None:
    scores, truth = [0.9, 0.8, 0.7, 0.6], np.array([True, False, True, False])
    assert auroc(scores, truth) == 0.75
    assert average_precision(scores, truth) == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert hit_at(scores, truth, 1) == 1
    assert hit_at(scores, ~truth, 1) == 0
    assert hit_at(scores, ~truth, 2) == 1


def test_equal_scores_say_nothing() -> None:
    truth = np.array([True, False, False, False])
    scores = [0.5] * 4
    assert auroc(scores, truth) == 0.5
    assert average_precision(scores, truth) == 0.25
    assert hit_at(scores, truth, 1) == 0.25
    assert hit_at(scores, truth, 2) == 0.5
    assert hit_at(scores, truth, 9) == 1


@pytest.mark.parametrize("share", [False, True])
def test_none_or_all_evidence_is_not_defined(share: bool) -> None:
    truth = np.full(3, share)
    for value in (
        auroc([1, 2, 3], truth),
        average_precision([1, 2, 3], truth),
        hit_at([1, 2, 3], truth, 1),
        evidence_recall([1, 2, 3], truth, 4),
    ):
        assert math.isnan(value)


@settings(deadline=None)
@given(ranked, st.integers(1, 4))
def test_ties_are_what_random_orders_give_on_average(pairs: list, k: int) -> None:
    scores, truth = both(pairs)
    if truth.all() or not truth.any():
        return
    orders = [
        order
        for order in itertools.permutations(range(len(scores)))
        if all(scores[a] >= scores[b] for a, b in itertools.pairwise(order))
    ]
    expected = np.mean([truth[list(order[:k])].any() for order in orders])
    assert hit_at(scores, truth, k) == pytest.approx(expected)


@given(ranked)
def test_rankings_ignore_order_and_monotone_changes(pairs: list) -> None:
    scores, truth = both(pairs)
    for measure in (auroc, average_precision):
        value = pytest.approx(measure(scores, truth), nan_ok=True)
        assert measure(scores[::-1], truth[::-1]) == value
        assert measure(np.exp(scores), truth) == value
    if truth.any() and not truth.all():
        assert auroc(-scores, truth) == pytest.approx(1 - auroc(scores, truth))


def test_scores_must_fit_the_truth() -> None:
    with pytest.raises(TempoLabError, match="one per segment"):
        auroc([1, 2], np.array([True]))
    with pytest.raises(TempoLabError, match="bool"):
        auroc([1, 2], np.array([1, 0]))
    with pytest.raises(TempoLabError, match="finite"):
        auroc([1, math.nan], np.array([True, False]))


def test_evidence_recall_at_equal_tokens() -> None:
    truth = np.array([True, False, True, False])
    assert evidence_recall([16, 0, 8, 0], truth, 16) == 0.75
    assert evidence_recall([6, 6, 6, 6], truth, 16) == 6 / 16  # the same 24 tokens, evenly
    assert evidence_recall([0, 16, 0, 8], truth, 16) == 0
    with pytest.raises(TempoLabError, match="0 to all"):
        evidence_recall([17, 0, 0, 0], truth, 16)


# Spans


def test_a_curve_gives_the_runs_above_mean_plus_one_sd() -> None:
    scores = [0, 0, 9, 8, 0, 0, 7, 0, 0, 0, 0, 0]
    start = np.arange(12) * 4.0
    limit = np.mean(scores) + np.std(scores)
    assert 0 < limit < 7
    assert spans_from_scores(scores, start, start + 4) == [(8, 16, 8.5), (24, 28, 7)]


def test_a_curve_always_predicts_something() -> None:
    assert spans_from_scores([0.3] * 4, START, END) == [(0, 16, pytest.approx(0.3))]
    # mean + sd = 1.18 is above every score: the maximum counts
    assert spans_from_scores([0, 1, 1, 1], START, END) == [(4, 16, 1)]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=12), st.floats(0.1, 3), st.floats(-9, 9))
def test_spans_ignore_scale_and_offset_and_lie_in_the_video(
    scores: list[float], scale: float, offset: float
) -> None:
    values = np.round(scores, 2)
    start = np.arange(len(values)) * 2.0
    spans = spans_from_scores(values, start, start + 2)
    assert spans
    assert all(0 <= first < last <= 2 * len(values) for first, last, _ in spans)
    assert [span[2] for span in spans] == sorted((span[2] for span in spans), reverse=True)
    shuffled = sorted(spans)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(shuffled))


def test_overlaps_by_hand() -> None:
    assert iou((0, 10), (5, 20)) == 0.25
    assert iop((0, 10), (5, 20)) == 0.5
    assert iou((0, 4), (4, 8)) == iop((0, 4), (4, 8)) == 0
    assert iou((4, 4), (4, 4)) == iop((4, 4), (0, 8)) == 0
    assert best("iou", [(0, 10), (5, 20)], [(100, 110), (5, 20)]) == 0.25  # the first one only
    assert best("iou", [], [(0, 1)]) == 0
    assert math.isnan(best("iou", [(0, 1)], []))
    assert set_iou([(0, 4), (2, 6), (10, 12)], [(4, 10)]) == pytest.approx(2 / 12)
    assert math.isnan(set_iou([(0, 1)], []))
    assert mean_recall(0.3) == 0.6  # .1, .2 and .3 of five thresholds
    assert math.isnan(mean_recall(math.nan))


spans = st.tuples(st.integers(0, 20), st.integers(1, 20)).map(lambda s: (s[0], s[0] + s[1]))


@given(spans, spans)
def test_overlaps_are_bounded_and_symmetric(one: tuple, other: tuple) -> None:
    assert iou(one, other) == iou(other, one) == pytest.approx(set_iou([one], [other]))
    assert 0 <= iou(one, other) <= iop(one, other) <= 1
    assert iou(one, one) == iop(one, one) == 1


def test_grounded_answers_must_be_right_and_overlap() -> None:
    assert correct_and_grounded(1, 0.5) == 1
    assert correct_and_grounded(1, 0.49) == correct_and_grounded(0, 1) == 0
    assert math.isnan(correct_and_grounded(1, math.nan))


def test_moment_average_precision_by_hand() -> None:
    evidence = [(0, 10), (20, 30)]
    exact = [(0, 10, 0.9), (20, 30, 0.8)]
    np.testing.assert_array_equal(moment_average_precision(exact, evidence), np.ones(10))
    # hit, miss, hit: precision 1 and 2/3 at the two hits
    late = [(0, 10, 0.9), (50, 60, 0.8), (20, 30, 0.7)]
    np.testing.assert_allclose(moment_average_precision(late, evidence), (1 + 2 / 3) / 2)
    # miss, hit, hit: interpolated precision is 2/3 at both
    first = [(50, 60, 0.9), (0, 10, 0.8), (20, 30, 0.7)]
    np.testing.assert_allclose(moment_average_precision(first, evidence), 2 / 3)
    # a second prediction of the same window is false: recall stays at one half
    double = [(0, 10, 0.9), (0, 10, 0.8)]
    np.testing.assert_allclose(moment_average_precision(double, evidence), 0.5)
    # IoU 0.8 reaches the thresholds .5 to .8
    rough = [(0, 8, 0.9)]
    np.testing.assert_array_equal(
        moment_average_precision(rough, [(0, 10)]), np.array([1.0] * 7 + [0.0] * 3)
    )
    assert moment_average_precision([], evidence).tolist() == [0] * 10
    assert np.isnan(moment_average_precision(exact, [])).all()


def test_only_the_first_ten_predictions_count() -> None:
    wrong = [(100 + n, 101 + n, 0.1) for n in range(10)]
    assert moment_average_precision([*wrong, (0, 10, 0.9)], [(0, 10)]).sum() == 0
    assert moment_average_precision([*wrong[1:], (0, 10, 0.9)], [(0, 10)]).mean() == 1


# Saliency


def test_clips_take_the_scores_of_their_segments() -> None:
    # segments of 4 s, clips of 2 s; the last clip lies behind the video
    clips = scores_of_clips([1, 3], [0, 4], [4, 8], clips=5, clip=2)
    assert clips.tolist() == [1, 1, 3, 3, 3]
    # a clip over two segments: 1 s of one and 3 s of the other
    assert scores_of_clips([1, 5], [0, 1], [1, 4], clips=1, clip=4).tolist() == [4]


def test_saliency_by_hand() -> None:
    predicted = [0.9, 0.5, 0.1]
    saliency = [[4, 0, 2], [0, 4, 2], [0, 4, 0]]
    assert saliency_hit(predicted, saliency, 4) == 1  # one rater is enough
    assert saliency_hit(predicted[::-1], [[4, 4, 4], [0, 0, 0], [3, 3, 3]], 4) == 0
    # rater 1: precision 1; rater 2: places 2 and 3, 2/3 at both; rater 3: no clip, so 0
    assert saliency_average_precision(predicted, saliency, 4) == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert saliency_average_precision(predicted, [[4]] * 3, 4) == 1
    with pytest.raises(TempoLabError, match="each rater"):
        saliency_hit(predicted, [[1, 2, 3]], 4)


def test_equally_high_clips_share_the_hit() -> None:
    assert saliency_hit([1, 1, 0], [[4], [0], [4]], 4) == 0.5


# Together


def test_all_measures_of_a_perfect_and_of_a_blind_curve() -> None:
    start = np.arange(20) * 4.0
    evidence = [(40.0, 44.0)]
    saliency = np.zeros((40, 3))
    saliency[20:22] = 4
    peak = (start == 40).astype(float)
    options = {"tokens": 16 * peak, "slots": 16, "saliency": saliency}
    perfect = measure_prior(peak, start, start + 4, evidence, **options)
    assert perfect.pop("evidence_recall_uniform") == pytest.approx(1 / 20)
    assert set(perfect.values()) == {1.0}
    blind = measure_prior(np.ones(20), start, start + 4, evidence, **options)
    assert blind["auroc"] == 0.5
    assert blind["hit@1"] == pytest.approx(1 / 20)
    assert blind["mIoU"] == blind["mIoP"] == pytest.approx(4 / 80)
    assert blind["R1@0.3"] == blind["mAP"] == 0
    assert blind["HIT@1_very_good"] == pytest.approx(2 / 40)
    with pytest.raises(TempoLabError, match="slots="):
        measure_prior(peak, start, start + 4, evidence, tokens=peak)


def test_a_planted_shift_by_one_segment_is_seen() -> None:
    start = np.arange(20) * 4.0
    peak = (start == 40).astype(float)
    shifted = measure_prior(np.roll(peak, 1), start, start + 4, [(40.0, 44.0)])
    assert shifted["hit@1"] == shifted["mIoU"] == shifted["mAP"] == 0
    assert shifted["auroc"] < 0.5


def test_a_question_without_evidence_is_counted() -> None:
    known = measure_prior([0, 1, 0, 0], START, END, [(4, 8)])
    unknown = measure_prior([0, 1, 0, 0], START, END, [(99, 100)])  # behind the video
    everywhere = measure_prior([0, 1, 0, 0], START, END, [(0, 16)])
    measured = [Measured(str(n), f"v{n}", m) for n, m in enumerate([known, unknown, everywhere])]
    scores = {score.measure: score for score in summarize(measured)}
    assert (scores["auroc"].value, scores["auroc"].questions, scores["auroc"].undefined) == (
        1,
        1,
        2,
    )
    assert scores["mIoU"].value == pytest.approx((1 + 0.25) / 2)
    assert scores["mIoU"].undefined == scores["mAP"].undefined == scores["rec@IoU"].undefined == 1


def test_intervals_of_measures_resample_videos() -> None:
    measured = [Measured(str(n), "ab"[n % 2], {"auroc": float(n % 2)}) for n in range(100)]
    score = summarize(measured)[0]
    assert (score.value, score.low, score.high, score.videos) == (0.5, 0, 1, 2)
