"""AskPanel: asking, watching, stopping, uploading; nothing stays behind."""

import asyncio
import base64
import json
import os
import re
import resource
import stat
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from ipywidgets.widgets import widget as registry
from PIL import Image

import tempo_lab as tl
from tempo_lab.common.errors import BudgetError, TempoLabError, TempoLabWarning, VideoError
from tempo_lab.common.files import shipped
from tempo_lab.nano.world.files import make
from tempo_lab.widgets import AskPanel
from tempo_lab.widgets.base import every_widget
from tempo_lab.widgets.player import encode_film, fit_size
from tempo_lab.widgets.question import timestamp
from tests.comms import Heard

QUESTION = "What color is the star?"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def nano():
    return tl.load("nano", device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make(3, 3, tmp_path_factory.mktemp("clips"), size=128)[0]


@pytest.fixture
def panel(nano, clip):
    with AskPanel(nano, [clip], upload_bytes=1 << 20) as panel:
        yield panel


def send(panel, content, name="mine.mp4"):
    """What a browser's upload does."""
    file = {"name": name, "type": "", "size": len(content), "content": memoryview(content)}
    panel.upload.value = (file | {"last_modified": datetime.now(UTC)},)


def press(panel, text, number=0):
    question = panel.questions[number]
    question.text.value = text
    question.button.click()
    return question


async def until(true, seconds=240):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


# Asking


def test_an_answer_is_the_sessions_and_says_where_to_look(panel, nano, clip):
    trace = panel.ask(QUESTION, budget=20)
    expected = nano.ask(clip, QUESTION, budget=20)
    assert trace.answer == expected.answer
    assert trace.data["tokens"].equals(expected.data["tokens"])
    question = panel.questions[0]
    assert expected.answer in question.answer.value
    most = int(trace.data["tokens"].to_numpy().argmax())
    start, end = (float(trace.data[name][most]) for name in ("start", "end"))
    assert question.spans[0].button.description == f"{timestamp(start)} – {timestamp(end)}"
    assert [span.row.layout.display for span in question.spans] == ["", "", "", "none"]


def test_a_span_plays_its_seconds(panel):
    trace = panel.ask(QUESTION)
    panel.questions[0].spans[0].button.click()
    most = int(trace.data["tokens"].to_numpy().argmax())
    url = bytes(panel.player.widget.value).decode()
    assert url.startswith("data:video/mp4;base64,")
    assert url.endswith(f"#t={4 * most},{4 * most + 4}")


def test_two_questions_stand_side_by_side(panel):
    one = panel.ask(QUESTION)
    assert panel.questions[1].panel.layout.display == "none"
    two = panel.ask("Where is the moon?", second=True)
    assert panel.questions[1].panel.layout.display == ""
    assert [each.trace for each in panel.questions] == [one, two]
    heights = [Image.open(BytesIO(each.static().data)).height for each in panel.questions]
    assert Image.open(BytesIO(panel.static().data)).height == sum(heights)


def test_the_second_question_by_its_old_keyword_works_and_warns(panel):
    with pytest.warns(DeprecationWarning, match="use second="):
        trace = panel.ask(QUESTION, beside=True)
    assert panel.questions[1].trace is trace


def test_the_downloaded_trace_opens(panel, tmp_path):
    trace = panel.ask(QUESTION)
    link = panel.questions[0].download.value
    content = re.search(r'href="data:application/x-netcdf;base64,([^"]+)"', link)[1]
    (tmp_path / "trace.nc").write_bytes(base64.b64decode(content))
    assert tl.Trace.load(tmp_path / "trace.nc").data.identical(trace.data)


def test_what_is_typed_stays_text(panel):
    question = press(panel, f"{SCRIPT} {QUESTION}")
    question.show_answer(SCRIPT)
    for shown in (question.answer.value, question.picture.value):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown


@pytest.mark.parametrize(
    ("text", "budget", "words"), [("  ", 100, "no question"), (QUESTION, 1, "budget")]
)
def test_refusals_stand_at_the_question(panel, text, budget, words):
    question = panel.questions[0]
    question.budget.value = budget
    press(panel, text)
    assert words in question.line.value
    assert 'role="alert"' in question.line.value
    assert question.trace is None
    assert not question.button.disabled


def test_what_a_notebook_asks_wrongly_is_raised(panel):
    with pytest.raises(BudgetError):
        panel.ask(QUESTION, budget=1)


@pytest.mark.parametrize("text", ["  ", "Who sings?"], ids=["blank", "unknown words"])
def test_a_refused_question_leaves_no_old_answer(panel, text):
    question = panel.questions[0]
    answered = panel.ask(QUESTION).answer
    assert answered in question.answer.value
    press(panel, text)
    assert 'role="alert"' in question.line.value
    assert question.trace is None
    for each in (question.answer, question.warnings, question.download, question.picture):
        assert not each.value
    assert {span.row.layout.display for span in question.spans} == {"none"}
    assert "nothing was asked yet" in panel.describe()
    assert panel.ask(QUESTION).answer == answered
    assert question.line.value == ""


def place_of(panel, part):
    """The place of a part among the children of a panel, from the top."""
    (place,) = (number for number, each in enumerate(panel.children) if part in every_widget(each))
    return place


def test_errors_stand_between_the_controls_that_they_are_about(panel):
    question = panel.questions[0]
    above, line, below = (
        place_of(question.panel, each) for each in (question.text, question.line, question.budget)
    )
    assert above + 1 == line == below - 1
    assert place_of(panel.panel, panel.upload) + 1 == place_of(panel.panel, panel.line)


# What can be asked


def test_the_budget_binds_and_its_maximum_is_shown(panel):
    question = panel.questions[0]
    assert question.budget.max == 3 * 16
    assert "of 48 tokens at most" in question.maximum.value
    for text in (QUESTION, "Is there a moon?", "Which place is shown most?"):
        trace = panel.ask(text)
        assert trace.data["wanted"].sum() > trace.data.attrs["budget"] >= trace.data.attrs["used"]
    assert (
        f"The segments wanted {int(trace.data['wanted'].sum())} tokens" in question.download.value
    )
    assert panel.ask(QUESTION, budget=10_000).data.attrs["budget"] == 48


def test_the_budget_is_that_of_the_open_video(panel, nano, clip, tmp_path):
    first = panel.questions[0].budget.value
    send(panel, make(4, 6, tmp_path, size=128)[0].read_bytes())
    assert panel.questions[0].budget.max == 6 * 16
    assert panel.questions[0].budget.value > first
    with AskPanel(nano, [clip], budget=20) as other:
        assert [each.budget.value for each in other.questions] == [20, 20]
    with AskPanel(nano, [clip], budget=1000) as other:
        assert other.questions[1].budget.value == 48


def test_an_image_gets_all_tokens(panel, nano):
    frame = BytesIO()
    Image.new("RGB", (128, 128), "navy").save(frame, format="PNG")
    send(panel, frame.getvalue(), "sky.png")
    assert panel.questions[0].budget.value == panel.questions[0].budget.max == 16
    assert panel.ask(QUESTION).data.attrs["used"] == 16


def shown_examples(panel, number=0):
    buttons = panel.questions[number].examples
    return [each for each in buttons if each.layout.display != "none"]


def test_an_example_is_asked_with_a_click_and_names_the_ground_truth(panel, clip):
    truth = json.loads(clip.with_suffix(".json").read_text(encoding="utf-8"))
    answers = {each["text"]: each["answer"] for each in truth["questions"]}
    for number in (0, 1):
        examples = shown_examples(panel, number)
        assert len(examples) >= 3
        for each in examples:
            assert f"Ground truth: {answers[each.description]}" in each.tooltip
    example = shown_examples(panel)[0]
    example.click()
    assert panel.questions[0].text.value == example.description
    assert panel.questions[0].trace.question == example.description


def test_an_upload_has_examples_that_the_model_knows(panel, nano, clip):
    send(panel, clip.read_bytes())
    examples = [each.description for each in shown_examples(panel)]
    assert len(examples) >= 3
    assert set(examples) <= set(nano.model.config.example_questions)
    for text in examples:
        assert panel.ask(text).warnings == ()


def test_a_doubtful_answer_to_a_question_of_no_known_kind_has_a_warning(panel):
    question = panel.questions[0]
    for text in ("What color is the sea?", "Is the star red?"):
        trace = panel.ask(text)
        (warning,) = trace.warnings
        assert warning.startswith("nano was not trained on this kind of question")
        assert '"What color is the ' in warning  # the most similar kind
        assert 'role="note"' in question.warnings.value
        assert "nano was not trained" in question.warnings.value
    assert panel.ask(QUESTION).warnings == ()
    assert question.warnings.value == ""


# Beside the page


def test_a_question_runs_beside_the_page_and_can_be_stopped(nano):
    async def page():
        with AskPanel(nano, [shipped("data/clips/voyage.mp4")]) as panel:
            question = press(panel, QUESTION)
            assert question.button.disabled
            assert not question.stopper.disabled
            await until(lambda: "segments" in question.stage.value)
            with pytest.raises(TempoLabError, match="still running"):
                panel.ask("Another?")
            question.stopper.click()
            await until(lambda: not panel.running)
            assert "Interrupted" in question.line.value
            assert question.trace is None
            press(panel, QUESTION)
            await until(lambda: question.trace is not None)
            assert question.stopper.disabled
            assert question.line.value == ""
        return question.trace

    trace = asyncio.run(page())
    assert trace.answer == nano.ask(shipped("data/clips/voyage.mp4"), QUESTION).answer


def test_closing_ends_what_runs(nano):
    async def page():
        panel = AskPanel(nano, [shipped("data/clips/voyage.mp4")])
        press(panel, QUESTION)
        await until(lambda: panel.running)
        panel.close()
        return panel

    panel = asyncio.run(page())
    assert panel.questions[0].trace is None
    assert not [each for each in threading.enumerate() if each.name == "tempo-lab panel"]


class HangsAtOpen:
    """A model that opens every video after the first with a decoder that never answers."""

    def __init__(self, tempo):
        self.tempo, self.opened = tempo, 0

    def open(self, path, **options):
        self.opened += 1
        decoder = "tests.fake_decoders:hangs-at-open" if self.opened > 1 else "auto"
        return self.tempo.open(path, decoder=decoder, **options)


def test_stop_ends_the_opening_of_a_video(nano, clip, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))

    async def page():
        with AskPanel(HangsAtOpen(nano), [clip]) as panel:
            send(panel, clip.read_bytes())
            assert not panel.questions[0].stopper.disabled
            panel.questions[0].stopper.click()
            await until(lambda: not panel.running)
            assert "Interrupted" in panel.line.value
            assert panel.clip.options == (clip.name,)
            assert not list(panel.uploads.iterdir())
            assert clip.name in panel.facts.value

    asyncio.run(page())


# Uploads


def open_now(panel):
    """What every part of the panel says is open."""
    path = Path(panel.session.video.info.path)
    opened = next(name for name, place in panel.paths.items() if place.samefile(path))
    said = panel.facts.value.split(">")[1].split(": ")[0]
    return {opened, panel.clip.value, said, panel.describe().split(": ")[0]}


def test_the_second_upload_stays_open(nano, clip):
    async def page():
        with AskPanel(nano, [clip]) as panel:
            for name in ("first.mp4", "second.mp4"):
                send(panel, clip.read_bytes(), name)
                await until(lambda name=name: name in panel.facts.value)
                await until(lambda: not panel.running)
                assert open_now(panel) == {name}
            panel.clip.value = "first.mp4"  # a choice of the user's is one
            await until(lambda: "first.mp4" in panel.facts.value)
            assert open_now(panel) == {"first.mp4"}

    asyncio.run(page())


def test_a_page_is_sent_the_list_of_videos_together_with_the_open_one(nano, clip, monkeypatch):
    monkeypatch.setattr("ipywidgets.comm.create_comm", Heard)
    with AskPanel(nano, [clip]) as panel:
        send(panel, clip.read_bytes())
        states = panel.clip.comm.states
        (listed,) = [state for state in states if "_options_labels" in state]
        assert listed["index"] == 1
        assert states.index(listed) == min(i for i, each in enumerate(states) if "index" in each)
        assert all(each.get("index", 1) == 1 for each in states)


def test_an_upload_while_a_question_runs_is_kept_and_the_question_goes_on(nano, clip):
    async def page():
        with AskPanel(nano, [clip]) as panel:
            question = press(panel, QUESTION)
            for _ in range(2):
                send(panel, clip.read_bytes())
            assert panel.running
            assert "mine.mp4 (2) was uploaded" in panel.line.value
            assert panel.clip.options == (clip.name, "mine.mp4", "mine.mp4 (2)")
            await until(lambda: question.trace is not None)
            assert open_now(panel) == {clip.name}
            panel.clip.value = "mine.mp4 (2)"
            await until(lambda: "mine.mp4 (2)" in panel.facts.value)
            assert open_now(panel) == {"mine.mp4 (2)"}

    asyncio.run(page())


def test_every_answer_about_a_strange_video_says_so_with_the_uploads_own_name(panel, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    send(panel, (tmp_path / "noise.npy").read_bytes(), f"{SCRIPT}.npy")
    folder = panel.uploads
    for text in (QUESTION, "Is there a moon?", QUESTION):
        with warnings.catch_warnings():
            warnings.simplefilter("error", TempoLabWarning)  # it is shown, not printed as well
            trace = panel.ask(text)
        (warning,) = trace.warnings
        assert warning.startswith(f"{SCRIPT}.npy does not look like")
        shown = panel.questions[0].warnings.value
        assert "&lt;script&gt;alert(1)&lt;/script&gt;.npy does not look like" in shown
        assert "<script" not in shown
        assert trace.provenance["video"] == f"{SCRIPT}.npy"
        for place in (str(trace.provenance), shown, panel.line.value):
            assert str(folder) not in place
            assert "upload-" not in place
    panel.clip.value = panel.clip.options[0]
    assert panel.questions[0].warnings.value == ""
    assert panel.ask(QUESTION).warnings == ()
    assert panel.questions[0].warnings.value == ""


@contextmanager
def full_disk(room=1 << 16):
    """No file can grow beyond `room` bytes, as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_upload_that_the_disk_cannot_hold_is_refused_and_nothing_of_it_stays(panel, clip):
    with full_disk():
        send(panel, bytes(1 << 18))
    for word in ("the upload could not be stored", "mine.mp4, 0.25 MiB", "File too large"):
        assert word in panel.line.value
    assert not list(panel.uploads.iterdir())
    assert panel.clip.options == (clip.name,)


def test_an_answer_is_shown_though_the_disk_cannot_hold_its_trace(panel):
    question = panel.questions[0]
    with full_disk(1 << 10):
        press(panel, QUESTION)
    assert "the trace could not be saved" in question.line.value
    assert question.trace.answer in question.answer.value
    assert question.picture.value.startswith("<img")
    assert question.download.value == ""


def test_what_the_page_did_not_read_is_refused_like_any_large_file(panel):
    for _ in range(2):  # the same file may be tried again
        panel.upload.error = "<b>long.mp4, 300 MiB"
        assert "the file is too large to be uploaded" in panel.line.value
        assert "&lt;b&gt;long.mp4, 300 MiB" in panel.line.value
        assert panel.upload.error == ""
        panel.say()


def test_an_upload_is_opened_under_its_own_name(panel, clip):
    name = f"{SCRIPT}.mp4"
    send(panel, clip.read_bytes(), name)
    assert panel.clip.value == name
    assert panel.clip.options == (clip.name, name)
    assert "&lt;script&gt;" in panel.facts.value
    assert "<script" not in panel.facts.value
    assert panel.upload.value == ()
    assert panel.ask(QUESTION).answer
    send(panel, clip.read_bytes(), name)  # once more is another one
    assert panel.clip.options == (clip.name, name, f"{name} (2)")
    assert panel.clip.value == f"{name} (2)"


def test_uploads_are_private_and_go_with_the_panel(nano, clip):
    panel = AskPanel(nano, [clip])
    folder = panel.uploads
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    send(panel, clip.read_bytes(), "../../mine.mp4")
    (file,) = folder.iterdir()
    assert file.read_bytes() == clip.read_bytes()
    panel.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no video at all", ["not a video", "fix:"]),
        (b"", ["the file is empty"]),
        (bytes(2 << 20), ["too large", "2 MiB", "room for 1 MiB"]),
    ],
    ids=["text", "empty", "large"],
)
def test_a_bad_upload_is_refused_with_a_sentence(panel, clip, content, words):
    before, folder = panel.session, panel.uploads
    send(panel, content, "<b>bad.mp4")
    for word in words:
        assert word in panel.line.value
    assert "&lt;b&gt;bad.mp4" in panel.line.value
    assert str(folder) not in panel.line.value
    assert not list(folder.iterdir())
    assert panel.session is before
    assert panel.clip.value == clip.name
    assert panel.ask(QUESTION).answer  # what was open still is


def test_a_clip_that_is_none_is_refused_where_it_was_given(nano, tmp_path):
    with pytest.raises(VideoError):
        AskPanel(nano, [tmp_path / "missing.mp4"])


def test_clips_of_one_name_are_all_offered(nano, clip, tmp_path):
    other = make(4, 2, tmp_path, size=128)[0].rename(tmp_path / clip.name)
    with AskPanel(nano, [clip, other]) as panel:
        panel.clip.value = f"{clip.name} (2)"
        assert f"{clip.name} (2): 8.0 s" in panel.facts.value


def test_the_limit_comes_from_the_environment(nano, clip, monkeypatch):
    monkeypatch.setenv("TEMPO_LAB_UPLOAD_BYTES", "12345")
    with AskPanel(nano, [clip]) as panel:
        assert panel.upload_bytes == 12345
        assert "0.0118 MiB" in panel.upload.description
    monkeypatch.setenv("TEMPO_LAB_UPLOAD_BYTES", "8 MiB")
    with pytest.raises(TempoLabError, match="TEMPO_LAB_UPLOAD_BYTES=8 MiB"):
        AskPanel(nano, [clip])


@pytest.mark.parametrize("value", ["64", [64], 0, 2.5, True])
def test_what_is_no_number_is_refused_by_name(panel, nano, clip, value):
    with pytest.raises(BudgetError, match=r"^budget "):
        AskPanel(nano, [clip], budget=value)
    with pytest.raises(BudgetError, match=r"^upload_bytes "):
        AskPanel(nano, [clip], upload_bytes=value)
    with pytest.raises(BudgetError, match=r"^budget "):
        panel.ask(QUESTION, budget=value)


# The player


def test_the_film_is_what_was_sampled(nano, clip):
    steps = []
    with tl.Video(clip) as video:
        content, stills = encode_film(video, steps.append)
        sampled = [frame for segment in video.segments() for frame in segment.frames]
    assert steps == [1, 1, 1]
    assert len(stills) == 3
    with av.open(BytesIO(content)) as container:
        frames = list(container.decode(video=0))
    assert [round(float(frame.time), 3) for frame in frames] == [i / 2 for i in range(24)]
    assert [i for i, frame in enumerate(frames) if frame.key_frame][:3] == [0, 8, 16]
    for frame, expected in zip(frames, sampled, strict=True):
        difference = frame.to_ndarray(format="rgb24").astype(float) - expected
        assert np.abs(difference).mean() < 12


@pytest.mark.parametrize(
    ("size", "expected"), [((1920, 1080), (320, 180)), ((31, 17), (32, 16)), ((9, 3000), (2, 320))]
)
def test_films_have_even_sides_and_fit(size, expected):
    assert fit_size(*size, 320, multiple=2) == expected


# Leaving


def test_a_closed_panel_leaves_nothing(nano, clip):
    from matplotlib import pyplot

    before, figures = set(registry._instances), pyplot.get_fignums()
    panel = AskPanel(nano, [clip])
    panel.ask(QUESTION)
    assert set(registry._instances) > before
    panel.close()
    assert {type(registry._instances[key]) for key in set(registry._instances) - before} == set()
    assert pyplot.get_fignums() == figures
    assert panel.session.engine.nbytes == 0


def test_importing_the_panel_loads_no_torch():
    program = "import sys, tempo_lab.widgets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)


# Progress


def test_a_session_tells_progress_as_asked(nano, clip):
    steps = []

    class Stage:
        def __init__(self, name, segments):
            self.name = name
            steps.append((name, segments))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            steps.append("end")

        def update(self, segments):
            steps.append(segments)

    with nano.open(clip, progress=Stage) as session:
        session.ask(QUESTION)
    reading, writing = (
        steps.index((name, 3)) for name in ("reading segments", "writing memory tokens")
    )
    assert sum(steps[reading + 1 : writing - 1]) == 3
    assert sum(steps[writing + 1 : -1]) == 3
    assert steps[-1] == steps[writing - 1] == "end"
