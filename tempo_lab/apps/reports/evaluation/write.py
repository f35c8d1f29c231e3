"""Write `report.html` of a run into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_lab.apps.reports.evaluation.sections import all_sections
from tempo_lab.apps.reports.html import render_page
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import write_atomic
from tempo_lab.common.version import __version__
from tempo_lab.evaluation.summary import PRIOR

if TYPE_CHECKING:
    from tempo_lab.evaluation.run_folder import EvaluationRun

REPORT = "report.html"
NOTE = (
    "Brackets hold 95 % intervals, which resample whole videos (bootstrap). If all videos have the "
    "highest or the lowest value, resampling has no spread: the interval is then the exact "
    "binomial one (Clopper-Pearson) for that number of videos, and wide for few videos. Measures "
    "of one video have no interval. Budgets are memory tokens for the whole video."
)


def write_report(run: EvaluationRun) -> Path:
    """Write the report of a run, and return its path. No model is needed.

    Raises:
        TempoLabError: the file cannot be written, or the run names rules for scores that are not
            part of this package.
    """
    title = f"{run.config['model']} on {run.config['dataset']}"
    page = render_page(title, settings(run), all_sections(run), note=NOTE)
    try:
        return write_atomic(run.folder / REPORT, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise TempoLabError(
            "the report of the evaluation cannot be written; the answers are kept",
            asked=run.folder / REPORT,
            found=error.strerror or type(error).__name__,
            fix="free some space, then run `tempo-lab evaluate report RUN`",
        ) from error


def settings(run: EvaluationRun) -> dict[str, str]:
    """Return what was asked, by name, as text."""
    kind = "relevance only" if run.config["kind"] == PRIOR else "answers"
    values: dict[str, Any] = {**run.config, "kind": kind}
    videos = {row["video"] for row in run.rows}
    questions = {(row["video"], row["item"]) for row in run.rows}
    values |= {
        "questions": len(questions),
        "videos": len(videos),
        "rows": f"{len(run.rows)}, {len(run.failed)} failed; {len(run.skipped)} rows of the "
        "dataset skipped",
        "tempo_lab of this page": __version__,
    }
    return {name.replace("_", " "): _text(value) for name, value in values.items()}


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_text(one)}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return "none" if value is None else str(value)
