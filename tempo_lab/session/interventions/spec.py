"""Interventions: what to change in a run, as plain data.

only = tl.Intervention.keep([8])
trace = video.ask(question, budget=64, interventions=[only, tl.Intervention.slots("tail")])
trace.interventions  # ('keep(segments=[8])', "slots(which='tail')")
tl.Intervention.of(trace)  # the same interventions, to repeat the run
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from tempo_lab.common.errors import CaptureError, QueryError, did_you_mean
from tempo_lab.common.netcdf import plain_json
from tempo_lab.common.text import format_call, one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.session.capture.selection import check_numbers, check_selection

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

POSITIONS = ("decision", "query_last", "query 0", "memory 0")
"""Positions that can be patched; 0 stands for any number. The video comes before all of them."""


@dataclass(frozen=True)
class Intervention:
    """One change of a run; pass one or several to `Session.ask`.

    Use the methods below to make an intervention. Interventions take effect in this order, however
    they are listed: `question` and `patch` while the SVLM reads and writes; `drop`, `keep`,
    `allocate` and then `slots` after the budget was allocated; `swap` before the LLM reads.
    Segments are numbered from 0 in the video's order. Tokens that a segment loses are not given to
    other segments, so that the effect can be attributed to that segment. The budget is never
    exceeded.

    Attributes:
        kind: name of the method that made the intervention.
        arguments: arguments of that method, as plain numbers, strings and lists.

    Raises:
        CaptureError: the arguments are invalid for every video and model. `Session.ask` refuses
            what its own video or model does not have, before anything is computed.
    """

    kind: str
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in _CHECKS:
            raise CaptureError(
                "no such intervention",
                asked=repr(self.kind),
                found=", ".join(_CHECKS),
                fix=did_you_mean(self.kind, _CHECKS, "use one of these"),
            )
        object.__setattr__(self, "arguments", _CHECKS[self.kind](**self.arguments))

    def __repr__(self) -> str:
        return f"Intervention.{self}"

    def __str__(self) -> str:
        return format_call(self.kind, self.arguments)

    @classmethod
    def allocate(cls, tokens: Mapping[int, int]) -> Intervention:
        """Set the number of memory tokens of some segments, whatever their relevance.

        Args:
            tokens: number of tokens by segment: 0 drops the segment, K is the maximum. Together
                with the other segments' tokens they must fit the budget.
        """
        return cls("allocate", {"tokens": tokens})

    @classmethod
    def drop(cls, segments: int | Iterable[int]) -> Intervention:
        """Remove all memory tokens of some segments, and with them their timestamps.

        Args:
            segments: number of one or several segments; all segments may be dropped.
        """
        return cls("drop", {"segments": segments})

    @classmethod
    def keep(cls, segments: int | Iterable[int]) -> Intervention:
        """Drop all segments except these.

        Args:
            segments: number of one or several segments.
        """
        return cls("keep", {"segments": segments})

    @classmethod
    def swap(cls, a: int, b: int) -> Intervention:
        """Exchange the memory of two segments at their positions in time.

        Timestamps stay at their positions and tokens move with the memory. A position whose new
        memory has no token loses its timestamp. In the trace, `tokens` and `kept` are by position,
        and `memory_from` names the segment whose memory is placed there; scores, and what a capture
        records from the SVLM, belong to the segments themselves. Several swaps are applied one
        after the other.

        Args:
            a: number of one segment.
            b: number of the other segment.
        """
        return cls("swap", {"a": a, "b": b})

    @classmethod
    def slots(cls, which: str | Iterable[int]) -> Intervention:
        """Keep other memory slots than the strategy does.

        Args:
            which: "tail" or "random", as many slots as each segment was allocated ("random" uses
                the question's `seed`); or numbers of slots, and then every segment with at least
                one token keeps exactly these.
        """
        return cls("slots", {"which": which})

    @classmethod
    def question(cls, other: str) -> Intervention:
        """Compress the video for another question; the LLM still answers the original one.

        Relevance, allocation and memory tokens are those of the other question.

        Args:
            other: the question that the SVLM reads.
        """
        return cls("question", {"other": other})

    @classmethod
    def patch(
        cls,
        layer: int,
        position: str,
        value: float | ArrayLike,
        segments: str | int | Iterable[int] = "all",
    ) -> Intervention:
        """Replace a hidden state after one layer of the SVLM.

        Everything after it is computed from the new state: later layers, later positions and,
        through the decision, the relevance by which the budget is allocated. (With `scores=` the
        allocation does not change.) Nothing of such a run is cached for the next question. States
        that `Capture(hidden=...)` recorded can be used unchanged:
        `trace.data["hidden_state"].sel(layer=1, hidden_row="decision")`, or their mean.

        Args:
            layer: number of the layer; negative numbers count from the last.
            position: "decision" (which decides between Yes and No), "query_last", "query 3" (token
                3 of the question, its line "Query:" included), or "memory 3". The video comes
                before these positions and is read once for all questions, so it cannot be patched.
            value: a number for the whole state, an array [hidden] for all segments, or
                [segment, hidden] with one row for each of `segments`, in their order.
            segments: numbers, or "all". A memory slot that a segment does not need is not patched.
                It is an error if a segment given by number does not need the slot, or if with
                "all" no segment needs it.
        """
        arguments = {"layer": layer, "position": position, "value": value, "segments": segments}
        return cls("patch", arguments)

    def describe(self) -> dict[str, Any]:
        """Return the intervention as plain JSON values, for a trace's provenance."""
        return plain_json({"kind": self.kind, **self.arguments})

    @classmethod
    def of(cls, trace: Trace) -> tuple[Intervention, ...]:
        """Return the interventions of the run that made a trace."""
        described = trace.provenance.get("interventions", ())
        return tuple(
            cls(one["kind"], {name: value for name, value in one.items() if name != "kind"})
            for one in described
        )


def check_interventions(interventions: object) -> tuple[Intervention, ...]:
    """Return one or several interventions as a tuple.

    Raises:
        CaptureError: there is something else than an intervention.
    """
    single = isinstance(interventions, Intervention | str | Mapping)
    items = (interventions,) if single else interventions
    if isinstance(items, Iterable):
        several = tuple(items)
        if all(isinstance(one, Intervention) for one in several):
            return several
    raise CaptureError(
        "interventions must be one or several Intervention objects",
        asked=f"interventions={one_line(repr(interventions), 120)}",
        fix="tempo_lab.Intervention.drop([3])",
    )


def _allocate(tokens: Any) -> dict[str, Any]:
    if not isinstance(tokens, Mapping) or not tokens:
        raise CaptureError(
            "allocate needs a number of tokens by segment",
            asked=one_line(repr(tokens), 120),
            fix="Intervention.allocate({3: 16})",
        )
    counts = {}
    for segment, count in tokens.items():
        if isinstance(segment, str) and segment.removeprefix("-").isdecimal():
            segment = int(segment)  # JSON writes keys as strings
        number = check_whole("segment", segment, error=CaptureError)
        counts[number] = check_whole("tokens", count, 0, error=CaptureError)
    return {"tokens": counts}


def _segments(segments: Any) -> dict[str, Any]:
    return {"segments": sorted(check_numbers(segments, "segment"))}


def _swap(a: Any, b: Any) -> dict[str, Any]:
    a, b = (check_whole("segment", segment, error=CaptureError) for segment in (a, b))
    if a == b:
        raise CaptureError(
            "swapping a segment with itself changes nothing",
            asked=f"swap({a}, {b})",
            fix="give two different segments",
        )
    return {"a": a, "b": b}


def _slots(which: Any) -> dict[str, Any]:
    if isinstance(which, str):
        if which not in ("tail", "random"):
            raise CaptureError(
                "no such choice of slots",
                asked=repr(which),
                found="tail, random, or numbers",
                fix=did_you_mean(which, ("tail", "random"), "give the numbers of the slots"),
            )
        return {"which": which}
    return {"which": sorted(check_numbers(which, "slot", minimum=0))}


def _question(other: Any) -> dict[str, Any]:
    if not isinstance(other, str):
        raise QueryError(
            "the question to compress for must be a string",
            asked=one_line(repr(other), 120),
            found=type(other).__name__,
        )
    return {"other": other}


def _patch(layer: Any, position: Any, value: Any, segments: Any = "all") -> dict[str, Any]:
    kind, _, number = str(position).partition(" ")
    numbered = kind in ("query", "memory")
    if not (number.isdecimal() if numbered else position in POSITIONS):
        raise CaptureError(
            "no such position to patch",
            asked=repr(position),
            found=", ".join(POSITIONS) + ", and so on; the video comes before them",
            fix=did_you_mean(position, POSITIONS, "use one of these"),
        )
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise CaptureError(
            "the value of a patch must be a number or an array of numbers",
            asked=one_line(repr(value), 120),
            found=str(error),
        ) from None
    if array.ndim > 2 or array.size == 0:
        raise CaptureError(
            "the value of a patch must be a number, [hidden] or [segment, hidden]",
            found=f"shape {array.shape}",
        )
    if wrong := int((~np.isfinite(array)).sum()):
        raise CaptureError(
            "the value of a patch has numbers that are not finite",
            asked=f"shape {array.shape}",
            found=f"{wrong} of {array.size}",
            fix="leave out the segments that did not need this slot: segments=[...]",
        )
    selection = check_selection(segments, "segment")
    return {
        "layer": check_whole("layer", layer, error=CaptureError),
        "position": f"{kind} {int(number)}" if numbered else position,
        "value": array.tolist(),
        "segments": selection if selection == "all" else list(selection),
    }


_CHECKS: dict[str, Callable[..., dict[str, Any]]] = {
    "allocate": _allocate,
    "drop": _segments,
    "keep": _segments,
    "swap": _swap,
    "slots": _slots,
    "question": _question,
    "patch": _patch,
}
"""Functions that check the arguments of each kind and return them as plain data."""
