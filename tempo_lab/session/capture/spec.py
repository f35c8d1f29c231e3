"""What to record, as plain data: rows, layers, reduction. Each value is checked on construction."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from tempo_lab.common.deprecation import renamed_keywords
from tempo_lab.common.errors import CaptureError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.session.capture.selection import Every, check_selection, resolve

SVLM_ROWS = ("decision", "query_last", "memory")
"""Positions of the SVLM's prompt: the Yes/No decision, the question's last token, memory slots."""
ANSWER_ROW = "answer"
"""The LLM's positions that generate the tokens of the answer."""
REDUCTIONS = ("none", "key_group", "patch_grid", "top_k")


@dataclass(frozen=True)
class Price:
    """MiB that a record takes at most.

    Attributes:
        parts: MiB of each variable that it adds to the trace.
        dials: total MiB after changing one option, for each option that shrinks the record.
    """

    parts: dict[str, float]
    dials: dict[str, float]

    @property
    def total(self) -> float:
        """MiB of all parts."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        parts = ", ".join(f"{name} {mib:.2f}" for name, mib in self.parts.items())
        return f"{self.total:.2f} MiB at most ({parts}); {self.fix}"

    @property
    def fix(self) -> str:
        """The dials in one line."""
        dials = (f"{dial}: {mib:.2f} MiB" for dial, mib in self.dials.items())
        return "; ".join(dials) or "nothing shrinks it"


class CostEstimator(Protocol):
    """Estimates what a capture costs; a `Session` is one."""

    def capture_cost(
        self, capture: Capture, question: str = "", *, max_new_tokens: int | None = None
    ) -> Price:
        """Return what the capture takes at most."""


@dataclass(frozen=True)
class Rows:
    """Query rows whose attention or hidden states are recorded.

    Attributes:
        names: "decision", "query_last", "memory" of the SVLM; "answer" of the LLM.
        slots: memory slots that "memory" stands for; by default all slots that were computed for
            the allocation.

    Raises:
        CaptureError: there is no such row or slot.
    """

    names: Sequence[str]
    slots: Every | Sequence[int] = "all"

    def __post_init__(self) -> None:
        known = (*SVLM_ROWS, ANSWER_ROW)
        if not isinstance(self.names, Iterable):
            raise CaptureError(
                "rows must be given by name",
                asked=repr(self.names),
                found=", ".join(known),
                fix='Rows(["decision"])',
            )
        names = (self.names,) if isinstance(self.names, str) else tuple(self.names)
        for name in names:
            if name not in known:
                raise CaptureError(
                    "no such row",
                    asked=repr(name),
                    found=", ".join(known),
                    fix=did_you_mean(name, known, "use one of these; slots=[7] selects a slot"),
                )
        if not names:
            raise CaptureError("no row is given", found=", ".join(known), fix='Rows(["decision"])')
        object.__setattr__(self, "names", tuple(dict.fromkeys(names)))
        slots = check_selection(self.slots, "slot", minimum=0, unique=False)
        object.__setattr__(self, "slots", slots)
        if slots != "all" and "memory" not in names:
            raise CaptureError(
                "slots select memory rows, but memory rows are not requested",
                asked=f"Rows({list(names)}, slots={slots})",
                fix='add the row "memory", or leave slots out',
            )

    @property
    def svlm(self) -> tuple[str, ...]:
        """The names of the SVLM's rows."""
        return tuple(name for name in self.names if name != ANSWER_ROW)

    @property
    def answer(self) -> bool:
        """Whether the LLM's rows are included."""
        return ANSWER_ROW in self.names

    def memory_slots(self, total: int) -> tuple[int, ...]:
        """Return the requested memory slots, in their order.

        Args:
            total: memory slots of the model.

        Raises:
            CaptureError: the model does not have one of them.
        """
        if "memory" not in self.names:
            return ()
        every = resolve(self.slots, total, "slot")
        return every if self.slots == "all" else tuple(self.slots)


@dataclass(frozen=True)
class Capture:
    """What to record while a question runs; pass it to `Session.ask(..., capture=...)`.

    Rows can be recorded only while they are computed. A question that was asked before is therefore
    read again from the best cache available. If keys and values are cached, only the question and
    the memory tokens are computed again, not the video.

    A capture adds these variables to `trace.data`. Probabilities and hidden states are float32, and
    NaN where a segment has no such group or its allocation needed no such slot.

    * attention [segment, layer, head, row, key_group]; the last dimension is `key` with
      reduce="none"; `pair, patch_row, patch_column` with "patch_grid" (the sum is the share of all
      patches; the rest went to text and memory); `rank` with "top_k" (`attention_key` holds the
      key of each rank).
    * answer_attention [llm_layer, llm_head, answer_token, llm_key_group], with row "answer".
      The LLM's prompt has no patches, so "patch_grid" records its key groups.
    * hidden_state [segment, layer, hidden_row, hidden], after each layer.
    * memory_token [segment, slot, hidden], memory_projected [segment, slot, llm_hidden]: the memory
      tokens before and after the projector, in the slots that were needed; NaN in the others.
    * layer_logit [segment, layer]: Yes - No read from each layer's decision state (the logit lens:
      final norm, then the two rows); the last layer's is the relevance logit.

    Attributes:
        attention: rows whose attention is recorded.
        hidden: rows whose hidden states are recorded; SVLM only.
        memory: whether to record memory tokens before and after the projector.
        layer_relevance: whether to record the relevance logit of each layer.
        layers: layers of the SVLM: "all" or numbers; negative numbers count from the last.
        heads: heads of the SVLM whose attention is recorded, selected like layers.
        llm_layers: layers of the LLM, selected like layers.
        reduce: "none" (every key), "key_group" (system, timestamps, each frame pair, query, text,
            earlier memory, self), "patch_grid", "top_k".
        top_k: number of keys that the reduction "top_k" keeps.
        max_bytes: maximal size of the record; a larger one is refused before anything runs.

    Raises:
        CaptureError: something cannot be recorded.
    """

    attention: Rows | None = None
    hidden: Rows | None = None
    memory: bool = False
    layer_relevance: bool = False
    layers: Every | Sequence[int] = "all"
    heads: Every | Sequence[int] = "all"
    llm_layers: Every | Sequence[int] = "all"
    reduce: str = "key_group"
    top_k: int = 8
    max_bytes: int = 2**30

    def __post_init__(self) -> None:
        for name in ("attention", "hidden"):
            rows = getattr(self, name)
            if rows is not None and not isinstance(rows, Rows):
                object.__setattr__(self, name, Rows(rows))
        for name in ("layers", "heads", "llm_layers"):
            numbers = check_selection(getattr(self, name), name.rstrip("s"), unique=False)
            object.__setattr__(self, name, numbers)
        if self.reduce not in REDUCTIONS:
            raise CaptureError(
                "no such reduction of attention",
                asked=f"reduce={self.reduce!r}",
                found=", ".join(REDUCTIONS),
                fix=did_you_mean(self.reduce, REDUCTIONS, "use one of these"),
            )
        for name in ("top_k", "max_bytes"):
            number = check_whole(name, getattr(self, name), 1, error=CaptureError)
            object.__setattr__(self, name, number)
        if self.hidden is not None and self.hidden.answer:
            raise CaptureError(
                "hidden states are recorded for the SVLM only",
                asked=f"hidden={list(self.hidden.names)}",
                found=", ".join(SVLM_ROWS),
                fix='leave "answer" out',
            )
        if self.heads != "all" and not (self.attention and self.attention.svlm):
            raise CaptureError(
                "heads select the SVLM's attention, but no row of it is requested",
                asked=f"heads={list(self.heads)}",
                fix='add attention=["decision"], or leave heads out',
            )
        if not (self.attention or self.hidden or self.memory or self.layer_relevance):
            raise CaptureError(
                "the capture records nothing",
                fix="Capture(attention=..., hidden=..., memory=True, layer_relevance=True)",
            )

    def price(
        self, session: CostEstimator, question: str = "", *, max_new_tokens: int | None = None
    ) -> Price:
        """Return the MiB that the record takes at most, by part, and which options shrink it.

        Nothing is decoded or computed. Slots and answer tokens that are not needed take no space in
        the end.

        Args:
            session: the opened video.
            question: the question; by default a short one.
            max_new_tokens: see `Session.ask`.

        Raises:
            CaptureError: this model does not have a layer, head or slot; or `session` is not an
                opened video.
        """
        if not hasattr(session, "capture_cost"):
            raise CaptureError(
                "the cost of a capture can be estimated only for an opened video",
                asked=one_line(repr(session), 120),
                found=type(session).__name__,
                fix="with tempo.open(PATH) as video: capture.price(video)",
            )
        return session.capture_cost(self, question, max_new_tokens=max_new_tokens)

    def selected(self, option: str, count: int) -> tuple[int, ...]:
        """Return the selected layers or heads in ascending order.

        Args:
            option: "layers", "heads" or "llm_layers".
            count: number of layers or heads of the model.

        Raises:
            CaptureError: the model does not have one of them.
        """
        noun = "head" if option == "heads" else "layer"
        return resolve(getattr(self, option), count, noun, option=option, from_end=True)

    def describe(self) -> dict[str, Any]:
        """Return the capture as plain data, for the trace's provenance."""
        described: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return described


def _bytes_of(mib: float) -> int:
    return sys.maxsize if mib == math.inf else int(mib * 2**20)


# a dataclass writes its own __init__
Capture.__init__ = renamed_keywords(  # type: ignore[method-assign]
    top="top_k", limit_mib=("max_bytes", _bytes_of)
)(Capture.__init__)
