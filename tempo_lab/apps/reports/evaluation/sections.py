"""The sections of an evaluation's report, in text, figures and tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pandas as pd

from tempo_lab import plots
from tempo_lab.apps.reports.evaluation import tables
from tempo_lab.apps.reports.evaluation.published import published_comparison, published_models
from tempo_lab.apps.reports.html import Picture, Section, render_picture
from tempo_lab.evaluation.arm_table import headline
from tempo_lab.evaluation.prior_measures import SPAN_RULE
from tempo_lab.evaluation.summary import PRIOR

if TYPE_CHECKING:
    from tempo_lab.evaluation.run_folder import EvaluationRun


def all_sections(run: EvaluationRun) -> list[Section]:
    """Return the sections that apply to a run."""
    makers: list[Callable[[EvaluationRun], Section | None]] = (
        [_prior] if run.config["kind"] == PRIOR else [_arms, _published]
    )
    sections = [make(run) for make in (*makers, _groups, _costs, _unanswered, _everything)]
    return [section for section in sections if section is not None]


def _picture(run: EvaluationRun, caption: str) -> list[Picture]:
    if headline(run) is None:
        return []
    return [render_picture("evaluation", caption, plots.evaluation(run, width=7.5))]


def _arms(run: EvaluationRun) -> Section:
    paragraphs = [
        "Each arm answers the same questions. head is ATA, the released method. An answer that "
        "states no option is unparsed and counts as wrong. A failed row has no answer and does "
        "not count. accuracy_strict accepts only plain forms of a letter."
    ]
    if headline(run) is None:
        paragraphs.append("The dataset has no right answers, so no accuracy is shown.")
    picture = _picture(run, "Accuracy over the memory tokens used, with 95 % intervals")
    shown = {"Arms": tables.arms(run), "Paired differences": tables.differences(run)}
    return Section("Arms", paragraphs, picture, _filled(shown), folded=False)


def _filled(shown: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    return {caption: table for caption, table in shown.items() if len(table)}


def _prior(run: EvaluationRun) -> Section:
    paragraphs = [
        "The model scores each segment by its relevance to the question; it generates no answer. "
        "There are three controls, measured against the evidence of the same question: another "
        "question about the video, a blank question, and the scores shuffled in time.",
        f"Spans are predicted from the scores by this rule: {SPAN_RULE}. The recall of evidence "
        "is the share of the memory tokens of segments with evidence that is kept: by ATA, and by "
        "a uniform allocation of as many tokens.",
    ]
    if headline(run) is None:
        paragraphs.append("No question has evidence within its video, so nothing is measured.")
    picture = _picture(run, "The prior and its controls, with 95 % intervals")
    shown = {
        "Rankings": tables.arms(run),
        "Paired differences": tables.differences(run),
        "Predicted spans": tables.spans(run),
        "Recall of evidence at equal tokens": tables.recall(run),
    }
    title = "The relevance prior and its controls"
    return Section(title, paragraphs, picture, _filled(shown), folded=False)


def _published(run: EvaluationRun) -> Section | None:
    table = published_comparison(run)
    if table is None:
        return None
    paragraphs = [
        "The published results are those of the released 6B model: 2 frames per second, at most "
        "1024 frames (2048 at 12288 tokens), without subtitles. The columns on the right show the "
        "arm head of this run at the same budget. A run with another model, other sampling, or "
        "only some of the questions is a different experiment. An empty cell means that no number "
        "was published, or that this run did not ask the questions."
    ]
    models = published_models(run)
    if models is None:
        paragraphs.append(
            "The published table does not come with this installation. It is "
            "data/published_results.csv of the repository."
        )
    others = {} if models is None else {"Published results of all models": models}
    shown = {"Published and this run": table, **others}
    return Section("Published results and this run", paragraphs, [], shown, folded=False)


def _groups(run: EvaluationRun) -> Section | None:
    found = tables.by_category(run)
    if not found:
        return None
    name = headline(run)
    measure = "AUROC" if name == "auroc" else "Accuracy"
    return Section(
        "Groups",
        [f"{measure} by category. A question with several values counts for each of them."],
        [],
        {f"By {category.replace('_', ' ')}": table for category, table in found.items()},
        folded=False,
    )


def _costs(run: EvaluationRun) -> Section | None:
    table = tables.costs(run)
    if not len(table):
        return None
    return Section(
        "Cost",
        [
            "Means over questions. Tokens are the memory tokens that the LLM read; tokens per "
            "frame are that number divided by the sampled frames. The first arm of a question "
            "reads the video and later arms reuse the result, so the first arm takes more seconds."
        ],
        [],
        {"Cost per question": table},
        folded=False,
    )


def _unanswered(run: EvaluationRun) -> Section:
    parts = {
        "Failed rows": (tables.failed(run), len(run.failed)),
        "Skipped rows of the dataset": (tables.skipped(run), len(run.skipped)),
        "Unparsed answers": ((unparsed := tables.unparsed(run)), len(unparsed)),
    }
    shown = _filled({caption: table for caption, (table, _) in parts.items()})
    counts = ", ".join(f"{caption.lower()}: {count}" for caption, (_, count) in parts.items())
    text = f"Of {len(run.rows)} rows: {counts}."
    if any(count > tables.MOST_ROWS for _, count in parts.values()):
        text += f" Tables show the first {tables.MOST_ROWS}; answers.jsonl holds all."
    return Section("Rows without a result", [text], [], shown)


def _everything(run: EvaluationRun) -> Section:
    frame = run.to_pandas()
    frame["budget"] = ["" if one.budget is None else str(one.budget) for one in run.summary]
    text = "Every measure of every arm and group, as in summary.csv."
    return Section("All measures", [text], [], {"All measures": frame})
