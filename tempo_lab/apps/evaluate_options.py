"""The options of the evaluate commands, each declared once. Nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tempo_lab.apps import completion
from tempo_lab.apps.options import OUTPUT, AsJson, Base, Model, Quiet

__all__ = ["AsJson", "Base", "Model", "Quiet"]

DATASET, ASKING, MACHINES = "Dataset", "What is asked", "Machines"
"""Headings of options in --help."""

TableFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A .csv, .jsonl, .json or .parquet file with the columns video and question; "
        "optional: answer, options, start, end, kind, id.",
    ),
]
Data = Annotated[
    Path,
    typer.Option(
        help="File or folder of the dataset, as its owners distribute it.", rich_help_panel=DATASET
    ),
]
Videos = Annotated[Path, typer.Option(help="Folder of the videos.", rich_help_panel=DATASET)]
TableVideos = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the videos.", show_default="the table's folder", rich_help_panel=DATASET
    ),
]
Download = Annotated[
    bool,
    typer.Option(
        "--download",
        help="Download the questions into the folder --data first; existing files are kept. "
        "Videos are not downloaded.",
        rich_help_panel=DATASET,
    ),
]
Subtitles = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the subtitle files.", show_default="no subtitles", rich_help_panel=DATASET
    ),
]
Split = Annotated[
    Literal["val", "test"] | None,
    typer.Option(help="Part of the dataset.", show_default="test", rich_help_panel=DATASET),
]
Damaged = Annotated[
    Literal["refuse", "skip"],
    typer.Option(
        help="Treatment of a damaged row: refuse the dataset, or skip the row. Rows of missing "
        "videos are always skipped.",
        rich_help_panel=DATASET,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        help="Output folder. The same command continues a run that was stopped.",
        rich_help_panel=OUTPUT,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help="Published settings: paper-4k, paper-8k or paper-12k.",
        show_default="none",
        rich_help_panel=ASKING,
        autocompletion=completion.presets,
    ),
]
Arms = Annotated[
    str | None,
    typer.Option(
        help="Arms, separated by commas: head (ATA), uniform, topk or another strategy; all, "
        "sparse, shuffled, oracle, blind.",
        show_default="head,uniform,topk",
        rich_help_panel=ASKING,
        autocompletion=completion.arms,
    ),
]
Budgets = Annotated[
    list[int] | None,
    typer.Option(
        "--budget",
        help="Memory tokens for the whole video; can be repeated.",
        show_default="8192, fewer for a small model; or the preset's",
        rich_help_panel=ASKING,
    ),
]
PriorOnly = Annotated[
    bool,
    typer.Option(
        "--prior-only",
        help="Score the segments and their controls, and ask nothing.",
        rich_help_panel=ASKING,
    ),
]
Circular = Annotated[
    bool,
    typer.Option(
        "--circular",
        help="Ask with every rotation of the options; all answers must be right.",
        rich_help_panel=ASKING,
    ),
]
Blind = Annotated[
    bool,
    typer.Option(
        "--blind",
        help="Add the blind baseline, which answers without the video.",
        rich_help_panel=ASKING,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Maximum number of questions; the first ones are asked.",
        show_default="all",
        rich_help_panel=ASKING,
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        help="Frames sampled per second.", show_default="2, or the preset's", rich_help_panel=ASKING
    ),
]
MaxFrames = Annotated[
    int | None,
    typer.Option(
        help="Maximum number of sampled frames.",
        show_default="1024, or the preset's",
        rich_help_panel=ASKING,
    ),
]
Engine = Annotated[
    Literal["local", "ray"] | None,
    typer.Option(
        help="Run on this machine, or on Ray, which the extra `ray` installs.",
        show_default="local",
        rich_help_panel=MACHINES,
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of processes, each with its own model.",
        show_default="1",
        rich_help_panel=MACHINES,
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        help="Address of a Ray cluster to join.",
        show_default="a local Ray",
        rich_help_panel=MACHINES,
    ),
]
FirstRun = Annotated[
    Path, typer.Argument(metavar="FIRST", help="Output folder of an evaluation of a dataset.")
]
SecondRun = Annotated[
    Path, typer.Argument(metavar="SECOND", help="Output folder of the run that is subtracted.")
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, with every group and measure.")]
RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="Output folder of an evaluation of a dataset.")
]
