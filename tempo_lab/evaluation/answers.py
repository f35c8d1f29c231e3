"""Answers a job: opens its video once, asks its questions under their arms, or scores segments."""

from __future__ import annotations

import time
import warnings
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.allocation.arms import Arm
from tempo_lab.common.errors import (
    BudgetError,
    QueryError,
    StrategyError,
    SubtitleError,
    UnfamiliarVideoWarning,
    VideoError,
)
from tempo_lab.evaluation.arm_runner import ArmRunner
from tempo_lab.evaluation.cases import Case
from tempo_lab.evaluation.datasets.rows import DatasetError
from tempo_lab.evaluation.datasets.rows import Row as Question
from tempo_lab.evaluation.datasets.subtitles import subtitle_columns
from tempo_lab.evaluation.jobs import BLANK, DIFFERENCE, MODEL, OTHER, OWN, SHUFFLED, DatasetJob
from tempo_lab.evaluation.prior_measures import evidence_segments
from tempo_lab.evaluation.store import FAILED, Key, Row, key_of

if TYPE_CHECKING:
    from tempo_lab.model.checkpoint import Checkpoint
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo

ROUNDED_SECONDS = 1.0
"""By how much evidence may end after the video: many datasets round times to seconds."""
COSTS_ITS_ROWS = (VideoError, QueryError, BudgetError, DatasetError, SubtitleError)
"""Errors that a question or a video raises. Others end the run, as does a `StrategyError`, which
is a fault of an arm's own code."""


def answer_video(
    job: DatasetJob, models: Mapping[str, Tempo], done: Collection[Key]
) -> Iterator[list[Row]]:
    """Open a video, and yield the missing rows, a list as soon as each is finished.

    Questions that are asked without the video come first, so that a broken video does not cost
    their rows. The video is not opened if nothing else is missing.

    Each answered row has `said`, `used` (memory tokens), `segments`, `frames`, `text_tokens`,
    `context_left`, `warnings`, `seconds`, `memory_mib` (see `PeakMemory`), and where the prompt has
    subtitles `subtitle_lines` and `subtitle_tokens` (see `subtitle_columns`). Time and memory are
    those of this arm. The first arm of a question reads the video for it, later ones reuse that.
    """
    missing = [
        (question, rows)
        for question in job.questions
        if (rows := {k: v for k, v in job.rows(question).items() if key_of(v) not in done})
    ]
    unfinished = {key_of(row): row for _, rows in missing for row in rows.values()}

    def needs_frames(question: Question) -> bool:
        """Whether the prompt has subtitles, whose choice depends on the frames of the video."""
        return job.dataset.with_subtitles and question.subtitles is not None

    def finish(new: list[Row]) -> list[Row]:
        for row in new:
            del unfinished[key_of(row)]
        return new

    model, checkpoint = models[MODEL], models[MODEL].checkpoint
    for question, rows in missing:
        if not needs_frames(question):
            prompt = partial(job.dataset.prompt, question)
            yield from map(finish, _blind_answers(job, checkpoint, prompt, rows))
    if not unfinished:
        return
    try:
        _, video, options = job.opens()
        with model.open(video, **options, progress=False) as session, ArmRunner() as runner:
            score = cache(partial(_logit, session))
            for question, rows in missing:
                if not job.arms:
                    yield from map(finish, _relevance(job, session, score, question, rows))
                    continue
                if needs_frames(question):
                    prompt = partial(_prompt, job, session, question)
                    yield from map(finish, _blind_answers(job, checkpoint, prompt, rows))
                yield from map(finish, _answers(job, session, runner, question, rows))
    except StrategyError:
        raise
    except (VideoError, BudgetError) as error:  # of the video: nothing more can be asked about it
        yield [{**row, FAILED: str(error)} for row in unfinished.values()]


def _prompt(job: DatasetJob, session: Session, question: Question) -> str:
    info = session.video.info
    return job.dataset.prompt(question, frames=info.frames, fps=info.fps)


@contextmanager
def _measuring(row: Row, checkpoint: Checkpoint) -> Iterator[None]:
    """Add `seconds` and `memory_mib` of the block to a row, unless it raises an error."""
    from tempo_lab.model.memory import PeakMemory

    began = time.perf_counter()
    with PeakMemory(checkpoint.model.device) as peak:
        yield
    row["seconds"] = round(time.perf_counter() - began, 3)
    row["memory_mib"] = None if peak.mib is None else round(peak.mib, 1)


def _blind_answers(
    job: DatasetJob, checkpoint: Checkpoint, prompt: Callable[[], str], rows: dict[str, Row]
) -> Iterator[list[Row]]:
    from tempo_lab.session.blind import answer_blind

    for arm in job.arms:
        if not arm.blind or arm.name not in rows:
            continue
        row = dict(rows[arm.name])
        try:
            row["prompt"] = prompt()
            with _measuring(row, checkpoint):
                blind = answer_blind(checkpoint, row["prompt"], max_new_tokens=job.answer_tokens)
        except COSTS_ITS_ROWS as error:
            yield [{**row, FAILED: str(error)}]
            continue
        row |= {
            "said": blind.answer,
            "used": 0,
            "segments": 0,
            "frames": 0,
            "text_tokens": blind.text_tokens,
            "context_left": blind.context_left,
            "warnings": [],
        }
        yield [row]


def _answers(
    job: DatasetJob, session: Session, runner: ArmRunner, question: Question, rows: dict[str, Row]
) -> Iterator[list[Row]]:
    for arm in job.arms:
        if arm.blind or arm.name not in rows:
            continue
        row = dict(rows[arm.name])
        try:
            row["prompt"] = _prompt(job, session, question)
            case = _case(session, question, row["prompt"], arm)
            with _measuring(row, session.checkpoint), warnings.catch_warnings():
                warnings.simplefilter("ignore", UnfamiliarVideoWarning)  # the row has it as well
                answered = runner.ask(
                    case,
                    arm,
                    draw=np.random.default_rng(zlib.crc32(question.id.encode())),
                    max_new_tokens=job.answer_tokens,
                )
        except (VideoError, StrategyError):
            raise
        except COSTS_ITS_ROWS as error:
            yield [{**row, FAILED: str(error)}]
            continue
        trace = answered.trace
        row |= {
            "said": trace.answer,
            "used": answered.used,
            "segments": len(answered.session),
            "frames": len(answered.session.video.plan.indices),
            "text_tokens": int(trace.data.attrs["text_tokens"]),
            "context_left": int(trace.data.attrs["context_left"]),
            "warnings": [*trace.warnings, *_late_evidence(session, question)],
            **subtitle_columns(job.dataset, question, answered.session),
        }
        yield [row]


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
    from tempo_lab.session.provenance import video_warnings

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
    notices = [*video_warnings(session.engine), *_late_evidence(session, question)]
    yield [
        {
            **row,
            "prompt": prompts.get(arm, prompts[OWN]),
            "start": start,
            "end": end,
            "logit": logits[arm].tolist(),
            "warnings": notices,
        }
        for arm, row in rows.items()
    ]


def _late_evidence(session: Session, question: Question) -> list[str]:
    """Return a warning if evidence ends after the video, by more than its times are rounded."""
    duration = float(session.video.info.duration)
    last = max((end for _, end in question.evidence or ()), default=0.0)
    if last <= duration + ROUNDED_SECONDS:
        return []
    return [f"the evidence ends at {last:g} s, and the video at {duration:g} s: check the times"]


def _logit(session: Session, prompt: str) -> np.ndarray:
    """Return float64 [segment], Yes minus No for a prompt; "" is the blank question.

    Raises:
        QueryError: the prompt is not readable by this model.
        VideoError: the video cannot be decoded.
    """
    from tempo_lab.session.validation import check_question, check_words, read_as_known

    checkpoint = session.checkpoint
    examples = checkpoint.model.config.example_questions
    prompt = read_as_known(checkpoint, prompt)
    if prompt:
        check_question(prompt, "strict", checkpoint.prompts.llm, examples)
        check_words(prompt, checkpoint.prompts.llm, examples)
    with checkpoint.lock:
        return session.engine.score(prompt).logit.astype(float)
