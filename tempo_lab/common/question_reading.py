"""Read a question in the forms that a model with a small vocabulary knows."""

from __future__ import annotations

import re

from tempo_lab.common.question_forms import QuestionForms, with_article
from tempo_lab.common.text import clock_seconds

IS = re.compile(
    r"(?<=[a-z])['\u2019]s(?=\s+(?:the|an?|this|that|there|it|in|on|at|next|shown|with|first|going)\b)",
    re.IGNORECASE,
)
"""An "'s" that means "is", by the word after it; in "the moon's color" it does not."""
ARE = re.compile(r"(?<=[a-z])['\u2019]re\b", re.IGNORECASE)
IN_THE_VIDEO = re.compile(r"\s+(?:in|of) (?:the|this) (?:video|clip|film)\b", re.IGNORECASE)
CLOCK = re.compile(r"\b(?:\d{1,2}:)?\d{1,2}:[0-5]\d\b")
SECOND = re.compile(r"\bsecond (\d+)\b", re.IGNORECASE)


def read_contractions(text: str) -> str:
    """Return the text with "is" and "are" written out.

    >>> read_contractions("What's the moon's color?")
    "What is the moon's color?"
    """
    return ARE.sub(" are", IS.sub(" is", text))


def leave_out_video(text: str) -> str:
    """Return the text without "in the video", which a question about a video means anyway."""
    return IN_THE_VIDEO.sub("", text)


def read_times(text: str) -> str:
    """Return the text with times in seconds.

    >>> read_times("What is shown at 1:05?"), read_times("What is at second 9?")
    ('What is shown at 65 seconds?', 'What is at 9 seconds?')
    """

    def seconds(match: re.Match[str]) -> str:
        clock = clock_seconds(match[0])
        return match[0] if clock is None else f"{clock:.0f} seconds"

    text = CLOCK.sub(seconds, text)
    return SECOND.sub(r"\1 seconds", text)


def read_plurals(forms: QuestionForms, text: str) -> str:
    """Return the text with one object, where the question means the same about several.

    "Are there any stars?" becomes "Is there a star?", and "How many times do stars appear?" becomes
    "How many times does the star appear?". "What colors are the stars?" asks for a list and stays.
    """
    plural = rf"({forms.noun})e?s\b"

    def is_there(match: re.Match[str]) -> str:
        return f"{'I' if match[1] == 'A' else 'i'}s there {with_article(match[2])}"

    def how_often(match: re.Match[str]) -> str:
        return f"{match[1]} {'does' if match[2].lower() == 'do' else 'is'} the {match[3]}"

    text = re.sub(rf"\b(a)re there (?:any|some) {plural}", is_there, text, flags=re.IGNORECASE)
    return re.sub(
        rf"\b(how (?:many times|often)) (do|are) (?:the )?{plural}",
        how_often,
        text,
        flags=re.IGNORECASE,
    )


def read_question(forms: QuestionForms, text: str) -> str:
    """Return a question in the forms that a model knows, with the same meaning."""
    return read_plurals(forms, read_times(leave_out_video(read_contractions(text))))
