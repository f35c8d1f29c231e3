"""ATA and its baselines: what each arm asks for, on a real model of tiny size, and the figure."""

from dataclasses import replace
from types import SimpleNamespace

import matplotlib
import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import course, plots
from tempo_lab.allocation.arms import ALL, Arm
from tempo_lab.analysis import Baselines, Case, Result, baseline_arms, baselines
from tempo_lab.analysis.baselines import FAMILIES
from tempo_lab.common.errors import BudgetError, TempoLabWarning, TraceError
from tempo_lab.common.netcdf import write_record
from tests.traces import make_trace

matplotlib.use("agg")
QUESTION = "What color is the moving square?"
SCRIPTED = [name for name in FAMILIES if name != "sparse frames"]  # these need a real video
EVIDENCE = [True, False, False, False]


class Scripted:
    """A session that answers right where the first segment has most tokens, and remembers."""

    checkpoint = SimpleNamespace(
        digest="d",
        model=SimpleNamespace(config=SimpleNamespace(num_compression_tokens=16, segment_frames=8)),
    )

    def __init__(self):
        self.asked = []

    def __len__(self):
        return 4

    def ask(self, question, *, budget, strategy="head", mode="strict", scores=None, **options):
        self.asked.append((budget, strategy, None if scores is None else list(scores)))
        first = scores is not None and scores[0] == max(scores)
        budget = 64 if budget is None else budget
        return make_trace(4, budget=budget, strategy=strategy, answer="yes" if first else "no")


def case(kind="color", video="a"):
    return Case(Scripted(), f"{kind}?", "yes", EVIDENCE, kind, video)


def test_a_kind_of_the_users_own_stays_its_own_whatever_it_is_called():
    """`color` and `place` of the world are needles; those of somebody else are not."""
    found = baselines([case("color"), case("place")], arms=baseline_arms(16, [4], ["ATA head"]))
    assert found.data["kind"].values.tolist() == ["color", "place"]


def test_what_the_context_refuses_is_left_out_and_the_rest_kept():
    class Short(Scripted):
        def ask(self, question, *, strategy="head", **options):
            if strategy == "none":
                raise BudgetError("the context cannot hold this video at this budget")
            return super().ask(question, strategy=strategy, **options)

    whole, short = case(video="a"), replace(case(video="b"), session=Short())
    arms = baseline_arms(16, [4], ["all tokens", "ATA head"])
    with pytest.warns(TempoLabWarning, match="is left out: 1 x the context"):
        found = baselines([whole, short], arms=arms, progress=False)
    assert found.data["score"].isnull().values.tolist() == [[False, True], [False, False]]
    (left,) = found.provenance["left_out"]
    assert (left["arm"], left["video"]) == ("all tokens", "b")
    assert not found.data["tokens"].isnull().any()
    with pytest.raises(BudgetError, match="no such allocation strategy"):
        baselines([whole], arms=[Arm("mine", "haed", 4)], progress=False)


def test_the_arms_share_equal_budgets_of_the_models_own_slots():
    arms = baseline_arms(16)
    assert sorted({arm.budget for arm in arms if arm.budget}) == [2, 3, 4, 8]
    assert sorted({arm.budget for arm in baseline_arms(128) if arm.budget}) == [16, 24, 32, 64]
    assert [arm.name for arm in baseline_arms(16, [4], ["top-k", "all tokens"])] == [
        "all tokens", "top-k 4",
    ]  # fmt: skip
    assert len({arm.name for arm in arms}) == len(arms) == 1 + 8 * 4


def test_scores_are_shuffled_or_the_truth():
    one = case()
    baselines([one], arms=baseline_arms(16, [3], SCRIPTED), progress=False)
    own = make_trace(4, budget=12).data["relevance"].to_numpy()
    asked = [each for each in one.session.asked if each[2] is not None]
    ((budget, _, shuffled), (_, _, oracle)) = asked
    assert budget == 12
    assert oracle == [1, 0, 0, 0]
    assert sorted(shuffled) == pytest.approx(sorted(own))
    assert "uniform-tome" in {each[1] for each in one.session.asked}


def test_each_arm_is_held_against_ata_at_its_budget():
    cases = [case(video="a"), case(video="b")]
    arms = baseline_arms(16, [2, 4], ["all tokens", "ATA head", "uniform head", "oracle routing"])
    found = baselines(cases, arms=arms, progress=False).data.sel(kind="color")
    mean, gain = found["mean"].to_series(), found["gain"].to_series()
    assert mean["oracle routing 4"] == 1
    assert mean["ATA head 4"] == mean["all tokens"] == 0
    assert gain["oracle routing 2"] == gain["oracle routing 4"] == 1
    assert gain["ATA head 2"] == gain["uniform head 4"] == 0
    assert np.isnan(found["budget"].sel(arm="all tokens"))


def test_a_budget_that_holds_no_segment_of_sparse_frames_is_nan():
    arms = baseline_arms(16, [2], ["ATA head", "sparse frames"])
    with pytest.warns(TempoLabWarning, match="1 x the budget does not hold one segment"):
        found = baselines([case()], arms=arms, progress=False)
    row = found.data.sel(arm="sparse frames 2", kind="color")
    assert np.isnan([row["mean"], row["tokens"]]).all()
    figure, (axes,) = plots.baselines(found)
    figure.canvas.draw()
    pyplot.close(figure)
    assert axes.get_ylabel() == "score"


def test_on_a_real_model_no_arm_exceeds_its_budget(tiny, frames_file, tmp_path):
    with tiny.open(frames_file, progress=False) as session:
        asked = [Case(session, QUESTION, "red", [True] + [False] * 5, "color", "noise")]
        arms = baseline_arms(tiny.slots, [tiny.slots // 2])
        with pytest.warns(TempoLabWarning, match="cannot be thinned"):
            found = baselines(asked, arms=arms, max_new_tokens=2, progress=False)
    data = found.data.sel(kind="color")
    limited = data.isel(arm=data["budget"].notnull() & (data["family"] != "sparse frames"))
    assert (limited["tokens"] <= limited["budget"]).all()
    assert float(data["tokens"].sel(arm="all tokens")) == tiny.slots
    stored = data.isel(arm=data["family"] == "sparse frames")  # frames that cannot be thinned
    assert stored["mean"].isnull().all()
    again = Result.load(found.save(tmp_path / "r.nc"))
    assert type(again) is Baselines
    xr.testing.assert_identical(again.data, found.data)
    texts = {"kind": "Rivals", "provenance": found.provenance}
    old = Baselines.load(write_record(tmp_path / "old.nc", "result", found.data, texts))
    xr.testing.assert_identical(old.data, found.data)


def test_former_names_work_and_name_the_new_ones():
    for module, names in (
        (
            tl.analysis,
            {"rivals": "baselines", "rival_arms": "baseline_arms", "Rivals": "Baselines"},
        ),
        (tl.plots, {"rivals": "baselines"}),
    ):
        for former, name in names.items():
            with pytest.warns(DeprecationWarning, match=f"{former} is .* use .*{name}") as caught:
                assert getattr(module, former) is getattr(module, name)
            assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error::tempo_lab.common.errors.UnfamiliarVideoWarning")
def test_sparse_frames_are_few_segments_of_the_whole_video():
    tempo = tl.load("nano", device="cpu")
    with tempo.open(course.clip("voyage"), progress=False) as session:
        one = Case(session, "Where is the star?", "snow", np.arange(12) == 8, "place")
        arms = baseline_arms(tempo.slots, [tempo.slots // 4], ["ATA head", "sparse frames"])
        data = baselines([one], arms=arms, progress=False).data.sel(kind="place")
    assert data["tokens"].sel(arm=arms[1].name) == tempo.slots / 4  # a quarter of the segments


def test_the_same_seed_shuffles_the_same_way():
    arms = baseline_arms(16, [3], ["shuffled scores"])
    one, two, other = case(), case(), case()
    for each, seed in ((one, 1), (two, 1), (other, 2)):
        baselines([each], arms=arms, seed=seed, progress=False)
    assert one.session.asked == two.session.asked
    assert one.session.asked != other.session.asked


@pytest.mark.parametrize("arms", [[], [ALL, ALL]])
def test_what_cannot_be_compared(arms):
    with pytest.raises(TraceError, match=r"one name|0 arms"):
        baselines([case()], arms=arms, progress=False)
    with pytest.raises(TraceError, match="0 questions"):
        baselines([], progress=False)
    with pytest.raises(TraceError, match="this analysis takes cases"):
        baselines(None)


def test_the_figure_has_a_panel_a_kind_and_all_points():
    arms = baseline_arms(16, families=SCRIPTED)
    found = baselines([case(), case("absence", "b")], arms=arms, progress=False)
    figure, axes = plots.baselines(found)
    figure.canvas.draw()
    assert [each.get_title("left") for each in axes] == [
        "color (1 questions)", "absence (1 questions)",
    ]  # fmt: skip
    for each, kind in zip(axes, ("color", "absence"), strict=True):
        part = found.data.sel(kind=kind)
        drawn = np.concatenate([bar[0].get_xdata(orig=False) for bar in each.containers])
        wanted = part["tokens"].values
        np.testing.assert_allclose(np.sort(drawn), np.sort(wanted))
    pyplot.close(figure)
    figure, axes = plots.baselines(found, kinds=["absence"])
    assert len(axes) == 1
    pyplot.close(figure)
    with pytest.raises(TraceError, match="no questions of this kind"):
        plots.baselines(found, kinds=["absense"])
    with pytest.raises(TraceError, match=r"result of tempo_lab\.analysis\.baselines"):
        plots.baselines(make_trace())


def test_an_arm_of_another_family_is_drawn_too():
    arms = (*baseline_arms(16, [4], ["ATA head"]), Arm("mine", "floor", 4))
    figure, (axes,) = plots.baselines(baselines([case()], arms=arms, progress=False))
    assert {bar.get_label() for bar in axes.containers} == {"ATA head", "mine"}
    pyplot.close(figure)
