"""One held-out video through the real pipeline: written as H.264, decoded, compressed, answered.

Each question is compressed once: all arms are answered from the memory tokens that its session
keeps. Only fewer frames (sparse sampling) need a session of their own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tempo_lab.allocation.arms import PRIOR, Arm, ata, quarter
from tempo_lab.common.errors import BudgetError
from tempo_lab.common.statistics import auc
from tempo_lab.model.prompts import encode_text
from tempo_lab.nano.claims.plan import BEFORE, MAIN, PLAIN, Item, Job
from tempo_lab.nano.world.files import write_video
from tempo_lab.session.scoring import SPARE_TOKENS, answer_logprob
from tempo_lab.session.session import Session
from tempo_lab.session.tempo import Tempo
from tempo_lab.trace.trace import Trace

Row = dict[str, Any]
Key = tuple[str, int, str, str]


def key_of(row: Row) -> Key:
    """What a row is the result of: video, question, model, arm."""
    return row["video"], row["item"], row["model"], row["arm"]


def keys_of(job: Job, models: Collection[str]) -> list[Key]:
    """The keys of all rows that a video gives with these models (by role)."""
    keys: list[Key] = []
    for item in job.items:
        arms = {MAIN: [PRIOR, *(arm.name for arm in item.arms)], BEFORE: [PRIOR]}
        arms[PLAIN] = [arm.name for arm in item.plain_arms]
        keys += [(job.video, item.number, m, arm) for m in models for arm in arms[m]]
    return keys


def answer_video(
    job: Job,
    models: Mapping[str, Tempo],
    done: Collection[Key],
    write: Callable[[list[Row]], object],
) -> None:
    """Ask everything about one video that has not been asked.

    Args:
        job: the video and its questions.
        models: by role.
        done: keys of finished rows, which are not repeated.
        write: called with the rows of one question as soon as they are there.
    """
    left = {key for key in keys_of(job, models) if key not in done}
    if not left:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(job.scene, Path(folder) / "video.mp4")
        for role, tempo in models.items():
            if not any(key[2] == role for key in left):
                continue
            with ArmRunner(path, tempo, job, role) as desk:
                for item in job.items:
                    names = {key[3] for key in left if key[1:3] == (item.number, role)}
                    if names:
                        write(list(desk.rows(item, names)))


class ArmRunner:
    """One video opened with one model, once for each number of frames that is needed."""

    def __init__(self, path: Path, tempo: Tempo, job: Job, role: str) -> None:
        self.path, self.tempo, self.job, self.role = path, tempo, job, role
        self._stack = ExitStack()
        self._sparse: dict[int, Session] = {}
        self.session = self._stack.enter_context(tempo.open(path, progress=False))

    def __enter__(self) -> ArmRunner:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def rows(self, item: Item, names: Collection[str]) -> Iterator[Row]:
        """The rows of one question under the arms of these names."""
        first = ata(self.job.slots)  # never refused; it tells the relevance that other arms need
        trace = self._ask(self.session, item, first)
        relevance = trace.data["relevance"].to_numpy()
        evidence = np.isin(np.arange(len(relevance)), item.question.evidence)
        if PRIOR in names:
            yield self._prior(item, trace.data["logit"].to_numpy())
        for arm in {arm.name: arm for arm in (*item.arms, *item.plain_arms)}.values():
            if arm.name not in names:
                continue
            if arm == first:
                yield self._row(item, arm, self.session, trace)
                continue
            try:
                session = self._sparser(arm) if arm.sparse else self.session
                draw = np.random.default_rng([self.job.seed, item.number])
                scores = arm.forced(relevance, evidence, draw)
                asked = self._ask(session, item, arm, scores)
            except BudgetError as error:
                yield {**self._head(item, arm), "error": str(error).splitlines()[0]}
            else:
                yield self._row(item, arm, session, asked)

    def _sparser(self, arm: Arm) -> Session:
        """The video in so few frames that all tokens of their segments fit the budget."""
        assert arm.budget is not None
        budget, slots = arm.budget * self.job.part.segments, self.tempo.slots
        if budget < slots:
            raise BudgetError(
                "the budget does not hold one segment", asked=budget, found=f"{slots} tokens"
            )
        frames = budget // slots * self.tempo.config.segment_frames
        if frames not in self._sparse:
            opened = self.tempo.open(self.path, max_frames=frames, progress=False)
            self._sparse[frames] = self._stack.enter_context(opened)
        return self._sparse[frames]

    def _ask(
        self, session: Session, item: Item, arm: Arm, scores: np.ndarray | None = None
    ) -> Trace:
        whole = arm.budget is None or arm.sparse
        right = encode_text(self.tempo.prompts.llm, item.question.answer)
        return session.ask(
            item.question.text,
            budget=None if whole else (arm.budget or 0) * self.job.part.segments,
            strategy=arm.strategy,
            mode=arm.mode,
            seed=item.number,
            scores=scores,
            max_new_tokens=len(right) + SPARE_TOKENS,
        )

    def _head(self, item: Item, arm: Arm | None) -> Row:
        return {
            "video": self.job.video,
            "segments": self.job.part.segments,
            "seed": self.job.seed,
            "item": item.number,
            "kind": item.question.kind,
            "model": self.role,
            "arm": PRIOR if arm is None else arm.name,
            "family": PRIOR if arm is None else arm.family,
            "budget": None if arm is None else arm.budget,
            "question": item.question.text,
            "truth": item.question.answer,
        }

    def _row(self, item: Item, arm: Arm, session: Session, trace: Trace) -> Row:
        row = {
            **self._head(item, arm),
            "said": trace.answer,
            "score": float(item.question.score(trace.answer)),
            "used": int(trace.data.attrs["used"]),
        }
        if arm.logprob:
            each = answer_logprob(session, trace, item.question.answer)
            row |= {"logprob": float(each.sum()), "answer_tokens": len(each)}
        return row

    def _prior(self, item: Item, logit: np.ndarray) -> Row:
        evidence = item.question.evidence
        relevant = np.isin(np.arange(len(logit)), evidence)
        row = {
            **self._head(item, None),
            "evidence": list(evidence),
            "logit": [round(float(x), 4) for x in logit],
        }
        if relevant.any() and not relevant.all():
            row["auc"] = auc(logit, relevant)
        if item.control is not None:
            budget = quarter(self.job.slots) * self.job.part.segments
            asked = self.session.ask(item.control.text, budget=budget, max_new_tokens=1)
            elsewhere = np.isin(np.arange(len(logit)), item.control.evidence)
            row["control"] = item.control.text
            row["control_auc"] = auc(asked.data["logit"].to_numpy(), elsewhere)
        return row
