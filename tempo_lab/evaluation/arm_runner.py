"""Asks cases under arms; all arms of a question share what its session has cached."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.common.errors import BudgetError, UnfamiliarVideoWarning
from tempo_lab.common.statistics import auc

if TYPE_CHECKING:
    import xarray as xr

    from tempo_lab.allocation.arms import Arm
    from tempo_lab.evaluation.cases import Case
    from tempo_lab.session.session import Session
    from tempo_lab.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class ArmAnswer:
    """The answer to a case under an arm.

    Attributes:
        case, arm: what was asked, and how.
        session: the one that answered: the case's own, or one with fewer frames of its video.
        trace: of the run.
    """

    case: Case
    arm: Arm
    session: Session
    trace: Trace

    @property
    def score(self) -> float:
        """How right the answer is, 0 to 1."""
        return float(self.case.scored(self.trace.answer))

    @property
    def used(self) -> int:
        """Memory tokens that the LLM read."""
        return int(self.trace.data.attrs["used"])

    def row(self) -> dict[str, Any]:
        """Return the columns of a result row: said, score, used.

        Also logprob and answer_tokens, of the right answer, where the arm asks for them; and the
        AUC of noisy scores, where some segments hold evidence and some do not.
        """
        row = {"said": self.trace.answer, "score": self.score, "used": self.used}
        if self.arm.scores == "noisy" and 0 < self.case.evidence.sum() < len(self.case.evidence):
            row["auc"] = auc(self.trace.data["score"], self.case.evidence)
        if self.arm.logprob:
            from tempo_lab.session.scoring import answer_logprob

            each = answer_logprob(self.session, self.trace, self.case.answer)
            row |= {"logprob": float(each.sum()), "answer_tokens": len(each)}
        return row


class ArmRunner:
    """Asks cases under arms, each in its own session.

    For sparse frames it opens the video of a session again, once for each number of frames. These
    sessions are closed with the runner: use it in a `with`.
    """

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._sparse: dict[tuple[Session, int], Session] = {}
        self._priors: dict[tuple[Session, str], xr.Dataset] = {}

    def __enter__(self) -> ArmRunner:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def ask(
        self,
        case: Case,
        arm: Arm,
        *,
        draw: np.random.Generator,
        seed: int = 0,
        max_new_tokens: int | None = None,
    ) -> ArmAnswer:
        """Ask a case under an arm.

        Args:
            case: the question.
            arm: how the budget is shared.
            draw: shuffles the scores, if the arm's are shuffled.
            seed: of strategies that draw.
            max_new_tokens: length of the answer in tokens at most.

        Raises:
            BudgetError: the context cannot hold the tokens; or the budget is less than one
                segment's tokens, or the video's frames cannot be thinned, where the arm takes
                sparse frames.
        """
        session, budget, scores = case.session, None, None
        if arm.sparse:
            session = self._thinned(session, arm)
        else:
            budget = arm.tokens(len(session))
        if arm.scores != "own":
            prior = self._prior(case, budget)
            scores = arm.forced(
                prior["relevance"].to_numpy(),
                case.evidence,
                draw,
                logit=prior["logit"].to_numpy(),
                features=session.engine.mean_features if arm.scores == "facility" else None,
            )
        with warnings.catch_warnings():
            if arm.sparse:  # frames so far apart are meant to look strange
                warnings.simplefilter("ignore", UnfamiliarVideoWarning)
            trace = session.ask(
                case.question,
                budget=budget,
                strategy=arm.strategy,
                mode=arm.mode,
                seed=seed,
                scores=scores,
                max_new_tokens=max_new_tokens,
            )
        if not arm.sparse and scores is None:
            self._remember(case, trace)
        return ArmAnswer(case, arm, session, trace)

    def prior_row(
        self, case: Case, budget: int | None = None, control: Case | None = None
    ) -> dict[str, Any]:
        """Return the columns of a result row about relevance: evidence, logit, auc.

        Args:
            case: the question.
            budget: memory tokens for the whole video, where the case was not asked before.
                Relevance does not depend on it.
            control: a case whose question is about something else, in the same session. Adds the
                columns control and control_auc.
        """
        logit = self._prior(case, budget)["logit"].to_numpy()
        row: dict[str, Any] = {
            "evidence": np.flatnonzero(case.evidence).tolist(),
            "logit": [round(float(x), 4) for x in logit],
        }
        if case.evidence.any() and not case.evidence.all():
            row["auc"] = auc(logit, case.evidence)
        if control is not None:
            row["control"] = control.question
            logit = self._prior(control, budget)["logit"].to_numpy()
            row["control_auc"] = auc(logit, control.evidence)
        return row

    def _prior(self, case: Case, budget: int | None) -> xr.Dataset:
        """Return the model's own relevance and logit [segment]."""
        key = case.session, case.question
        if key not in self._priors:
            self._remember(case, case.session.ask(case.question, budget=budget, max_new_tokens=1))
        return self._priors[key]

    def _remember(self, case: Case, trace: Trace) -> None:
        key = case.session, case.question
        self._priors.setdefault(key, trace.data[["relevance", "logit"]])

    def _thinned(self, session: Session, arm: Arm) -> Session:
        """Return the whole video in few enough frames for all tokens to fit the budget."""
        from tempo_lab.session.tempo import Tempo

        budget = arm.tokens(len(session))
        assert budget is not None
        tempo = Tempo(session.checkpoint)
        segments = budget // tempo.slots
        if not segments:
            raise BudgetError(
                "the budget does not hold one segment", asked=budget, found=f"{tempo.slots} tokens"
            )
        key = session, segments
        if key not in self._sparse:
            options = dict(session.video.options)  # fps, stream, part, ... of the same video
            frames = segments * tempo.config.segment_frames
            options["max_frames"] = min(frames, options["max_frames"])
            opened = tempo.open(session.video.info.path, **options, progress=False)
            self._sparse[key] = self._stack.enter_context(opened)
        thinned = self._sparse[key]
        if len(thinned) > segments:
            raise BudgetError(
                "the frames of this source were sampled before: it cannot be thinned",
                asked=f"{segments} segments",
                found=f"{len(thinned)} in {session.video.info.path}",
                fix="give the video file, or leave sparse frames out",
            )
        return thinned
