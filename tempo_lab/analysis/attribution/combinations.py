"""Units, targets, methods and baselines, and which combinations are possible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tempo_lab.analysis.attribution.image_units import PairUnits, PatchUnits
from tempo_lab.analysis.attribution.methods import METHODS, Method
from tempo_lab.analysis.attribution.targets import TARGETS, Target
from tempo_lab.analysis.attribution.units import SegmentUnits, SlotUnits, WordUnits
from tempo_lab.common.errors import TraceError, did_you_mean

UNITS: dict[str, type[Any]] = {
    "segments": SegmentUnits,
    "pairs": PairUnits,
    "patches": PatchUnits,
    "slots": SlotUnits,
    "words": WordUnits,
}
"""By name. Pairs, patches and slots belong to one segment."""
OF_ONE_SEGMENT = ("pairs", "patches", "slots")


@dataclass(frozen=True)
class AttributionSetup:
    """A possible combination of units, target, method and baseline.

    Attributes:
        units, target, method: as in `attribution`.
        baseline: the name of what replaces a unit that is removed.
        meaning: a description of the baseline.
    """

    units: str
    target: Target
    method: str
    baseline: str
    meaning: str

    @property
    def unit_type(self) -> type[Any]:
        """The class of the units."""
        return UNITS[self.units]

    @property
    def algorithm(self) -> Method:
        """The method's entry in `METHODS`."""
        return METHODS[self.method]

    @property
    def of_segment(self) -> bool:
        """Whether the units or the target belong to one segment."""
        return self.units in OF_ONE_SEGMENT or self.target.reads == "relevance"


def attribution_setup(
    units: str, target: str, method: str, baseline: str | None
) -> AttributionSetup:
    """Return the combination, with the default baseline where `baseline` is None.

    Raises:
        TraceError: a name is unknown, or the combination is impossible; possible ones are listed.
    """
    unit_type, aim = _find("units", units, UNITS), _find("target", target, TARGETS)
    _find("method", method, METHODS)
    if aim.reads not in unit_type.reads:
        raise _impossible(f"units={units!r} with target={target!r}")
    allowed = baselines_of(unit_type, method)
    if not allowed:
        raise _impossible(f"units={units!r} with method={method!r}")
    if baseline is None:
        baseline = allowed[0]
    _find("baseline", baseline, unit_type.baselines)
    if baseline not in allowed:
        raise _impossible(f"baseline={baseline!r} with units={units!r} and method={method!r}")
    return AttributionSetup(units, aim, method, baseline, unit_type.baselines[baseline])


def baselines_of(unit_type: type[Any], method: str) -> tuple[str, ...]:
    """Return the baselines of units that a method can use, the default first."""
    if not METHODS[method].gradients:
        return tuple(unit_type.baselines)
    if method == "layer_gradient_x_activation":  # a first-order step from zero
        return ("zero",) if "zero" in unit_type.path_baselines else ()
    return tuple(unit_type.path_baselines)


def combinations() -> list[str]:
    """Return the possible combinations, one line per units and group of methods."""
    lines = []
    for name, unit_type in UNITS.items():
        targets = [target.name for target in TARGETS.values() if target.reads in unit_type.reads]
        by_baselines: dict[tuple[str, ...], list[str]] = {}
        for method in METHODS:
            by_baselines.setdefault(baselines_of(unit_type, method), []).append(method)
        lines += [
            f"{name}; {', '.join(targets)}; {', '.join(methods)}; baseline {', '.join(baselines)}"
            for baselines, methods in by_baselines.items()
            if baselines
        ]
    return lines


def _impossible(asked: str) -> TraceError:
    return TraceError(
        "this combination is impossible",
        asked=asked,
        found="possible are (units; targets; methods; baselines)\n         "
        + "\n         ".join(combinations()),
        fix="choose from one of these lines",
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
