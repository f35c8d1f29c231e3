"""tempo-lab: the command line. Every command is registered here.

Slow imports are inside the commands, so that --help is fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tempo_lab.apps import ask_commands, nano_commands, options
from tempo_lab.apps.command_group import Commands
from tempo_lab.apps.course_commands import course
from tempo_lab.apps.evaluate_commands import evaluate
from tempo_lab.apps.output_paths import check_output_folder
from tempo_lab.apps.terminal import require

ASK, MEASURE, NANO, CLASS = (
    "Ask a video",
    "Measure a model",
    "The embedded model",
    "Teach a class",
)
"""Headings of commands in --help."""

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # subcommands inherit them
    pretty_exceptions_enable=False,
    help="Ask a video a question, and see where the model's tokens went.",
)


def _print_version(value: bool) -> None:
    if value:
        from tempo_lab import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Take the options that come before the command; their callbacks do the work."""


for _command in (ask_commands.ask, ask_commands.trace, ask_commands.info, ask_commands.demo):
    app.command(rich_help_panel=ASK)(_command)


@app.command("app", rich_help_panel=ASK)
def app_(
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the page.", show_default="8866, or the next free"
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="nano, nano-plain, a checkpoint's folder, or a Hugging Face name.",
            show_default="TEMPO_LAB_MODEL or nano",
        ),
    ] = None,
    visitors: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Maximum number of visitors at the same time.",
            show_default="as many as fit in half of the free memory",
        ),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Network interface; 0.0.0.0 for every one, so that other machines can reach the "
            "page."
        ),
    ] = "127.0.0.1",
    base_url: Annotated[
        str,
        typer.Option(help="Path of the page behind a proxy that passes the path on unchanged."),
    ] = "/",
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Serve a web page for your own videos, by default on this machine only. Ctrl-C stops it."""
    require("voila", extra="lab")
    from tempo_lab.apps.page import serve

    serve(
        host=host,
        port=port,
        base_url=base_url,
        model=model,
        visitors=visitors,
        browser=browser,
        report=lambda line: print(line, flush=True),
    )


app.add_typer(evaluate, name="evaluate", rich_help_panel=MEASURE)


@app.command(rich_help_panel=MEASURE)
def report(
    model: options.Model = "nano",
    seed: options.WorldSeed = 0,
    videos: Annotated[int, typer.Option(min=2, help="Number of videos.")] = 12,
    segments: Annotated[
        int, typer.Option(min=4, help="Number of segments per video, four seconds each.")
    ] = 8,
    out: Annotated[
        Path | None, typer.Option(help="Output folder.", show_default="results/report-MODEL-SEED")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Run every analysis on held-out videos and write one page, or continue a stopped run."""
    check_output_folder(out or Path("results"))
    import matplotlib

    matplotlib.use("agg")
    from tempo_lab.apps.reports.analyses import write_report

    written = write_report(model, seed=seed, videos=videos, segments=segments, out=out)
    print(written.folder / "report.html")


app.command(rich_help_panel=NANO)(nano_commands.train)
app.add_typer(nano_commands.world, name="world", rich_help_panel=NANO)
app.add_typer(course, name="course", rich_help_panel=CLASS)
