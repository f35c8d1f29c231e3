"""Files that come with the package, and atomic writing: to a temporary name, then renamed.

Only regular files are replaced.
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
"""Folders of the models that come with the package, by name."""


def shipped(name: str) -> Path:
    """Return the path of a file that is in the repository and in the installed package.

    Args:
        name: path in the repository, as "data/clips/voyage.mp4".

    Raises:
        FileNotFoundError: the file is in neither of them.
    """
    for root in (PACKAGE / "shipped", PACKAGE.parent):
        if (root / name).is_file():
            return root / name
    raise FileNotFoundError(errno.ENOENT, "this does not come with Tempo Lab", name)


def write_atomic(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write a file atomically: at any time it has either the old or the new content.

    If `path` is a link, it stays one; its target is written.

    Raises:
        OSError: the file cannot be written; its old content has not changed.
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
    """Yield a temporary path to write to. It is renamed to `path` at the end, or removed on errors.

    Raises:
        OSError: the file cannot be renamed.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink()


def is_special(path: str | os.PathLike[str]) -> bool:
    """Whether the path exists and is neither a regular file nor a folder: a pipe or a device."""
    path = Path(path)
    return path.exists() and not path.is_file() and not path.is_dir()


def same_file(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths name one file, which need not exist yet; links are followed."""
    with suppress(OSError, ValueError):
        return os.path.samefile(one, other)
    return os.path.realpath(one) == os.path.realpath(other)
