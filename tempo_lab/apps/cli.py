"""tempo-lab: the command line.

Slow imports are inside the commands, so that --help is fast.
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
from typer.core import TyperGroup

from tempo_lab.apps.evaluate_commands import evaluate
from tempo_lab.apps.output_paths import check_output_paths, check_truth_path, save_figure
from tempo_lab.apps.terminal import INTERRUPTED, REFUSED, console, print_error, require
from tempo_lab.common.errors import TempoLabError, TempoLabWarning, UnfamiliarVideoWarning
from tempo_lab.common.text import escape_control_chars

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

DISK_FULL = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning of this library like an error: without the line of code that Python shows."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, TempoLabWarning):
        text = escape_control_chars(f"tempo-lab: warning: {message}") + "\n"
    print(text, end="", file=file or sys.stderr)


class _Commands(TyperGroup):
    """Prints each error and warning as one message on stderr; Ctrl-C ends quietly."""

    def invoke(self, ctx: Any) -> Any:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a terminal may lack characters of answers
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _warn
                result = super().invoke(ctx)
                sys.stdout.flush()  # a failed write fails here, where it is reported
                return result
        except TempoLabError as error:
            print_error(error)
            raise typer.Exit(REFUSED) from None
        except KeyboardInterrupt:
            print("tempo-lab: interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (Python would try again)
            print(f"tempo-lab: cannot write the output: {error.strerror}", file=sys.stderr)
            raise typer.Exit(REFUSED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Ask a video a question, and see where the model's tokens went.",
)
world = typer.Typer(no_args_is_help=True, help="Make procedural videos with known answers.")
app.add_typer(world, name="world")
app.add_typer(evaluate, name="evaluate")

Fps = Annotated[float, typer.Option(help="Frames sampled per second.")]
MaxFrames = Annotated[int, typer.Option(help="Maximum number of sampled frames.")]
VideoStream = Annotated[
    int | None,
    typer.Option(
        help="Index of the video stream, as ffprobe counts.", show_default="the one players choose"
    ),
]
Start = Annotated[
    float | None,
    typer.Option(help="Second of the file at which to start.", show_default="the video's start"),
]
End = Annotated[
    float | None,
    typer.Option(
        help="Second of the file before which to end. Times stay those of the file; the time tags "
        "that the model reads count from the start.",
        show_default="the video's end",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
Figure = Annotated[Path | None, typer.Option(help="Save a figure of the allocation to this file.")]


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
    question: Annotated[str, typer.Argument(help="A question about it.")],
    model: Annotated[str, typer.Option(help="nano, a folder, or a Hugging Face name.")] = "nano",
    base: Annotated[
        str | None, typer.Option(help="Folder or Hugging Face name of the checkpoint's Qwen3-VL.")
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Memory tokens for the whole video.", show_default="8192; all with strategy none"
        ),
    ] = None,
    fps: Fps = 2.0,
    max_frames: MaxFrames = 1024,
    stream: VideoStream = None,
    start: Start = None,
    end: End = None,
    subtitles: Annotated[
        Path | None,
        typer.Option(help="Subtitles to read before the question: .srt, .vtt or .json."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Allocation strategy: head, tail, random, tome; the baselines topk, uniform, "
            "uniform-tail, uniform-random, uniform-tome, none; abstain, floor, temperature, "
            "threshold, which fix faults of the min-max normalization.",
            show_default="head",
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, mps.", show_default="the fastest available")
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="float32, bfloat16, float16.", show_default="float32 on CPU, else bfloat16"
        ),
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Save the trace to this file.")] = None,
    figure: Figure = None,
    as_json: AsJson = False,
) -> None:
    """Ask a question about a video, and show which segments got tokens."""
    check_output_paths(save, figure, video)
    import tempo_lab as tl

    warnings.simplefilter("ignore", UnfamiliarVideoWarning)  # the trace has it as well
    tempo = tl.load(model, base=base, device=device, dtype=dtype)
    with tempo.open(
        video, fps=fps, max_frames=max_frames, stream=stream, start=start, end=end
    ) as session:
        trace = session.ask(
            question,
            budget=budget,
            strategy=strategy,
            subtitles=subtitles,
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
    file: Annotated[Path, typer.Argument(help="A file written by `tempo-lab ask --save`.")],
    all_segments: Annotated[bool, typer.Option("--all", help="Show every segment.")] = False,
    figure: Figure = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write one HTML file to give away: it needs neither Python nor a network."
        ),
    ] = None,
    video: Annotated[
        str | None, typer.Option(help="The video of the trace, for thumbnails in the HTML file.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a saved trace. No model is needed."""
    if video is not None and html is None:
        raise TempoLabError(
            "--video is only for thumbnails in the HTML file",
            asked=f"--video {video}",
            fix="add --html OUT",
        )
    sources = (file,) if video is None else (file, video)
    check_output_paths(None, figure, *sources, page=html)
    from tempo_lab.trace.tables import facts
    from tempo_lab.trace.trace import Trace

    loaded = Trace.load(file)
    if not as_json:
        answer = {} if loaded.scores_only else {"answer": loaded.answer}
        values = {"question": loaded.question, **answer, **loaded.provenance}
        values.pop("warnings", None)  # `_show` prints them
        console().print(facts(values))
        print()
    _show(loaded, as_json=as_json, rows=None if all_segments else 16)
    _write(loaded, None, figure)
    if html is not None:
        loaded.to_html(html, video=video)


@app.command()
def info(
    name: Annotated[
        str, typer.Argument(metavar="WHAT", help="A video, or a checkpoint's folder or name.")
    ],
    fps: Fps = 2.0,
    max_frames: MaxFrames = 1024,
    stream: VideoStream = None,
    start: Start = None,
    end: End = None,
    as_json: AsJson = False,
) -> None:
    """Show information about a video or a checkpoint."""
    from tempo_lab.apps.describe import describe
    from tempo_lab.trace.tables import facts, plain

    values = describe(name, fps=fps, max_frames=max_frames, stream=stream, start=start, end=end)
    if as_json:
        print(json.dumps(plain(values), indent=2, allow_nan=False))
    else:
        console().print(facts(values))


@world.command("make")
def world_make(
    seed: Annotated[int, typer.Option(min=0, help="The same seed makes the same video.")] = 0,
    segments: Annotated[
        int, typer.Option(min=1, help="Number of segments, four seconds each.")
    ] = 8,
    out: Annotated[Path, typer.Option(help="Output file that ends in .mp4, or folder.")] = Path(),
) -> None:
    """Make a video (H.264) with its questions and answers (JSON)."""
    from tempo_lab.nano.world.files import make

    check_truth_path(out)
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
        typer.Option(min=0, max=65535, help="Port.", show_default="8866, or the next free"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="nano, a folder, or a Hugging Face name.", show_default="TEMPO_LAB_MODEL or nano"
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


@app.command()
def train(
    recipe: Annotated[
        str, typer.Argument(help="nano, nano-plain, small, or tiny; or front-loading, a study.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Output folder.", show_default="runs/RECIPE")
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(
            help="For front-loading: the memory tokens that the LLM reads in training. none cuts "
            "none of them; prefix, suffix and random keep as many, at random from one to all."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="For front-loading: the seed of the run.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Continue the run in the folder.")] = True,
    base: Annotated[
        list[str] | None,
        typer.Option(help="Run or checkpoint to start from; can be repeated."),
    ] = None,
    cpu: Annotated[bool, typer.Option("--cpu", help="Do not use a GPU.")] = False,
) -> None:
    """Train the embedded model from scratch, or continue a stopped run."""
    require("accelerate", extra="train")
    from tempo_lab.nano.training.distributed import CPU_ONLY

    if cpu:
        os.environ[CPU_ONLY] = "true"
    folder, study = out or Path("runs") / recipe, recipe == "front-loading"
    if study != (arm is not None) or study != (seed is not None):
        raise TempoLabError(
            "front-loading needs an arm and a seed; other recipes have neither",
            asked=f"recipe {recipe}, arm {arm}, seed {seed}",
            fix="tempo-lab train front-loading --arm prefix --seed 1, or leave out both",
        )
    if arm is not None and seed is not None:
        from tempo_lab.nano.front_loading.training import train_arm

        print(train_arm(arm, seed, folder, resume=resume, base=base or ()))
    else:
        from tempo_lab.nano.training.train import train as train_recipe

        print(train_recipe(recipe, folder, resume=resume, base=base or ()))


@app.command()
def report(
    model: Annotated[str, typer.Option(help="nano, a folder, or a Hugging Face name.")] = "nano",
    seed: Annotated[int, typer.Option(min=0, help="Each seed has its own videos.")] = 0,
    videos: Annotated[int, typer.Option(min=2, help="Number of videos.")] = 12,
    segments: Annotated[int, typer.Option(min=4, help="Number of segments per video.")] = 8,
    out: Annotated[
        Path | None, typer.Option(help="Output folder.", show_default="results/report-MODEL-SEED")
    ] = None,
) -> None:
    """Run every analysis on held-out videos and write one page, or continue a stopped run."""
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
        terminal = console()
        terminal.print(tables.ledger(trace, rows))
        if not trace.scores_only:
            terminal.print(tables.totals(trace), markup=False)
    for warning in trace.warnings:
        print_error(f"warning: {warning}")


def _write(trace: Trace, save: Path | None, figure: Path | None) -> None:
    """Write the files, after the output: if a file cannot be written, the answer is not lost."""
    sys.stdout.flush()
    try:
        if save is not None:
            trace.save(save)
    finally:
        if figure is not None:
            save_figure(trace, figure)
