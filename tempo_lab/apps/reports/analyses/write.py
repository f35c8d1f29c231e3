"""Run the analyses, and write the page, the table, and two figures as files of their own."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_lab.apps.reports.analyses.checkpoint import ResultCheckpoints
from tempo_lab.apps.reports.analyses.collect import collect
from tempo_lab.apps.reports.analyses.findings import Findings
from tempo_lab.apps.reports.analyses.run import NEEDLE, QUESTIONS, ReportResults, run_analyses
from tempo_lab.apps.reports.analyses.sections import allocation, prompts, relevance
from tempo_lab.apps.reports.analyses.sections_memory import agreement, attention, front_loading
from tempo_lab.apps.reports.analyses.summary import summary
from tempo_lab.apps.reports.html import render_page
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import write_atomic
from tempo_lab.common.validation import check_whole
from tempo_lab.common.version import __version__
from tempo_lab.nano.world import WORLD_VERSION
from tempo_lab.nano.world.seeds import REPORT

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

SECTIONS = (summary, relevance, prompts, allocation, front_loading, attention, agreement)
"""Sections of the page, in the order in which a question runs through the model."""
FIGURE_FILES = ("front_loading_multi_part", "attention")
"""Figures that are also written as files of their own."""
VIDEOS, SEGMENTS = 12, 8
"""The default size."""
MIN_VIDEOS, MIN_SEGMENTS = 2, 4


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        folder: with `report.html`, `report.csv`, `settings.json`, two figures, the saved results.
        findings: the rows of the CSV.
    """

    folder: Path
    findings: Findings


def write_report(
    model: str | Tempo = "nano",
    *,
    seed: int = 0,
    videos: int = VIDEOS,
    segments: int = SEGMENTS,
    out: str | Path | None = None,
    progress: bool = True,
) -> Report:
    """Run every analysis on held-out videos of the world, or continue a stopped run.

    Args:
        model: a name for `tempo_lab.load`, or a loaded model.
        seed: seed of videos, questions, controls and intervals.
        videos: number of videos.
        segments: number of segments per video.
        out: folder; by default `results/report-MODEL-SEED` in the working directory. Results
            saved there with the same settings and weights are not computed again; everything
            else of the report is replaced.
        progress: show progress bars.

    Raises:
        TempoLabError: the size is too small, or the folder cannot be written to.
        CheckpointError: the model cannot be loaded.
    """
    videos = check_whole("videos", videos, MIN_VIDEOS, error=TempoLabError)
    segments = check_whole("segments", segments, MIN_SEGMENTS, error=TempoLabError)
    scenes = REPORT.seeds(seed)
    tempo = _loaded(model)
    name = Path(tempo.checkpoint.name).name
    settings = {
        "model": name,
        "model_digest": tempo.checkpoint.digest,
        "seed": seed,
        "videos": videos,
        "first scene": scenes[0],
        "segments": segments,
        "questions a video": QUESTIONS,
        "world": WORLD_VERSION,
        "tempo_lab": __version__,
    }
    folder = Path(out or Path("results") / f"report-{name}-{seed}")
    results = run_analyses(
        tempo, ResultCheckpoints(folder, settings),
        seed=seed, videos=videos, segments=segments, progress=progress,
    )  # fmt: skip
    return write_files(folder, settings, results)


def write_files(folder: Path, settings: dict[str, Any], results: ReportResults) -> Report:
    """Write the page, table, settings and figures of computed results.

    Args:
        folder: where to.
        settings: what was run, with the seed.
        results: the results.

    Raises:
        TempoLabError: the folder cannot be written to.
    """
    findings = collect(results, settings["seed"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a font without a letter of a question
        sections = [section(results, findings) for section in SECTIONS]
    names = dict.fromkeys(map(str, results.front_loading[NEEDLE].data["video"].to_numpy()))
    settings = {**settings, "held-out videos": "; ".join(names)}
    page = render_page(f"{settings['model']}: what the analyses find", settings, sections)
    files = {
        "settings.json": (json.dumps(settings, indent=1) + "\n").encode(),
        "report.csv": findings.to_pandas().to_csv(index=False).encode("utf-8", "backslashreplace"),
        **{
            f"{picture.name}.png": picture.png
            for section in sections
            for picture in section.pictures
            if picture.name in FIGURE_FILES
        },
        "report.html": page.encode("utf-8", "backslashreplace"),
    }
    try:
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise TempoLabError(
            "the report could not be written; its results are saved",
            asked=folder,
            found=error.strerror or error,
            fix="make room, or name another folder with --out",
        ) from error
    return Report(folder, findings)


def _loaded(model: str | Tempo) -> Tempo:
    from tempo_lab.session.tempo import load

    return load(model) if isinstance(model, str) else model
