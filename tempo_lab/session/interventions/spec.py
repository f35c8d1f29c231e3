"""Interventions: what is to be different in a run, as plain data.

only = tl.Intervention.keep([8])
trace = video.ask(question, budget=64, interventions=[only, tl.Intervention.slots("tail")])
trace.interventions  # ('keep(segments=[8])', "slots(which='tail')")
tl.Intervention.of(trace)  # ready to be done again
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
from tempo_lab.session.capture.selection import several, whole

if TYPE_CHECKING:
    from tempo_lab.trace.trace import Trace

PLACES = ("decision", "query_last", "query 0", "memory 0")
"""Positions that can be patched; any number may stand for 0. The video is read before them."""


@dataclass(frozen=True)
class Intervention:
    """One thing that is different in a run; give one or several to `Session.ask`.

    Made by the methods below. Whatever their order, they take effect in this one: `question` and
    `patch` while the SVLM reads and writes; `drop`, `keep`, `allocate` and then `slots` after the
    budget was shared; `swap` before the LLM reads. Segments are always the video's own, counted
    from 0. What a segment loses is not shared again, so that its effect stands alone, and the
    budget is never exceeded.

    Attributes:
        kind: name of the method that made it.
        arguments: of that method, as plain numbers, texts and lists.

    Raises:
        CaptureError: what no video and no model can have. What this video or model does not have
            is refused by `Session.ask`, before anything is computed.
    """

    kind: str
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        if self.kind not in _READERS:
            raise CaptureError(
                "no such intervention",
                asked=repr(self.kind),
                found=", ".join(_READERS),
                fix=did_you_mean(self.kind, _READERS, "use one of these"),
            )
        object.__setattr__(self, "arguments", _READERS[self.kind](**self.arguments))

    def __repr__(self) -> str:
        return f"Intervention.{self}"

    def __str__(self) -> str:
        return format_call(self.kind, self.arguments)

    @classmethod
    def allocate(cls, tokens: Mapping[int, int]) -> Intervention:
        """Give some segments so many memory tokens, whatever their relevance; 0 drops one.

        Args:
            tokens: by segment; K at most, and together with those of the other segments no more
                than the budget.
        """
        return cls("allocate", {"tokens": tokens})

    @classmethod
    def drop(cls, segments: int | Iterable[int]) -> Intervention:
        """Give some segments no memory token, and so no timestamp either; all may be dropped."""
        return cls("drop", {"segments": segments})

    @classmethod
    def keep(cls, segments: int | Iterable[int]) -> Intervention:
        """Drop all segments but these."""
        return cls("keep", {"segments": segments})

    @classmethod
    def swap(cls, a: int, b: int) -> Intervention:
        """Exchange the memory of two segments at their places in time.

        Timestamps stay, tokens travel with the memory: a place whose new memory has no token loses
        its timestamp. In the trace, `tokens` and `kept` are by place, and `memory_from` says whose
        memory stands there; scores, and all that a capture records of the SVLM, are of the
        segments themselves. Several swaps follow each other.
        """
        return cls("swap", {"a": a, "b": b})

    @classmethod
    def slots(cls, which: str | Iterable[int]) -> Intervention:
        """Keep other memory slots than the strategy does.

        Args:
            which: "tail" or "random", as many as each segment was given ("random" draws by the
                question's `seed`); or numbers: then each segment that was given any keeps exactly
                these.
        """
        return cls("slots", {"which": which})

    @classmethod
    def question(cls, other: str) -> Intervention:
        """Compress for another question: the SVLM reads `other`, the LLM answers what was asked.

        Relevance, allocation and memory tokens are those of `other`.
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
        """Put another hidden state after one layer of the SVLM.

        What follows is computed from it: later layers, later positions, and, by the decision, the
        relevance that shares the budget. (With `scores=` the allocation stays as it was.) Nothing
        of such a run is kept for the next question. What `Capture(hidden=...)` recorded fits as it
        is: `trace.data["hidden_state"].sel(layer=1, hidden_row="decision")`, or its mean.

        Args:
            layer: its number; negative from the last.
            position: "decision" (which says Yes or No), "query_last", "query 3" (token 3 of the
                question, its line "Query:" included), or "memory 3". The video is read before
                these, once for all questions, and cannot be patched.
            value: a number for the whole state, an array [hidden] for all segments, or
                [segment, hidden] with a row for each of `segments`, in their order.
            segments: numbers, or "all". Memory slots that a segment does not need are not patched;
                it is an error if a segment named here, or of "all" every one, does not need it.
        """
        arguments = {"layer": layer, "position": position, "value": value, "segments": segments}
        return cls("patch", arguments)

    def describe(self) -> dict[str, Any]:
        """The same as plain JSON values, for a trace's provenance."""
        return plain_json({"kind": self.kind, **self.arguments})

    @classmethod
    def of(cls, trace: Trace) -> tuple[Intervention, ...]:
        """What was done in the run that made a trace, ready to be done again."""
        every = trace.provenance.get("interventions", ())
        return tuple(cls(**_split(described)) for described in every)


def _split(described: Mapping[str, Any]) -> dict[str, Any]:
    arguments = dict(described)
    return {"kind": arguments.pop("kind"), "arguments": arguments}


def check_interventions(given: object) -> tuple[Intervention, ...]:
    """One intervention or several, as a tuple.

    Raises:
        CaptureError: something else.
    """
    every = (given,) if isinstance(given, Intervention | str | Mapping) else given
    if isinstance(every, Iterable):
        found = tuple(every)
        if all(isinstance(one, Intervention) for one in found):
            return found
    raise CaptureError(
        "interventions say what is to be different",
        asked=f"interventions={one_line(repr(given), 120)}",
        fix="tempo_lab.Intervention.drop([3])",
    )


def _allocate(tokens: Any) -> dict[str, Any]:
    if not isinstance(tokens, Mapping) or not tokens:
        raise CaptureError(
            "allocate says how many tokens segments get",
            asked=one_line(repr(tokens), 120),
            fix="Intervention.allocate({3: 16})",
        )
    found = {
        whole(segment, "a segment", text=True): whole(count, "a number of tokens")
        for segment, count in tokens.items()
    }
    if min(found.values()) < 0:
        raise CaptureError("a segment gets 0 tokens or more", asked=f"allocate({found})")
    return {"tokens": found}


def _segments(segments: Any) -> dict[str, Any]:
    return {"segments": sorted(several(segments, "segment"))}


def _swap(a: Any, b: Any) -> dict[str, Any]:
    pair = {"a": whole(a, "a segment"), "b": whole(b, "a segment")}
    if pair["a"] == pair["b"]:
        raise CaptureError(
            "a segment swapped with itself changes nothing",
            asked=f"swap({pair['a']}, {pair['b']})",
            fix="name two segments",
        )
    return pair


def _slots(which: Any) -> dict[str, Any]:
    if isinstance(which, str):
        if which not in ("tail", "random"):
            raise CaptureError(
                "slots cannot be chosen so",
                asked=repr(which),
                found="tail, random, or numbers",
                fix=did_you_mean(which, ("tail", "random"), "name the slots"),
            )
        return {"which": which}
    numbers = sorted(several(which, "slot"))
    if numbers[0] < 0:
        raise CaptureError("slots are counted from 0", asked=f"slot {numbers[0]}", fix="slot 0")
    return {"which": numbers}


def _question(other: Any) -> dict[str, Any]:
    if not isinstance(other, str):
        raise QueryError(
            "the question to compress for is text",
            asked=one_line(repr(other), 120),
            found=type(other).__name__,
        )
    return {"other": other}


def _patch(layer: Any, position: Any, value: Any, segments: Any = "all") -> dict[str, Any]:
    name, _, number = str(position).partition(" ")
    numbered = name in ("query", "memory")
    if not (number.isdecimal() if numbered else position in PLACES):
        raise CaptureError(
            "no such position to patch",
            asked=repr(position),
            found=", ".join(PLACES) + ", and so on; the video is read before them",
            fix=did_you_mean(position, PLACES, "use one of these"),
        )
    try:
        array = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise CaptureError(
            "a patch is a number or an array of them",
            asked=one_line(repr(value), 120),
            found=str(error),
        ) from None
    if array.ndim > 2 or array.size == 0:
        raise CaptureError(
            "a patch is a number, [hidden] or [segment, hidden]", found=f"shape {array.shape}"
        )
    if wrong := int((~np.isfinite(array)).sum()):
        raise CaptureError(
            "a patch has numbers that are not finite",
            asked=f"shape {array.shape}",
            found=f"{wrong} of {array.size}",
            fix="leave out the segments that did not need this slot: segments=[...]",
        )
    everyone = isinstance(segments, str) and segments == "all"
    return {
        "layer": whole(layer, "a layer"),
        "position": f"{name} {int(number)}" if numbered else position,
        "value": array.tolist(),
        "segments": "all" if everyone else several(segments, "segment"),
    }


_READERS: dict[str, Callable[..., dict[str, Any]]] = {
    "allocate": _allocate,
    "drop": _segments,
    "keep": _segments,
    "swap": _swap,
    "slots": _slots,
    "question": _question,
    "patch": _patch,
}
"""How the arguments of each kind are checked and made plain."""
