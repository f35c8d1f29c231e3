"""Names that the shell completes after Tab. Nothing here imports torch; Tab must be fast."""

from __future__ import annotations

from collections.abc import Iterable

SPECIAL_ARMS = ("all", "sparse", "shuffled", "oracle", "blind")
PRESETS = ("paper-4k", "paper-8k", "paper-12k")
RECIPES = ("nano", "nano-plain", "small", "tiny", "front-loading")
STUDY_ARMS = ("none", "prefix", "suffix", "random")
"""Tests hold these equal to the library's, whose modules take a second to import."""


def models(incomplete: str) -> list[str]:
    """Return the embedded models; the shell adds folders by itself."""
    from tempo_lab.common.files import EMBEDDED

    return _starting(incomplete, EMBEDDED)


def strategies(incomplete: str) -> list[str]:
    """Return the allocation strategies."""
    from tempo_lab.allocation import STRATEGIES

    return _starting(incomplete, STRATEGIES)


def arms(incomplete: str) -> list[str]:
    """Return lists of arms, separated by commas, of which the last one is completed."""
    from tempo_lab.allocation import STRATEGIES

    *before, last = incomplete.split(",")
    names = _starting(last, (*SPECIAL_ARMS, *STRATEGIES))
    return [",".join((*before, name)) for name in names if name not in before]


def presets(incomplete: str) -> list[str]:
    """Return the presets of an evaluation."""
    return _starting(incomplete, PRESETS)


def recipes(incomplete: str) -> list[str]:
    """Return what can be trained."""
    return _starting(incomplete, RECIPES)


def study_arms(incomplete: str) -> list[str]:
    """Return the arms of the front-loading study."""
    return _starting(incomplete, STUDY_ARMS)


def devices(incomplete: str) -> list[str]:
    """Return the kinds of devices."""
    return _starting(incomplete, ("cpu", "cuda", "mps"))


def dtypes(incomplete: str) -> list[str]:
    """Return the floating-point types of weights."""
    return _starting(incomplete, ("float32", "bfloat16", "float16"))


def _starting(incomplete: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
