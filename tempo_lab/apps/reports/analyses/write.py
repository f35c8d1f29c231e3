"""Measure, and write the page, the table, and two figures for those who only look at those."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_lab.apps.reports.analyses.checkpoint import Kept
from tempo_lab.apps.reports.analyses.collect import collect
from tempo_lab.apps.reports.analyses.findings import Findings
from tempo_lab.apps.reports.analyses.run import NEEDLE, QUESTIONS, Measured, measure
from tempo_lab.apps.reports.analyses.sections import allocation, prompts, relevance
from tempo_lab.apps.reports.analyses.sections_memory import agreement, attention, front_loading
from tempo_lab.apps.reports.analyses.summary import glance
from tempo_lab.apps.reports.html import page
from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import write_atomic
from tempo_lab.common.version import __version__
from tempo_lab.nano.world import WORLD_VERSION
from tempo_lab.nano.world.seeds import REPORT

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo

SECTIONS = (glance, relevance, prompts, allocation, front_loading, attention, agreement)
"""Of the page, in the order in which a question runs through the model."""
SHOWN = ("front_loading_multi_part", "attention")
"""Figures that are files beside the page too."""
VIDEOS, SEGMENTS = 12, 8
"""The default size."""
FEWEST_VIDEOS, FEWEST_SEGMENTS = 2, 4


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
    """Run every analysis on held-out videos of the world, or go on where a run was stopped.

    Args:
        model: a name for `tempo_lab.load`, or a loaded model.
        seed: of videos, questions, controls and intervals.
        videos: how many.
        segments: of each.
        out: folder; by default `results/report-MODEL-SEED` in the working directory. What was
            computed there with the same settings and weights is not computed again; all else of
            the report is replaced.
        progress: show progress bars.

    Raises:
        TempoLabError: too small a size, or a folder that cannot be written to.
        CheckpointError: the model cannot be loaded.
    """
    _check("videos", videos, FEWEST_VIDEOS)
    _check("segments", segments, FEWEST_SEGMENTS)
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
    kept = Kept(folder, settings)
    found = measure(tempo, kept, seed=seed, videos=videos, segments=segments, progress=progress)
    return write_files(folder, settings, found)


def write_files(folder: Path, settings: dict[str, Any], measured: Measured) -> Report:
    """Page, table, settings and figures of measured results.

    Args:
        folder: where to.
        settings: what was run, with the seed.
        measured: the results.

    Raises:
        TempoLabError: the folder cannot be written to.
    """
    findings = collect(measured, settings["seed"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a font without a letter of a question
        sections = [make(measured, findings) for make in SECTIONS]
    names = dict.fromkeys(map(str, measured.front_loading[NEEDLE].data["video"].to_numpy()))
    shown = {**settings, "held-out videos": "; ".join(names)}
    title = f"{settings['model']}: what the analyses find"
    files = {
        "settings.json": (json.dumps(shown, indent=1) + "\n").encode(),
        "report.csv": findings.to_pandas().to_csv(index=False).encode("utf-8", "backslashreplace"),
        **{
            f"{picture.name}.png": picture.png
            for section in sections
            for picture in section.pictures
            if picture.name in SHOWN
        },
        "report.html": page(title, shown, sections).encode("utf-8", "backslashreplace"),
    }
    try:
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise TempoLabError(
            "the report could not be written; the results are kept",
            asked=folder,
            found=error.strerror or error,
            fix="make room, or name another folder with --out",
        ) from error
    return Report(folder, findings)


def _check(name: str, number: int, fewest: int) -> None:
    if number < fewest:
        raise TempoLabError(
            "the report compares questions of several videos, and segments of each",
            asked=f"{name} {number}",
            fix=f"{name} {fewest} or more",
        )


def _loaded(model: str | Tempo) -> Tempo:
    from tempo_lab.session.tempo import load

    return load(model) if isinstance(model, str) else model
