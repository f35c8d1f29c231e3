"""The page of `tempo-lab app` in a real browser."""

import numpy as np
import pytest

import tempo_lab as tl
from tests.served import APP, served

SCRIPT = "<script>window.wrong = 1</script>"
HOSTILE = """'"><img src=x onerror="window.wrong = 1">"""
"""If the page treats it as more than text, this one runs."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def page(app, visit):
    """One visitor's page; its kernel takes a while to start."""
    page = visit(app.url)
    page.get_by_label("Question 1").wait_for()
    page.get_by_role("button", name="Ask", exact=True).first.wait_for()
    return page


def ask(page, text, number=1):
    """Ask a question that the page does not show yet, and wait for the picture of its answer.

    Otherwise an earlier picture would be mistaken for this one, and the next click would be lost
    while this question runs.
    """
    picture = page.get_by_alt_text(text, exact=False)
    assert picture.count() == 0
    page.get_by_label(f"Question {number}").fill(text)
    page.get_by_role("button", name="Ask", exact=True).nth(number - 1).click()  # once it can be
    picture.first.wait_for()


def upload(page, name, content):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload a video").click()
    chooser.value.set_files({"name": name, "mimeType": "video/mp4", "buffer": content})


def seconds(page):
    return page.evaluate("document.querySelector('video').currentTime")


def test_ask_and_read_the_answer(page, pictures):
    field = page.get_by_label("Question 1")
    field.fill("What color is the circle?")
    field.press("Enter")
    page.get_by_alt_text("What color is the circle?", exact=False).first.wait_for()
    assert page.get_by_role("status").filter(has_text="white").is_visible()
    ask(page, "What color is the hourglass?")
    assert page.get_by_role("status").filter(has_text="red").is_visible()
    page.get_by_text("tokens used; a prompt of").first.wait_for()
    assert page.strangers == []
    assert page.get_by_text("AskPanel(tempo)").count() == 0
    pictures(page, "page")
    page.set_viewport_size({"width": 800, "height": 2300})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def refused(page, text):
    """Ask a question with words that the model does not know, and return the alert."""
    field, budget = page.get_by_label("Question 1"), page.get_by_label("Budget").first
    answers = page.get_by_text("tokens used; a prompt of").count()
    field.fill(text)
    page.get_by_role("button", name="Ask", exact=True).first.click()
    alert = page.get_by_role("alert").filter(has_text="does not know every word")
    alert.wait_for()
    heights = [each.bounding_box()["y"] for each in (field, alert, budget)]
    assert heights == sorted(heights)  # next to the control that it is about
    assert page.get_by_text("tokens used; a prompt of").count() == answers - 1
    return alert.inner_text()


SCROLLED = """() => [...document.querySelectorAll("*")].filter(each => {
  const {overflowX, overflowY} = getComputedStyle(each), scrolls = /auto|scroll/;
  return scrolls.test(overflowY) && each.scrollHeight > each.clientHeight + 1
    || scrolls.test(overflowX) && each.scrollWidth > each.clientWidth + 1;
}).map(each => each.id || each.className)"""


def test_something_is_shown_before_the_model_is_loaded(app, visit):
    page = visit(app.url, wait_until="commit")
    loading = page.get_by_role("status").filter(has_text="Loading the model")
    loading.wait_for()
    assert page.get_by_label("Question 1").count() == 0
    page.get_by_label("Question 1").wait_for()
    loading.wait_for(state="detached")


@pytest.mark.parametrize("width", [1280, 800])
def test_there_is_one_scroll_bar(page, width):
    before = page.viewport_size
    page.set_viewport_size({"width": width, "height": 700})
    page.wait_for_function(f"({SCROLLED})().length > 0")  # once the page has its new size
    assert len(page.evaluate(SCROLLED)) == 1
    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    page.set_viewport_size(before)


def test_an_example_is_asked_with_a_click(page, pictures):
    page.get_by_role("button", name="Where is the hourglass?").first.click()
    page.get_by_alt_text("Where is the hourglass?", exact=False).first.wait_for()
    assert page.get_by_role("status").filter(has_text="city").is_visible()
    assert page.get_by_label("Budget").first.input_value() == "31"
    assert page.get_by_text("of 192 tokens at most").first.is_visible()
    ask(page, "What color is the sea?")
    assert page.get_by_role("note").filter(has_text="not trained on this kind").is_visible()
    pictures(page, "page-kind")


def test_a_span_plays_its_seconds(page):
    ask(page, "What color is the star?")
    page.get_by_role("button", name="0:32 – 0:36").first.click()
    page.wait_for_function("document.querySelector('video').currentTime > 32")
    page.wait_for_function("document.querySelector('video').paused")
    assert 35.5 < seconds(page) < 37


def test_two_questions_side_by_side_and_script_stays_text(page, pictures):
    page.set_viewport_size({"width": 1280, "height": 2300})
    ask(page, "What color is the circle?")
    page.get_by_label("Compare two questions").check()
    ask(page, f"What color is the moon? {SCRIPT}", 2)
    assert page.evaluate("window.wrong") is None
    assert page.get_by_alt_text("What color is the circle?", exact=False).first.is_visible()
    one, two = (page.get_by_label(f"Question {number}").bounding_box() for number in (1, 2))
    assert one["y"] == two["y"]
    pictures(page, "page-two")
    assert HOSTILE in refused(page, f"What is {HOSTILE}?")
    assert page.evaluate("window.wrong") is None


@pytest.mark.parametrize(
    ("content", "words", "shape"),
    [
        (b"no video at all", "this is not a video that can be read", "hourglass"),
        (bytes(11 << 20), "the file is too large to be uploaded", "circle"),
    ],
    ids=["text", "large"],  # so large that it would end the connection
)
def test_a_bad_upload_is_refused_with_a_sentence(page, pictures, content, words, shape):
    name = "<img src=x onerror='window.wrong=1'>bad.mp4"
    upload(page, name, content)
    alert = page.get_by_role("alert").filter(has_text=words)
    alert.wait_for()
    assert name in alert.inner_text()
    assert page.evaluate("window.wrong") is None
    pictures(page, f"page-bad-{len(content)}")
    ask(page, f"What color is the {shape}?")  # the page goes on


def test_the_trace_is_downloaded(page, tmp_path):
    ask(page, "What color is the star?")
    with page.expect_download() as download:
        page.get_by_text("Download the trace").first.click()
    download.value.save_as(tmp_path / "trace.nc")
    assert tl.Trace.load(tmp_path / "trace.nc").answer == "red"


def world(folder, seed, segments):
    from tempo_lab.nano.world.files import make

    return make(seed, segments, folder, size=128)[0].read_bytes()


def opened(page, name, seconds):
    """Wait until this video is open, and return the one that is selected."""
    page.get_by_text(f"{name}: {seconds:.1f} s").wait_for()
    page.locator("select:enabled").first.wait_for()
    return page.get_by_label("Video", exact=True).input_value()


def test_uploads_stay_open_and_wait_for_a_question(app, visit, pictures, tmp_path):
    page = visit(app.url)
    page.get_by_text("voyage.mp4: 48.0 s").wait_for()
    for name, seed, segments in (("first.mp4", 5, 2), ("second.mp4", 6, 3)):
        upload(page, name, world(tmp_path, seed, segments))
        assert opened(page, name, 4 * segments) == name
        ask(page, "Is there a moon?")
        assert opened(page, name, 4 * segments) == name
        page.get_by_label("Question 1").fill("")
    page.get_by_label("Video", exact=True).select_option("voyage.mp4")
    assert opened(page, "voyage.mp4", 48) == "voyage.mp4"

    noise = np.random.default_rng(0).integers(0, 255, (16, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "noise.npy", noise)
    page.get_by_label("Question 1").fill("What color is the star?")
    page.get_by_role("button", name="Ask", exact=True).first.click()
    page.locator("button:enabled", has_text="Stop").first.wait_for()
    # its button rests meanwhile; what was chosen before comes all the same
    page.locator("button", has_text="Upload a video").evaluate("each => each.disabled = false")
    upload(page, "noise.npy", (tmp_path / "noise.npy").read_bytes())
    page.get_by_text("noise.npy was uploaded. Select it").wait_for()
    page.get_by_alt_text("What color is the star? red", exact=False).first.wait_for()
    assert opened(page, "voyage.mp4", 48) == "voyage.mp4"
    page.get_by_label("Video", exact=True).select_option("noise.npy")
    assert opened(page, "noise.npy", 8) == "noise.npy"
    for text in ("What color is the moon?", "What color is the star?"):
        ask(page, text)
        warning = page.get_by_role("note").filter(has_text="noise.npy does not look like")
        assert warning.count() == 1
        assert warning.is_visible()
    pictures(page, "page-warning")


def test_a_visitor_waits_until_somebody_leaves(visit, pictures, tmp_path):
    with served(tmp_path, [*APP, "--visitors", "1"]) as app:
        first = visit(app.url)
        first.get_by_text("voyage.mp4: 48.0 s").wait_for()
        second = visit(app.url)
        second.get_by_role("heading", name="Please wait").wait_for()
        pictures(second, "page-wait")
        first.close()
        second.get_by_text("voyage.mp4: 48.0 s").wait_for()


def test_two_people_do_not_see_each_others_videos(app, page, visit, tmp_path):
    upload(page, "holiday.mp4", world(tmp_path, 5, 2))
    page.get_by_text("holiday.mp4: 8.0 s").wait_for()
    ask(page, "Is there a moon?")
    other = visit(app.url)
    other.get_by_label("Question 1").wait_for()
    other.get_by_text("voyage.mp4: 48.0 s").wait_for()
    assert other.get_by_text("holiday").count() == 0
    assert other.get_by_label("Video", exact=True).locator("option").all_inner_texts() == [
        "voyage.mp4", "expedition.mp4",
    ]  # fmt: skip
    assert page.get_by_text("holiday.mp4: 8.0 s").is_visible()
