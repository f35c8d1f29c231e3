"""Old names that work for one more version, with a warning that names the new one."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])
Renamed = str | tuple[str, Callable[[Any], Any]]


def renamed_keywords(**renamed: Renamed) -> Callable[[F], F]:
    """Return a decorator that accepts old keyword arguments under their old names, and warns.

    Signature: `renamed_keywords(old="new", ...)` or, where the unit changed too,
    `renamed_keywords(old=("new", convert))` with `convert(old value) -> new value`. It decorates
    functions, methods and, as `__init__`, classes; `help` and tooltips show the new names only.

        @renamed_keywords(top="top_k", limit_mib=("max_bytes", lambda mib: int(mib * 2**20)))
        def largest(trace, *, top_k=5, max_bytes=2**30): ...

    The decorated function raises `TypeError` if a call uses an old name and its new one.
    """

    def decorate(function: F) -> F:
        name = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old, entry in renamed.items():
                if old not in kwargs:
                    continue
                new, convert = (entry, None) if isinstance(entry, str) else entry
                if new in kwargs:
                    raise TypeError(f"{name}() takes {new}= or its old name {old}=, not both")
                warn_renamed(f"{name}({old}=)", f"{new}=")
                value = kwargs.pop(old)
                kwargs[new] = value if convert is None else convert(value)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def renamed_attributes(module: str, **renamed: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module that finds attributes under their old names, and warns.

    Signature: `__getattr__ = renamed_attributes(__name__, old="new", ...)`
    """

    def find(name: str) -> Any:
        if name not in renamed:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warn_renamed(f"{module}.{name}", f"{module}.{renamed[name]}")
        return getattr(sys.modules[module], renamed[name])

    return find


def warn_renamed(old: str, new: str, *, stacklevel: int = 2) -> None:
    """Warn that `old` is now called `new`.

    Args:
        old: the old name, as the caller wrote it.
        new: what to write instead.
        stacklevel: 2 names the line that called the function which calls this one.
    """
    warnings.warn(
        f"{old} is deprecated and will be removed in the next version; use {new}",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )
