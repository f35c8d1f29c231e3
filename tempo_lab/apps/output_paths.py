"""Output files of the command line: refused before any work, or written whole."""

from __future__ import annotations

import io
import json
import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import is_special, same_file, write_atomic

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

FIGURES = (".png", ".pdf", ".svg", ".jpg")


def check_output_paths(
    save: Path | None, figure: Path | None, *sources: str | Path, page: Path | None = None
) -> None:
    """Refuse paths that cannot be written to after the work, or that would overwrite a source.

    Args:
        save: path of the trace.
        figure: path of the figure.
        sources: what is read.
        page: path of the HTML page.

    Raises:
        TempoLabError: a path is refused.
    """
    from tempo_lab.video.decoders.images import IMAGE_SUFFIXES

    options = (("--save", save), ("--figure", figure), ("--html", page))
    outputs = [(option, path) for option, path in options if path is not None]
    for option, path in outputs:
        folder = Path(os.path.realpath(path)).parent
        if path.is_dir() or not folder.is_dir() or is_special(path):
            raise TempoLabError(
                f"{option} needs the name of a regular file in a folder that exists",
                asked=path,
                found="a folder"
                if path.is_dir()
                else f"no folder {folder}"
                if not folder.is_dir()
                else "a device, pipe or socket",
            )
        for source in sources:
            is_frame = path.suffix.lower() in IMAGE_SUFFIXES and same_file(folder, source)
            if is_frame or same_file(path, source):
                raise TempoLabError(
                    f"{option} would overwrite the input",
                    asked=path,
                    found="a frame of the input" if is_frame else f"the same file as {source}",
                    fix="use another name or folder",
                )
    for (option, path), (other, second) in combinations(outputs, 2):
        if same_file(path, second):
            raise TempoLabError(
                f"{option} and {other} name the same file", asked=path,
                fix="use two different names",
            )  # fmt: skip
    if figure is not None and figure.suffix.lower() not in FIGURES:
        raise TempoLabError(
            "the figure's format is unknown",
            asked=figure,
            fix=f"use a name that ends in one of {', '.join(FIGURES)}",
        )


def check_truth_path(video: Path) -> None:
    """Refuse a video whose ground truth would overwrite a JSON file that is not a ground truth.

    Raises:
        TempoLabError: it would.
    """
    path = video.with_suffix(".json")
    if video.suffix.lower() != ".mp4" or not path.exists():
        return
    try:
        is_truth = {"seed", "segments", "questions"} <= set(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        is_truth = False
    if not is_truth:
        raise TempoLabError(
            "the video's ground truth would overwrite a file of another kind",
            asked=video,
            found=path,
            fix="use another name for the video, or move that file",
        )


def save_figure(trace: Trace, path: Path) -> None:
    """Draw the allocation into a file, without a display.

    Raises:
        TempoLabError: the file cannot be written.
    """
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    from tempo_lab import plots

    figure, _ = plots.allocation(trace)
    content = io.BytesIO()
    figure.savefig(content, format=path.suffix.lstrip(".").lower(), dpi=150)
    pyplot.close(figure)
    try:
        write_atomic(path, content.getvalue())
    except OSError as error:
        raise TempoLabError(
            "the figure could not be saved",
            asked=path,
            found=error.strerror or error,
            fix="save it to a folder that is writable and has room",
        ) from error
