"""Checks of exercises: right answers are accepted in any form, wrong ones get a hint.

A check is a function that judges an answer, with examples of both kinds beside it:

    @check(right=[(12,), (np.int64(12),)], wrong=[(24,), (6,)])
    def check_segments(answer):
        return None if number(answer) == 12 else "A segment has 8 frames. How many fit?"

It returns None for a right answer, or a hint that does not give it away. Tests walk over all
checks and try the examples both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tempo_lab.common.text import one_line

Judge = Callable[..., str | None]
Examples = Sequence[tuple[Any, ...]] | Callable[[], Sequence[tuple[Any, ...]]]
"""Arguments of calls; or a function that makes them, where that takes work."""


@dataclass(frozen=True)
class Verdict:
    """The result of a check. True in an `if` if the answer was right; shown as its text.

    Attributes:
        check: name of the check.
        right: whether the answer was accepted.
        text: one line for the learner.
    """

    check: str
    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Check:
    """A judge with its name, its notebook, and examples that it must accept and refuse.

    Called with an answer (and what the question was about, if the judge wants it), it gives a
    `Verdict`; `...` is no answer yet. An answer that breaks the judge is wrong, not an error.
    """

    name: str
    lesson: str
    judge: Judge
    right: Examples
    wrong: Examples

    def __call__(self, answer: Any, *about: Any) -> Verdict:
        if answer is ...:
            return Verdict(self.name, False, "No answer yet: put yours in place of the dots.")
        try:
            hint = self.judge(answer, *about)
        except Exception as error:
            said = one_line(str(error), 120)
            hint = f"This answer could not be tried ({type(error).__name__}: {said})."
        return Verdict(self.name, hint is None, "Right." if hint is None else f"Not yet. {hint}")

    def examples(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Arguments that must be accepted, and arguments that must be refused."""
        right, wrong = (
            list(given() if callable(given) else given) for given in (self.right, self.wrong)
        )
        return right, wrong


CHECKS: dict[str, Check] = {}
"""Every check by its name, of the lessons that were loaded."""


def check(*, right: Examples, wrong: Examples) -> Callable[[Judge], Check]:
    """Decorator: make a judge a check of the notebook that its module is named after.

    Args:
        right: arguments of calls that must be accepted.
        wrong: arguments of calls that must be refused.
    """

    def register(judge: Judge) -> Check:
        name, lesson = judge.__name__, judge.__module__.rpartition(".")[2]
        if name in CHECKS and CHECKS[name].lesson != lesson:
            raise ValueError(f"{name} is a check of {CHECKS[name].lesson} already")
        made = Check(name, lesson, judge, right, wrong)
        made.__dict__["__doc__"] = judge.__doc__
        CHECKS[name] = made
        return made

    return register


def number(answer: Any) -> float:
    """One number in any form: int, float, numpy, a tensor, an array of one, digits in a text.

    Raises:
        TypeError: it is none, or more than one.
    """
    if isinstance(answer, str):
        return float(answer)
    values = numbers(answer)
    if len(values) != 1:
        raise TypeError(f"give one number, not {len(values)}")
    return values[0]


def numbers(answer: Any) -> list[float]:
    """Several numbers in any form: list, tuple, range, set (sorted), array, tensor, Series.

    Raises:
        TypeError: there are other things than numbers in it.
    """
    if isinstance(answer, set | frozenset):
        answer = sorted(answer)
    if hasattr(answer, "detach"):
        answer = answer.detach().float().cpu().numpy()
    values = np.asarray(list(answer) if isinstance(answer, range) else answer)
    if values.dtype.kind not in "iuf":
        raise TypeError("give numbers")
    return [float(value) for value in values.ravel()]


def words(answer: Any) -> list[str]:
    """One or several words in any form, in lower case, without space around them.

    Raises:
        TypeError: there are other things than texts in it.
    """
    if isinstance(answer, set | frozenset):
        answer = sorted(answer)
    given = [answer] if isinstance(answer, str) else list(answer)
    if not all(isinstance(word, str) for word in given):
        raise TypeError("give text")
    return [word.strip().lower() for word in given]
