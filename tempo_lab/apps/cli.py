"""tempo-lab: the command line.

What takes long to import is imported inside the commands, so that --help answers at once.
"""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Console
from typer.core import TyperGroup

from tempo_lab.apps.output_paths import check_places, check_truth
from tempo_lab.common.errors import TempoLabError, TempoLabWarning, UnfamiliarVideoWarning
from tempo_lab.common.text import escape_control_chars

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

REFUSED, INTERRUPTED = 2, 130
NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning on purpose as errors look: without the line of code that Python shows with one."""
    told = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, TempoLabWarning):
        told = escape_control_chars(f"tempo-lab: warning: {message}") + "\n"
    print(told, end="", file=file or sys.stderr)


class _Commands(TyperGroup):
    """Errors and warnings on purpose become one message on stderr; Ctrl-C ends quietly."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal may lack letters of an answer
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                done = super().invoke(ctx)
                sys.stdout.flush()  # what cannot be written fails here, where it is reported
                return done
        except TempoLabError as error:
            print(escape_control_chars(f"tempo-lab: {error}"), file=sys.stderr)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            print("tempo-lab: interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (Python would try once more)
            print(f"tempo-lab: nothing more can be written: {error.strerror}", file=sys.stderr)
            raise typer.Exit(REFUSED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Ask a video a question, and see where the model's tokens went.",
)
world = typer.Typer(no_args_is_help=True, help="Procedural videos with known answers.")
app.add_typer(world, name="world")
evaluate = typer.Typer(no_args_is_help=True, help="Measure the method's claims.")
app.add_typer(evaluate, name="evaluate")

Fps = Annotated[float, typer.Option(help="Frames sampled a second.")]
MaxFrames = Annotated[int, typer.Option(help="Frames sampled at most.")]
VideoStream = Annotated[
    int | None,
    typer.Option(
        help="Number of the video stream to read, as ffprobe counts.", show_default="as players do"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Figure = Annotated[Path | None, typer.Option(help="Save the allocation as a picture, here.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        from tempo_lab import __version__

        print(__version__)
        raise typer.Exit


@app.command()
def ask(
    video: Annotated[str, typer.Argument(help="A video, GIF, image, .npy or folder of frames.")],
    question: Annotated[str, typer.Argument()],
    model: Annotated[str, typer.Option(help="nano, a folder, or a hub name.")] = "nano",
    base: Annotated[
        str | None, typer.Option(help="Folder or hub name of a released checkpoint's Qwen3-VL.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(help="Memory tokens for the whole video.", show_default="8192, with none all"),
    ] = None,
    fps: Fps = 2.0,
    max_frames: MaxFrames = 1024,
    stream: VideoStream = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Which tokens stay: head, tail, random, tome; topk, uniform, none; or, mending "
            "min-max, abstain, floor, temperature, threshold.",
            show_default="head",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, mps.", show_default="the best there is")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16, float16.", show_default="float32 on CPU, else bfloat16"
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the whole trace, here.")] = None,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question about a video."""
    check_places(save, figure, video)
    import tempo_lab as tl

    warnings.simplefilter("ignore", UnfamiliarVideoWarning)  # the trace has it, too
    tempo = tl.load(model, base=base, device=device, dtype=dtype)
    with tempo.open(video, fps=fps, max_frames=max_frames, stream=stream) as session:
        trace = session.ask(
            question,
            budget=budget,
            strategy=strategy,
            stream=None
            if as_json
            else lambda piece: print(escape_control_chars(piece), end="", flush=True),
        )
    if not as_json:
        print("\n")
    _show(trace, as_json=as_json)
    _write(trace, save, figure)


@app.command()
def trace(
    file: Annotated[Path, typer.Argument(help="What `tempo-lab ask --save` wrote.")],
    every: Annotated[bool, typer.Option("--all", help="Show every segment.")] = False,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Show a saved trace. Needs no model."""
    check_places(None, figure, file)
    from tempo_lab.trace.tables import facts
    from tempo_lab.trace.trace import Trace

    loaded = Trace.load(file)
    if not as_json:
        shown = {"question": loaded.question, "answer": loaded.answer, **loaded.provenance}
        shown.pop("warnings", None)  # `_show` has them
        _console().print(facts(shown))
        print()
    _show(loaded, as_json=as_json, rows=None if every else 16)
    _write(loaded, None, figure)


@app.command()
def info(
    what: Annotated[str, typer.Argument(help="A video, or a checkpoint's folder or name.")],
    fps: Fps = 2.0,
    max_frames: MaxFrames = 1024,
    stream: VideoStream = None,
    as_json: AsJson = False,
) -> None:
    """Say what a video or a checkpoint is."""
    from tempo_lab.apps.describe import describe
    from tempo_lab.trace.tables import facts, plain

    values = describe(what, fps=fps, max_frames=max_frames, stream=stream)
    if as_json:
        print(json.dumps(plain(values), indent=2, allow_nan=False))
    else:
        _console().print(facts(values))


@world.command("make")
def world_make(
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same video.")] = 0,
    segments: Annotated[int, typer.Option(min=1, help="Length, four seconds each.")] = 8,
    out: Annotated[Path, typer.Option(help="A file that ends in .mp4, or a folder.")] = Path(),
) -> None:
    """Make a video (H.264) and its questions and answers (JSON)."""
    from tempo_lab.nano.world.files import make

    check_truth(out)
    try:
        for path in make(seed, segments, out):
            print(path)
    except OSError as error:
        raise TempoLabError(
            "the video could not be written", asked=out, found=error.strerror or error
        ) from error


@app.command("app")
def app_(
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Of the page.", show_default="8866, or the next free"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="nano, a folder, or a hub name.", show_default="TEMPO_LAB_MODEL or nano"),
    ] = None,
    visitors: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Visitors at the same time at most.",
            show_default="as many as half of the free memory holds",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open it in a browser.")] = True,
) -> None:
    """Ask about your own videos on a web page, on this machine alone. Ctrl-C ends it."""
    from tempo_lab.apps.page import serve

    serve(
        port=port,
        model=model,
        visitors=visitors,
        browser=browser,
        say=lambda line: print(line, flush=True),
    )


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="nano, nano-plain, small, or tiny.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run.", show_default="runs/RECIPE")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with what is in the folder.")] = True,
    base: Annotated[
        list[str] | None,
        typer.Option(help="A run or checkpoint to start from; may come several times."),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Leave a GPU alone.")] = False,
) -> None:
    """Train the embedded model from nothing, or finish a run that was stopped."""
    from tempo_lab.nano.training.distributed import CPU_ONLY
    from tempo_lab.nano.training.train import train as train_recipe

    if cpu:
        os.environ[CPU_ONLY] = "true"
    print(train_recipe(recipe, out or Path("runs") / recipe, resume=resume, base=base or ()))


@evaluate.command("world")
def evaluate_world(
    quick: Annotated[bool, typer.Option("--quick", help="Ten minutes, not a night.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Every seed has its own videos.")] = 0,
    model: Annotated[str, typer.Option(help="nano, a folder, or a hub name.")] = "nano",
    out: Annotated[
        Path | None, typer.Option(help="Folder.", show_default="results/world-MODEL-SIZE-SEED")
    ] = None,
    before: Annotated[
        Path | None,
        typer.Option(help="Checkpoint from before compressor training: before, in a run's folder."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes.", show_default="one a core, 8 at most")
    ] = None,
) -> None:
    """Measure the claims on held-out videos. A run that was stopped goes on where it was."""
    import matplotlib

    matplotlib.use("agg")
    from tempo_lab.apps.reports.html import on_terminal
    from tempo_lab.apps.reports.world.evaluate import evaluate_world as measure

    size = "quick" if quick else "full"
    found = measure(model, size=size, seed=seed, out=out, before=before, workers=workers)
    _console().print(on_terminal(found.verdicts))
    print(f"\n{found.folder / 'report.html'}")


@app.command()
def report(
    model: Annotated[str, typer.Option(help="nano, a folder, or a hub name.")] = "nano",
    seed: Annotated[int, typer.Option(min=0, help="Every seed has its own videos.")] = 0,
    videos: Annotated[int, typer.Option(min=2)] = 12,
    segments: Annotated[int, typer.Option(min=4, help="Of each video.")] = 8,
    out: Annotated[
        Path | None, typer.Option(help="Folder.", show_default="results/report-MODEL-SEED")
    ] = None,
) -> None:
    """Run every analysis on held-out videos, onto one page. A stopped run goes on."""
    import matplotlib

    matplotlib.use("agg")
    from tempo_lab.apps.reports.analyses import write_report

    written = write_report(model, seed=seed, videos=videos, segments=segments, out=out)
    print(written.folder / "report.html")


def _show(trace: Trace, *, as_json: bool, rows: int | None = 16) -> None:
    from tempo_lab.trace import tables

    if as_json:
        print(json.dumps(tables.as_json(trace), indent=2, allow_nan=False))
    else:
        console = _console()
        console.print(tables.ledger(trace, rows))
        console.print(tables.totals(trace), markup=False)
    for each in trace.warnings:
        print(escape_control_chars(f"tempo-lab: warning: {each}"), file=sys.stderr)


def _write(trace: Trace, save: Path | None, figure: Path | None) -> None:
    """Write what was asked for. It is told first: what then fails to be written is not lost."""
    sys.stdout.flush()
    try:
        if save is not None:
            trace.save(save)
    finally:
        if figure is not None:
            save_figure(trace, figure)


def _console() -> Console:
    return Console(highlight=False, markup=False)


def save_figure(trace: Trace, path: Path) -> None:
    """Draw the allocation into a file, whatever the display."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    from tempo_lab import plots
    from tempo_lab.common.files import write_atomic

    drawn, _ = plots.allocation(trace)
    content = io.BytesIO()
    drawn.savefig(content, format=path.suffix.lstrip(".").lower(), dpi=150)
    pyplot.close(drawn)
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise TempoLabError(
            "the figure could not be saved",
            asked=path,
            found=error.strerror or error,
            fix="save it to a folder that can be written to and has room",
        ) from error
