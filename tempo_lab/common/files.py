"""What comes with the package, and writing files: whole, to a temporary name, then moved.

Only plain files are ever replaced.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PACKAGE = Path(__file__).parent.parent
EMBEDDED = {name: PACKAGE / "model" / name for name in ("nano", "nano-plain")}
"""The models that come with the package, and their folders."""


def shipped(place: str) -> Path:
    """A file of the repository that also comes with the installed package, as data/clips/x.mp4.

    Raises:
        FileNotFoundError: it comes with neither.
    """
    for root in (PACKAGE / "shipped", PACKAGE.parent):
        if (root / place).is_file():
            return root / place
    raise FileNotFoundError(errno.ENOENT, "this does not come with Tempo Lab", place)


def write_atomic(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file so that at any time it holds the old content or the new, never a part.

    A link stays a link: the file that it names is written.

    Raises:
        OSError: it cannot be written; what was there has not changed.
    """
    path = Path(path)
    target = Path(os.path.realpath(path))
    if is_special(target):
        raise OSError(errno.EINVAL, "a device, pipe or socket, not a plain file", str(path))
    if not target.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {target.parent}", str(path))
    part = target.parent / f".{secrets.token_hex(8)}.part"
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
    finally:
        with suppress(OSError):
            part.unlink()
    return path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path to write to, moved to `path` at the end; removed where writing fails.

    Raises:
        OSError: it cannot be moved.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether there is something that is neither a plain file nor a folder, as a pipe or device."""
    path = Path(path)
    return path.exists() and not path.is_file() and not path.is_dir()


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths name one file, there or yet to be made; links are followed."""
    with suppress(OSError, ValueError):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)
