"""Read what a task of lmms-eval asks for: the video, the question, how the answer is generated.

No lmms-eval and no torch is needed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL.Image import Image

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_number, check_whole

Message = Mapping[str, Any]
"""A turn as lmms-eval writes it: {"role": ..., "content": [{"type": ..., ...}, ...]}."""

FEW_SHOT_SEPARATOR = "\n\n"
"""lmms-eval stops at this text in every task that states no stop text."""
PATH_KEYS = ("path", "url", "video", "image")


@dataclass(frozen=True)
class Question:
    """A question about one video or image.

    Attributes:
        source: path of the video or image, or an image in memory.
        start, end: the part of the video in seconds; None for its own start or end.
        text: the last user turn.
        history: earlier (question, answer) turns, oldest first.
    """

    source: str | Image
    start: float | None
    end: float | None
    text: str
    history: tuple[tuple[str, str], ...] = ()


def user_message(visuals: Sequence[Any] | None, text: str) -> Message:
    """Return the turn of a task without messages: its videos or images, and its text."""
    media = [{"type": "video", "url": visual} for visual in visuals or ()]
    return {"role": "user", "content": [*media, {"type": "text", "text": text}]}


def read_messages(messages: Sequence[Message]) -> Question:
    """Return the question of a conversation about one video or image.

    The prompt has the video first, as Tempo was trained, wherever the conversation has it. The
    texts of a turn are joined by line breaks.

    Raises:
        TempoLabError: the conversation does not have exactly one video or image, has audio or a
            system message, or its turns do not alternate.
    """
    texts: list[tuple[str, str]] = []
    media: list[Any] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if role == "system":
            raise TempoLabError(
                "Tempo has a fixed system message",
                found=f"the task's own: {one_line(str(content), 120)}",
                fix="choose the variant of the task without it",
            )
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts.append((role, "\n".join(part["text"] for part in parts if part["type"] == "text")))
        media += [part for part in parts if part["type"] != "text"]
    if len(media) != 1:
        raise TempoLabError(
            "Tempo answers questions about one video or one image",
            found=f"{len(media) or 'no'} videos or images in a question of this task",
            fix="choose a task with one video or image per question",
        )
    roles = [role for role, _ in texts]
    if roles != ["user", *["assistant", "user"] * (len(roles) // 2)]:
        raise TempoLabError(
            "the turns must alternate, and the last one must be the user's", found=", ".join(roles)
        )
    said = [text for _, text in texts]
    history = tuple(zip(said[:-1:2], said[1::2], strict=True))
    return Question(*_source(media[0]), said[-1], history)


def _source(part: Mapping[str, Any]) -> tuple[str | Image, float | None, float | None]:
    """Return the path or image of a part of a message, and the seconds of its start and end."""
    source = part.get("url")
    details = {**part, **source} if isinstance(source, Mapping) else part
    if isinstance(source, Mapping):
        source = next((source[key] for key in PATH_KEYS if isinstance(source.get(key), str)), None)
    # lmms-eval takes the suffix .webm for audio
    audio = part["type"] == "audio" and not str(source).lower().endswith(".webm")
    if audio or not isinstance(source, str | Image):
        raise TempoLabError(
            "Tempo reads videos and images only",
            asked="the path of a video or image, or an image in memory",
            found="audio" if audio else one_line(repr(part.get("url")), 120),
            fix="choose a task with one video or image per question",
        )
    start, end = (_seconds(details, name) for name in ("start", "end"))
    return source.removeprefix("file://") if isinstance(source, str) else source, start, end


def _seconds(details: Mapping[str, Any], name: str) -> float | None:
    """Return the start or end of a video's part, under either name that lmms-eval has for it."""
    for key in (f"{name}_time", f"video_{name}"):
        if details.get(key) is not None:
            return check_number(key, details[key], error=TempoLabError)
    return None


@dataclass(frozen=True)
class Generation:
    """How an answer is generated.

    Attributes:
        max_new_tokens: tokens of the answer at most; None for the model's own limit.
        until: the answer ends before the first of these texts.
    """

    max_new_tokens: int | None = None
    until: tuple[str, ...] = ()

    def cut(self, text: str) -> str:
        """Return an answer up to the first stop text."""
        for stop in self.until:
            text = text.split(stop, 1)[0]
        return text


def read_generation(options: Mapping[str, Any]) -> Generation:
    """Return how the `generation_kwargs` of a task generate an answer.

    As in lmms-eval's own Qwen models, the stop text of two line breaks is ignored: lmms-eval adds
    it to every task that has none, and it would cut answers of more than one paragraph.

    Raises:
        TempoLabError: the task samples its answers or searches by beams, or a value is impossible.
    """
    temperature, do_sample = options.get("temperature"), options.get("do_sample")
    sampled = do_sample is True if temperature is None else temperature > 0
    if sampled and do_sample is not False:
        raise TempoLabError(
            "Tempo answers greedily",
            asked=f"do_sample={do_sample}, temperature={temperature}",
            fix="add --gen_kwargs do_sample=False,temperature=0",
        )
    if (options.get("num_beams") or 1) != 1:
        raise TempoLabError(
            "Tempo answers greedily",
            asked=f"num_beams={options['num_beams']}",
            fix="add --gen_kwargs num_beams=1",
        )
    limit = options.get("max_new_tokens")
    if limit is not None:
        limit = check_whole("max_new_tokens", limit, 1, error=TempoLabError)
    until = options.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    return Generation(limit, tuple(one for one in stops if one and one != FEW_SHOT_SEPARATOR))
