"""Which units, targets, methods and baselines there are, and which go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tempo_lab.analysis.attribution.image_units import Pairs, Patches
from tempo_lab.analysis.attribution.methods import METHODS, Method
from tempo_lab.analysis.attribution.targets import TARGETS, Target
from tempo_lab.analysis.attribution.units import Segments, Slots, Words
from tempo_lab.common.errors import TraceError, did_you_mean

UNITS: dict[str, type[Any]] = {
    "segments": Segments,
    "pairs": Pairs,
    "patches": Patches,
    "slots": Slots,
    "words": Words,
}
"""By name. Pairs, patches and slots are those of one segment."""
OF_SEGMENTS = ("pairs", "patches", "slots")


@dataclass(frozen=True)
class AttributionSetup:
    """What was chosen, and is possible together.

    Attributes:
        units, target, method: as named.
        baseline: name of what stands for a unit that is taken away.
        meaning: of the baseline.
    """

    units: str
    target: Target
    method: str
    baseline: str
    meaning: str

    @property
    def kind(self) -> type[Any]:
        """The class of the units."""
        return UNITS[self.units]

    @property
    def how(self) -> Method:
        """The method."""
        return METHODS[self.method]

    @property
    def of_segment(self) -> bool:
        """Whether one segment is asked about."""
        return self.units in OF_SEGMENTS or self.target.reads == "relevance"


def choose(units: str, target: str, method: str, baseline: str | None) -> AttributionSetup:
    """The choice, if it is one.

    Args:
        baseline: None for the usual one.

    Raises:
        TraceError: an unknown name, or what does not go together; says what does.
    """
    kind, aim = _find("units", units, UNITS), _find("target", target, TARGETS)
    _find("method", method, METHODS)
    if aim.reads not in kind.reads:
        raise _impossible(f"units={units!r} with target={target!r}")
    allowed = baselines_of(kind, method)
    if not allowed:
        raise _impossible(f"units={units!r} with method={method!r}")
    if baseline is None:
        baseline = allowed[0]
    _find("baseline", baseline, kind.baselines)
    if baseline not in allowed:
        raise _impossible(f"baseline={baseline!r} with units={units!r} and method={method!r}")
    return AttributionSetup(units, aim, method, baseline, kind.baselines[baseline])


def baselines_of(kind: type[Any], method: str) -> tuple[str, ...]:
    """Baselines of units that a method can take, the usual one first."""
    if not METHODS[method].gradients:
        return tuple(kind.baselines)
    if method == "layer_gradient_x_activation":  # a first-order step from nothing at all
        return ("zero",) if "zero" in kind.smooth else ()
    return tuple(kind.smooth)


def possible() -> list[str]:
    """What goes together, a line for each kind of units and each kind of methods."""
    lines = []
    for name, kind in UNITS.items():
        targets = [target.name for target in TARGETS.values() if target.reads in kind.reads]
        alike: dict[tuple[str, ...], list[str]] = {}
        for method in METHODS:
            alike.setdefault(baselines_of(kind, method), []).append(method)
        lines += [
            f"{name}; {', '.join(targets)}; {', '.join(methods)}; baseline {', '.join(baselines)}"
            for baselines, methods in alike.items()
            if baselines
        ]
    return lines


def _impossible(asked: str) -> TraceError:
    return TraceError(
        "these do not go together",
        asked=asked,
        found="possible are (units; targets; methods; baselines)\n         "
        + "\n         ".join(possible()),
        fix="choose from one line",
    )


def _find(what: str, name: object, known: Mapping[str, Any]) -> Any:
    if not isinstance(name, str) or name not in known:
        raise TraceError(
            f"no such {what}",
            asked=repr(name),
            found=", ".join(known),
            fix=did_you_mean(name, known, "use one of these"),
        )
    return known[name]
