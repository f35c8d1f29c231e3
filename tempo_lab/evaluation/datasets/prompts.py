"""Build prompts from options, and find options in the texts of datasets."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tempo_lab.evaluation.answer_scoring import LETTERS
from tempo_lab.evaluation.datasets.rows import Row


def lettered(options: Sequence[str], form: str = "{letter}. {option}") -> str:
    """Return the options one per line, with letters."""
    lines = zip(LETTERS, options, strict=False)
    return "\n".join(form.format(letter=letter, option=option) for letter, option in lines)


def plain_prompt(row: Row) -> str:
    """Return the question, and for options the letters and the instruction to answer with one.

    This is the prompt of datasets for which the released evaluation has none.
    """
    if row.options is None:
        return row.question
    return (
        f"{row.question}\n{lettered(row.options)}\n"
        "Answer with the option's letter from the given choices directly."
    )


_LABEL = re.compile(r"\s*(?:\(([A-Z])\)|([A-Z])[.):])\s*(.*?)\s*", re.DOTALL)


def without_letter(option: str, index: int) -> str:
    """Return an option without its letter, if it begins with the letter of its place.

    >>> without_letter("B. blue", 1), without_letter("(B) blue", 1), without_letter("B. blue", 0)
    ('blue', 'blue', 'B. blue')
    """
    match = _LABEL.fullmatch(option)
    if match and (match[1] or match[2]) == LETTERS[index] and match[3]:
        return match[3]
    return option


def split_options(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the question and its options from one text that has an option per line at its end.

    >>> split_options("Which color?\\n(A) red\\n(B) blue")
    ('Which color?', ('red', 'blue'))
    """
    lines = text.strip().split("\n")
    for first in range(1, len(lines) - 1):
        options = [without_letter(line, n) for n, line in enumerate(lines[first:][: len(LETTERS)])]
        if len(lines) - first <= len(LETTERS) and all(
            option != line for option, line in zip(options, lines[first:], strict=True)
        ):
            return "\n".join(lines[:first]).rstrip(), tuple(options)
    return None
