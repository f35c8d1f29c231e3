"""What a task of lmms-eval asks for: no lmms-eval is needed to read it."""

import pytest
from PIL import Image

from tempo_lab.apps.lmms_eval_plugin.task_requests import (
    Generation,
    Question,
    read_generation,
    read_messages,
)
from tempo_lab.common.errors import TempoLabError


def turn(role, *parts):
    texts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in parts]
    return {"role": role, "content": texts}


def video(url, kind="video", **details):
    return {"type": kind, "url": url, **details}


def user(urls, text):
    return [turn("user", *[video(url) for url in urls], text)]


def test_a_message_is_a_question_about_its_video():
    assert read_messages([turn("user", video("a.mp4"), "Who?")]) == Question(
        "a.mp4", None, None, "Who?"
    )
    said = [{"role": "user", "content": [video("a.mp4")]}, turn("assistant"), turn("user", "Who?")]
    said[2]["content"] = "Who?"
    assert read_messages(said).text == "Who?"
    asked = read_messages([turn("user", "Subtitles", video("file:///a.mp4"), "Who?")])
    assert (asked.source, asked.text) == ("/a.mp4", "Subtitles\nWho?")
    assert read_messages([turn("user", video("a.webm", "audio"), "Who?")]).source == "a.webm"
    image = Image.new("RGB", (4, 4))
    assert read_messages(user([image], "Who?")).source is image


@pytest.mark.parametrize(
    "part",
    [
        video("a.mp4", start_time=2, end_time=8.5),
        video({"type": "video", "path": "a.mp4", "video_start": 2, "video_end": 8.5}),
        video({"url": "a.mp4", "video_start": 2.0, "video_end": 8.5}),
    ],
)
def test_a_part_of_a_video_is_in_seconds(part):
    assert read_messages([turn("user", part, "Who?")]) == Question("a.mp4", 2, 8.5, "Who?")


def test_earlier_turns_are_history():
    turns = [turn("user", video("a.mp4"), "Who?"), turn("assistant", "Me."), turn("user", "Why?")]
    asked = read_messages(turns)
    assert (asked.history, asked.text) == ((("Who?", "Me."),), "Why?")


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        (user([], "Who?"), "no videos or images"),
        (user(["a.mp4", "b.mp4"], "Who?"), "2 videos or images"),
        ([turn("user", video("a.wav", "audio"), "Who?")], "found: audio"),
        (user([{"array": [0.0], "sampling_rate": 1}], "Who?"), "sampling_rate"),
        ([turn("system", "Think."), turn("user", video("a.mp4"), "Who?")], "fixed system message"),
        ([turn("user", video("a.mp4")), turn("user", "Who?")], "user, user"),
        ([turn("user", video("a.mp4"), "Who?"), turn("assistant", "Me.")], "user, assistant"),
        ([turn("user", video("a.mp4", start_time="soon"), "Who?")], "start_time"),
    ],
)
def test_what_tempo_cannot_read_is_refused(messages, found):
    with pytest.raises(TempoLabError, match=found):
        read_messages(messages)


def test_generation_is_limited_and_stops():
    assert read_generation({}) == Generation()
    greedy = {"temperature": 0.0, "do_sample": True, "num_beams": 1, "top_p": None}
    assert read_generation({**greedy, "max_new_tokens": 16}) == Generation(16)
    assert read_generation({"temperature": 0.7, "do_sample": False}) == Generation()
    assert read_generation({"until": ["\n\n"]}).until == ()  # lmms-eval's own, in every task
    generation = read_generation({"until": ["\n\n", ".", ""]})
    assert generation.cut("red. blue") == "red"
    assert read_generation({"until": "blue"}).cut("red blue") == "red "


@pytest.mark.parametrize(
    ("options", "fix"),
    [
        ({"temperature": 0.7}, "do_sample=False,temperature=0"),
        ({"do_sample": True}, "do_sample=False,temperature=0"),
        ({"num_beams": 5}, "num_beams=1"),
        ({"max_new_tokens": 0}, "max_new_tokens >= 1"),
    ],
)
def test_only_greedy_answers_are_generated(options, fix):
    with pytest.raises(TempoLabError, match=fix):
        read_generation(options)
