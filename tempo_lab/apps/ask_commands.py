"""The commands about one video: ask, trace, info, demo.

Slow imports are inside the commands, so that --help is fast.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tempo_lab.apps import completion, options
from tempo_lab.apps.command_group import discard_output
from tempo_lab.apps.output_paths import check_output_folder, check_output_paths, save_figure
from tempo_lab.apps.terminal import (
    SOME_FAILED,
    console,
    print_error,
    print_json,
    print_table,
)
from tempo_lab.common.errors import TempoLabError, UnfamiliarVideoWarning
from tempo_lab.common.text import escape_control_chars

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

Figure = Annotated[
    Path | None,
    typer.Option(
        help="Save a figure of the allocation to this file: .png, .pdf, .svg or .jpg.",
        rich_help_panel=options.OUTPUT,
    ),
]


def ask(
    video: Annotated[str, typer.Argument(help="A video, GIF, image, .npy or folder of frames.")],
    question: Annotated[str, typer.Argument(help="A question about it.")],
    model: options.Model = "nano",
    base: options.Base = None,
    device: options.Device = None,
    dtype: options.Dtype = None,
    fps: options.Fps = 2.0,
    max_frames: options.MaxFrames = 1024,
    stream: options.VideoStream = None,
    start: options.Start = None,
    end: options.End = None,
    subtitles: Annotated[
        Path | None,
        typer.Option(
            help="Subtitles to read before the question: .srt, .vtt or .json.",
            rich_help_panel=options.VIDEO,
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Memory tokens for the whole video.",
            show_default="8192; all with strategy none",
            rich_help_panel=options.ALLOCATION,
        ),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            help="Allocation strategy: head, tail, random, tome; the baselines topk, router, "
            "uniform, uniform-tail, uniform-random, uniform-tome, none; abstain, floor, "
            "temperature, threshold, which fix faults of the min-max normalization.",
            show_default="head",
            rich_help_panel=options.ALLOCATION,
            autocompletion=completion.strategies,
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="Save the trace to this file: .nc (NetCDF).", rich_help_panel=options.OUTPUT
        ),
    ] = None,
    figure: Figure = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Ask a question about a video, and show which segments got tokens."""
    check_output_paths(save, figure, video)
    import tempo_lab as tl

    def print_piece(piece: str) -> None:
        try:
            print(escape_control_chars(piece), end="", flush=True)
        except BrokenPipeError:
            if save is None and figure is None:
                raise
            discard_output()  # the files are still wanted

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
            stream=None if as_json else print_piece,
        )
    try:
        if not as_json:
            print("\n")
        _show(trace, as_json=as_json)
        sys.stdout.flush()
    finally:  # what reads the output may have ended
        _write(trace, save, figure)


def trace(
    file: Annotated[Path, typer.Argument(help="A file written by `tempo-lab ask --save`.")],
    all_segments: Annotated[
        bool,
        typer.Option(
            "--all", help="Show every segment, not only the 16 most relevant ones.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    figure: Figure = None,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write one HTML file to give away: it needs neither Python nor a network.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            help="The video of the trace, for thumbnails in the HTML file.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:  # fmt: skip
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
    if html is not None:
        loaded.to_html(html, video=video)  # refuses another video before anything is printed
    try:
        if not as_json:
            answer = {} if loaded.scores_only else {"answer": loaded.answer}
            question = loaded.question if loaded.read_as is None else loaded.asked
            values = {"question": question, **answer, **loaded.provenance}
            for shown in ("warnings", "asked"):  # `_show` prints the one, and the other is above
                values.pop(shown, None)
            console().print(facts(values))
            print()
        _show(loaded, as_json=as_json, rows=None if all_segments else 16)
        sys.stdout.flush()
    finally:  # what reads the output may have ended
        _write(loaded, None, figure)


def info(
    name: Annotated[
        str, typer.Argument(metavar="WHAT", help="A video, or a checkpoint's folder or name.")
    ],
    fps: options.Fps = 2.0,
    max_frames: options.MaxFrames = 1024,
    stream: options.VideoStream = None,
    start: options.Start = None,
    end: options.End = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """Show information about a video or a checkpoint."""
    from tempo_lab.apps.describe import describe
    from tempo_lab.trace.tables import facts

    values = describe(name, fps=fps, max_frames=max_frames, stream=stream, start=start, end=end)
    if as_json:
        print_json(values)
    else:
        console().print(facts(values))


def demo(
    video: Annotated[
        Path | None,
        typer.Argument(
            help="A video of `tempo-lab world make`, with its ground truth.",
            show_default="the clip `voyage`, which is included",
        ),
    ] = None,
    model: options.Model = "nano",
    budget: Annotated[int, typer.Option(help="Memory tokens for the whole video.")] = 64,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the traces and figures.", rich_help_panel=options.OUTPUT),
    ] = Path("results"),
    quiet: options.Quiet = False,
) -> None:  # fmt: skip
    """Ask three questions about a video, and compare the answers with the ground truth."""
    check_output_folder(out)
    from tempo_lab.apps.demo import demonstrate

    warnings.simplefilter("ignore", UnfamiliarVideoWarning)  # printed with the answer
    if demonstrate(video, model=model, budget=budget, out=out):
        raise typer.Exit(SOME_FAILED)


def _show(trace: Trace, *, as_json: bool, rows: int | None = 16) -> None:
    from tempo_lab.trace import tables

    if as_json:
        print_json(tables.as_json(trace))
    else:
        print_table(tables.ledger(trace, rows))
        if not trace.scores_only:
            console().print(tables.totals(trace), markup=False)
    if trace.read_as is not None:
        print_error(f"note: the model read the question as {trace.read_as!r}")
    for warning in trace.warnings:
        print_error(f"warning: {warning}")


def _write(trace: Trace, save: Path | None, figure: Path | None) -> None:
    """Write the files, after the output: if a file cannot be written, the answer is not lost."""
    try:
        if save is not None:
            trace.save(save)
    finally:
        if figure is not None:
            save_figure(trace, figure)
