"""Old names that keep working for one version."""

from __future__ import annotations

import warnings


def warn_renamed(old: str, new: str, stacklevel: int = 2) -> None:
    """Warn that a name has been renamed.

    Args:
        old, new: the names as the caller writes them.
        stacklevel: as of `warnings.warn`, seen from the function that calls this one.
    """
    text = f"{old} is deprecated and will be removed in the next version; use {new}"
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel + 1)
