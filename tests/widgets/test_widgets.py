"""Explorers: driven as a reader would, refusing in the panel, and gone when they are closed."""

import asyncio
import gc
import re
import subprocess
import sys
import weakref
from base64 import b64decode
from io import BytesIO

import ipywidgets
import matplotlib
import numpy as np
import pytest
from ipywidgets.widgets import widget as registry
from matplotlib import pyplot
from PIL import Image

import tempo_lab as tl
from tempo_lab import plots
from tempo_lab.allocation import STRATEGIES, Temperature, allocate, register_strategy
from tempo_lab.analysis import Case, attention
from tempo_lab.common.errors import BudgetError, QueryError, TempoLabWarning, TraceError
from tempo_lab.session.scoring import answer_logprob
from tempo_lab.widgets import (
    AttentionExplorer,
    Explorer,
    FrontLoadingExplorer,
    RoutingExplorer,
    SegmentExplorer,
)
from tempo_lab.widgets import frames as frame_cache
from tempo_lab.widgets.base import PAUSE, every_widget
from tests.comms import Heard
from tests.traces import make_trace

matplotlib.use("agg")

KS = [1, 5, 128]
HOSTILE = "<script>alert('x')</script> $5 & \x1b[31m?"


class Dots(Explorer):
    """k dots; 3 are refused, 4 are a fault."""

    def __init__(self):
        self.k = ipywidgets.IntSlider(1, 0, 9, description="k")
        self.go = ipywidgets.Button(description="go")
        self.drawn, self.action = 0, lambda: None
        super().__init__([self.k, self.go])
        self.watch(self.k)
        self.clicked(self.go, lambda: self.action())
        self.redraw()

    def draw(self):
        import warnings

        self.drawn += 1
        figure, axes = pyplot.subplots()
        axes.plot(range(self.k.value), "o")
        if self.k.value == 3:
            raise BudgetError("three is refused", asked=HOSTILE, found="3", fix="another")
        if self.k.value == 4:
            raise ZeroDivisionError(HOSTILE)
        if self.k.value == 5:
            warnings.warn("five is strange", TempoLabWarning, stacklevel=1)
        return figure

    def caption(self):
        return f"{self.k.value} dots"


class StoppedClock(asyncio.SelectorEventLoop):
    """An event loop whose time goes on only when a test says so."""

    now = 0.0

    def time(self):
        return self.now


@pytest.fixture(autouse=True)
def _nothing_left():
    """No widget, figure or strategy stays behind, whatever a test did with its explorers."""
    before, known = set(registry._instances), dict(STRATEGIES)
    figures = pyplot.get_fignums()
    yield
    assert set(registry._instances) == before
    assert pyplot.get_fignums() == figures
    assert known == STRATEGIES


@pytest.fixture(scope="module")
def asked(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        capture = tl.Capture(attention=["decision", "memory"], reduce="patch_grid")
        yield session, session.ask("What happens?", budget=20, max_new_tokens=4, capture=capture)


def shown(explorer):
    """The picture in the page, as [row, column, 3]."""
    assert explorer.picture.value.startswith("<img ")
    return np.asarray(Image.open(BytesIO(explorer.static().data)).convert("RGB"))


# What all share


def test_a_change_is_drawn_and_static_is_that_picture():
    with Dots() as dots:
        one = dots.static()
        assert one.data == dots.static().data
        dots.k.value = 2
        two = dots.static()
        assert one.data != two.data
        assert dots.drawn == 2
        dots.k.value = 1
        assert dots.static().data == one.data
        assert one.data.startswith(b"\x89PNG")


def test_changes_that_follow_each_other_are_drawn_once():
    async def slide(dots):
        for k in (2, 5, 6, 8):
            dots.k.value = k
            await due()
        before = dots.drawn
        asyncio.get_running_loop().now += 4 * PAUSE
        await due()
        return before, dots.drawn

    async def due():
        for _ in range(4):
            await asyncio.sleep(0)  # whatever is due at once is done

    with Dots() as dots, asyncio.Runner(loop_factory=StoppedClock) as runner:
        assert runner.run(slide(dots)) == (1, 2)
        assert "8 dots" in dots.picture.value


def test_a_closed_explorer_draws_no_more():
    async def leave(dots):
        dots.k.value = 2
        dots.close()
        dots.k.value = 6
        await asyncio.sleep(4 * PAUSE)

    dots = Dots()
    asyncio.run(leave(dots))
    assert dots.drawn == 1
    dots.k.value = 7
    assert dots.drawn == 1
    assert not dots.k._trait_notifiers.get("value", {}).get("change")
    assert dots.go._click_handlers.callbacks == []


@pytest.mark.parametrize("k", [3, 4])
def test_errors_stand_in_the_panel_and_go_when_it_works_again(k):
    with Dots() as dots:
        dots.k.value = k
        assert isinstance(dots.error, BudgetError if k == 3 else ZeroDivisionError)
        assert 'role="alert"' in dots.line.value
        assert "<script>" not in dots.line.value
        assert "&lt;script&gt;" in dots.line.value
        assert "Traceback" not in dots.line.value
        if k == 3:
            for part in ("three is refused", "asked:", "found: 3", "fix:   another"):
                assert part in dots.line.value
        with pytest.raises(type(dots.error)):
            dots.static()
        dots.k.value = 1
        assert dots.error is None
        assert dots.line.value == ""


def test_warnings_stand_in_the_panel_until_the_next_change():
    with Dots() as dots:
        dots.k.value = 5
        assert "five is strange" in dots.line.value
        assert dots.error is None
        dots.k.value = 6
        assert dots.line.value == ""


def test_an_interrupted_button_leaves_the_explorer_usable():
    def stop():
        raise KeyboardInterrupt

    with Dots() as dots:
        dots.action = stop
        dots.go.click()
        assert "Interrupted" in dots.line.value
        assert not dots.go.disabled
        dots.action = lambda: dots.say("done")
        dots.go.click()
        assert "done" in dots.line.value
        assert dots.error is None


def test_it_is_displayed_live_with_the_picture_for_where_no_kernel_runs():
    with Dots() as dots:
        bundle = dots._repr_mimebundle_()
        view = bundle["application/vnd.jupyter.widget-view+json"]
        assert view["model_id"] == dots.panel.model_id
        assert bundle["image/png"]
        assert bundle["text/plain"] == "Dots(1 dots)"
    assert "application/vnd.jupyter.widget-view+json" not in dots._repr_mimebundle_()


def explorers(session, trace):
    return [
        RoutingExplorer(session, trace),
        SegmentExplorer(session, trace),
        AttentionExplorer(session, trace),
        FrontLoadingExplorer(session, trace, "red", ks=KS, draws=1),
    ]


def test_sentence_and_picture_are_of_one_drawing(asked):
    """Where an event loop runs, a change is drawn later: both are asked for before that."""

    async def changed(explorer, control, value):
        control.value = value
        bundle = explorer._repr_mimebundle_()
        assert (bundle["text/plain"], b64decode(bundle["image/png"])) == (
            repr(explorer), explorer.static().data,
        )  # fmt: skip
        explorer.redraw()
        assert bundle["text/plain"] == repr(explorer)
        assert explorer.static().alt == explorer.describe()

    routing, segments, looks, loading = every = explorers(*asked)
    changes = [(routing.budget, 40), (segments.segment, 1), (looks.segment, 1), (loading.k, KS[0])]
    for explorer, (control, value) in zip(every, changes, strict=True):
        asyncio.run(changed(explorer, control, value))
    assert f"{routing.allocation.used} of 40 tokens given" in repr(routing)
    for explorer in every:
        explorer.close()


def test_what_cannot_be_drawn_leaves_picture_and_sentence():
    with Dots() as dots:
        dots.k.value = 3
        assert dots.error is not None
        assert repr(dots) == "Dots(1 dots)"
        assert 'alt="1 dots"' in dots.picture.value


def test_every_control_says_what_it_is(asked):
    for explorer in explorers(*asked):
        controls = [
            each
            for each in every_widget(explorer.panel)
            if isinstance(each, ipywidgets.ValueWidget | ipywidgets.Button)
            and not isinstance(each, ipywidgets.HTML)
        ]
        assert controls
        assert len({each.layout.model_id for each in controls}) == len(controls)
        for each in controls:
            if each.layout.display != "none":
                assert each.description, each
                assert each.tooltip, each
        explorer.close()


def test_closed_explorers_can_be_forgotten(asked):
    kept = explorers(*asked)
    gone = [weakref.ref(each) for each in kept] + [weakref.ref(each.panel) for each in kept]
    for each in kept:
        each.close()
    del each, kept
    gc.collect()
    assert [ref() for ref in gone] == [None] * len(gone)


def test_widgets_need_no_torch():
    code = "import sys, tempo_lab as tl; tl.widgets.Explorer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
    assert "widgets" in tl.__all__


# RoutingExplorer


def test_the_ledger_is_what_allocate_gives():
    trace = make_trace()
    scores, slots = trace.data["score"].to_numpy(), trace.data.attrs["memory_slots"]
    with RoutingExplorer(trace=trace) as routing:
        np.testing.assert_array_equal(routing.allocation.tokens, trace.data["tokens"])
        routing.budget.value = 40
        routing.min_tokens.value = 2
        for shares, keeps in (("min-max", "tail"), ("uniform", "head"), ("threshold", "head")):
            routing.shares.value, routing.keeps.value = shares, keeps
            name = keeps if shares == "min-max" else shares
            expected = allocate(scores, 40, strategy=name, min_tokens=2, max_tokens=slots)
            np.testing.assert_array_equal(routing.allocation.tokens, expected.tokens)
            np.testing.assert_array_equal(routing.allocation.kept, expected.kept)
            rows = re.findall(r"<tr>(.*?)</tr>", routing.ledger.value)[1:]
            cells = [re.findall(r">([^<]*)</td>", row) for row in rows]
            assert [int(row[5]) for row in cells] == expected.tokens.tolist()
            assert [int(row[4]) for row in cells] == expected.wanted.tolist()
            assert f"{expected.used} of 40 tokens" in routing.ledger.value


def test_the_dial_is_the_parameter_of_the_allocator():
    trace = make_trace()
    with RoutingExplorer(trace=trace) as routing:
        assert routing.dial.layout.display == "none"
        routing.shares.value = "temperature"
        assert routing.dial.layout.display == "flex"
        assert routing.dial.value == STRATEGIES["temperature"].parameters["temperature"]
        routing.dial.value = 6.0
        routing.keeps.value = "tail"
        register_strategy("six")(Temperature(6.0))
        try:
            arguments = {"max_tokens": 16, "min_tokens": routing.min_tokens.value}
            six = allocate(trace.data["score"], routing.budget.value, strategy="six", **arguments)
        finally:
            del STRATEGIES["six"]
        np.testing.assert_array_equal(routing.allocation.tokens, six.tokens)
        assert routing.allocation.kept[0, 16 - six.tokens[0] :].all()  # the tail of it
        routing.shares.value = "abstain"
        assert routing.dial.max == 1
        assert routing.dial.description == "threshold"


def test_a_page_is_sent_the_limits_of_the_dial_together_with_its_value(monkeypatch):
    monkeypatch.setattr("ipywidgets.comm.create_comm", Heard)
    with RoutingExplorer(trace=make_trace()) as routing:
        routing.shares.value = "abstain"
        routing.shares.value = "temperature"
        states = routing.dial.comm.states
    limits = [state for state in states if {"min", "max"} & state.keys()]
    assert [state["value"] for state in limits] == [
        STRATEGIES["abstain"].parameters["threshold"],
        STRATEGIES["temperature"].parameters["temperature"],
    ]


def test_a_budget_that_cannot_be_is_refused_in_the_panel():
    with RoutingExplorer(trace=make_trace(6)) as routing:
        before = routing.picture.value
        routing.budget.value = 3
        assert isinstance(routing.error, BudgetError)
        assert "a budget of 6 or more" in routing.line.value
        assert routing.picture.value != before  # paler
        routing.budget.value = 30
        assert routing.error is None
        assert shown(routing).std() > 0


def test_the_button_answers_with_the_allocation_that_is_shown(asked):
    session, trace = asked
    with RoutingExplorer(session, trace) as routing:
        routing.budget.value, routing.keeps.value = 10, "tail"
        routing.again.click()
        assert routing.error is None
        again = routing.answered
        np.testing.assert_array_equal(again.data["tokens"], routing.allocation.tokens)
        np.testing.assert_array_equal(again.data["kept"], routing.allocation.kept)
        assert again.data.attrs["strategy"] == "tail"
        assert "the trace" in routing.answers.value
        assert "this allocation" in routing.answers.value
        routing.shares.value, routing.dial.value = "temperature", 0.5
        routing.again.click()
        name = routing.answered.data.attrs["strategy"]
        assert name == "temperature 0.5, tail"
        np.testing.assert_array_equal(routing.answered.data["kept"], routing.allocation.kept)
        shared = routing.allocation.tokens
        answered = routing.answered
    with RoutingExplorer(trace=answered) as another:  # starts where that one ended
        assert (another.shares.value, another.dial.value, another.keeps.value) == (
            "temperature", 0.5, "tail",
        )  # fmt: skip
        np.testing.assert_array_equal(another.allocation.tokens, shared)


def test_a_trace_of_another_video_is_refused_before_anything_is_made(asked):
    session, _ = asked
    with pytest.raises(TraceError, match="another video"):
        RoutingExplorer(session, make_trace(9))
    with pytest.raises(TraceError, match="another video"):
        SegmentExplorer(session, make_trace(9))
    with pytest.raises(TraceError, match="an explorer needs a trace"):
        RoutingExplorer(trace="voyage.nc")
    trace = make_trace(5)
    with pytest.raises(TraceError, match="another video"):
        plots.routing(trace, allocate([0.1, 0.9], 8, max_tokens=8))


# SegmentExplorer


def test_a_segment_is_chosen_by_button_and_by_slider(asked):
    session, trace = asked
    truth = np.arange(len(session)) == 2
    with SegmentExplorer(session, trace, truth) as segments:
        segments.buttons[2].click()
        assert segments.segment.value == 2
        assert [each.button_style for each in segments.buttons].index("primary") == 2
        assert segments.describe().startswith("Segment 2, 8.0 to 12.0 s")
        assert "holds the evidence" in segments.describe()
        second = segments.static().data
        assert second == segments.static().data
        segments.segment.value = len(session) - 1
        last = shown(segments)
        assert segments.error is None
        assert second != segments.static().data
        assert last.shape[1] == 900
        assert f"[{trace.data.sizes['slot']} tokens]" in segments.prompt.value


def test_the_buttons_stand_over_their_seconds(asked):
    session, trace = asked
    with SegmentExplorer(session, trace) as segments:
        widths = np.array([float(each.layout.width[:-1]) for each in segments.buttons])
        spans = trace.data["end"] - trace.data["start"]
        np.testing.assert_allclose(widths, 100 * spans / spans.sum(), atol=1e-3)


def test_frames_that_were_let_go_are_decoded_again(asked, monkeypatch):
    monkeypatch.setattr(frame_cache, "KEPT_SEGMENTS", 2)
    frames = frame_cache.FrameCache(asked[0])
    first = frames.of(0)[0].copy()
    for number in (3, 5):
        frames.of(number)
    np.testing.assert_array_equal(frames.of(0)[0], first)
    assert len(frames) == 2


def test_a_question_is_text_wherever_it_is_shown(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        capture = tl.Capture(attention=["decision"], reduce="patch_grid")
        trace = session.ask(HOSTILE, budget=20, max_new_tokens=2, capture=capture)
        for explorer in explorers(session, trace):
            if isinstance(explorer, RoutingExplorer):
                explorer.again.click()
            pages = [each.value for each in every_widget(explorer.panel) if hasattr(each, "value")]
            text = " ".join(page for page in pages if isinstance(page, str))
            assert "<script" not in text
            assert "\x1b" not in text
            assert explorer.error is None
            explorer.close()


def test_a_closed_session_is_an_error_in_the_panel(tiny, frames_file):
    with tiny.open(frames_file, progress=False) as session:
        trace = session.ask("What happens?", budget=20, max_new_tokens=2)
    with RoutingExplorer(session, trace) as routing:
        routing.again.click()
        assert isinstance(routing.error, tl.VideoError)
        assert "closed" in routing.line.value
    with pytest.raises(tl.VideoError, match="closed"):
        SegmentExplorer(session, trace)


# AttentionExplorer


def test_dials_choose_what_was_recorded(asked):
    session, trace = asked
    with AttentionExplorer(session, trace) as looks:
        assert looks.reduction.options == ("patches", "frame pairs")
        assert len(looks.layer.options) == 1 + trace.data.sizes["layer"]
        first = looks.static().data
        looks.layer.value, looks.head.value = 1, 0
        assert looks.error is None
        assert looks.static().data != first
        assert looks.static().data == looks.static().data
        expected = attention(trace, layers=[1], heads=[0]).data["patch_mass"]
        np.testing.assert_array_equal(looks.result.data["patch_mass"], expected)
        for way in looks.reduction.options:
            looks.reduction.value = way
            assert looks.error is None
            assert way in looks.describe()


def test_playing_shows_one_segment_after_the_other(asked):
    session, trace = asked
    with AttentionExplorer(session, trace) as looks:
        looks.play.value = 1
        assert looks.segment.value == 1
        one = looks.static().data
        looks.play.value = 2
        assert "segment 2" in looks.describe()
        assert looks.static().data != one
    looks.play.value = 4
    assert looks.segment.value == 2  # nothing ties them any more


def test_a_slot_that_a_segment_did_not_need_is_an_error_in_the_panel(asked):
    session, trace = asked
    least = int(trace.data["tokens"].argmin("segment"))
    row = f"memory {int(trace.data['tokens'].max()) - 1}"
    with AttentionExplorer(session, trace) as looks:
        looks.segment.value, looks.row.value = least, row
        assert isinstance(looks.error, TraceError)
        assert f"segment {least}" in looks.line.value
        looks.reduction.value = "frame pairs"
        assert looks.error is None


def test_key_groups_are_shown_where_they_were_recorded(asked):
    session, _ = asked
    capture = tl.Capture(attention=["decision"], reduce="key_group")
    trace = session.ask("What happens?", budget=20, max_new_tokens=1, capture=capture)
    with AttentionExplorer(session, trace) as looks:
        assert looks.reduction.options == ("frame pairs", "key groups")
        looks.reduction.value = "key groups"
        assert looks.error is None
    with pytest.raises(TraceError, match="Capture"):
        AttentionExplorer(session, session.ask("What happens?", budget=20, max_new_tokens=1))
    with pytest.raises(TraceError, match="decision"):
        plots.attention_time(attention(trace), "decisions")


# FrontLoadingExplorer


def test_sliding_k_shows_what_asking_with_k_tokens_gives(asked):
    session, trace = asked
    before = dict(session.engine.computed)
    with FrontLoadingExplorer(session, trace, "red", ks=KS, draws=2) as loading:
        assert loading.k.options == tuple(KS)
        once = dict(session.engine.computed)
        k = KS[1]
        loading.k.value = k
        assert loading.error is None
        assert f"{k} memory tokens per segment" in loading.describe()
        assert session.engine.computed == once
        assert loading.static().data == loading.static().data
        data = loading.data
    assert before["decoded"] == once["decoded"]
    for arm, strategy in (("head", "uniform"), ("tail", "uniform-tail")):
        given = session.ask(
            trace.question, budget=k * len(session), strategy=strategy, max_new_tokens=1
        )
        expected = np.exp(answer_logprob(session, given, "red"))
        found = data["token_probability"].sel(arm=arm, k=k)
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        np.testing.assert_allclose(
            data["probability"].sel(arm=arm, k=k), expected.prod(), rtol=1e-4
        )
    end = data.isel(k=-1)["probability"].to_numpy()
    np.testing.assert_allclose(end, end[0], rtol=1e-4)  # all tokens are all tokens


def test_front_loading_needs_the_right_answer_and_whole_numbers(asked):
    session, trace = asked
    with pytest.raises(QueryError, match="right answer"):
        FrontLoadingExplorer(session, trace)
    with pytest.raises(TraceError, match="another video"):
        FrontLoadingExplorer(session, make_trace(9), "red")
    for wrong in ("4", [4], 0):
        with pytest.raises(BudgetError, match=r"^draws "):
            FrontLoadingExplorer(session, trace, "red", ks=KS, draws=wrong)
    with FrontLoadingExplorer(session, trace, "red", ks=KS, draws=1) as loading:
        assert loading.case.question == trace.question
    with pytest.raises(TraceError, match="no data for this number"):
        plots.front_loading_answer(loading.data, 0)


# The orders of arguments of the last version


def test_a_trace_before_the_session_works_and_warns(asked):
    session, trace = asked
    with pytest.warns(DeprecationWarning, match=r"RoutingExplorer\(session, trace\)"):
        routing = RoutingExplorer(trace, session)
    with routing:
        assert (routing.session, routing.trace) == (session, trace)
    with pytest.warns(DeprecationWarning, match=r"session, trace"), RoutingExplorer(trace) as alone:
        assert alone.session is None


def test_front_loading_of_a_case_or_a_question_works_and_warns(asked, tiny, frames_file):
    session, trace = asked
    case = Case(session, trace.question, "red", np.zeros(len(session)))
    new = r"FrontLoadingExplorer\(session, trace, answer\)"
    with pytest.warns(DeprecationWarning, match=new):
        loading = FrontLoadingExplorer(session, case, ks=KS, draws=1)
    with loading:
        assert loading.case is case
    with pytest.warns(DeprecationWarning, match=new):
        again = FrontLoadingExplorer(session, trace.question, "red", ks=KS, draws=1)
    with again:
        assert again.data.identical(loading.data)
    with tiny.open(frames_file) as other:
        refused = pytest.raises(QueryError, match="another session")
        with pytest.warns(DeprecationWarning, match=new), refused:
            FrontLoadingExplorer(other, case)


# Figures


@pytest.mark.parametrize("segments", [1, 6, 40])
def test_a_film_strip_stands_on_seconds(segments):
    trace = make_trace(segments, budget=8 * segments)
    pictures = [np.full((12, 16, 3), 5 * number, dtype=np.uint8) for number in range(segments)]
    truth = np.arange(segments) == segments // 2
    figure, (strip, upper, lower) = plots.filmstrip(
        trace, pictures, truth=truth, segment=segments - 1
    )
    figure.canvas.draw()
    assert strip.get_xlim() == lower.get_xlim() == (0, 4 * segments)
    assert 1 <= len(strip.images) <= 16
    for image in strip.images:
        left, right, *_ = image.get_extent()
        assert 0 <= left < right <= 4 * segments
    assert upper.get_ylabel() == "relevance\n(probability)"
    pyplot.close(figure)
    with pytest.raises(TraceError, match="one picture per segment"):
        plots.filmstrip(trace, pictures + pictures[:1])


def test_the_anatomy_counts_positions_and_slots(asked):
    session, trace = asked
    prompt = session.prompt(trace.question, 0)
    kept = trace.data["kept"].to_numpy()[0]
    frames = np.zeros((8, 24, 32, 3), dtype=np.uint8)
    figure, axes = plots.anatomy(frames, np.arange(8) / 2, prompt, kept)
    runs = prompt.runs()
    assert [first for *_, first, _ in runs][1:] == [last for *_, last in runs][:-1]
    assert (runs[0][2], runs[-1][3]) == (0, len(prompt))
    assert [patch.get_width() for patch in axes[0].patches] == [b - a for *_, a, b in runs]
    filled = [patch.get_facecolor()[:3] != (1, 1, 1) for patch in axes[1].patches]
    assert filled == kept.tolist()
    assert len(axes) == 2 + 8
    pyplot.close(figure)
