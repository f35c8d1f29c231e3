"""Evaluate a model on a dataset: ask its questions under arms, or only score the segments.

Questions about one video are asked in one session. What is finished is on disk; after a kill, the
same call continues (see `run_folder`).
"""

from __future__ import annotations

import time
import warnings
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.allocation import find_strategy
from tempo_lab.allocation.arms import Arm
from tempo_lab.common.errors import (
    BudgetError,
    QueryError,
    TempoLabError,
    UnfamiliarVideoWarning,
    VideoError,
)
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.arm_runner import ArmRunner
from tempo_lab.evaluation.cases import Case
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.datasets.rows import DatasetError
from tempo_lab.evaluation.datasets.rows import Row as Question
from tempo_lab.evaluation.prior_measures import evidence_segments
from tempo_lab.evaluation.run_folder import (
    FAILED,
    EvaluationRun,
    locked,
    open_store,
    summarize,
    write_skipped,
)
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.store import Key, Row, key_of
from tempo_lab.evaluation.summary import ANSWERS, PRIOR, rule_names

if TYPE_CHECKING:
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo

MODEL = "model"
"""The role of the only model, in the keys of rows."""
DEFAULT_ARMS = ("head", "uniform", "topk")
SPECIAL: Mapping[str, dict[str, Any]] = {
    "all": {"strategy": "none"},
    "sparse": {"strategy": "none", "sparse": True},
    "shuffled": {"strategy": "head", "scores": "shuffled"},
    "oracle": {"strategy": "head", "scores": "oracle"},
}
"""Arms that are more than a strategy, by name: what they set of an `Arm`."""
ALL_TOKENS = ("all", "none")
"""Arms without a budget."""
OWN, SHUFFLED, OTHER, BLANK, DIFFERENCE = (
    "prior", "shuffled in time", "another question", "blank question", "prior - blank question",
)  # fmt: skip
PRIOR_ARMS = (OWN, SHUFFLED, OTHER, BLANK, DIFFERENCE)
"""The relevance of a question, its controls, and its logits minus those of a blank question."""
COSTS_ITS_ROWS = (VideoError, QueryError, BudgetError, DatasetError)
"""Errors that a question or a video raises; others end the run."""


def evaluate(
    model: Tempo | str | PathLike[str],
    dataset: Dataset,
    *,
    arms: Sequence[str] | None = None,
    budgets: Sequence[int] | None = None,
    out: str | PathLike[str],
    prior_only: bool = False,
    limit: int | None = None,
    progress: bool = True,
) -> EvaluationRun:
    """Ask the questions of a dataset, or continue a stopped run, and return all that is in `out`.

    The prompt and the length of the answers are the dataset's. Questions that are in `out` already
    are not asked again, unless they failed or their row of the dataset has changed. A video that
    cannot be read costs its own rows, which say so in the column `failed`.

    Args:
        model: a loaded model, or a name for `tempo_lab.load`.
        dataset: of `tempo_lab.datasets`.
        arms: "head" (ATA), "uniform", "topk" or another allocation strategy; "all" (all memory
            tokens, without a budget), "sparse" (all tokens of fewer frames), "shuffled" (ATA by
            scores shuffled in time), "oracle" (ATA by the evidence; only questions with known
            evidence). By default head, uniform and topk.
        budgets: memory tokens for the whole video; by default 8192.
        out: folder of the run.
        prior_only: score the segments and stop: no LLM is used. Each question has controls, all of
            which are measured against the evidence of the question: its scores shuffled in time,
            another question about the same video (if possible one with other evidence), and a
            blank question, which the model reads as the released code does ("Describe this
            content."). The logits minus those of the blank question are an arm as well.
        limit: ask only the first so many rows of the dataset.
        progress: show a progress bar.

    Raises:
        TempoLabError: an argument makes no sense, another process writes to `out`, another
            evaluation is in it, or the disk is full; what is finished is kept.
    """
    check_dataset(dataset)
    if prior_only and arms is not None:
        raise TempoLabError(
            "prior_only asks nothing, so it has no arms", asked=f"arms={list(arms)!r}",
            fix="leave arms out, or prior_only",
        )  # fmt: skip
    if limit is not None:
        limit = check_whole("limit", limit, 1, error=TempoLabError)
    chosen = () if prior_only else make_arms(DEFAULT_ARMS if arms is None else arms, budgets)
    if isinstance(model, (str, PathLike)):
        from tempo_lab.session.tempo import load

        model = load(model if isinstance(model, str) else Path(model))
    config = {
        "kind": PRIOR if prior_only else ANSWERS,
        "model": model.checkpoint.name,
        "model_digest": model.checkpoint.digest,
        "dtype": str(model.model.dtype).removeprefix("torch."),
        "dataset": dataset.name,
        "max_new_tokens": dataset.max_new_tokens,
        "rules": rule_names(dataset),
        "slots": model.slots,
        "min_tokens": model.config.min_tokens,
        **({"budgets": list(check_budgets(budgets))} if prior_only else {}),
    }
    jobs = make_jobs(dataset, chosen, prior_only, limit)
    digests = {key: digest for job in jobs for key, digest in job.digests().items()}

    def finished(row: Row) -> bool:
        return FAILED not in row and row["digest"] == digests.get(key_of(row), row["digest"])

    folder = Path(out)
    with locked(folder):
        store = open_store(folder, config)
        write_skipped(folder, dataset.skipped)
        run(jobs, answer_video, {MODEL: model}, store, progress=progress, finished=finished)
        return summarize(folder, store, config, dataset)


def check_dataset(dataset: Dataset) -> None:
    """Refuse what is not a dataset."""
    if not isinstance(dataset, Dataset):
        raise TempoLabError(
            "the questions must be a dataset",
            asked=type(dataset).__name__,
            fix='give one of tempo_lab.datasets, as datasets.table("mine.csv", videos="clips")',
        )


def check_budgets(budgets: Sequence[int] | None) -> tuple[int, ...]:
    """Return the budgets without repetitions, 8192 if there are none."""
    if budgets is None:
        from tempo_lab.session.session import DEFAULT_BUDGET

        return (DEFAULT_BUDGET,)
    values = budgets if isinstance(budgets, (list, tuple)) else [budgets]
    if not values:
        raise TempoLabError("there must be at least one budget", found="none", fix="budgets=[8192]")
    return tuple(
        dict.fromkeys(check_whole("budget", value, 1, error=BudgetError) for value in values)
    )


def make_arms(names: Sequence[str], budgets: Sequence[int] | None) -> tuple[Arm, ...]:
    """Return each arm at each budget; arms with all tokens have none.

    Raises:
        BudgetError: no arm or strategy has such a name.
        TempoLabError: there is no arm.
    """
    if isinstance(names, str) or not names:
        raise TempoLabError(
            "arms must be a list of names", asked=repr(names), fix='arms=["head", "uniform"]'
        )
    arms = []
    for name in dict.fromkeys(names):
        if name not in SPECIAL:
            find_strategy(name)
        settings = SPECIAL.get(name, {"strategy": name})
        each = (None,) if name in ALL_TOKENS else check_budgets(budgets)
        arms += [Arm(name, budget=budget, whole_video=True, **settings) for budget in each]
    return tuple(arms)


# Jobs


@dataclass(frozen=True)
class DatasetJob:
    """All questions about one video.

    Attributes:
        dataset: that they are from.
        video: path.
        questions: rows of the dataset.
        arms: how they are answered; empty if only the segments are scored.
        others: the question that is the control of another one, by the id of the latter.
    """

    dataset: Dataset
    video: str
    questions: tuple[Question, ...]
    arms: tuple[Arm, ...]
    others: Mapping[str, Question]

    def rows(self, question: Question) -> dict[str, Row]:
        """Return the rows of a question without their results, by arm."""
        known = {
            "video": self.video,
            "item": question.id,
            "model": MODEL,
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
        digest = _digest(question)
        return {
            arm.name: {**known, "arm": arm.name, "family": arm.family, "budget": arm.budget,
                       "digest": digest}
            for arm in self.arms
            if arm.scores != "oracle" or question.evidence
        }  # fmt: skip

    def digests(self) -> dict[Key, str]:
        """Return of each row the digest of what it depends on in the dataset."""
        rows = (row for question in self.questions for row in self.rows(question).values())
        return {key_of(row): row["digest"] for row in rows}

    def keys(self, models: Collection[str]) -> list[Key]:
        """Return the keys of all rows."""
        return list(self.digests())


def _digest(*questions: Question | None) -> str:
    return f"{zlib.crc32(repr(questions).encode('utf-8', 'backslashreplace')):08x}"


def make_jobs(
    dataset: Dataset, arms: tuple[Arm, ...], prior_only: bool, limit: int | None = None
) -> list[DatasetJob]:
    """Return one job for each video, in the order of the dataset."""
    about: dict[str, list[Question]] = defaultdict(list)
    for row in dataset.rows:
        about[str(row.video)].append(row)
    wanted: dict[str, list[Question]] = defaultdict(list)
    for row in dataset.rows[:limit]:
        wanted[str(row.video)].append(row)
    jobs = []
    for video, questions in wanted.items():
        others = {row.id: _other(row, about[video]) for row in questions} if prior_only else {}
        found = {name: other for name, other in others.items() if other is not None}
        jobs.append(DatasetJob(dataset, video, tuple(questions), arms, found))
    return jobs


def _other(row: Question, rows: Sequence[Question]) -> Question | None:
    """The next question about the video, if possible one whose evidence is elsewhere."""
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


# Answers


def answer_video(
    job: DatasetJob, models: Mapping[str, Tempo], done: Collection[Key]
) -> Iterator[list[Row]]:
    """Open a video, and yield the missing rows, a list as soon as each is finished."""
    missing = [
        (question, rows)
        for question in job.questions
        if (rows := {k: v for k, v in job.rows(question).items() if key_of(v) not in done})
    ]
    unfinished = {key_of(row): row for _, rows in missing for row in rows.values()}
    try:
        with models[MODEL].open(job.video, progress=False) as session, ArmRunner() as runner:
            score = cache(partial(_logit, session))
            for question, rows in missing:
                for new in (
                    _answers(job, session, runner, question, rows)
                    if job.arms
                    else _relevance(job, session, score, question, rows)
                ):
                    for row in new:
                        del unfinished[key_of(row)]
                    yield new
    except (VideoError, BudgetError) as error:  # of the video: nothing more can be asked about it
        yield [{**row, FAILED: str(error)} for row in unfinished.values()]


def _prompt(job: DatasetJob, session: Session, question: Question) -> str:
    info = session.video.info
    return job.dataset.prompt(question, frames=info.frames, fps=info.fps)


def _answers(
    job: DatasetJob, session: Session, runner: ArmRunner, question: Question, rows: dict[str, Row]
) -> Iterator[list[Row]]:
    for arm in job.arms:
        if arm.name not in rows:
            continue
        row, began = rows[arm.name], time.perf_counter()
        try:
            prompt = _prompt(job, session, question)
            case = _case(session, question, prompt, arm)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnfamiliarVideoWarning)  # the row has it as well
                answered = runner.ask(
                    case,
                    arm,
                    draw=np.random.default_rng(zlib.crc32(question.id.encode())),
                    max_new_tokens=job.dataset.max_new_tokens,
                )
        except VideoError:
            raise
        except COSTS_ITS_ROWS as error:
            yield [{**row, FAILED: str(error)}]
            continue
        trace = answered.trace
        yield [
            {
                **row,
                "prompt": prompt,
                "said": trace.answer,
                "used": answered.used,
                "segments": len(answered.session),
                "frames": len(answered.session.video.plan.indices),
                "context_left": int(trace.data.attrs["context_left"]),
                "warnings": list(trace.warnings),
                "seconds": round(time.perf_counter() - began, 3),
            }
        ]


def _case(session: Session, question: Question, prompt: str, arm: Arm) -> Case:
    start, end = session.video.segment_times.T
    evidence = evidence_segments(start, end, question.evidence or ())
    if arm.scores == "oracle" and not evidence.any():
        raise DatasetError(
            "the evidence is outside of the video",
            asked=f"question {question.id}: {question.evidence}",
            found=f"a video of {end[-1]:g} s",
            fix="correct the times, or leave the arm oracle out",
        )
    return Case(session, prompt, str(question.answer), evidence, video=str(question.video))


def _relevance(
    job: DatasetJob,
    session: Session,
    score: Callable[[str], np.ndarray],
    question: Question,
    rows: dict[str, Row],
) -> Iterator[list[Row]]:
    try:
        other = job.others.get(question.id)
        prompts = {OWN: _prompt(job, session, question), BLANK: ""}
        if other is not None:
            prompts[OTHER] = _prompt(job, session, other)
        logits = {arm: score(prompt) for arm, prompt in prompts.items()}
    except VideoError:
        raise
    except COSTS_ITS_ROWS as error:
        yield [{**row, FAILED: str(error)} for row in rows.values()]
        return
    draw = np.random.default_rng(zlib.crc32(question.id.encode()))
    logits[SHUFFLED] = draw.permutation(logits[OWN])
    logits[DIFFERENCE] = logits[OWN] - logits[BLANK]
    start, end = session.video.segment_times.T.tolist()
    yield [
        {
            **row,
            "prompt": prompts.get(arm, prompts[OWN]),
            "start": start,
            "end": end,
            "logit": logits[arm].tolist(),
        }
        for arm, row in rows.items()
    ]


def _logit(session: Session, prompt: str) -> np.ndarray:
    """float64 [segment], Yes minus No for a prompt; "" is the blank question.

    Raises:
        QueryError: the prompt is not readable by this model.
        VideoError: the video cannot be decoded.
    """
    from tempo_lab.session.validation import check_question, check_words

    checkpoint = session.checkpoint
    examples = checkpoint.model.config.example_questions
    if prompt:
        check_question(prompt, "strict", checkpoint.prompts.llm, examples)
        check_words(prompt, checkpoint.prompts.llm, examples)
    with checkpoint.lock:
        return session.engine.score(prompt).logit.astype(float)
