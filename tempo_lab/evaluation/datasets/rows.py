"""Rows: one question about one video, with what is known to be true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_number, check_whole
from tempo_lab.evaluation.answer_scoring import LETTERS, ROTATION, rotate
from tempo_lab.video.subtitle_files import SubtitleFile
from tempo_lab.video.subtitles import Subtitle, check_subtitles

Span = tuple[float, float]


class DatasetError(TempoLabError):
    """A dataset, one of its files or one of its rows cannot be used."""


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
        subtitles: (start, end, text) of each line, or a file of them, or None.
        categories: what to group by; a value is a text, or several.
        duration: of the video in seconds, or None.
        full_question: the question with its options as its owners word it, where they are one
            text; None if it is built from `question` and `options`.

    Raises:
        DatasetError: a value that cannot be.
        SubtitleError: subtitles of another form.
    """

    id: str
    video: Path
    question: str
    options: tuple[str, ...] | None = None
    answer: int | str | None = None
    evidence: tuple[Span, ...] | None = None
    saliency: Saliency | None = None
    subtitles: tuple[Subtitle, ...] | SubtitleFile | None = None
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
        if not isinstance(self.subtitles, SubtitleFile | None):
            object.__setattr__(self, "subtitles", check_subtitles(self.subtitles))

    def read_subtitles(self) -> tuple[Subtitle, ...] | None:
        """Return (start, end, text) of each line of the subtitles; None without subtitles.

        Raises:
            SubtitleError: the file cannot be read, or changed since the dataset was loaded.
        """
        if isinstance(self.subtitles, SubtitleFile):
            return self.subtitles.read()
        return self.subtitles

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
