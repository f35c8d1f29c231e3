"""Where the command line may write: what it refuses before any work."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import is_special, same_file

FIGURES = (".png", ".pdf", ".svg", ".jpg")


def check_places(save: Path | None, figure: Path | None, source: str | Path) -> None:
    """Refuse before the work what could not be written after it, or would overwrite `source`."""
    from tempo_lab.video.decoders.images import IMAGE_SUFFIXES

    for option, path in (("--save", save), ("--figure", figure)):
        if path is None:
            continue
        folder = Path(os.path.realpath(path)).parent
        if path.is_dir() or not folder.is_dir() or is_special(path):
            raise TempoLabError(
                f"{option} needs the name of a plain file in a folder that exists",
                asked=path,
                found="a folder"
                if path.is_dir()
                else f"no folder {folder}"
                if not folder.is_dir()
                else "a device, pipe or socket",
            )
        frame = path.suffix.lower() in IMAGE_SUFFIXES and same_file(folder, source)
        if frame or same_file(path, source):
            raise TempoLabError(
                f"{option} would write over what is read",
                asked=path,
                found="a frame of it" if frame else f"the same file as {source}",
                fix="another name or folder",
            )
    if save is not None and figure is not None and same_file(save, figure):
        raise TempoLabError(
            "--save and --figure name the same file", asked=save, fix="another name for one of them"
        )
    if figure is not None and figure.suffix.lower() not in FIGURES:
        raise TempoLabError(
            "no picture can be saved under this name",
            asked=figure,
            fix=f"end it in one of {', '.join(FIGURES)}",
        )


def check_truth(video: Path) -> None:
    """Refuse a video whose truth would replace a JSON file that is not one."""
    path = video.with_suffix(".json")
    if video.suffix.lower() != ".mp4" or not path.exists():
        return
    try:
        known = {"seed", "segments", "questions"} <= set(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        known = False
    if not known:
        raise TempoLabError(
            "the video's truth would write over a file of another kind",
            asked=video,
            found=path,
            fix="another name for the video, or move that file",
        )
