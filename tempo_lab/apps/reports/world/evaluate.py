"""`tempo-lab evaluate world`: the method's claims, measured on held-out procedural videos.

Writes one folder: the answers (`answers.jsonl`, from which a stopped run continues),
`results.csv`, `claims.csv`, `claims.json`, the figures, and `report.html`, which holds them all.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tempo_lab.apps.reports.html import render_page
from tempo_lab.apps.reports.world.sections import all_sections
from tempo_lab.common.errors import CheckpointError, TempoLabError
from tempo_lab.common.files import EMBEDDED, write_atomic
from tempo_lab.common.statistics import Estimate
from tempo_lab.common.version import __version__
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.store import Row, Store
from tempo_lab.nano.claims import claims, tables
from tempo_lab.nano.claims.answering import answer_video
from tempo_lab.nano.claims.plan import BEFORE, MAIN, PLAIN, VideoJob, draw_jobs
from tempo_lab.nano.world.scenes import WORLD_VERSION
from tempo_lab.nano.world.seeds import DEVELOPMENT
from tempo_lab.session.tempo import load

ABLATION = "{}-plain"
"""Name of a model's ablation without prefix dropout."""
MAX_WORKERS = 8
"""Largest default number of processes: each holds a model and a video."""


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        folder: of all files.
        settings: what was run.
        frame: a row for each (video, question, model, arm), see `tables.to_frame`.
        measured: every claim with its interval, by name.
    """

    folder: Path
    settings: dict[str, Any]
    frame: pd.DataFrame
    measured: dict[str, Estimate]

    @property
    def verdicts(self) -> list[claims.ClaimVerdict]:
        """What was required, what was measured, and whether it was reached."""
        return claims.verdicts(self.measured, self.settings["memory_tokens_a_segment"])


def evaluate_world(
    model: str = "nano",
    *,
    size: str = "full",
    seed: int = 0,
    out: str | Path | None = None,
    before: str | Path | None = None,
    workers: int | None = None,
) -> Evaluation:
    """Measure the claims, or continue a run that was stopped.

    Args:
        model: a name for `tempo_lab.load`. `MODEL-plain`, where there is one, is its ablation.
        size: "quick" (ten minutes on two cores) or "full" (overnight); one of `plan.SIZES`.
        seed: of the videos; each seed has its own.
        out: folder; by default `results/world-MODEL-SIZE-SEED` in the working directory.
        before: a checkpoint from before compressor training, for the prior's AUC.
        workers: processes; by default one per core, or one on an accelerator.

    Raises:
        CheckpointError: a model cannot be loaded.
        TempoLabError: another evaluation is in the folder, or it cannot be written to.
    """
    tempo = load(model)
    models, missing = {MAIN: model}, []
    digests = {MAIN: tempo.checkpoint.digest}
    plain = ABLATION.format(model)
    local = plain in EMBEDDED or Path(plain).is_dir()  # we never search a hub for it
    others = [(PLAIN, plain if local else None), (BEFORE, None if before is None else str(before))]
    for role, name in others:
        digest = None if name is None else _digest(name, required=role == BEFORE)
        if name is None or digest is None:
            missing.append(role)
        else:
            models[role], digests[role] = name, digest
    jobs = draw_jobs(size, seed, tempo.slots)
    settings = {
        "model": model,
        "models": digests,
        "size": size,
        "seed": seed,
        "world": WORLD_VERSION,
        "tempo_lab": __version__,
        "memory_tokens_a_segment": tempo.slots,
        "videos": len(jobs),
        "questions": _digest_of(jobs),
    }
    name = Path(str(model)).name
    folder = Path(out or Path("results") / f"world-{name}-{size}-{seed}")
    store = Store(folder, settings)
    if workers is None:
        on_cpu = tempo.model.device.type == "cpu"
        workers = min(os.cpu_count() or 1, MAX_WORKERS) if on_cpu else 1
    del tempo
    rows = run(jobs, answer_video, models, store, workers=workers)
    return write_results(folder, settings, rows, missing)


def _digest(name: str, *, required: bool) -> str | None:
    try:
        return load(name).checkpoint.digest
    except CheckpointError:
        if required:
            raise
        return None


def _digest_of(jobs: list[VideoJob]) -> str:
    """Return a digest of all questions and arms; rows of others belong to another run."""
    questions = [
        [job.video, item.question.text, item.question.answer, *job.keys((MAIN,))]
        for job in jobs
        for item in job.items
    ]
    return hashlib.sha256(json.dumps(questions).encode()).hexdigest()[:16]


def write_results(
    folder: Path, settings: dict[str, Any], rows: list[Row], missing: list[str]
) -> Evaluation:
    """Write tables, claims, figures and the page of finished rows.

    Args:
        folder: where to write.
        settings: what was run.
        rows: of `run`.
        missing: roles without a model.
    """
    frame = tables.to_frame(rows)
    measured = claims.measure(frame, settings["memory_tokens_a_segment"])
    evaluation = Evaluation(folder, settings, frame, measured)
    sections = all_sections(frame, rows, settings["memory_tokens_a_segment"], missing)
    tuned = settings.get("seed") in DEVELOPMENT
    shown = {
        **settings,
        "held out": "no: the recipe of the embedded models was chosen by it" if tuned else "yes",
    }
    title = f"{settings['model']}: the method's claims, measured"
    files = {
        "results.csv": frame.to_csv(index=False).encode("utf-8", "backslashreplace"),
        "claims.csv": claims.as_table(measured).to_csv(index=False).encode(),
        "claims.json": (json.dumps(claims.as_json(measured), indent=1) + "\n").encode(),
        "report.html": render_page(title, shown, sections, evaluation.verdicts).encode("utf-8"),
        **{f"{picture.name}.png": picture.png for each in sections for picture in each.pictures},
    }
    try:
        for name, content in files.items():
            write_atomic(folder / name, content)
    except OSError as error:
        raise TempoLabError(
            "the report of the evaluation cannot be written; all answers are kept",
            asked=folder,
            found=error.strerror or type(error).__name__,
            fix="free some space, then run the command again: it continues",
        ) from error
    return evaluation
