"""Uploads of a panel: their largest size, their files, and their own names in messages."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tempo_lab.common.errors import TempoLabError, VideoError

UPLOAD_VARIABLE, UPLOAD_BYTES = "TEMPO_LAB_UPLOAD_BYTES", 8 << 20
"""Environment variable with the largest upload in bytes, and its default: what a Jupyter server
accepts (its messages may have 10 MiB)."""


def upload_limit() -> int:
    """Return the size of the largest upload in bytes, from the environment or by default 8 MiB.

    Raises:
        TempoLabError: the environment variable is not a whole number of bytes.
    """
    value = os.environ.get(UPLOAD_VARIABLE, str(UPLOAD_BYTES))
    if not value.isdecimal() or not int(value):
        raise TempoLabError(
            "the largest upload must be a whole number of bytes",
            asked=f"{UPLOAD_VARIABLE}={value}",
            fix=f"{UPLOAD_VARIABLE}={UPLOAD_BYTES} for {mebibytes(UPLOAD_BYTES)}",
        )
    return int(value)


def mebibytes(size: int) -> str:
    """Return a number of bytes as text in MiB, with three digits."""
    return f"{size / 2**20:.3g} MiB"


def too_large(asked: str, limit: int) -> VideoError:
    """Return the error for a file that is larger than `limit` bytes."""
    return VideoError(
        "the file is too large to be uploaded",
        asked=asked,
        found=f"room for {mebibytes(limit)}",
        fix="cut it, or name its path: AskPanel(tempo, [path]), `tempo-lab ask PATH QUESTION`",
    )


def store_upload(folder: Path, name: str, content: memoryview | bytes) -> Path:
    """Write an upload to a folder and return its path.

    The user's name is not used on the disk; a video's format is recognized by its content.

    Raises:
        VideoError: it could not be written; nothing of it stays.
    """
    path = folder / f"upload-{secrets.token_hex(8)}"
    try:
        path.write_bytes(content)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise VideoError(
            "the upload could not be stored",
            asked=f"{name}, {mebibytes(len(content))}",
            found=error.strerror or type(error).__name__,
            fix="make room on the disk of the temporary files, and upload it again",
        ) from error
    return path


@contextmanager
def errors_name(name: str, path: Path) -> Iterator[None]:
    """Let errors show the video's own name instead of the path where it is stored."""
    try:
        yield
    except VideoError as error:
        message = str(error).splitlines()[0].replace(str(path), name)
        found = str(error.found or "").replace(str(path), name)
        fix = error.fix and error.fix.replace(str(path), name)
        raise type(error)(message, asked=name, found=found or None, fix=fix) from error


def warnings_name(name: str, path: Path, warnings: Iterable[str]) -> list[str]:
    """Return warnings with the video's own name instead of that of its file, which they start with.

    >>> warnings_name("star.mp4", Path("/tmp/upload-1"), ["upload-1 does not look like ..."])
    ['star.mp4 does not look like ...']
    """
    return [
        name + each.removeprefix(path.name) if each.startswith(path.name) else each
        for each in warnings
    ]
