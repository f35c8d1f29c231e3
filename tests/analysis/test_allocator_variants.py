"""Answers under allocators of different strictness: each arm by hand, pairs, and bad input."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.allocation.arms import ALL, strictness_arms
from tempo_lab.analysis import AllocatorVariants, Case, Result, allocator_variants
from tempo_lab.analysis.allocator_variants import variant_arms
from tempo_lab.common.errors import BudgetError, TraceError
from tempo_lab.common.netcdf import write_record
from tempo_lab.common.statistics import bootstrap_mean
from tests.traces import make_trace

matplotlib.use("agg")
QUESTION = "What color is the moving square?"
ARMS = variant_arms(16)


class Scripted:
    """A session that answers right under some strategies, and remembers what it was asked."""

    checkpoint = SimpleNamespace(
        digest="d", model=SimpleNamespace(config=SimpleNamespace(num_compression_tokens=16))
    )

    def __init__(self, right):
        self.right, self.asked = right, []

    def __len__(self):
        return 4

    def ask(self, question, *, budget, strategy, mode, seed, scores, max_new_tokens):
        assert scores is None
        self.asked.append((question, budget, strategy, mode, seed, max_new_tokens))
        answer = "yes" if f"{strategy} {mode}" in self.right else "no"
        return make_trace(4, budget=budget, strategy=strategy, answer=answer)


def case(kind, video, *right):
    truth, group = [True, False, False, False], "needle" if kind in ("color", "digit") else ""
    return Case(Scripted(right), f"{kind}?", "yes", truth, kind, video, group=group)


def test_each_arm_is_asked_as_it_says():
    one = case("absence", "a")
    allocator_variants([one], seed=5, max_new_tokens=3, progress=False)
    assert one.session.asked == [
        ("absence?", 32, "head", "faithful", 5, 3),
        ("absence?", 32, "abstain", "strict", 5, 3),
        ("absence?", 32, "floor", "strict", 5, 3),
        ("absence?", 32, "threshold", "strict", 5, 3),
        ("absence?", 32, "temperature", "strict", 5, 3),
    ]
    assert ARMS[:3] == strictness_arms(16)
    assert {arm.budget for arm in variant_arms(128)} == {64}


def test_scores_and_gains_by_kind():
    faithful, abstain, floor = "head faithful", "abstain strict", "floor strict"
    cases = [
        case("absence", "a", abstain),
        case("absence", "a", abstain, floor),
        case("absence", "b", faithful, abstain),
        case("color", "a", faithful),
        case("digit", "b", faithful, floor),
    ]
    found = allocator_variants(cases, progress=False)
    data = found.data
    assert data["kind"].values.tolist() == ["absence", "needle"]
    assert data["questions"].values.tolist() == [3, 2]
    assert data["videos"].values.tolist() == [2, 2]
    first, second, third, *_ = ARMS
    assert data["mean"].sel(arm=first.name).values.tolist() == pytest.approx([1 / 3, 1])
    gain = data["gain"].sel(kind="absence")
    assert gain.sel(arm=second.name) == pytest.approx(2 / 3)
    expected = bootstrap_mean([1, 1, 0], ["a", "a", "b"])
    assert float(gain.sel(arm=second.name)) == pytest.approx(expected.value)
    ends = [float(data[n].sel(arm=second.name, kind="absence")) for n in ("gain_low", "gain_high")]
    assert ends == [expected.low, expected.high] == [0, 1]
    assert data["gain"].sel(arm=third.name).values.tolist() == pytest.approx([0, -0.5])
    assert (data["gain"].sel(arm=first.name) == 0).all()
    used = make_trace(4, budget=32, strategy="head").data.attrs["used"]
    assert float(data["tokens"].sel(arm=first.name, kind="needle")) == used / 4


def test_a_single_video_has_no_interval():
    found = allocator_variants([case("absence", "a")], progress=False)
    assert np.isnan(found.data["low"]).all()
    assert not np.isnan(found.data["mean"]).any()


def test_saved_tabulated_and_subtracted(tmp_path):
    found = allocator_variants([case("absence", "a"), case("most", "b")], progress=False)
    again = Result.load(found.save(tmp_path / "s.nc"))
    assert type(again) is AllocatorVariants
    xr.testing.assert_identical(again.data, found.data)
    assert again.provenance == found.provenance
    assert len(found.to_pandas()) == 2 * len(ARMS)
    assert float(abs((found - again).data["mean"]).max()) == 0
    texts = {"kind": "Strictness", "provenance": found.provenance}
    old = Result.load(write_record(tmp_path / "old.nc", "result", found.data, texts))
    assert type(old) is AllocatorVariants


def test_former_names_work_and_name_the_new_ones():
    with pytest.warns(DeprecationWarning, match="strictness is .* use .*allocator_variants"):
        assert tl.analysis.strictness is allocator_variants
    with pytest.warns(DeprecationWarning, match="Strictness is .* use .*AllocatorVariants"):
        assert tl.analysis.Strictness is AllocatorVariants
    with pytest.warns(DeprecationWarning, match="strictness is .* use .*allocator_variants"):
        assert tl.plots.strictness is plots.allocator_variants


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ([], "0 arms"),
        ([replace(ARMS[0], sparse=True)], "own scores and all frames"),
        ([replace(ARMS[0], scores="oracle")], "own scores and all frames"),
        ([ARMS[0], ARMS[0]], "ATA, faithful 8"),
    ],
)
def test_arms_that_cannot_be_compared_are_refused(arms, words):
    with pytest.raises(TraceError, match=words):
        allocator_variants([case("absence", "a")], arms=arms, progress=False)
    with pytest.raises(TraceError, match="0 questions"):
        allocator_variants([], progress=False)


def test_on_a_real_model_strict_arms_spend_no_more(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        asked = [
            Case(session, question, "red", [True] + [False] * 5, kind, "noise")
            for question, kind in ((QUESTION, "color"), ("When?", "absence"))
        ]
        found = allocator_variants(asked, arms=(*ARMS, ALL), max_new_tokens=2, progress=False)
        with pytest.raises(BudgetError, match="no such allocation strategy"):
            allocator_variants(asked, arms=[replace(ARMS[0], strategy="haed")], progress=False)
    used = found.data["used"]
    assert (used.sel(arm=[arm.name for arm in ARMS]) <= 8 * 6).all()
    assert (used.sel(arm="all tokens") == 6 * tiny.slots).all()
    assert found.provenance["models"] == [tiny.checkpoint.digest]


def test_the_figure_shows_scores_gains_and_tokens():
    cases = [case("absence", "a", "abstain strict"), case("absence", "b"), case("most", "b")]
    found = allocator_variants(cases, progress=False)
    figure, (score, gain, tokens) = plots.allocator_variants(found)
    figure.canvas.draw()
    assert [label.get_text() for label in score.get_xticklabels()] == ["absence\n(2)", "most\n(1)"]
    drawn = [bar[0].get_ydata().tolist() for bar in score.containers]
    np.testing.assert_allclose(drawn, found.data["mean"])
    drawn = [bar[0].get_ydata().tolist() for bar in gain.containers]
    np.testing.assert_allclose(drawn, found.data["gain"][1:])
    np.testing.assert_allclose([line.get_ydata() for line in tokens.lines], found.data["tokens"])
    assert "memory tokens" in tokens.get_ylabel()
    pyplot.close(figure)
    with pytest.raises(TraceError, match=r"result of tempo_lab\.analysis\.allocator_variants"):
        plots.allocator_variants(make_trace())


def test_what_is_no_case():
    with pytest.raises(TraceError, match="this analysis takes cases"):
        allocator_variants(None)
