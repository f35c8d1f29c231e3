"""tempo-lab evaluate: the method's claims, benchmarks, your own table, and finished runs.

Slow imports are inside the commands, so that --help is fast.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tempo_lab.apps import evaluate_options as options
from tempo_lab.apps.evaluate_output import (
    comparison_record,
    run_record,
    show_comparison,
    show_run,
    verdict_table,
)
from tempo_lab.apps.options import WorldSeed
from tempo_lab.apps.output_paths import check_output_folder
from tempo_lab.apps.terminal import (
    SOME_FAILED,
    print_error,
    print_json,
    print_json_error,
    print_table,
    require,
)
from tempo_lab.common.errors import TempoLabError

if TYPE_CHECKING:
    from tempo_lab.evaluation.run_folder import EvaluationRun

OWN, WITH_ANSWERS, WITH_EVIDENCE, RUNS, EMBEDDED = (
    "Your own questions", "Benchmarks with answers", "Benchmarks with evidence", "Finished runs",
    "The embedded model",
)  # fmt: skip
"""Headings of commands in --help."""
DATASETS = {
    "table": (OWN, "Ask the questions of a table of your own."),
    "lvbench": (WITH_ANSWERS, "Evaluate on LVBench: hour-long videos, with evidence times."),
    "videomme": (WITH_ANSWERS, "Evaluate on Video-MME: short, medium and long videos."),
    "mlvu": (WITH_ANSWERS, "Evaluate on MLVU (dev): seven multiple-choice tasks."),
    "longvideobench": (WITH_ANSWERS, "Evaluate on LongVideoBench (val): referred moments."),
    "cgbench": (WITH_EVIDENCE, "Evaluate on CG-Bench: clue intervals in long videos."),
    "qvhighlights": (WITH_EVIDENCE, "Evaluate on QVHighlights: moments and saliency."),
    "nextgqa": (WITH_EVIDENCE, "Evaluate on NExT-GQA: questions with evidence times."),
    "rextime": (WITH_EVIDENCE, "Evaluate on ReXTime: causes and effects in time."),
    "charades": (WITH_EVIDENCE, "Evaluate on Charades-STA: sentences with one moment each."),
    "activitynet": (WITH_EVIDENCE, "Evaluate on ActivityNet Captions: sentences with moments."),
}
"""Datasets with a command of their own name: its heading and its help."""
SOME_HAVE = {
    "subtitles": {"videomme", "longvideobench"},
    "split": {"nextgqa"},
    "download": {*DATASETS} - {"table"},
}
"""Options that only the commands of some datasets have."""

evaluate = typer.Typer(
    no_args_is_help=True,
    help="Measure a model on a table of your own, on a benchmark, or on the method's claims.",
)


# Datasets


def _evaluate_dataset(
    name: str,
    *,
    data: options.Data,
    videos: options.Videos,
    out: options.Out,
    subtitles: options.Subtitles = None,
    split: options.Split = None,
    damaged: options.Damaged = "refuse",
    download: options.Download = False,
    model: options.Model = "nano",
    base: options.Base = None,
    preset: options.Preset = None,
    arms: options.Arms = None,
    budgets: options.Budgets = None,
    prior_only: options.PriorOnly = False,
    circular: options.Circular = False,
    blind: options.Blind = False,
    limit: options.Limit = None,
    fps: options.Fps = None,
    max_frames: options.MaxFrames = None,
    engine: options.Engine = None,
    workers: options.Workers = None,
    ray_address: options.RayAddress = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask the questions of a dataset, or continue a stopped run; write and show the results."""
    check_output_folder(out)
    import tempo_lab as tl

    if base is not None and (engine == "ray" or (workers or 1) > 1):
        raise TempoLabError(
            "each worker loads the model by its name alone, without --base",
            asked=f"--base {base} with --workers {workers or 1}, --engine {engine or 'local'}",
            fix="save the model with its base once: tempo_lab.load(MODEL, base=BASE)"
            ".save_pretrained(FOLDER); then use --model FOLDER",
        )
    if download:
        data = tl.datasets.download(name, data)
    own = {"subtitles": subtitles, "split": split}
    dataset = tl.datasets.load_dataset(
        name, data, videos, damaged=damaged,
        **{option: value for option, value in own.items() if value is not None},
    )  # fmt: skip
    settings: dict[str, Any] = {
        "preset": preset,
        "arms": None if arms is None else [arm.strip() for arm in arms.split(",") if arm.strip()],
        "budgets": budgets or None,
        "prior_only": prior_only or None,
        "circular": circular or None,
        "blind": blind or None,
        "limit": limit,
        "fps": fps,
        "max_frames": max_frames,
        "engine": engine,
        "workers": workers,
        "ray_address": ray_address,
    }
    # An option that was not given has the default of `tl.evaluate`.
    given = {option: value for option, value in settings.items() if value is not None}
    run = tl.evaluate(
        model if base is None else tl.load(model, base=base), dataset, out=out, **given
    )
    _finish(run, as_json)


def _dataset_command(name: str) -> Any:
    """Return `_evaluate_dataset` for one dataset, with the options that this dataset has."""

    def command(**values: Any) -> None:
        _evaluate_dataset(name, **values)

    parameters = dict(inspect.signature(_evaluate_dataset, eval_str=True).parameters)
    del parameters["name"]
    for option, datasets in SOME_HAVE.items():
        if name not in datasets:
            del parameters[option]
    if name == "table":
        parameters["data"] = parameters["data"].replace(annotation=options.TableFile)
        parameters["videos"] = parameters["videos"].replace(
            annotation=options.TableVideos, default=None
        )
    # Typer reads the options of a command from these two.
    command.__signature__ = inspect.Signature([*parameters.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters.values()}
    return command


for _name, (_heading, _help) in DATASETS.items():
    evaluate.command(_name, help=_help, rich_help_panel=_heading)(_dataset_command(_name))


# Finished runs


@evaluate.command("compare", rich_help_panel=RUNS)
def compare(
    first: options.FirstRun,
    second: options.SecondRun,
    as_csv: options.AsCsv = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare two runs of one dataset, question by question."""
    if as_csv and as_json:
        raise typer.BadParameter("--csv and --json exclude each other")
    from tempo_lab.evaluation.compare import compare as compare_runs

    comparison = compare_runs(first, second)
    if as_csv:
        print(comparison.to_pandas().to_csv(index=False), end="")
    elif as_json:
        print_json(comparison_record(comparison))
    else:
        show_comparison(comparison)


@evaluate.command("rescore", rich_help_panel=RUNS)
def rescore(run: options.RunFolder, as_json: options.AsJson = False) -> None:
    """Measure the answers of a run again. No model is needed."""
    from tempo_lab.evaluation.run_folder import rescore as measure

    _finish(measure(run), as_json)


@evaluate.command("report", rich_help_panel=RUNS)
def report(run: options.RunFolder) -> None:
    """Write report.html of a run again. No model is needed."""
    from tempo_lab.evaluation.run_folder import EvaluationRun

    print(_write_report(EvaluationRun.open(run)))


def _finish(run: EvaluationRun, as_json: bool) -> None:
    """Print the measures and write the report; exit with 3 if rows failed or were skipped."""
    if not as_json:
        show_run(run)
    page = _write_report(run)
    if as_json:
        print_json(run_record(run, page))
    else:
        print(f"\n{page}", flush=True)
    if run.failed or run.skipped:
        if as_json:
            message = f"{len(run.failed)} rows failed, {len(run.skipped)} were skipped"
            print_json_error("FailedRows", message, SOME_FAILED, found=run.folder)
        raise typer.Exit(SOME_FAILED)


def _write_report(run: EvaluationRun) -> Path:
    import matplotlib

    matplotlib.use("agg")
    from tempo_lab.apps.reports.evaluation.write import write_report

    return write_report(run)


# The embedded model


@evaluate.command("world", rich_help_panel=EMBEDDED)
def evaluate_world(
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Ask fewer questions: 25 minutes of one core instead of a night."
        ),
    ] = False,
    seed: WorldSeed = 0,
    model: options.Model = "nano",
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder.", show_default="results/world-MODEL-SIZE-SEED"),
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoint from before compressor training: the folder `before` of a run."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Number of processes.", show_default="one per core, 8 at most"),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure the claims on held-out videos, or continue a stopped run."""
    check_output_folder(out or Path("results"))
    import matplotlib

    matplotlib.use("agg")
    from tempo_lab.apps.reports.world.evaluate import NOTICE
    from tempo_lab.apps.reports.world.evaluate import evaluate_world as measure
    from tempo_lab.nano.world.seeds import held_out

    size = "quick" if quick else "full"
    evaluation = measure(model, size=size, seed=seed, out=out, before=before, workers=workers)
    print_table(verdict_table(evaluation.verdicts))
    if not held_out(seed):
        print_error(NOTICE)
    print(f"\n{evaluation.folder / 'report.html'}")


@evaluate.command("front-loading", rich_help_panel=EMBEDDED)
def evaluate_front_loading(
    runs: Annotated[Path, typer.Argument(help="Output folder of `tempo-lab train front-loading`.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the tables.", show_default="RUNS/tables")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure the finished runs of the front-loading study, and write its tables."""
    if out is not None:
        check_output_folder(out)
    require("accelerate", extra="train")
    from rich.table import Table

    from tempo_lab.nano.front_loading.recall import evaluate_study

    table = Table("arm", "seed", "questions", "k", "first", "last", "first - last (95 %)")
    for row in evaluate_study(runs, out).to_dict("records"):
        labels = (str(row[name]) for name in ("arm", "seed", "questions", "tokens"))
        lead, low, high = (row[f"first_minus_last{end}"] for end in ("", "_low", "_high"))
        numbers = f"{row['first']:.2f}", f"{row['last']:.2f}"
        table.add_row(*labels, *numbers, f"{lead:+.2f} [{low:+.2f}, {high:+.2f}]")
    print_table(table)
    print(f"\n{out or runs / 'tables'}")
