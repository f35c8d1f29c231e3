"""Checks of exercises: right answers are accepted in any form, wrong answers get a hint.

A check is a function that judges an answer, with examples of right and wrong ones:

    @check(right=[(12,), (np.int64(12),)], wrong=[(24,), (6,)])
    def check_segments(answer):
        return None if number(answer) == 12 else "A segment has 8 frames. How many fit?"

It returns None for a right answer, or a hint that does not reveal it. Tests run all checks on their
examples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tempo_lab.common.text import one_line

Judge = Callable[..., str | None]
Examples = Sequence[tuple[Any, ...]] | Callable[[], Sequence[tuple[Any, ...]]]
"""Arguments of calls, or a function that returns them if they are expensive."""


@dataclass(frozen=True)
class CheckResult:
    """The result of a check: true if the answer is right, displayed as its text.

    Attributes:
        check: name of the check.
        right: True if the answer was accepted.
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
    """A judge with its name, its notebook, and examples that it must accept and reject.

    Call it with an answer, and with what the question was about if the judge takes that; it returns
    a `CheckResult`. `...` means no answer yet. An answer that raises in the judge is wrong.
    """

    name: str
    lesson: str
    judge: Judge
    right: Examples
    wrong: Examples

    def __call__(self, answer: Any, *about: Any) -> CheckResult:
        if answer is ...:
            return CheckResult(self.name, False, "No answer yet: put yours in place of the dots.")
        try:
            hint = self.judge(answer, *about)
        except Exception as error:
            text = one_line(str(error), 120)
            hint = f"This answer could not be tried ({type(error).__name__}: {text})."
        return CheckResult(
            self.name, hint is None, "Right." if hint is None else f"Not yet. {hint}"
        )

    def examples(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Return arguments that must be accepted, and arguments that must be rejected."""
        right, wrong = (
            list(examples() if callable(examples) else examples)
            for examples in (self.right, self.wrong)
        )
        return right, wrong


CHECKS: dict[str, Check] = {}
"""Checks of the loaded lessons, by name."""


def check(*, right: Examples, wrong: Examples) -> Callable[[Judge], Check]:
    """Return a decorator that makes a judge a check of the notebook that its module is named after.

    Args:
        right: arguments of calls that must be accepted.
        wrong: arguments of calls that must be rejected.
    """

    def register(judge: Judge) -> Check:
        name, lesson = judge.__name__, judge.__module__.rpartition(".")[2]
        if name in CHECKS and CHECKS[name].lesson != lesson:
            raise ValueError(f"{name} is a check of {CHECKS[name].lesson} already")
        registered = Check(name, lesson, judge, right, wrong)
        registered.__dict__["__doc__"] = judge.__doc__
        CHECKS[name] = registered
        return registered

    return register


def number(answer: Any) -> float:
    """Return one number given in any form: int, float, numpy, tensor, array of one, digits as text.

    Raises:
        TypeError: it is not a number, or there are several.
    """
    if isinstance(answer, str):
        return float(answer)
    values = numbers(answer)
    if len(values) != 1:
        raise TypeError(f"give one number, not {len(values)}")
    return values[0]


def numbers(answer: Any) -> list[float]:
    """Return numbers given in any form: list, tuple, range, set (sorted), array, tensor, Series.

    Raises:
        TypeError: not all of them are numbers.
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
    """Return one or several words given in any form, in lower case, without surrounding space.

    Raises:
        TypeError: not all of them are texts.
    """
    if isinstance(answer, set | frozenset):
        answer = sorted(answer)
    values = [answer] if isinstance(answer, str) else list(answer)
    if not all(isinstance(word, str) for word in values):
        raise TypeError("give text")
    return [word.strip().lower() for word in values]
