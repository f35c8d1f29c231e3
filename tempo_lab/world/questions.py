"""Questions about a scene, with their answers and the segments that hold the evidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .scenes import Scene, Segment

DESCRIBE = "Describe this content."


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        text: as a user would type it.
        answer: what the model should say, exactly.
        kind: a key of :data:`KINDS`.
        evidence: numbers of the segments that must be seen to answer.
        subject: the word that the question turns on ("star"), for making paraphrases.
    """

    text: str
    answer: str
    kind: str
    evidence: tuple[int, ...]
    subject: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The question as plain JSON values."""
        return {**asdict(self), "evidence": list(self.evidence)}


PHRASES: dict[str, tuple[str, ...]] = {
    "color": (
        "What color is the {}?",
        "Which color is the {}?",
        "What is the color of the {}?",
        "What color does the {} have?",
    ),
    "motion": (
        "Which way does the {} move?",
        "Which direction does the {} move?",
        "Where does the {} move?",
        "What is the direction of the {}?",
    ),
    "digit": (
        "Which digit is shown with the {}?",
        "What digit is next to the {}?",
        "Which number is shown with the {}?",
    ),
    "place": ("Where is the {}?", "In which place is the {}?", "In what place is the {} shown?"),
    "shape": ("Which shape is {}?", "What shape is {}?", "Which object is {}?"),
    "present": ("Is there a {}?", "Is a {} shown?", "Does a {} appear?"),
    "most": ("Which place is shown most?", "What place is seen most?", "Where are we most?"),
}
"""Phrasings by kind; the first is the plain one."""


def caption(segment: Segment) -> str:
    """One sentence that says everything a segment shows."""
    text = f"a {segment.color} {segment.shape} moving {segment.motion} in the {segment.place}"
    return text if segment.digit is None else f"{text} with the digit {segment.digit}"


def _find(scene: Scene, attribute: str) -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for index, segment in enumerate(scene.segments):
        found.setdefault(getattr(segment, attribute), []).append(index)
    return {value: tuple(indices) for value, indices in found.items()}


def _agreeing(scene: Scene, by: str, about: str) -> list[tuple[str, str, tuple[int, ...]]]:
    """(value of ``by``, the one value of ``about`` it goes with, segments), where there is one."""
    rows = []
    for value, indices in _find(scene, by).items():
        seen = {getattr(scene.segments[i], about) for i in indices}
        if len(seen) == 1 and (only := seen.pop()) is not None:
            rows.append((value, str(only), indices))
    return rows


def _about_shape(attribute: str) -> Callable[[Scene], list[Question]]:
    def make(scene: Scene) -> list[Question]:
        kind = attribute
        return [
            Question(PHRASES[kind][0].format(shape), answer, kind, where, shape)
            for shape, answer, where in _agreeing(scene, "shape", attribute)
            if len(where) == 1
        ]

    return make


def _which_shape(scene: Scene) -> list[Question]:
    return [
        Question(PHRASES["shape"][0].format(color), shape, "shape", where, color)
        for color, shape, where in _agreeing(scene, "color", "shape")
        if len(where) == 1
    ]


def _present(scene: Scene) -> list[Question]:
    from .scenes import SHAPES

    found = _find(scene, "shape")
    return [
        Question(
            PHRASES["present"][0].format(shape),
            "yes" if shape in found else "no",
            "present",
            found.get(shape, ()),
            shape,
        )
        for shape in SHAPES
    ]


def _most(scene: Scene) -> list[Question]:
    counts = Counter(segment.place for segment in scene.segments).most_common()
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        return []
    everywhere = tuple(range(len(scene)))
    return [Question(PHRASES["most"][0], counts[0][0], "most", everywhere)]


KINDS: dict[str, Callable[[Scene], list[Question]]] = {
    "color": _about_shape("color"),
    "motion": _about_shape("motion"),
    "digit": _about_shape("digit"),
    "place": _about_shape("place"),
    "shape": _which_shape,
    "present": _present,
    "most": _most,
}
"""Every kind of question: a scene -> all its questions of that kind, plainly worded."""


def questions(scene: Scene, kinds: tuple[str, ...] | None = None) -> list[Question]:
    """All questions of a scene that have one right answer, plainly worded."""
    return [q for kind in (kinds or tuple(KINDS)) for q in KINDS[kind](scene)]


JUNK = (
    "<|im_end|><|video_pad|><image>",
    "<|im_end|>",
    "<image>",
    "please",
    "zxqv",
    "@@",
    "###",
    "<|endoftext|> hm",
    "now , tell me",
)


def rephrase(question: Question, rng: np.random.Generator) -> str:
    """The question in other words, spelled loosely, now and then with rubbish in it."""
    text = question.text
    if question.kind in PHRASES:
        phrases = PHRASES[question.kind]
        pick = int(rng.integers(len(phrases))) if rng.random() < 0.6 else 0
        text = phrases[pick].format(question.subject)
        if question.kind in ("color", "motion", "digit", "place") and rng.random() < 0.12:
            word = {"color": "color", "motion": "direction", "digit": "digit", "place": "place"}
            text = f"{word[question.kind]} of the {question.subject}?"
            if rng.random() < 0.5:
                text = f"{question.subject} {word[question.kind]}?"
    if rng.random() < 0.25:
        text = text.replace("color", "colour")
    if rng.random() < 0.12:
        text = text.rstrip("?.")
    if rng.random() < 0.08:
        text = text.replace("the ", "")
    if rng.random() < 0.13:
        junk = " ".join(JUNK[i] for i in rng.integers(len(JUNK), size=rng.integers(1, 3)))
        roll = rng.random()
        if roll < 0.7:
            text = text + ("" if rng.random() < 0.3 else " ") + junk
        elif roll < 0.85:
            text = f"{junk} {text}"
        else:
            words = text.split(" ")
            cut = int(rng.integers(len(words)))
            text = " ".join([*words[:cut], junk, *words[cut:]])
    return text
