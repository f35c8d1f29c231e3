"""`tempo-lab evaluate world`: the method's claims, measured on held-out procedural videos.

Writes one folder:

* `answers.jsonl`: the rows, from which a stopped run continues;
* `answers.jsonl.gz`: the same rows, compressed, in the order of the plan: everything else can be
  computed from it again without a model (`recompute`). It is not Parquet, because no Parquet engine
  is among the package's dependencies, and pandas reads this format without one;
* `results.csv`: the rows without relevance per segment;
* `claims.csv`: every measure with its interval;
* `claims.json`: every registered claim with the interval that decides it, and its verdict;
* `controls.csv`, `noise.csv`: ATA beside every other arm, and the dose-response;
* the figures, and `report.html`, which holds them all.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tempo_lab.apps.reports.html import render_page
from tempo_lab.apps.reports.world.sections import all_sections
from tempo_lab.common.errors import CheckpointError, TempoLabError
from tempo_lab.common.files import EMBEDDED, write_atomic
from tempo_lab.common.statistics import Estimate
from tempo_lab.common.text import one_line
from tempo_lab.common.version import __version__
from tempo_lab.evaluation.runner import run
from tempo_lab.evaluation.store import SETTINGS, Row, Store
from tempo_lab.nano.claims import claims, measures, tables
from tempo_lab.nano.claims.answering import answer_video
from tempo_lab.nano.claims.plan import BEFORE, MAIN, PLAIN, VideoJob, draw_jobs
from tempo_lab.nano.world.scenes import WORLD_VERSION
from tempo_lab.nano.world.seeds import held_out
from tempo_lab.session.tempo import load

ANSWERS = "answers.jsonl.gz"
ABLATION = "{}-plain"
"""Name of a model's ablation without prefix dropout."""
NOTICE = (
    "This is no evidence: something about the model or the claims was chosen by this seed. Report "
    "a seed that is not in tempo_lab.nano.world.seeds.DEVELOPMENT."
)
MAX_WORKERS = 8
"""Largest default number of processes: each holds a model and a video."""


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation.

    Attributes:
        folder: of all files.
        settings: what was run.
        frame: a row for each (video, question, model, arm), see `tables.to_frame`.
        measured: every measure with its interval, by name.
    """

    folder: Path
    settings: dict[str, Any]
    frame: pd.DataFrame
    measured: dict[str, Estimate]

    @property
    def verdicts(self) -> list[claims.ClaimVerdict]:
        """The verdicts on the registered claims."""
        return claims.verdicts(self.measured)


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
        size: "quick" (25 minutes of one core) or "full" (overnight); one of `plan.SIZES`.
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
        "claims": claims.digest(),
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
    """Write rows, tables, claims, figures and the page of finished rows.

    Args:
        folder: where to write.
        settings: what was run.
        rows: of `run`.
        missing: roles without a model.
    """
    slots = settings["memory_tokens_a_segment"]
    frame = tables.to_frame(rows)
    evaluation = Evaluation(folder, settings, frame, measures.measure(frame, slots))
    verdicts = evaluation.verdicts
    sections = all_sections(frame, rows, slots, missing, verdicts)
    fresh = held_out(settings["seed"])
    shown = {
        **settings,
        "held out": "yes" if fresh else "no: this seed was used to choose the model or the claims",
    }
    title = f"{settings['model']}: the method's claims, measured"
    notice = "" if fresh else NOTICE
    page = render_page(title, shown, sections, verdicts, notice=notice)
    about = {"seed": settings["seed"], "held_out": fresh, "registered": settings["claims"]}
    record = about | {"claims": claims.as_json(verdicts)}
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    files = {
        ANSWERS: gzip.compress(lines.encode(), mtime=0),
        "results.csv": frame.to_csv(index=False).encode("utf-8", "backslashreplace"),
        "claims.csv": measures.as_table(evaluation.measured).to_csv(index=False).encode(),
        "claims.json": (json.dumps(record, indent=1) + "\n").encode(),
        "controls.csv": tables.controls_table(frame, slots).to_csv(index=False).encode(),
        "noise.csv": tables.noise_table(frame, slots).to_csv(index=False).encode(),
        "report.html": page.encode("utf-8"),
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


def recompute(folder: str | Path, out: str | Path) -> Evaluation:
    """Compute everything again from the rows of a report, without a model.

    Args:
        folder: of a report, with `settings.json` and `answers.jsonl.gz`.
        out: folder to write to.

    Raises:
        TempoLabError: a file is missing or damaged, or the folder cannot be written to.
    """
    settings, rows = read_rows(folder)
    missing = [role for role in (PLAIN, BEFORE) if role not in settings["models"]]
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / SETTINGS, json.dumps(settings, indent=1).encode())
    return write_results(out, settings, rows, missing)


def read_rows(folder: str | Path) -> tuple[dict[str, Any], list[Row]]:
    """Return the settings and the rows of a report.

    Args:
        folder: of a report, with `settings.json` and `answers.jsonl.gz`.

    Raises:
        TempoLabError: a file is missing or damaged.
    """
    folder = Path(folder)
    try:
        settings = json.loads((folder / SETTINGS).read_bytes())
        lines = gzip.decompress((folder / ANSWERS).read_bytes()).decode().splitlines()
        return settings, [json.loads(line) for line in lines]
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise TempoLabError(
            "the rows of the evaluation cannot be read",
            asked=folder,
            found=one_line(str(error), 200),
            fix=f"give a folder of `tempo-lab evaluate world` with {SETTINGS} and {ANSWERS}",
        ) from error
