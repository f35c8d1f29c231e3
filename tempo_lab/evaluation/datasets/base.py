"""The dataset: rows with their owners' rules for prompts and scores; the registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from tempo_lab.common.errors import did_you_mean
from tempo_lab.evaluation.answer_scoring import (
    Extractor,
    Judged,
    Score,
    accuracy,
    compat_letter,
    judge,
    strict_letter,
)
from tempo_lab.evaluation.datasets.rows import DatasetError, Row
from tempo_lab.video.subtitles import subtitle_prompt, subtitles_at_frames

Damaged = Literal["refuse", "skip"]
Rule = Literal["compat", "strict"]


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


Prompt = Callable[[Row], str]
"""Returns the text that the model is asked for a row, without subtitles."""


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
        make_prompt: builds the prompt of a row without its subtitles; call `prompt`.
        max_new_tokens: of an answer, as the released evaluation sets it.
        extract: the released rule that finds the letter in an answer.
        letters: letters that this rule may find; None for one letter per option.
        aggregate: turns judged answers into scores.
        citation: how to cite the dataset, with its license.
        with_subtitles: whether prompts list the subtitles of `Row.subtitles`.
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
    with_subtitles: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def prompt(self, row: Row, frames: int | None = None, fps: float | None = None) -> str:
        """Return the prompt of a row, word for word as the released evaluation asks it.

        Subtitles are those that are shown at 32 uniformly sampled frames, as in Video-MME.

        Args:
            frames: number of frames of the video, and
            fps: their rate; a prompt with subtitles needs both to choose its lines.

        Raises:
            DatasetError: the prompt has subtitles, and `frames` or `fps` is missing.
            SubtitleError: the subtitles cannot be read.
        """
        if not self.with_subtitles:
            return self.make_prompt(row)
        lines, shown = row.read_subtitles(), None
        if lines:
            if frames is None or fps is None:
                raise DatasetError(
                    "subtitles are chosen by the frames of the video",
                    asked=f"the prompt of {row.id} without frames= and fps=",
                    fix="pass both: Video(path).info has them",
                )
            shown = subtitles_at_frames(lines, frames, fps)
        return subtitle_prompt(shown) + self.make_prompt(row)

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
