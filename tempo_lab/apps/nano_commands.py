"""The commands around the embedded model: train it, and make videos of its world.

Slow imports are inside the commands, so that --help is fast.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tempo_lab.apps import completion, options
from tempo_lab.apps.output_paths import check_output_folder, check_video_path
from tempo_lab.apps.terminal import require
from tempo_lab.common.errors import TempoLabError, did_you_mean

STUDY = "Front-loading study"
"""Heading of options in --help."""

world = typer.Typer(no_args_is_help=True, help="Make procedural videos with known answers.")


@world.command("make")
def world_make(
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the video. The same seed makes the same video.")
    ] = 0,
    segments: Annotated[
        int, typer.Option(min=1, help="Number of segments, four seconds each.")
    ] = 8,
    out: Annotated[
        Path,
        typer.Option(
            help="Output file that ends in .mp4, or a folder.", show_default="this folder"
        ),
    ] = Path(),
) -> None:
    """Make a video (H.264) with its questions and answers (JSON)."""
    from tempo_lab.nano.world.files import make

    check_video_path(out)
    try:
        for path in make(seed, segments, out):
            print(path)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise TempoLabError(
            "the video could not be written", asked=out, found=error.strerror or error
        ) from error


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="nano, nano-plain, small, or tiny; or front-loading, a study.",
            autocompletion=completion.recipes,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Output folder.", show_default="runs/RECIPE")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder.")] = True,
    base: Annotated[
        list[str] | None,
        typer.Option(help="Run or checkpoint to start from; can be repeated."),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Do not use a GPU.")] = False,
    arm: Annotated[
        str | None,
        typer.Option(
            help="Memory tokens that the LLM reads in training: none removes none of them; "
            "prefix, suffix and random keep a random number of them, from one to all.",
            rich_help_panel=STUDY,
            autocompletion=completion.study_arms,
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the run.", rich_help_panel=STUDY)
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Train the embedded model from scratch, or continue a stopped run."""
    require("accelerate", extra="train")
    from tempo_lab.nano.training.distributed import CPU_ONLY

    if cpu:
        os.environ[CPU_ONLY] = "true"
    if recipe not in completion.RECIPES:
        raise TempoLabError(
            "no such recipe",
            asked=recipe,
            found=", ".join(completion.RECIPES),
            fix=did_you_mean(recipe, completion.RECIPES, "name one of these"),
        )
    folder, study = out or Path("runs") / recipe, recipe == "front-loading"
    if study != (arm is not None) or study != (seed is not None):
        raise TempoLabError(
            "front-loading needs an arm and a seed; other recipes have neither",
            asked=f"recipe {recipe}, arm {arm}, seed {seed}",
            fix="tempo-lab train front-loading --arm prefix --seed 1, or leave out both",
        )
    check_output_folder(folder)
    if arm is not None and seed is not None:
        from tempo_lab.nano.front_loading.training import train_arm

        print(train_arm(arm, seed, folder, resume=resume, base=base or ()))
    else:
        from tempo_lab.nano.training.train import train as train_recipe

        print(train_recipe(recipe, folder, resume=resume, base=base or ()))
