"""The jobs of an evaluation: all questions about one video, under their arms. No torch.

A job is sent to worker processes, so everything in it can be pickled.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tempo_lab.allocation.arms import Arm
from tempo_lab.evaluation.answer_scoring import ROTATION
from tempo_lab.evaluation.arms import tuned_parameters
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.datasets.rows import Row as Question
from tempo_lab.evaluation.presets import DEFAULT_SAMPLING, Sampling
from tempo_lab.evaluation.store import FAILED, ROLE, Key, Row, key_of

MODEL = "model"
"""The role of the only model, in the keys of rows, and in the column `model` of older runs."""
OWN, SHUFFLED, OTHER, BLANK, DIFFERENCE = (
    "prior", "shuffled in time", "another question", "blank question", "prior - blank question",
)  # fmt: skip
PRIOR_ARMS = (OWN, SHUFFLED, OTHER, BLANK, DIFFERENCE)
"""The relevance of a question, its controls, and its logits minus those of a blank question."""


@dataclass(frozen=True)
class DatasetJob:
    """All questions about one video.

    Attributes:
        dataset: that they are from.
        video: path.
        questions: rows of the dataset, or rotations of them.
        arms: how they are answered; empty if only the segments are scored.
        model: the name of the model, for the rows.
        others: the question that is the control of another one, by the id of the latter.
        sampling: of the video.
        max_new_tokens: of an answer; None for the dataset's.
    """

    dataset: Dataset
    video: str
    questions: tuple[Question, ...]
    arms: tuple[Arm, ...]
    model: str = MODEL
    others: Mapping[str, Question] = field(default_factory=dict)
    sampling: Sampling = DEFAULT_SAMPLING
    max_new_tokens: int | None = None

    @property
    def answer_tokens(self) -> int:
        """Tokens that an answer has at most."""
        return self.max_new_tokens or self.dataset.max_new_tokens

    def rows(self, question: Question) -> dict[str, Row]:
        """Return the rows of a question without their results, by arm."""
        known = {
            "video": self.video,
            "item": question.id,
            "model": self.model,
            ROLE: MODEL,
            "question": question.question,
            "truth": question.answer,
            "options": len(question.options or ()),
            "choices": question.options,
            "evidence": question.evidence,
            "categories": dict(question.categories),
        }
        if not self.arms:
            other = self.others.get(question.id)
            clips = None if question.saliency is None else asdict(question.saliency)
            digest = _digest(question, other)
            return {
                arm: {**known, "saliency": clips, "arm": arm, "family": arm, "budget": None,
                      "digest": digest}
                for arm in PRIOR_ARMS
                if arm != OTHER or other is not None
            }  # fmt: skip
        return {
            arm.name: {**known, "arm": arm.name, "family": arm.family, "budget": arm.budget,
                       "digest": _digest(question, parameters=tuned_parameters(arm))}
            for arm in self.arms
            if arm.scores != "oracle" or question.evidence
        }  # fmt: skip

    def digests(self) -> dict[Key, str]:
        """Return of each row the digest of what it depends on besides the configuration."""
        rows = (row for question in self.questions for row in self.rows(question).values())
        return {key_of(row): row["digest"] for row in rows}

    def keys(self, models: Collection[str]) -> list[Key]:
        """Return the keys of all rows."""
        return list(self.digests())

    def opens(self) -> tuple[str, str, dict[str, Any]]:
        """Return the role of the model that opens the video, the video, and how it is sampled."""
        return MODEL, self.video, asdict(self.sampling)

    def failed(self, reason: str, done: Collection[Key]) -> list[Row]:
        """Return the rows that are not in `done`, without results and with the reason."""
        rows = (row for question in self.questions for row in self.rows(question).values())
        return [{**row, FAILED: reason} for row in rows if key_of(row) not in done]


def _digest(*questions: Question | None, parameters: Mapping[str, object] | None = None) -> str:
    content = repr(questions) + (repr(parameters) if parameters else "")
    return f"{zlib.crc32(content.encode('utf-8', 'backslashreplace')):08x}"


def make_jobs(
    dataset: Dataset,
    arms: tuple[Arm, ...],
    *,
    model: str = MODEL,
    limit: int | None = None,
    circular: bool = False,
    sampling: Sampling = DEFAULT_SAMPLING,
    max_new_tokens: int | None = None,
) -> list[DatasetJob]:
    """Return one job for each video, in the order of the dataset.

    Args:
        dataset: the questions.
        arms: how they are answered; empty to score only the segments. Each question then has
            another one about the same video as its control.
        model: the name of the model, for the rows.
        limit: use only the first so many rows of the dataset.
        circular: ask each rotation of the options. A question without options, or without a known
            answer, is asked once.
        sampling: of the videos.
        max_new_tokens: of an answer; None for the dataset's.
    """
    about: dict[str, list[Question]] = defaultdict(list)
    for row in dataset.rows:
        about[str(row.video)].append(row)
    wanted: dict[str, list[Question]] = defaultdict(list)
    for row in dataset.rows[:limit]:
        rotated = circular and can_be_rotated(row)
        wanted[str(row.video)] += row.rotations() if rotated else (row,)
    jobs = []
    dataset = replace(dataset, rows=[], skipped=[])  # a job is sent to a worker without the others
    for video, questions in wanted.items():
        others = {} if arms else {row.id: _other(row, about[video]) for row in questions}
        found = {name: other for name, other in others.items() if other is not None}
        jobs.append(
            DatasetJob(
                dataset, video, tuple(questions), arms, model, found, sampling, max_new_tokens
            )
        )
    return jobs


def model_name(asked: str) -> str:
    """Return the name of a model as asked, without the folders of a path.

    >>> model_name("nano"), model_name("Vision-CAIR/Tempo-6B"), model_name("/models/mine")
    ('nano', 'Vision-CAIR/Tempo-6B', 'mine')
    """
    path = Path(asked).expanduser()
    on_this_machine = path.is_absolute() or asked.startswith(".") or path.is_dir()
    return path.resolve().name if on_this_machine else asked


def with_model_name(rows: Iterable[Row], asked: str) -> list[Row]:
    """Return rows whose column `model` has the name; in older runs it has the role."""
    name = model_name(asked)
    return [
        row if ROLE in row or row["model"] != MODEL else {**row, "model": name, ROLE: MODEL}
        for row in rows
    ]


def moved_questions(dataset: Dataset) -> Callable[[Row], bool]:
    """Return a function: whether a row is of a question with other words or another id now.

    Ids that are row numbers move when rows of a table are inserted, deleted or sorted. A question
    that the dataset does not have at all, as that of a video that is missing now, has not moved.
    """
    ids = {(str(row.video), row.id): row.question for row in dataset.rows}
    questions = {(video, question) for (video, _), question in ids.items()}

    def moved(row: Row) -> bool:
        video, question = row["video"], row["question"]
        now = ids.get((video, row["item"])) or ids.get((video, row["item"].rpartition(ROTATION)[0]))
        return (video, question) in questions if now is None else now != question

    return moved


def can_be_rotated(row: Question) -> bool:
    """Return whether a question has options of which one is known to be right."""
    return row.options is not None and isinstance(row.answer, int)


def _other(row: Question, rows: Sequence[Question]) -> Question | None:
    """Return the next question about the video, if possible one whose evidence is elsewhere."""
    at = next(number for number, other in enumerate(rows) if other.id == row.id)
    others = [other for other in (*rows[at + 1 :], *rows[:at]) if other.question != row.question]
    apart = [
        other
        for other in others
        if other.evidence and not _overlap(other.evidence, row.evidence or ())
    ]
    return next(iter(apart or others), None)


def _overlap(one: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]]) -> bool:
    return any(a < d and c < b for a, b in one for c, d in other)
