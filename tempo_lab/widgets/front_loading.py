"""The right answer's probability from the first, last or random k memory tokens per segment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets as ipw
import numpy as np

from tempo_lab.analysis.front_loading.curves import token_probabilities
from tempo_lab.analysis.front_loading.front_loading import tokens_tried
from tempo_lab.common.deprecation import warn_renamed
from tempo_lab.common.errors import BudgetError, QueryError
from tempo_lab.common.progress import progress_bar
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.cases import Case
from tempo_lab.trace.trace import Trace
from tempo_lab.widgets.base import WIDE, Explorer, sized
from tempo_lab.widgets.validation import check_trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session


class FrontLoadingExplorer(Explorer):
    """Slide k; the figure shows the right answer's probability from k memory tokens per segment.

    All values of k are computed when the explorer is created; sliding runs no model.

    Args:
        session: the video, opened.
        trace: a question about it. A case or a question's text work for one more version.
        answer: the right answer to this question.
        ks: numbers of memory tokens to try, including K; by default as `front_loading` does.
        draws: number of draws of random tokens, which are averaged.
        seed: of the draws.
        progress: show a progress bar while the values are computed.

    Attributes:
        k: the slider.
        data: the values, see `token_probabilities`.

    Raises:
        TraceError: the trace is of another video.
        QueryError: there is no right answer, or it has words that the model does not know.
        BudgetError: ks has values above K, or not K; draws or seed is not a whole number; or the
            LLM's context cannot hold all tokens.
    """

    def __init__(
        self,
        session: Session,
        trace: Trace | Case | str,
        answer: str | None = None,
        *,
        ks: Sequence[int] | None = None,
        draws: int = 4,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        if not isinstance(trace, Trace):
            old = "case" if isinstance(trace, Case) else "question, answer"
            warn_renamed(
                f"FrontLoadingExplorer(session, {old})",
                "FrontLoadingExplorer(session, trace, answer)",
            )
        self.case = _case(session, trace, answer)
        ks = tokens_tried(ks, session.checkpoint.model.config.num_compression_tokens)
        draws = check_whole("draws", draws, 1, error=BudgetError)
        seed = check_whole("seed", seed, 0, error=BudgetError)
        seeds = range(seed * draws, (seed + 1) * draws)
        with progress_bar(
            total=len(ks), desc="front-loading", disable=not progress, leave=False
        ) as bar:
            self.data = token_probabilities(self.case, ks, seeds, bar.update)
        self.k = ipw.SelectionSlider(
            options=ks, value=ks[len(ks) // 4], description="kept tokens, k",
            tooltip="memory tokens that every segment keeps",
            **sized(36),
        )  # fmt: skip
        super().__init__([self.k])
        self.watch(self.k)
        self.redraw()

    def draw(self) -> Figure:
        from tempo_lab import plots

        return plots.front_loading_answer(
            self.data, self.k.value, question=self.case.question, answer=self.case.answer,
            width=WIDE,
        )[0]  # fmt: skip

    def caption(self) -> str:
        at = self.data["probability"].sel(k=self.k.value)
        shares = ", ".join(f"{float(at.sel(arm=arm)):.2f} from {arm}" for arm in at["arm"].values)
        k = self.k.value
        return f"{k} memory tokens per segment: the right answer's probability is {shares}"


def _case(session: Session, trace: Trace | Case | str, answer: str | None) -> Case:
    if isinstance(trace, Case):
        if trace.session is session:
            return trace
        raise QueryError(
            "the case is about another opened video",
            asked=trace.question,
            found=f"a case of {trace.session.video.info.path}",
            fix="FrontLoadingExplorer(case.session, trace, case.answer)",
        )
    question = trace if isinstance(trace, str) else check_trace(session, trace).question
    if not isinstance(answer, str):
        raise QueryError(
            "the right answer is needed to show its probability",
            asked=repr(question),
            found=repr(answer),
            fix='FrontLoadingExplorer(session, trace, "red")',
        )
    return Case(session, question, answer, np.zeros(len(session), dtype=bool))
