"""Questions about a scene: their phrasings, the segments relevant to them, and their scores.

``kinds.py`` makes the questions of a scene.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tempo_lab.common.question_forms import with_article
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS, Noun, SceneSegment

DESCRIBE = "Describe this content."
NOT_SHOWN = "not shown"

PHRASES: dict[str, tuple[str, ...]] = {
    "color": (
        "What color is the {}?",
        "Which color is the {}?",
        "What is the color of the {}?",
        "What color does the {} have?",
    ),
    "size": (
        "Is the {} big or small?",
        "How big is the {}?",
        "What size is the {}?",
        "What size does the {} have?",
        "What is the size of the {}?",
    ),
    "motion": (
        "Which way does the {} move?",
        "Which direction does the {} move?",
        "Where does the {} move?",
        "In which direction does the {} go?",
        "What direction does the {} have?",
        "What is the direction of the {}?",
    ),
    "position": (
        "In which corner is the {}?",
        "Where in the picture is the {}?",
        "In which part of the picture is the {}?",
        "Which corner is the {} in?",
    ),
    "digit": (
        "Which digit is shown with the {}?",
        "Which number is shown with the {}?",
        "What digit is next to the {}?",
        "What number is next to the {}?",
    ),
    "word": (
        "Which word is shown with the {}?",
        "What word is next to the {}?",
        "What is the word with the {}?",
        "Which word is next to the {}?",
    ),
    "place": (
        "Where is the {}?",
        "In which place is the {}?",
        "What place is the {} in?",
        "In what place is the {} shown?",
    ),
    "with": (
        "What color is the {1} with the {0}?",
        "Which color is the {1} shown with the {0}?",
        "What is the color of the {1} next to the {0}?",
        "What color is the {1} next to the {0}?",
    ),
    "event": (
        "What happens to the {}?",
        "What does the {} do?",
        "What is it that happens to the {}?",
        "What can be seen to happen to the {}?",
    ),
    "present": (
        "Is there {a}?",
        "Is {a} shown?",
        "Does {a} appear?",
        "Can we see {a}?",
    ),
    "count": (
        "How many times does the {} appear?",
        "How often is the {} shown?",
        "How many times is the {} shown?",
        "How often does the {} appear?",
    ),
    "order": (
        "Which comes first, the {} or the {}?",
        "Which is shown first, the {} or the {}?",
        "What comes first, the {} or the {}?",
        "What is shown first, the {} or the {}?",
    ),
    "time": (
        "When does the {} appear?",
        "When is the {} shown?",
        "At what time does the {} appear?",
        "At what time is the {} shown?",
    ),
    "most": (
        "Which place is shown most?",
        "What place is seen most?",
        "Where are we most?",
        "Which place is seen most?",
    ),
    "two_hop": (
        "What color is the {} after the digit {}?",
        "What color is the first {} after the digit {}?",
        "Which color is the {} after the digit {}?",
        "What is the color of the {} after the digit {}?",
    ),
    "describe": (
        "Describe the part at {} seconds.",
        "What is shown at {} seconds?",
        "Describe what is shown at {} seconds.",
        "What can be seen at {} seconds?",
    ),
}
"""Phrasings by what they ask: the first one is plain, the last one is held out from training."""


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        text: as a user would type it.
        answer: the exact right answer; its parts are separated by commas.
        kind: a key of `tempo_lab.nano.world.KINDS`.
        evidence: numbers of the segments that must be seen to answer.
        nouns: names of the items that the question is about.
        asks: keys of `PHRASES`, one for each part.
        fill: what fills the fields of the phrases.
    """

    text: str
    answer: str
    kind: str
    evidence: tuple[int, ...]
    nouns: tuple[Noun, ...] = ()
    asks: tuple[str, ...] = ()
    fill: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the question as plain JSON values."""
        row = asdict(self)
        return {**row, "evidence": list(self.evidence), "nouns": [str(n) for n in self.nouns]}

    def score(self, given: str) -> float:
        """Return the score of an answer, 0 to 1.

        Most answers are right or wrong. An answer of several parts scores the share of right parts,
        in order. A description scores the share of its parts, in any order, and less for each wrong
        part. A time is right within its segment.
        """
        said = [part.strip(" .") for part in given.strip().lower().split(",")]
        wanted = self.answer.split(", ")
        if self.kind == "time":
            seconds = [float(n) for n in re.findall(r"\d+(?:\.\d+)?", f"{given} {self.answer}")]
            segments = {second // SEGMENT_SECONDS for second in seconds}
            return float(len(seconds) == 2 and len(segments) == 1)
        if self.kind == "describe":
            return len(set(said) & set(wanted)) / max(len(said), len(wanted))
        if self.kind != "multi":
            return float(said == wanted)
        right = sum(a == b for a, b in zip(said, wanted, strict=False))
        return right / max(len(said), len(wanted))


def caption(segment: SceneSegment) -> str:
    """Return what a segment shows: items from left to right, the place, and the card's text."""
    parts = [f"{item.color} {item.shape}" for item in segment.items]
    parts.append(segment.place)
    return ", ".join([*parts, segment.card] if segment.card is not None else parts)


def relevant(question: Question, segment: SceneSegment, index: int) -> bool:
    """Whether the segment, number ``index``, is relevant to the question, by its content alone."""
    if question.kind == "most" or question.text == DESCRIBE:
        return True
    if question.kind == "describe":
        return int(int(question.fill[0]) // SEGMENT_SECONDS) == index
    if question.kind == "two_hop" and segment.card == question.fill[1]:
        return True
    return any(segment.find(noun) for noun in question.nouns)


def phrase(ask: str, fill: tuple[str, ...], number: int = 0) -> str:
    """Return one part of a question, in the phrasing of that number."""
    return PHRASES[ask][number].format(*fill, a=with_article(fill[0]) if fill else "")


def phrasing(ask: str, text: str) -> str | None:
    """Return the phrase of :data:`PHRASES` that a question of one part follows; None if none."""
    fitting = [
        form
        for form in PHRASES[ask]
        if re.fullmatch(re.sub(r"\\{\w*\\}", ".+", re.escape(form)), text)
    ]
    return max(fitting, key=len, default=None)  # the phrase "the {}" also fits "the first star"


def wording(asks: tuple[str, ...], fill: tuple[str, ...], numbers: tuple[int, ...]) -> str:
    """Return all parts as one text; from the second part on, the item is called "it"."""
    if len(asks) == 1:
        return phrase(asks[0], fill, numbers[0])
    parts = []
    for part, (ask, number) in enumerate(zip(asks, numbers, strict=True), 1):
        text = phrase(ask, fill, number)
        if part > 1:
            text = text.replace(f"the {fill[0]}", "it")
        parts.append(f"Q{part}: {text}")
    return " ".join(parts)


def plain(
    kind: str,
    answer: str = "",
    evidence: tuple[int, ...] = (),
    nouns: tuple[Noun, ...] = (),
    *,
    asks: tuple[str, ...] = (),
    fill: tuple[str, ...] = (),
) -> Question:
    """Return a question in the plain phrasing; by default with one part, filled with its nouns."""
    asks = asks or (kind,)
    fill = fill or tuple(str(noun) for noun in nouns)
    text = wording(asks, fill, (0,) * len(asks))
    return Question(text, answer, kind, evidence, nouns, asks, fill)


MARKUP = ("<|im_end|><|video_pad|><image>", "<|im_end|>", "<image>", "@@", "###", "<|endoftext|>")


def rephrase(
    question: Question, rng: np.random.Generator, *, held_out: bool = False, rough: bool = True
) -> str:
    """Return the question's text in a random phrasing.

    Args:
        held_out: whether phrasings that training never shows may occur.
        rough: whether the text is sometimes spelled loosely, or contains markup.
    """
    if not question.asks:
        return question.text
    choices = [len(PHRASES[ask]) - (not held_out) for ask in question.asks]
    numbers = tuple(int(n) for n in rng.integers(choices))
    text = wording(question.asks, question.fill, numbers)
    if not rough:
        return text
    if rng.random() < 0.2:
        text = text.replace("color", "colour")
    if rng.random() < 0.1:
        text = text.rstrip("?.")
    if rng.random() < 0.06:
        text = text.replace("the ", "")
    if rng.random() < 0.06:
        text = f"{text} {MARKUP[rng.integers(len(MARKUP))]}"
    elif rng.random() < 0.03:
        text = f"please tell me, {text}"
    return text
