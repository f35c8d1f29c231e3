"""What all datasets have in common: rows, the dataset, the registry, and finding videos."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from tempo_lab.common.errors import TempoLabError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_number, check_whole
from tempo_lab.evaluation.answer_scoring import (
    LETTERS,
    ROTATION,
    Extractor,
    Judged,
    Score,
    accuracy,
    compat_letter,
    judge,
    rotate,
    strict_letter,
)

Span = tuple[float, float]
Subtitle = tuple[float, float, str]
Damaged = Literal["refuse", "skip"]
Rule = Literal["compat", "strict"]


class DatasetError(TempoLabError):
    """A dataset, one of its files or one of its rows cannot be used."""


# Rows


@dataclass(frozen=True)
class Saliency:
    """How salient each clip of a video is for a query.

    Attributes:
        clip: length of a clip in seconds.
        scores: [clip][rater].
    """

    clip: float
    scores: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        check_number("clip", self.clip, above=0, error=DatasetError)
        scores = tuple(tuple(float(score) for score in clip) for clip in self.scores)
        if not scores or len({len(clip) for clip in scores}) != 1 or not scores[0]:
            raise DatasetError(
                "saliency needs a score of each rater for each clip",
                found=f"{len(scores)} clips with {sorted({len(clip) for clip in scores})} raters",
            )
        object.__setattr__(self, "scores", scores)


@dataclass(frozen=True)
class Row:
    """One question about one video, with what is known to be true.

    Attributes:
        id: unique in the dataset.
        video: path of the video.
        question: the question, without its options.
        options: texts of the options, without their letters; None for a free answer.
        answer: index of the right option, the right answer as text, or None if it is unknown.
        evidence: (start, end) in seconds of where the answer is seen, half-open; None if unknown.
        saliency: graded relevance of each clip, or None.
        subtitles: (start, end, text) of each line, or the path of a subtitle file, or None.
        categories: what to group by; a value is a text, or several.
        duration: of the video in seconds, or None.
        full_question: the question with its options as its owners word it, where they are one
            text; None if it is built from `question` and `options`.

    Raises:
        DatasetError: a value that cannot be.
    """

    id: str
    video: Path
    question: str
    options: tuple[str, ...] | None = None
    answer: int | str | None = None
    evidence: tuple[Span, ...] | None = None
    saliency: Saliency | None = None
    subtitles: tuple[Subtitle, ...] | Path | None = None
    categories: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    duration: float | None = None
    full_question: str | None = None

    def __post_init__(self) -> None:
        for name in ("id", "question"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise DatasetError(f"{name} must be text that is not empty", found=repr(value))
        object.__setattr__(self, "video", Path(self.video))
        if self.options is not None:
            object.__setattr__(self, "options", _check_options(self.options))
        _check_answer(self.answer, self.options)
        if self.duration is not None:
            check_number("duration", self.duration, above=0, error=DatasetError)
        if self.evidence is not None:
            spans = tuple(_check_span(span) for span in self.evidence)
            object.__setattr__(self, "evidence", spans)
        if isinstance(self.subtitles, str):
            object.__setattr__(self, "subtitles", Path(self.subtitles))

    def rotations(self) -> tuple[Row, ...]:
        """Return one row for each rotation of the options, for circular scoring.

        Raises:
            DatasetError: the row has no options, or its answer is unknown.
        """
        if self.options is None or not isinstance(self.answer, int):
            raise DatasetError(
                "only a question with options and a known answer can be rotated",
                asked=self.id,
                found=f"{len(self.options or ())} options, answer {self.answer!r}",
            )
        rows = []
        for by in range(len(self.options)):
            options, answer = rotate(self.options, self.answer, by)
            name = f"{self.id}{ROTATION}{by}"
            full = self.full_question if by == 0 else None
            rows.append(replace(self, id=name, options=options, answer=answer, full_question=full))
        return tuple(rows)


def _check_options(options: Sequence[str]) -> tuple[str, ...]:
    if isinstance(options, str) or not 2 <= len(options) <= len(LETTERS):
        raise DatasetError(
            f"options must be 2 to {len(LETTERS)} texts", found=one_line(repr(options), 120)
        )
    for option in options:
        if not isinstance(option, str) or not option.strip():
            raise DatasetError("an option must be text that is not empty", found=repr(option))
    return tuple(options)


def _check_answer(answer: int | str | None, options: tuple[str, ...] | None) -> None:
    if answer is None:
        return
    if options is not None:
        check_whole("answer", answer, 0, len(options) - 1, error=DatasetError)
    elif not isinstance(answer, str) or not answer.strip():
        raise DatasetError(
            "the answer to a question without options must be text", found=repr(answer)
        )


def _check_span(span: Sequence[float]) -> Span:
    try:
        start, end = span
    except (TypeError, ValueError):
        raise DatasetError(
            "evidence must be pairs of (start, end) in seconds",
            found=one_line(repr(span), 120),
        ) from None
    start = check_number("start of the evidence", start, 0, error=DatasetError)
    end = check_number("end of the evidence", end, error=DatasetError)
    if end < start:
        raise DatasetError(
            "a span of evidence ends before it begins",
            found=f"{start:g} to {end:g} s",
            fix="give its start first",
        )
    return start, end


# The dataset


@dataclass(frozen=True)
class Skipped:
    """A row that was left out.

    Attributes:
        place: file and line or entry.
        reason: "missing video" or "damaged".
        message: what was found.
    """

    place: str
    reason: str
    message: str


class Prompt(Protocol):
    """Returns the text that the model is asked for a row."""

    def __call__(self, row: Row, frames: int | None = None, fps: float | None = None) -> str: ...


def accuracy_only(judged: Sequence[Judged]) -> list[Score]:
    """Return the micro accuracy."""
    return [accuracy(judged)]


@dataclass(frozen=True)
class Dataset:
    """Rows of one dataset, and its owners' rules for prompts and scores.

    Attributes:
        name: as in the registry.
        rows: the questions.
        skipped: rows that were left out, and why.
        make_prompt: builds the prompt of a row; call `prompt`.
        max_new_tokens: of an answer, as the released evaluation sets it.
        extract: the released rule that finds the letter in an answer.
        letters: letters that this rule may find; None for one letter per option.
        aggregate: turns judged answers into scores.
        citation: how to cite the dataset, with its licence.
    """

    name: str
    rows: list[Row]
    make_prompt: Prompt
    skipped: list[Skipped] = field(default_factory=list)
    max_new_tokens: int = 16
    extract: Extractor = compat_letter
    letters: str | None = None
    aggregate: Callable[[Sequence[Judged]], list[Score]] = accuracy_only
    citation: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def prompt(self, row: Row, frames: int | None = None, fps: float | None = None) -> str:
        """Return the prompt of a row, word for word as the released evaluation asks it.

        Args:
            frames: number of frames of the video, and
            fps: their rate; a prompt with subtitles needs both to choose its lines.
        """
        return self.make_prompt(row, frames, fps)

    def judge(
        self, rows: Sequence[Row], answers: Sequence[str | None], rule: Rule = "compat"
    ) -> list[Judged]:
        """Compare answers with the truth; rows whose answer is unknown are left out.

        Args:
            rows: of this dataset, or rotations of them.
            answers: the generated text of each row; None where there is none.
            rule: "compat" is the released extraction of letters, "strict" accepts plain forms only.

        Raises:
            DatasetError: there are not as many answers as rows, or there is no such rule.
        """
        if len(rows) != len(answers):
            raise DatasetError(
                "each row needs one answer",
                asked=f"{len(rows)} rows",
                found=f"{len(answers)} answers",
                fix="give None for a row without answer",
            )
        if rule not in ("compat", "strict"):
            raise DatasetError(
                "no rule has this name", asked=rule, found="compat, strict",
                fix=did_you_mean(rule, ["compat", "strict"], 'use rule="compat"'),
            )  # fmt: skip
        compat = rule == "compat"
        return [
            judge(
                answer,
                row.answer,
                len(row.options or ()),
                id=row.id,
                video=str(row.video),
                categories=row.categories,
                extract=self.extract if compat else strict_letter,
                letters=self.letters if compat else None,
            )
            for row, answer in zip(rows, answers, strict=True)
            if row.answer is not None
        ]

    def score(
        self, rows: Sequence[Row], answers: Sequence[str | None], rule: Rule = "compat"
    ) -> list[Score]:
        """Return the scores that the owners report; the arguments are those of `judge`."""
        return self.aggregate(self.judge(rows, answers, rule))


# Prompts


def lettered(options: Sequence[str], form: str = "{letter}. {option}") -> str:
    """Return the options one per line, with letters."""
    lines = zip(LETTERS, options, strict=False)
    return "\n".join(form.format(letter=letter, option=option) for letter, option in lines)


def plain_prompt(row: Row, frames: int | None = None, fps: float | None = None) -> str:
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


# Videos

SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".m4v", ".flv", ".mpg", ".ts", ".gif", "")


class MissingVideo(DatasetError):
    """A row's video is not in the folder."""


class Videos:
    """Finds the video of a row in a folder, by its path or by its name in any folder below.

    Args:
        folder: of the videos; None leaves the names as they are and looks for nothing.

    Raises:
        DatasetError: there is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder).expanduser()
        self._below: dict[str, set[Path]] | None = None
        if self.folder is not None and not self.folder.is_dir():
            raise DatasetError(
                "there is no such folder of videos",
                asked=self.folder,
                found="a file" if self.folder.exists() else None,
                fix="name the folder that the videos are in",
            )

    def find(self, name: str) -> Path:
        """Return the path of a video.

        Args:
            name: a path in the folder, or the name of a file in any folder below; the suffix may
                be left out.

        Raises:
            MissingVideo: no file has this name, or several have.
        """
        if self.folder is None:
            return Path(name)
        path = Path(name)
        for suffix in SUFFIXES:
            direct = self.folder / f"{name}{suffix}"
            if not path.is_absolute() and ".." not in path.parts and direct.is_file():
                return direct
        below = self._index()
        places = below.get(path.name) or below.get(path.stem) or set()
        if len(places) == 1:
            return next(iter(places))
        near = get_close_matches(path.name, below, n=1)
        raise MissingVideo(
            f"{len(places)} videos have this name" if places else "the video is missing",
            asked=name,
            found=f"a similar name: {near[0]}" if near and not places else None,
            fix=f"put it into {self.folder}",
        )

    def _index(self) -> dict[str, set[Path]]:
        if self._below is None:
            self._below = {}
            assert self.folder is not None
            for root, _, names in os.walk(self.folder):
                for name in names:
                    path = Path(root, name)
                    if path.suffix.lower() in SUFFIXES:
                        for key in {name, path.stem}:
                            self._below.setdefault(key, set()).add(path)
        return self._below


# The registry

Loader = Callable[..., Dataset]
F = TypeVar("F", bound=Loader)
DATASETS: dict[str, Loader] = {}
"""Loaders by name; each takes the path of its data and the folder of its videos."""


def register_dataset(name: str) -> Callable[[F], F]:
    """Make a loader available to `load_dataset` under `name`; decorates the loader."""

    def register(loader: F) -> F:
        DATASETS[name] = loader
        return loader

    return register


def load_dataset(
    name: str,
    data: str | os.PathLike[str],
    videos: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Dataset:
    """Return a dataset.

    Args:
        name: in the registry: "lvbench", "table", ...
        data: the dataset's file or folder.
        videos: folder of the videos.
        options: of this dataset, as `subtitles=` or `split=`.

    Raises:
        DatasetError: no dataset has this name, it has no such option, or it cannot be read.
    """
    if name not in DATASETS:
        known = sorted(DATASETS)
        raise DatasetError(
            "no dataset has this name", asked=name, found=", ".join(known),
            fix=did_you_mean(name, known, "use table for a file of your own"),
        )  # fmt: skip
    loader = DATASETS[name]
    known = list(loader.__kwdefaults__ or {})
    for option in options:
        if option not in known:
            raise DatasetError(
                f"the dataset {name} has no such option", asked=option, found=", ".join(known),
                fix=did_you_mean(option, known, f"leave {option}= out"),
            )  # fmt: skip
    return loader(data, videos, **options)
