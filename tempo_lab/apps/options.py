"""Options that several commands share, each declared once. Nothing heavy is imported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from tempo_lab.apps import completion

MODEL, VIDEO, ALLOCATION, OUTPUT = "Model", "Video", "Allocation", "Output"
"""Headings of options in --help."""
QUIET_ENVIRONMENT = {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
"""Hides the bars of this library and of the Hugging Face libraries, also in other processes."""


def hide_progress(ctx: typer.Context, value: bool) -> bool:
    """Hide every progress bar until the command ends, if --quiet was given."""
    if value:
        ctx.find_root().with_resource(_environment(QUIET_ENVIRONMENT))
    return value


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q",
        callback=hide_progress,
        help="Show no progress bars. Results, warnings and errors are still printed.",
        rich_help_panel=OUTPUT,
    ),
]  # fmt: skip
AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print the results as JSON on stdout, and an error as one line of JSON on stderr.",
        rich_help_panel=OUTPUT,
    ),
]
Model = Annotated[
    str,
    typer.Option(
        help="nano, nano-plain, a checkpoint's folder, or a Hugging Face name.",
        rich_help_panel=MODEL,
        autocompletion=completion.models,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        help="Folder or Hugging Face name of the checkpoint's Qwen3-VL.",
        show_default="named by the checkpoint",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Device: cpu, cuda, cuda:1, mps.",
        show_default="the fastest available",
        rich_help_panel=MODEL,
        autocompletion=completion.devices,
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option(
        help="Floating-point type of the weights: float32, bfloat16, float16.",
        show_default="float32 on CPU, else bfloat16",
        rich_help_panel=MODEL,
        autocompletion=completion.dtypes,
    ),
]
Fps = Annotated[float, typer.Option(help="Frames sampled per second.", rich_help_panel=VIDEO)]
MaxFrames = Annotated[
    int, typer.Option(help="Maximum number of sampled frames.", rich_help_panel=VIDEO)
]
VideoStream = Annotated[
    int | None,
    typer.Option(
        help="Index of the video stream, as ffprobe counts.",
        show_default="the one players choose",
        rich_help_panel=VIDEO,
    ),
]
Start = Annotated[
    float | None,
    typer.Option(
        help="Second of the file at which to start.",
        show_default="the video's start",
        rich_help_panel=VIDEO,
    ),
]
End = Annotated[
    float | None,
    typer.Option(
        help="Second of the file before which to end. Times stay those of the file; the time tags "
        "that the model reads count from the start.",
        show_default="the video's end",
        rich_help_panel=VIDEO,
    ),
]
WorldSeed = Annotated[int, typer.Option(min=0, help="Seed of the videos. Each seed has its own.")]
