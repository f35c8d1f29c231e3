"""One held-out video through the real pipeline: written as H.264, decoded, compressed, answered."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tempo_lab.allocation.arms import PRIOR, Arm, ata, quarter
from tempo_lab.common.errors import BudgetError
from tempo_lab.evaluation.arm_runner import ArmAnswer, ArmRunner
from tempo_lab.evaluation.store import Key, Row
from tempo_lab.nano.claims.cases import case_of
from tempo_lab.nano.claims.plan import PlannedQuestion, VideoJob
from tempo_lab.nano.world.files import write_video

if TYPE_CHECKING:
    from tempo_lab.session.session import Session
    from tempo_lab.session.tempo import Tempo


def answer_video(
    job: VideoJob, models: Mapping[str, Tempo], done: Collection[Key]
) -> Iterator[list[Row]]:
    """Ask everything about one video that is not finished; yield the rows of each question.

    Args:
        job: the video and its questions.
        models: by role.
        done: keys of finished rows, which are not repeated.
    """
    missing = {key for key in job.keys(models) if key not in done}
    if not missing:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = write_video(job.scene, Path(folder) / "video.mp4")
        for role, tempo in models.items():
            if not any(key[2] == role for key in missing):
                continue
            with tempo.open(path, progress=False) as session, ArmRunner() as runner:
                for item in job.items:
                    arms = {key[3] for key in missing if key[1:3] == (item.number, role)}
                    if arms:
                        yield list(_rows(runner, session, job, role, item, arms))


def _rows(
    runner: ArmRunner,
    session: Session,
    job: VideoJob,
    role: str,
    item: PlannedQuestion,
    arms: Collection[str],
) -> Iterator[Row]:
    """The rows of one question under the arms of these names."""
    from tempo_lab.model.prompts import encode_text
    from tempo_lab.session.scoring import SPARE_TOKENS

    case = case_of(session, item.question, job.video)
    answer_tokens = len(encode_text(session.checkpoint.prompts.llm, case.answer))

    def ask(arm: Arm) -> ArmAnswer:
        draw = np.random.default_rng([job.seed, item.number])
        most = answer_tokens + SPARE_TOKENS
        return runner.ask(case, arm, draw=draw, seed=item.number, max_new_tokens=most)

    def head(arm: Arm | None) -> Row:
        return {
            "video": job.video,
            "segments": job.part.segments,
            "seed": job.seed,
            "item": item.number,
            "kind": case.kind,
            "model": role,
            "arm": PRIOR if arm is None else arm.name,
            "family": PRIOR if arm is None else arm.family,
            "budget": None if arm is None else arm.budget,
            "question": case.question,
            "truth": case.answer,
        }

    own = ata(job.slots)
    own_answer = ask(own)  # never refused; it also gives the relevance that other arms need
    if PRIOR in arms:
        control = None if item.control is None else case_of(session, item.control, job.video)
        budget = quarter(job.slots) * job.part.segments
        yield {**head(None), **runner.prior_row(case, budget, control)}
    for arm in {arm.name: arm for arm in (*item.arms, *item.plain_arms)}.values():
        if arm.name not in arms:
            continue
        try:
            answer = own_answer if arm == own else ask(arm)
        except BudgetError as error:
            yield {**head(arm), "error": str(error).splitlines()[0]}
        else:
            yield {**head(arm), **answer.row()}
