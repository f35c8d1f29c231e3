"""Score answers: extract option letters, count what cannot be parsed, compare arms. No torch."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.statistics import (
    COVERAGE,
    DIFFERENCE,
    NOTHING,
    RESAMPLES,
    SHARE,
    Estimate,
    bootstrap_mean,
)
from tempo_lab.evaluation.scoring import same_answer

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ROTATION = "@"
"""Separates a question's id from the number of its rotation: "q7@2"."""
WITH_GUESSES = "accuracy_with_guesses"

# Letters in answers

Extractor = Callable[[str, str], str | None]
"""Returns the letter that an answer states, or None; takes the answer and the letters allowed."""

_PHRASES = (
    *(article + noun for article in ("", "the ") for noun in (
        "answer is", "correct answer is", "best answer is", "correct option is", "best option is",
        "choice is", "correct choice is",
    )),
    "my answer is", "my choice is", "i choose", "i select", "i pick",
    "옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは",
)  # fmt: skip
"""Searched one by one: of each only the first place counts, so longer ones are not redundant."""
_EDGES = ",.!?;:'\""
_FORMS = (("({})", 6), ("{}.", 5), ("{}:", 4), ("{})", 3), ("{} ", 2))


def compat_letter(answer: str, letters: str = "ABCD") -> str | None:
    """Return the letter that the released evaluation extracts, or None.

    Each mention of a letter is a candidate. Its form decides: alone at the start 10, alone at the
    end 9, after "answer is" or the like 7, "(A)" 6, "A." 5, "A:" 4, "A)" 3, "A " 2; among equals
    the last position wins. A letter in any other place counts only where there is nothing else.

    The flaws are kept: "A person walks" counts as A, and so does the first capital of "Apple".

    >>> [compat_letter(text) for text in ("(B)", "The answer is C.", "A person", "none of these")]
    ['B', 'C', 'A', None]
    """
    text = answer.strip()
    for mark in _EDGES:  # one after the other, as released: '."B".' keeps its inner marks
        text = text.strip(mark)
    bare, text = text.strip(), f" {text} "
    candidates: list[tuple[int, int, str]] = []
    for letter in letters:
        for form, priority in _FORMS:
            position = text.rfind(form.format(letter))
            if position >= 0:
                candidates.append((priority, position, letter))
        for phrase in _PHRASES:
            start = text.lower().find(phrase)
            position = text.find(letter, start + len(phrase)) if start >= 0 else -1
            if position >= 0:
                candidates.append((7, position, letter))
        if bare.startswith(letter) and not bare[1:2].isalpha():
            candidates.append((10, 0, letter))
        if bare.endswith(letter) and not bare[-2:-1].isalpha():
            candidates.append((9, len(text) - 1, letter))
    if not candidates:
        candidates = [(0, text.rfind(letter), letter) for letter in letters if letter in text]
    return max(candidates)[2] if candidates else None


_PREFIXES = (
    "The best answer is", "The correct answer is", "The answer is", "The answer",
    "The best option is", "The correct option is", "Best answer:", "Best option:",
)  # fmt: skip


def first_letter(answer: str, letters: str = "ABCDE") -> str | None:
    """Return the first of the letters after prefixes like "The answer is" are removed, or None.

    This is the released rule of LongVideoBench, except that the released code draws a random
    letter where this returns None.

    >>> [first_letter(text) for text in ("The answer is D. A book", "yes")]
    ['D', None]
    """
    text = answer.strip()
    for prefix in _PREFIXES:
        text = text.replace(prefix, "")
    return next((character for character in text if character in letters), None)


_OPEN, _CLOSE = r"[\s(\[{*_`\"'“‘$]*", r"[)\]}*_`\"'”’$]*"
_WHOLE = re.compile(rf"{_OPEN}([A-Za-z]){_CLOSE}[.:]?{_CLOSE}\s*")
_LABEL = re.compile(
    rf"{_OPEN}([A-Z])(?:(?:{_CLOSE}[.:)]|[)\]]){_CLOSE}(?=\s)|{_CLOSE}[^\S\n]*(?=\n))(.*)",
    re.DOTALL,
)
_OTHER = re.compile(r"\(([A-Z])\)|^\s*([A-Z])[.:)]\s|\b(?:or|and)\s+([A-Z])\b", re.MULTILINE)
_STATED = re.compile(
    r"\b(?i:(?:answer|option|choice)(?:\s+is\b|\s*[:=])|i\s+(?:choose|select|pick)\b)\s*:?\s*"
    r"(?i:(?:the\s+)?(?:(?:option|choice|letter)\s+)?)"
    rf"(?:\(([A-Z])\)|{_OPEN}([A-Z]){_CLOSE}(?=\s*(?:[.,;:!\n]|$|(?:because|since)\b)))"
)
_DENIAL = re.compile(r"\b(?:not|never|neither|cannot)\b|n['’]t\b", re.IGNORECASE)


def strict_letter(answer: str, letters: str = "ABCD") -> str | None:
    """Return the letter that an answer states in a plain form, or None where it is not plain.

    Plain forms are the letter alone ("B", "(b)", "**B.**"), the letter as a label before text
    ("B. red"), and a statement ("The answer is B"). An answer that states several letters or
    denies one is not plain, and neither is a sentence that begins with the word "A".

    >>> said = ("b", "B) red", "The answer is (C).", "A person", "A or B")
    >>> [strict_letter(answer) for answer in said]
    ['B', 'B', 'C', None, None]
    """
    text = answer.strip()
    if whole := _WHOLE.fullmatch(text):
        return _allowed(whole[1], letters)
    if label := _LABEL.match(text):
        others = {name for match in _OTHER.finditer(label[2]) for name in match.groups() if name}
        return _allowed(label[1], letters) if others <= {label[1]} else None
    stated = set()
    for match in _STATED.finditer(text):
        sentence = re.split(r"[.!?\n]", text[: match.start()])[-1]
        stated.add("" if _DENIAL.search(sentence) else match[1] or match[2])
    return _allowed(stated.pop(), letters) if len(stated) == 1 else None


def _allowed(letter: str, letters: str) -> str | None:
    return letter.upper() if letter and letter.upper() in letters else None


# Judged answers


@dataclass(frozen=True)
class Judged:
    """One answer, compared with the truth.

    Attributes:
        id: of the question.
        video: name of its video; questions about one video are resampled together.
        correct: 1 if the answer is right, else 0; 0 where nothing can be parsed.
        parsed: whether the answer states one option, or for free answers any text.
        letter: the letter that was extracted; None for free answers.
        answered: whether there is an answer; a question without one is counted, but not scored.
        options: number of options; 0 for free answers.
        categories: what to group by; a question can have several values of one category.
    """

    id: str
    video: str
    correct: float
    parsed: bool = True
    letter: str | None = None
    answered: bool = True
    options: int = 0
    categories: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)


def judge(
    answer: str | None,
    truth: int | str,
    options: int,
    *,
    id: str,
    video: str,
    categories: Mapping[str, str | tuple[str, ...]] | None = None,
    extract: Extractor = compat_letter,
    letters: str | None = None,
) -> Judged:
    """Compare one answer with the truth.

    Args:
        answer: the generated text; None if there is none, as for a video that cannot be read.
        truth: index of the right option, or the right answer as text.
        options: number of options; 0 for a free answer.
        extract: the rule that finds the letter.
        letters: the letters that the rule may find; by default one for each option.

    Raises:
        TempoLabError: the truth is not one of the options.
    """
    judged = Judged(id, video, 0.0, options=options, categories=categories or {})
    if options and not (isinstance(truth, int) and 0 <= truth < options):
        raise TempoLabError(
            "the truth of a question with options is the index of one of them",
            asked=f"{truth!r} for question {id}",
            found=f"{options} options",
            fix=f"use a whole number from 0 to {options - 1}",
        )
    if answer is None:
        return replace(judged, parsed=False, answered=False)
    if not options:
        right = same_answer(str(truth))(answer)
        return replace(judged, correct=right, parsed=bool(answer.strip()))
    letter = extract(answer, letters or LETTERS[:options])
    right = float(letter == LETTERS[int(truth)])
    return replace(judged, correct=right, parsed=letter is not None, letter=letter)


# Circular scoring


def rotate(options: Sequence[str], answer: int, by: int) -> tuple[tuple[str, ...], int]:
    """Return the options moved up by some places, the first ones to the end, and the new answer.

    >>> rotate(["red", "blue", "green"], 0, 1)
    (('blue', 'green', 'red'), 2)
    """
    by %= len(options)
    return (*options[by:], *options[:by]), (answer - by) % len(options)


def circular(judged: Sequence[Judged]) -> list[Judged]:
    """Return one judged answer per question: right only if all its rotations are right.

    It is parsed if all rotations are parsed, and answered if all are answered.

    Args:
        judged: of all rotations, with ids as `Row.rotations` makes them: "q7@0", "q7@1", ...

    Raises:
        TempoLabError: a rotation is missing or there twice.
    """
    questions: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        questions[one.id.rpartition(ROTATION)[0]].append(one)
    results = []
    for name, rotations in questions.items():
        numbers = sorted(one.id.rpartition(ROTATION)[2] for one in rotations)
        expected = sorted(str(number) for number in range(rotations[0].options))
        if not name or numbers != expected:
            raise TempoLabError(
                "circular scoring needs each rotation of a question once",
                asked=f"question {name or rotations[0].id!r}",
                found=f"rotations {', '.join(numbers) or 'none'}",
                fix=f"ask {len(expected)} rotations: Row.rotations() makes them",
            )
        results.append(
            replace(
                rotations[0],
                id=name,
                letter=None,
                correct=float(all(one.correct == 1 for one in rotations)),
                parsed=all(one.parsed for one in rotations),
                answered=all(one.answered for one in rotations),
            )
        )
    return results


def circular_scores(
    judged: Sequence[Judged], aggregate: Callable[[Sequence[Judged]], list[Score]]
) -> list[Score]:
    """Return a dataset's scores with circular scoring; their measures end in `_circular`.

    A question counts once, and is right only if all its rotations are right. A question of which
    rotations are missing does not count: its run is not finished.

    Args:
        judged: of rotations, as in `circular`, and of questions without options, which do not
            count.
        aggregate: a dataset's rule for scores. What it expects from guesses is left out: it knows
            the chance of one rotation only.
    """
    complete = complete_rotations(judged)
    return [
        replace(score, measure=f"{score.measure}_circular")
        for score in (aggregate(circular(complete)) if complete else [])
        if score.measure != WITH_GUESSES
    ]


def complete_rotations(judged: Sequence[Judged]) -> list[Judged]:
    """Return the rotations of the questions with options of which none is missing."""
    rotations: dict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        if one.options:
            rotations[one.id.rpartition(ROTATION)[0]].append(one)
    complete = [each for each in rotations.values() if len(each) == each[0].options]
    return [one for each in complete for one in each]


# Accuracies


@dataclass(frozen=True)
class Score:
    """One number of a table, with its 95 % interval.

    Attributes:
        group: "all", or a category and its value: "duration=long".
        measure: "accuracy" or the like.
        value: the mean over questions; NaN if there is no question.
        low, high: ends of the interval, clustered by video; NaN for fewer than two videos.
        questions: how many count.
        videos: how many different ones.
        unparsed: questions that count as wrong because their answer states no option.
        unanswered: questions that do not count because there is no answer.
        undefined: questions that do not count because the measure is not defined for them.
    """

    group: str
    measure: str
    value: float
    low: float
    high: float
    questions: int
    videos: int
    unparsed: int = 0
    unanswered: int = 0
    undefined: int = 0

    @classmethod
    def of(cls, group: str, measure: str, mean: Estimate, **counts: int) -> Score:
        """Return an estimate as a score."""
        return cls(group, measure, mean.value, mean.low, mean.high, mean.n, mean.videos, **counts)


def accuracy(judged: Sequence[Judged], group: str = "all") -> Score:
    """Return the share of right answers among all answers, unparsed ones counting as wrong."""
    return _accuracy(judged, judged, group, "accuracy")


def _accuracy(
    scored: Sequence[Judged], judged: Sequence[Judged], group: str, measure: str
) -> Score:
    answered = [one for one in scored if one.answered]
    mean = bootstrap_mean(
        [one.correct for one in answered],
        [one.video for one in answered],
        bounds=SHARE,
        exact_over="videos",
    )
    return Score.of(group, measure, mean, **_counts(judged))


def accuracy_of_parsed(judged: Sequence[Judged], group: str = "all") -> Score:
    """Return the accuracy that leaves unparsed answers out, as LVBench's own script does.

    It flatters a model that evades questions. Read it only next to `accuracy`.
    """
    return _accuracy([one for one in judged if one.parsed], judged, group, "accuracy_of_parsed")


def accuracy_with_guesses(judged: Sequence[Judged], group: str = "all") -> Score:
    """Return the accuracy expected if a random option were drawn for each unparsed answer.

    LongVideoBench's released code draws one. This is the mean over such draws; nothing is drawn.
    """
    guessed = [
        replace(one, correct=1 / one.options) if one.options and not one.parsed else one
        for one in judged
    ]
    return _accuracy(guessed, judged, group, WITH_GUESSES)


def accuracy_by(judged: Sequence[Judged], category: str) -> list[Score]:
    """Return the accuracy of each value of a category, in sorted order.

    A question with several values counts in each of them.
    """
    return [accuracy(part, f"{category}={value}") for value, part in _split(judged, category)]


def mean_over(judged: Sequence[Judged], category: str, measure: str) -> Score:
    """Return the unweighted mean of the accuracies of a category's values.

    The interval resamples videos and computes the mean of each draw over the values that the
    draw contains. If all answers are right, or all are wrong, the interval is that of the value
    with the fewest videos (Clopper-Pearson), which is conservative.
    """
    parts = [
        (value, [one for one in part if one.answered]) for value, part in _split(judged, category)
    ]
    parts = [(value, part) for value, part in parts if part]
    if not parts:
        return Score.of("all", measure, NOTHING, **_counts(judged))
    answered = [one for one in judged if one.answered]
    names = sorted({one.video for one in answered})
    column = {name: number for number, name in enumerate(names)}
    right, count = np.zeros((2, len(parts), len(names)))
    for row, (_, part) in enumerate(parts):
        for one in part:
            right[row, column[one.video]] += one.correct
            count[row, column[one.video]] += 1
    shares = right.sum(axis=1) / count.sum(axis=1)
    value = float(shares.mean())
    low = high = float("nan")
    if len(names) > 1:
        tail = (1 - COVERAGE) / 2
        if value in SHARE:
            fewest = min(len({one.video for one in part}) for _, part in parts)
            others = 1 - tail ** (1 / fewest)
            low, high = (value - others * value, value + others * (1 - value))
        else:
            drawn = np.random.default_rng(0).multinomial(
                len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES
            )
            counts = drawn @ count.T  # [resample, value]
            with np.errstate(invalid="ignore"):
                means = np.nanmean(np.where(counts > 0, drawn @ right.T / counts, np.nan), axis=1)
            low, high = (float(end) for end in np.quantile(means, [tail, 1 - tail]))
    questions = sum(len(part) for _, part in parts)
    estimate = Estimate(value, low, high, questions, len(names))
    return Score.of("all", measure, estimate, **_counts(judged))


def _split(judged: Iterable[Judged], category: str) -> list[tuple[str, list[Judged]]]:
    parts: dict[str, list[Judged]] = defaultdict(list)
    names: set[str] = set()
    for one in judged:
        names |= one.categories.keys()
        values = one.categories.get(category, ())
        for value in dict.fromkeys((values,) if isinstance(values, str) else values):
            parts[value].append(one)
    if not parts and names:
        raise TempoLabError(
            "no question has this category",
            asked=category,
            found=", ".join(sorted(names)),
            fix=did_you_mean(category, sorted(names), "use one of these"),
        )
    return sorted(parts.items())


def _counts(judged: Iterable[Judged]) -> dict[str, int]:
    flags = [(one.answered, one.parsed) for one in judged]
    return {
        "unparsed": sum(answered and not parsed for answered, parsed in flags),
        "unanswered": sum(not answered for answered, _ in flags),
    }


# Arms compared


@dataclass(frozen=True)
class PairedDifference:
    """How much more often one arm is right than another, on the same questions.

    Attributes:
        difference: mean of the differences; its interval resamples videos.
        only_one, only_other: questions that the other arm did not answer; they do not count.
    """

    difference: Estimate
    only_one: int
    only_other: int


def paired_difference(one: Sequence[Judged], other: Sequence[Judged]) -> PairedDifference:
    """Return the accuracy of one arm minus that of another, on the questions both answered.

    Raises:
        TempoLabError: an arm has a question twice.
    """
    first, second = _by_id(one), _by_id(other)
    both = [name for name in first if name in second]
    mean = bootstrap_mean(
        [first[name].correct - second[name].correct for name in both],
        [first[name].video for name in both],
        bounds=DIFFERENCE,
    )
    return PairedDifference(mean, len(first.keys() - second), len(second.keys() - first))


def _by_id(judged: Iterable[Judged]) -> dict[str, Judged]:
    answers: dict[str, Judged] = {}
    for one in judged:
        if one.id in answers:
            raise TempoLabError(
                "a question is there twice in one arm",
                asked=one.id,
                fix="compare one arm at one budget with another one",
            )
        answers[one.id] = one
    return {name: answer for name, answer in answers.items() if answer.answered}
