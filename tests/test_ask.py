"""AskPanel: asking, watching, stopping, uploading; nothing stays behind."""

import asyncio
import base64
import os
import re
import stat
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
from ipywidgets.widgets import widget as registry
from PIL import Image

import tempo_lab as tl
from tempo_lab.errors import BudgetError, TempoLabError, VideoError
from tempo_lab.files import shipped
from tempo_lab.widgets import AskPanel
from tempo_lab.widgets.player import film, fitting
from tempo_lab.widgets.question import clock
from tempo_lab.world.files import make

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


async def until(true, seconds=60):
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
    assert question.spans[0].button.description == f"{clock(start)} – {clock(end)}"
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
    two = panel.ask("Where is the moon?", beside=True)
    assert panel.questions[1].panel.layout.display == ""
    assert [each.trace for each in panel.questions] == [one, two]
    heights = [Image.open(BytesIO(each.static().data)).height for each in panel.questions]
    assert Image.open(BytesIO(panel.static().data)).height == sum(heights)


def test_the_downloaded_trace_opens(panel, tmp_path):
    trace = panel.ask(QUESTION)
    link = panel.questions[0].download.value
    content = re.search(r'href="data:application/x-netcdf;base64,([^"]+)"', link)[1]
    (tmp_path / "trace.nc").write_bytes(base64.b64decode(content))
    assert tl.Trace.load(tmp_path / "trace.nc").data.identical(trace.data)


def test_what_is_typed_stays_text(panel):
    question = press(panel, SCRIPT)
    question.written(SCRIPT)
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
            await until(lambda: not panel._background.running)
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
        await until(lambda: panel._background.running)
        panel.close()
        return panel

    panel = asyncio.run(page())
    assert panel.questions[0].trace is None
    assert not [each for each in threading.enumerate() if each.name == "tempo-lab panel"]


# Uploads


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


def test_uploads_are_private_and_go_with_the_panel(nano, clip):
    panel = AskPanel(nano, [clip])
    folder = Path(panel._folder.name)
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
    before, folder = panel.session, Path(panel._folder.name)
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


def test_the_limit_comes_from_the_environment(nano, clip, monkeypatch):
    monkeypatch.setenv("TEMPO_LAB_UPLOAD_BYTES", "12345")
    with AskPanel(nano, [clip]) as panel:
        assert panel.upload_bytes == 12345


# The player


def test_the_film_is_what_was_sampled(nano, clip):
    told = []
    with tl.Video(clip) as video:
        content, stills = film(video, told.append)
        sampled = [frame for segment in video.segments() for frame in segment.frames]
    assert told == [1, 1, 1]
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
    assert fitting(*size, 320, multiple=2) == expected


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
    assert panel.session.reader.nbytes == 0


def test_importing_the_panel_loads_no_torch():
    program = "import sys, tempo_lab.widgets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ)


# Progress


def test_a_session_tells_progress_as_asked(nano, clip):
    told = []

    class Stage:
        def __init__(self, name, segments):
            self.name = name
            told.append((name, segments))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            told.append("end")

        def update(self, segments):
            told.append(segments)

    with nano.open(clip, progress=Stage) as session:
        session.ask(QUESTION)
    reading, writing = (
        told.index((name, 3)) for name in ("reading segments", "writing memory tokens")
    )
    assert sum(told[reading + 1 : writing - 1]) == 3
    assert sum(told[writing + 1 : -1]) == 3
    assert told[-1] == told[writing - 1] == "end"
