"""Evaluate a model on a dataset: ask its questions under arms, or only score the segments.

Questions about one video are asked in one session. What is finished is on disk; after a kill, the
same call continues (see `run_folder`).
"""

from __future__ import annotations

import json
import os
import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tempo_lab.allocation import Strategy
from tempo_lab.common.errors import BudgetError, TempoLabError, TempoLabWarning
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.evaluation.answers import answer_video
from tempo_lab.evaluation.arms import DEFAULT_ARMS, at_budgets, find_arms
from tempo_lab.evaluation.datasets.base import Dataset
from tempo_lab.evaluation.engines import Models, open_engine
from tempo_lab.evaluation.jobs import MODEL, can_be_rotated, make_jobs, model_name, moved_questions
from tempo_lab.evaluation.presets import (
    OLDER,
    choose_budgets,
    choose_sampling,
    default_budget,
)
from tempo_lab.evaluation.run_files import CONFIG
from tempo_lab.evaluation.run_folder import (
    EvaluationRun,
    locked,
    open_store,
    summarize,
    write_skipped,
)
from tempo_lab.evaluation.runner import run_on
from tempo_lab.evaluation.store import FAILED, Row, key_of
from tempo_lab.evaluation.summary import ANSWERS, PRIOR, rule_names

if TYPE_CHECKING:
    from tempo_lab.session.tempo import Tempo


def evaluate(
    model: Tempo | str | PathLike[str],
    dataset: Dataset,
    *,
    arms: Sequence[str | Strategy] | None = None,
    budgets: Sequence[int] | None = None,
    out: str | PathLike[str],
    prior_only: bool = False,
    limit: int | None = None,
    preset: str | None = None,
    fps: float | None = None,
    max_frames: int | None = None,
    max_new_tokens: int | None = None,
    circular: bool = False,
    blind: bool = False,
    engine: str = "local",
    workers: int = 1,
    ray_address: str | None = None,
    progress: bool = True,
) -> EvaluationRun:
    """Ask the questions of a dataset, or continue a stopped run, and return all that is in `out`.

    The prompt is the dataset's. Questions that are in `out` already are not asked again, unless
    they failed, or their row of the dataset or the parameters of their strategy have changed. A
    video that cannot be read costs its own rows, which say so in the column `failed`. An error in
    the code of an arm's strategy ends the run.

    Args:
        model: a loaded model, or a name for `tempo_lab.load`.
        dataset: of `tempo_lab.datasets`.
        arms: "head" (ATA), "uniform", "topk", the name of another allocation strategy, or a
            `Strategy` object; "all" (all memory tokens, without a budget), "sparse" (all tokens of
            fewer frames), "shuffled" (ATA by scores shuffled in time), "oracle" (ATA by the
            evidence; only questions with known evidence), "blind" (no video). By default head,
            uniform and topk.
        budgets: memory tokens for the whole video. The default is the preset's, or else half of
            the memory tokens of a video with `max_frames` frames, at most 8192. This is 8192 for
            the released model and 1024 for a model with 16 memory tokens per segment. The arms
            differ only where a budget is below the memory tokens of the video.
        out: folder of the run.
        prior_only: score the segments and stop: no LLM is used. Each question has controls, all of
            which are measured against the evidence of the question: its scores shuffled in time,
            another question about the same video (if possible one with other evidence), and a
            blank question, which the model reads as the released code does ("Describe this
            content."). The logits minus those of the blank question are an arm as well.
        limit: ask only this many rows of the dataset, the first ones.
        preset: the settings of a published result: "paper-4k", "paper-8k" or "paper-12k". It sets
            `fps`, `max_frames` and `budgets` where these are not given, and the minimum number of
            frames (see `tempo_lab.evaluation.presets`).
        fps: sampled frames per second of video; 2 by default.
        max_frames: sampled frames per video at most; 1024 by default.
        max_new_tokens: tokens of an answer at most; the dataset's by default.
        circular: ask each rotation of the options, with the ids "ID@0" (the original order),
            "ID@1", ... In the measures with `_circular` in their names, a question is right only
            if all its rotations are. Other accuracies are of the original order. A question
            without options or known answer is asked once.
        blind: add the arm "blind": the LLM reads the question without the video (baseline).
        engine: "local" (this machine) or "ray" (Ray Data, here or on a cluster, with the extra
            `ray`). A run can be continued on another engine.
        workers: how many answer at once, each with its own model and its own videos. For more than
            one, and on Ray, `model` must be a name. On Ray each has a GPU if there are any.
        ray_address: of a Ray cluster to join; by default Ray runs on this machine. All machines
            need the same version of Tempo Lab, and the model and the videos at the same paths.
        progress: show a progress bar.

    Raises:
        TempoLabError: an argument makes no sense, another process writes to `out`, another
            evaluation is in it, or the disk is full; what is finished is kept.
    """
    check_dataset(dataset)
    if limit is not None:
        limit = check_whole("limit", limit, 1, error=TempoLabError)
    if max_new_tokens is not None:
        max_new_tokens = check_whole("max_new_tokens", max_new_tokens, 1, error=BudgetError)
    if prior_only:
        check_prior_only(arms=arms, max_new_tokens=max_new_tokens, circular=circular, blind=blind)
    if circular:
        check_circular(dataset)
    sampling = choose_sampling(preset, fps, max_frames)
    chosen_budgets = choose_budgets(budgets, preset)
    names = DEFAULT_ARMS if arms is None else arms
    found = () if prior_only else find_arms(names, blind=blind)
    models = {MODEL: os.fspath(model) if isinstance(model, PathLike) else model}
    folder = Path(out)
    with open_engine(engine, models, workers, ray_address) as opened:
        described = opened.call(describe_model)
        segment_frames = described.pop("segment_frames")
        each_budget = chosen_budgets or (
            default_budget(described["slots"], segment_frames, sampling),
        )
        jobs = make_jobs(
            dataset,
            at_budgets(found, each_budget),
            model=model_name(described["model"]),
            limit=limit,
            circular=circular,
            sampling=sampling,
            max_new_tokens=max_new_tokens,
        )
        config = {
            "kind": PRIOR if prior_only else ANSWERS,
            **described,
            "dataset": dataset.name,
            "preset": preset,
            **asdict(sampling),
            "max_new_tokens": max_new_tokens or dataset.max_new_tokens,
            "circular": circular,
            "rules": rule_names(dataset),
            **({"budgets": list(each_budget)} if prior_only else {}),
        }
        digests = {key: digest for job in jobs for key, digest in job.digests().items()}

        def finished(row: Row) -> bool:
            return FAILED not in row and row["digest"] == digests.get(key_of(row), row["digest"])

        with locked(folder):
            config = as_stored(config, folder, default_budgets=chosen_budgets is None)
            store = open_store(folder, config)
            write_skipped(folder, dataset.skipped)
            store.set_aside(moved_questions(dataset))
            rows = run_on(opened, jobs, answer_video, store, progress=progress, finished=finished)
            warn_of_videos(rows)
            if prior_only:
                warn_of_missing_evidence(rows)
            else:
                warn_of_idle_budgets(rows, config["slots"])
            return summarize(folder, store, config, dataset)


def describe_model(models: Models) -> dict[str, Any]:
    """Return what of a run depends on the model, without reading its weights."""
    from tempo_lab.model.checkpoint import find_checkpoint

    model = models[MODEL]
    checkpoint = find_checkpoint(model) if isinstance(model, str) else model.checkpoint
    return {
        "model": checkpoint.name,
        "model_digest": checkpoint.digest,
        "dtype": str(checkpoint.dtype).removeprefix("torch."),
        "slots": checkpoint.config.num_compression_tokens,
        "min_tokens": checkpoint.config.min_tokens,
        "segment_frames": checkpoint.config.segment_frames,
    }


def check_dataset(dataset: Dataset) -> None:
    """Refuse what is not a dataset."""
    if not isinstance(dataset, Dataset):
        raise TempoLabError(
            "the questions must be a dataset",
            asked=type(dataset).__name__,
            fix='give one of tempo_lab.datasets, as datasets.table("mine.csv", videos="clips")',
        )


def check_prior_only(**options: Any) -> None:
    """Refuse options about answers where only the segments are scored."""
    for name, value in options.items():
        if value is not None and value is not False:
            raise TempoLabError(
                "prior_only writes no answers, so it has no arms and no options of answers",
                asked=one_line(f"{name}={value!r}", 120),
                fix=f"leave {name} out, or prior_only",
            )


def check_circular(dataset: Dataset) -> None:
    """Refuse to rotate options where no question has any."""
    if not any(map(can_be_rotated, dataset.rows)):
        raise TempoLabError(
            "circular scoring needs questions with options and known answers",
            asked="circular=True",
            found=f"none in {len(dataset.rows)} rows of the dataset {dataset.name!r}",
            fix="leave circular out",
        )


def as_stored(config: dict[str, Any], folder: Path, default_budgets: bool) -> dict[str, Any]:
    """Return a configuration as a folder has it that an older version wrote, else unchanged.

    Keys that the folder lacks are left out where their value is what older versions did (`OLDER`).
    Measures at budgets that were not asked for are kept at those of the folder.

    Args:
        config: of this run.
        folder: of the run, which may be new.
        default_budgets: whether the budgets of `config` are the default ones.
    """
    try:
        stored = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError):
        return config
    if not isinstance(stored, dict):
        return config
    if default_budgets and "budgets" in config and "budgets" in stored:
        config = {**config, "budgets": stored["budgets"]}
    return {
        name: value
        for name, value in config.items()
        if name in stored or name not in OLDER or value != OLDER[name]
    }


def warn_of_videos(rows: Sequence[Row]) -> None:
    """Warn once if answers or scores come with warnings; each row has its own in `warnings`."""
    texts = {row["video"]: row["warnings"][0] for row in reversed(rows) if row.get("warnings")}
    if texts:
        warnings.warn(
            f"{len(texts)} of {len({row['video'] for row in rows})} videos have warnings (column "
            f"`warnings` of their rows). The first one: {one_line(texts.popitem()[1], 300)}",
            TempoLabWarning,
            stacklevel=3,
        )


def warn_of_missing_evidence(rows: Sequence[Row]) -> None:
    """Warn if no question has evidence, so that relevance is compared with nothing."""
    if rows and not any(row.get("evidence") or row.get("saliency") for row in rows):
        warnings.warn(
            "No question has evidence, so relevance was scored and compared with nothing. A table "
            "needs the columns start and end.",
            TempoLabWarning,
            stacklevel=3,
        )


def warn_of_idle_budgets(rows: Sequence[Row], slots: int) -> None:
    """Warn where arms are compared at a budget that holds all memory tokens of every video.

    Args:
        rows: of the run.
        slots: memory tokens of a segment.
    """
    at_budget: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if FAILED not in row and row["budget"] is not None:
            at_budget[row["budget"]].append(row)
    for budget, answered in at_budget.items():
        largest = max(row["segments"] for row in answered) * slots
        if largest <= budget and len({row["family"] for row in answered}) > 1:
            warnings.warn(
                f"A budget of {budget} tokens limits nothing: the largest video has {largest} "
                f"memory tokens. Use a budget below {largest} to compare arms.",
                TempoLabWarning,
                stacklevel=3,
            )
