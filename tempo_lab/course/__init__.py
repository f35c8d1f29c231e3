"""What the notebooks share: set-up, clips, figures as text, and the checks of their exercises.

    from tempo_lab import course

    tempo = course.start()
    video = tempo.open(course.clip("voyage"), progress=False)
    course.check_sampled_frames(...)

The checks of notebook NN_name are in the module `name`.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Any

from tempo_lab.common.deprecation import warn_renamed
from tempo_lab.common.errors import did_you_mean
from tempo_lab.course.checking import CHECKS, Check, CheckResult
from tempo_lab.course.counting import mean, share, share_interval
from tempo_lab.course.pictures import drawn
from tempo_lab.course.setup import clip, start, truth

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "clip",
    "drawn",
    "lessons",
    "mean",
    "share",
    "share_interval",
    "start",
    "truth",
]

_SHARED = {"checking", "counting", "pictures", "predictions", "setup"}


def lessons() -> list[str]:
    """Return the names of the notebooks that have checks, without numbers; loads their modules."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    modules = sorted(set(names) - _SHARED)
    for name in modules:
        import_module(f"{__name__}.{name}")
    return modules


def __getattr__(name: str) -> Any:
    if name == "Verdict":
        warn_renamed("course.Verdict", "course.CheckResult")
        return CheckResult
    if name.startswith("check_"):
        lessons()
        if name in CHECKS:
            return CHECKS[name]
        nearest = did_you_mean(name, CHECKS, f"one of {', '.join(sorted(CHECKS))}")
        raise AttributeError(f"there is no check {name!r}; {nearest}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    lessons()
    return sorted([*__all__, *CHECKS])
