"""Output files of the command line: refused before any work, or written whole."""

from __future__ import annotations

import io
import json
import os
from itertools import combinations
from mimetypes import MimeTypes
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import is_special, same_file, write_atomic

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

TRACES, FIGURES, PAGES = (".nc",), (".png", ".pdf", ".svg", ".jpg"), (".html", ".htm")
"""Suffixes of the files that are written."""
FILE_SUFFIXES = {*MimeTypes().types_map[True], ".jsonl", ".mkv", ".npy", ".parquet"}
"""A new folder with such a suffix is a mistake: the user expects a file. `run-0.5` is none."""


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

    options = (("--save", save, TRACES), ("--figure", figure, FIGURES), ("--html", page, PAGES))
    outputs = [(option, path) for option, path, _ in options if path is not None]
    for option, path in outputs:
        folder = Path(os.path.realpath(path)).parent
        found = None
        if path.is_dir():
            found = "a folder"
        elif not folder.is_dir():
            found = f"no folder {folder}"
        elif is_special(path):
            found = "a device, pipe or socket"
        elif problem := _cannot_write(folder):
            found = f"the folder {folder} is not writable ({problem})"
        if found is not None:
            raise TempoLabError(
                f"{option} needs the name of a regular file in a writable folder that exists",
                asked=path,
                found=found,
                fix="use a name in another folder",
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
    for option, output, suffixes in options:
        if output is not None and output.suffix.lower() not in suffixes:
            raise TempoLabError(
                f"{option} does not write this format",
                asked=output,
                found=f"the suffix {output.suffix}" if output.suffix else "no suffix",
                fix=f"use a name that ends in {' or '.join(suffixes)}",
            )


def _cannot_write(folder: Path) -> str | None:
    """Return why nothing can be created in a folder; None if something can.

    Rights alone do not tell: those of /proc allow everything to root.
    """
    if not os.access(folder, os.W_OK | os.X_OK):
        return "no permission"
    try:
        with TemporaryDirectory(dir=folder, prefix=".tempo-lab-"):
            return None
    except OSError as error:
        return error.strerror or type(error).__name__


def check_output_folder(folder: Path, option: str = "--out") -> None:
    """Refuse an output folder that cannot be created, or whose name looks like that of a file.

    Args:
        folder: path of the folder; it and its parents need not exist.
        option: name of the option, for the message.

    Raises:
        TempoLabError: the folder is refused.
    """
    exists = folder.is_dir()
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not place.is_dir():
        found = f"{place} is a file"
    elif problem := _cannot_write(place):
        found = f"{place} is not writable ({problem})"
    elif not exists and folder.suffix.lower() in FILE_SUFFIXES:
        found = f"the suffix {folder.suffix} of a file"
    else:
        return
    raise TempoLabError(
        f"{option} needs a folder that can be written to",
        asked=folder,
        found=found,
        fix="use the name of another folder; the command creates it",
    )


def check_video_path(video: Path) -> None:
    """Refuse an output path that is neither an .mp4 file nor a folder, or is not writable.

    Raises:
        TempoLabError: the path is refused, or the video's ground truth would overwrite a JSON file
            that is not a ground truth.
    """
    if video.suffix.lower() == ".mp4" and not video.is_dir():
        check_output_folder(video.absolute().parent)
        check_truth_path(video)
    elif video.suffix and not video.is_dir():
        raise TempoLabError(
            "--out does not write this format",
            asked=video,
            found=f"the suffix {video.suffix}",
            fix="use a name that ends in .mp4; create a folder with a dot in its name first",
        )
    else:
        check_output_folder(video)


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
