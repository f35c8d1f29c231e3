"""How soon the first memory tokens of each segment carry the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets as ipw
import numpy as np

from tempo_lab.analysis.front_loading.curves import by_token
from tempo_lab.analysis.front_loading.front_loading import tokens_tried
from tempo_lab.common.errors import QueryError
from tempo_lab.evaluation.cases import Case
from tempo_lab.widgets.base import WIDE, Explorer, sized
from tempo_lab.widgets.checks import check_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from tempo_lab.session.session import Session


class FrontLoadingExplorer(Explorer):
    """Slide k: the right answer's probability from the first, the last, or k random tokens.

    Every k is computed when it is made; sliding runs no model.

    Args:
        session: the video, opened.
        question: a case, or a question's words.
        answer: the right one, to a question in words.
        ks: numbers of tokens that are tried, K among them; by default as `front_loading` does.
        draws: of the random arm, averaged.
        seed: of these.
        progress: show a progress bar while it is made.

    Attributes:
        k: the slider.
        data: what was computed, see `by_token`.

    Raises:
        QueryError: no answer, words that the model does not know, or a case of another session.
        BudgetError: ks beyond K, or without it; draws or seed are no whole numbers; or the LLM's
            context cannot hold all tokens.
    """

    def __init__(
        self,
        session: Session,
        question: Case | str,
        answer: str | None = None,
        *,
        ks: Sequence[int] | None = None,
        draws: int = 4,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        from tqdm.auto import tqdm

        self.case = _case(session, question, answer)
        tried = tokens_tried(ks, session.checkpoint.model.config.num_compression_tokens)
        draws, seed = check_whole("draws", draws), check_whole("seed", seed, least=0)
        seeds = range(seed * draws, (seed + 1) * draws)
        with tqdm(total=len(tried), desc="front-loading", disable=not progress, leave=False) as bar:
            self.data = by_token(self.case, tried, seeds, bar.update)
        self.k = ipw.SelectionSlider(
            options=tried, value=tried[len(tried) // 4], description="kept tokens, k",
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
        told = ", ".join(f"{float(at.sel(arm=arm)):.2f} from {arm}" for arm in at["arm"].values)
        return f"{self.k.value} memory tokens a segment: the right answer's probability is {told}"


def _case(session: Session, question: Case | str, answer: str | None) -> Case:
    if isinstance(question, Case):
        if question.session is session:
            return question
        raise QueryError(
            "the case is about another opened video",
            asked=question.question,
            found=f"a case of {question.session.video.info.path}",
            fix="FrontLoadingExplorer(case.session, case)",
        )
    if not isinstance(answer, str):
        raise QueryError(
            "a right answer is needed, whose probability is shown",
            asked=repr(question),
            found=repr(answer),
            fix='FrontLoadingExplorer(session, question, "red")',
        )
    return Case(session, question, answer, np.zeros(len(session), dtype=bool))
