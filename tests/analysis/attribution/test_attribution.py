"""Attribution: against what can be computed by hand, and without a trace on model or session."""

import matplotlib.pyplot
import numpy as np
import pytest
import torch
import xarray as xr

from tempo_lab import Intervention, analysis, plots
from tempo_lab.analysis.attribution.attribution import Attribution, attribution
from tempo_lab.analysis.attribution.targets import TARGETS, register_target
from tempo_lab.common.errors import QueryError, TraceError
from tempo_lab.session.scoring import answer_logprob
from tests.analysis.attribution.explained import ANSWER, QUESTION, explain

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _closed_figures():
    yield
    matplotlib.pyplot.close("all")


def state(session):
    model = session.checkpoint.model
    return (
        [(p.requires_grad, p.grad is None) for p in model.parameters()],
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
        [len(m._backward_hooks) for m in model.modules()],
        dict(session.engine.computed),
        session.engine.nbytes,
        torch.is_grad_enabled(),
    )


@pytest.mark.parametrize(
    "options",
    [
        {"method": "integrated_gradients", "samples": 2},
        {"units": "pairs", "target": "yes_no_logit", "method": "layer_gradient_x_activation"},
        {"units": "words"},
    ],
)
def test_model_and_session_stay_as_they_were(session, trace, options):
    first = next(session.checkpoint.model.parameters())
    first.requires_grad_(False)  # a user's own choice, which stays
    try:
        before = state(session)
        explain(session, trace, **options)
        with torch.inference_mode():
            explain(session, trace, **options)
        assert state(session) == before
        assert not first.requires_grad
    finally:
        first.requires_grad_(True)
    again = session.ask(QUESTION, budget=18, max_new_tokens=3)
    xr.testing.assert_identical(again.data, trace.data)


@pytest.fixture
def own_target():
    """A target that is interrupted in its second call."""
    calls = []

    @register_target("interrupted", reads="answer", units="1")
    def interrupted(output):
        calls.append(len(output.questions))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return output.logprob(output.answer)

    yield calls
    del TARGETS["interrupted"]


@pytest.mark.parametrize("method", ["feature_ablation", "integrated_gradients"])
def test_an_interrupted_call_raises_and_leaves_all_as_it_was(session, trace, own_target, method):
    before = state(session)
    with pytest.raises(KeyboardInterrupt):
        explain(session, trace, method=method, target="interrupted", batch=2)
    assert len(own_target) == 2
    assert state(session) == before
    result = explain(session, trace, target="interrupted", batch=2)  # from the third call on
    whole = explain(session, trace, batch=2)
    np.testing.assert_array_equal(result.data["value"], whole.data["value"])
    assert result.provenance["target_units"] == "1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"units": "segment"}, "did you mean 'segments'"),
        ({"target": "answer_logprobs"}, "did you mean 'answer_logprob'"),
        ({"method": "kernel"}, "found: feature_ablation, shapley_value_sampling"),
        ({"baseline": "absend"}, "did you mean 'absent'"),
        ({"samples": 5}, "takes no samples"),
        ({"method": "kernel_shap", "samples": 4}, "asked: 3 units, 4 samples"),
        ({"batch": 0}, "batch=0"),
        ({"method": "kernel_shap", "samples": 2.5}, "samples=2.5"),
        ({"segment": 0}, "leave segment out"),
        ({"units": "pairs", "segment": 3}, "use 0 <= segment <= 2"),
        ({"units": "pairs", "target": "yes_no_logit", "against": "a cat"}, "answer_margin"),
        ({"budget": 20}, "found: budget 18"),
    ],
)
def test_bad_input_is_refused(session, trace, options, words):
    with pytest.raises(TraceError, match=words):
        explain(session, trace, **options)


def test_earlier_turns_are_refused(session):
    later = session.ask(QUESTION, budget=18, history=[("Who?", "me")], max_new_tokens=1)
    with pytest.raises(TraceError, match="1 earlier turns"):
        explain(session, later)


def test_a_trace_of_another_video_is_refused(session, trace, tiny, frames_file):
    with (
        tiny.open(frames_file, progress=False) as other,
        pytest.raises(TraceError, match="asked: 6 segments"),
    ):
        explain(other, trace)


def test_one_picture_is_one_segment(tiny, tmp_path):
    from PIL import Image

    noise = np.random.default_rng(3).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "one.png")
    with tiny.open(tmp_path / "one.png", progress=False) as picture:
        trace = picture.ask(QUESTION, budget=128, max_new_tokens=1)
        result = explain(picture, trace)
        numbers = result.numbers()
        assert numbers["delta"] == pytest.approx(0, abs=1e-5)  # the one unit is the whole
        assert numbers["all"] != numbers["none"]
        pairs = explain(picture, trace, units="pairs", target="yes_no_logit")
        assert pairs.data.sizes["unit"] == 1


def test_an_answer_must_be_text(session, trace):
    with pytest.raises(QueryError, match="must be text"):
        attribution(session, trace, answer=3)


def test_a_question_is_asked_first(session):
    result = attribution(session, QUESTION, budget=18, progress=False)
    assert result.provenance["budget"] == 18
    assert result.provenance["answer"] == session.ask(QUESTION, budget=18).answer


def test_results_are_saved_and_subtracted(session, trace, tmp_path):
    result = explain(session, trace)
    again = Attribution.load(result.save(tmp_path / "a.nc"))
    xr.testing.assert_identical(again.data, result.data)
    assert list(again.to_pandas().columns) == ["unit", "value", "start", "end"]
    largest = np.abs(result.data["value"].to_numpy()).argmax()
    assert again.top(1).unit.iloc[0] == f"segment {largest}"
    change = result - explain(session, trace, method="kernel_shap")
    assert abs(change.data["value"]).max() > 0
    with pytest.raises(TraceError, match="units: segments"):
        result - explain(session, trace, units="words")


def test_the_effect_is_where_the_evidence_is():
    import tempo_lab as tl

    with tl.load("nano", device="cpu").open("data/clips/voyage.mp4", progress=False) as video:
        trace = video.ask("What color is the star?")
        effect = attribution(video, trace, answer="red", progress=False)
        assert effect.top(1).unit.iloc[0] == "segment 8"
        words = attribution(video, trace, units="words", target="yes_no_logit", progress=False)
        assert words.provenance["segment"] == 8
        assert words.top(1).unit.iloc[0] == "star"
        with pytest.raises(QueryError, match="unknown: crimson"):
            attribution(video, trace, answer="crimson", progress=False)


def made(values, delta=0.0, method="kernel_shap", **places):
    """An attribution of given values."""
    values = np.asarray(values, float)
    data = {"value": ("unit", values), "all": -1.0, "none": -2.0, "delta": delta}
    coords = {"unit": [f"unit {i}" for i in range(len(values))]}
    coords |= {name: ("unit", np.asarray(place)) for name, place in places.items()}
    about = {"question": "What $x$?", "answer": "y", "units": "u", "target": "t", "method": method}
    more = {"target_units": "nat", "baseline": "absent", "baseline_means": "nothing"}
    return Attribution(xr.Dataset(data, coords), {**about, **more, "segment": None})


def test_values_that_miss_the_whole_are_cautioned_about():
    assert made([1], delta=0.05).caution is None
    caution = made([1], delta=0.5).caution
    assert "50% of it" in caution
    assert made([1], delta=0.5, method="feature_ablation").caution is None
    figure, _ = plots.attribution(made([1], delta=0.5, slot=[0]))
    assert caution in figure.get_suptitle()


def test_bars_stand_on_their_seconds():
    figure, (axes,) = plots.attribution(made([1, -2, 3], start=[0, 4, 8], end=[4, 8, 10]))
    figure.canvas.draw()
    bars = [(b.get_x(), b.get_width(), b.get_height()) for b in axes.patches]
    assert bars == [(0, 4, 1), (4, 4, -2), (8, 2, 3)]
    assert axes.patches[0].get_facecolor() != axes.patches[1].get_facecolor()
    assert axes.get_xlabel() == "time (s)"
    assert "nat" in axes.get_ylabel()
    assert "absent: nothing" in figure.get_suptitle()


def test_slots_are_named_by_number():
    _, (axes,) = plots.attribution(made([1, -2], slot=[3, 9]))
    assert [label.get_text() for label in axes.get_xticklabels()] == ["3", "9"]


def test_patches_are_grids_in_one_scale():
    at = np.array([(p, r, c) for p in range(2) for r in range(2) for c in range(3)]).T
    values = np.arange(12.0) - 3
    places = dict(zip(("pair", "patch_row", "patch_column"), at, strict=True))
    figure, axes = plots.attribution(made(values, **places))
    figure.canvas.draw()
    shown = [each.images[0] for each in axes]
    np.testing.assert_array_equal([image.get_array() for image in shown], values.reshape(2, 2, 3))
    assert [image.get_clim() for image in shown] == [(-8, 8)] * 2


def test_words_stand_in_order_with_their_numbers():
    figure, (axes,) = plots.attribution(made([0.5, -2] * 20, word=range(40)))
    figure.canvas.draw()
    texts = [text.get_text() for text in axes.texts]
    assert texts[::2] == [f"unit {i}" for i in range(40)]
    assert texts[1:4:2] == ["+0.5", "-2"]


def test_only_an_attribution_is_drawn():
    with pytest.raises(TraceError, match=r"tempo_lab\.analysis\.attribution"):
        plots.attribution("a.nc")
    assert analysis.attribution is attribution


def test_memory_is_what_the_llm_read_in_a_run_with_interventions(session, trace):
    """Each effect is that of the segment in the same run: with everything, and without it."""
    swap, other = Intervention.swap(0, 2), Intervention.question("Where is the dog?")
    states = Intervention.patch(0, "memory 0", 1.0)
    for done in ([swap], [other], [states], [swap, other]):
        run = session.ask(QUESTION, budget=18, max_new_tokens=3, interventions=done)
        result = explain(session, run)
        expected = float(answer_logprob(session, run, ANSWER).sum())
        assert float(result.data["all"]) == pytest.approx(expected, abs=1e-4)
        plain = explain(session, trace)
        assert float(result.data["all"]) != pytest.approx(float(plain.data["all"]), abs=1e-4)
        for units in ("pairs", "patches", "words"):
            with pytest.raises(TraceError, match="was changed in this run") as error:
                explain(session, run, units=units)
            assert run.interventions[0] in error.value.found


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"seed": "x"}, "seed must be a whole number"),
        ({"method": "shapley_value_sampling", "samples": "many"}, "samples must be a whole number"),
        ({"units": "slots", "segment": "1"}, "use 0 <= segment <= 2"),
    ],
)
def test_numbers_that_are_none(session, trace, options, words):
    with pytest.raises(TraceError, match=words):
        explain(session, trace, **options)
