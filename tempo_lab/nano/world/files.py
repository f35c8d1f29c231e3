"""Write scenes as H.264 files, with their ground truth in JSON files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tempo_lab.common.errors import TempoLabError
from tempo_lab.common.files import atomic_file, write_atomic
from tempo_lab.nano.world.casting import draw_scene
from tempo_lab.nano.world.kinds import questions
from tempo_lab.nano.world.questions import Question
from tempo_lab.nano.world.renderer import Pixels, render
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS, Scene

FPS = 8
"""Frames per second of the files: a multiple of the sampling rate, so that segments line up."""

SIZE = 384
"""Rows and columns of the files' frames: three times those that the embedded model sees."""


def frames(scene: Scene, size: int = SIZE, fps: int = FPS) -> Iterator[Pixels]:
    """Yield the frames of each segment in order: uint8 [frame, row, column, rgb]."""
    seconds = np.arange(round(SEGMENT_SECONDS * fps)) / fps
    for segment in scene.segments:
        yield render(segment, seconds, size)


def write_video(
    scene: Scene, path: str | Path, *, size: int = SIZE, fps: int = FPS, crf: int = 21
) -> Path:
    """Write a scene as H.264 (yuv420p) in MP4; the file appears once it is complete.

    Raises:
        TempoLabError: the file cannot be written.
    """
    path = Path(path)
    try:
        with atomic_file(path) as part:
            _encode(scene, part, size, fps, crf)
    except OSError as error:
        raise TempoLabError(
            "the video could not be written",
            asked=path,
            found=error.strerror or type(error).__name__,
            fix="make room there, or set TMPDIR to another folder for temporary files",
        ) from error
    return path


def _encode(scene: Scene, path: Path, size: int, fps: int, crf: int) -> None:
    faststart = {"movflags": "faststart"}
    with av.open(str(path), "w", format="mp4", options=faststart) as container:
        options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.gop_size = round(SEGMENT_SECONDS * fps)
        for batch in frames(scene, size, fps):
            for image in batch:
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def demo_questions(scene: Scene, count: int = 3) -> list[Question]:
    """Return example questions of different kinds, each about another item where possible.

    Their items appear in one segment each. Questions about a star are preferred.
    """
    chosen: list[Question] = []
    for kind in ("color", "place", "motion", "multi", "order", "time"):
        used = {noun for question in chosen for noun in question.nouns}
        fresh = [q for q in questions(scene, (kind,)) if not any(n.color for n in q.nouns)]
        fresh.sort(key=lambda q: (any(noun in used for noun in q.nouns), "star" not in q.text))
        chosen += fresh[:1]
    return chosen[:count]


def truth(scene: Scene) -> dict[str, Any]:
    """Return the ground truth of a scene as plain JSON values.

    Keys ``segments`` and ``chapters`` contain what is shown, ``questions`` every question that has
    one right answer, and ``demo`` a few of these as examples.
    """
    return {
        **scene.to_dict(),
        "demo": [question.to_dict() for question in demo_questions(scene)],
        "questions": [question.to_dict() for question in questions(scene)],
    }


def make(
    seed: int, segments: int, out: str | Path, *, size: int = SIZE, fps: int = FPS
) -> tuple[Path, Path]:
    """Write the video of a seed and its ground truth.

    Args:
        seed: any non-negative integer; the same seed gives the same video.
        segments: length in segments of four seconds.
        out: a path that ends in ``.mp4``, or a folder (created if it does not exist).
        size: rows and columns of a frame, even.
        fps: frames per second of the file; with a multiple of two, sampled segments line up.

    Returns:
        The path of the video, and the path of its ground truth in JSON.
    """
    path = Path(out)
    if path.suffix.lower() != ".mp4":
        path = path / f"world-{seed}-{segments}.mp4"
    path.parent.mkdir(parents=True, exist_ok=True)
    scene = draw_scene(seed, segments)
    write_video(scene, path, size=size, fps=fps)
    written = path.with_suffix(".json")
    write_atomic(written, (json.dumps(truth(scene), indent=1) + "\n").encode())
    return path, written
