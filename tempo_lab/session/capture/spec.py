"""What is to be recorded: rows, layers, reduction. Plain data; checked as far as it can be."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tempo_lab.common.errors import CaptureError, did_you_mean
from tempo_lab.common.text import one_line
from tempo_lab.session.capture.cost import Price, price_of
from tempo_lab.session.capture.selection import Every, check_slots, whole_numbers

if TYPE_CHECKING:
    from tempo_lab.session.session import Session

SVLM_ROWS = ("decision", "query_last", "memory")
"""Positions of the SVLM's prompt: the Yes/No decision, the question's last token, memory slots."""
ANSWER_ROW = "answer"
"""Of the LLM: where it looked while it wrote each token of the answer."""
REDUCTIONS = ("none", "key_group", "patch_grid", "top_k")


@dataclass(frozen=True)
class Rows:
    """Query rows whose attention, or hidden state, is recorded.

    Attributes:
        names: "decision", "query_last", "memory" of the SVLM; "answer" of the LLM.
        slots: which memory slots "memory" means; by default all that the allocation has computed.

    Raises:
        CaptureError: no such row, or a slot that is none.
    """

    names: Sequence[str]
    slots: Every | Sequence[int] = "all"

    def __post_init__(self) -> None:
        known = (*SVLM_ROWS, ANSWER_ROW)
        if not isinstance(self.names, Iterable):
            raise CaptureError(
                "rows are named",
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
                    fix=did_you_mean(name, known, "use one of these; slots=[7] names a slot"),
                )
        if not names:
            raise CaptureError(
                "no row is asked for", found=", ".join(known), fix='Rows(["decision"])'
            )
        object.__setattr__(self, "names", tuple(dict.fromkeys(names)))
        object.__setattr__(self, "slots", whole_numbers(self.slots, "slots", least=0))
        if self.slots != "all" and "memory" not in names:
            raise CaptureError(
                "slots are of memory rows, and none is asked for",
                asked=f"Rows({list(names)}, slots={self.slots})",
                fix='name "memory" too, or leave slots out',
            )

    @property
    def svlm(self) -> tuple[str, ...]:
        """The names that are the SVLM's."""
        return tuple(name for name in self.names if name != ANSWER_ROW)

    @property
    def answer(self) -> bool:
        """Whether the LLM's rows are among them."""
        return ANSWER_ROW in self.names

    def memory_slots(self, total: int) -> tuple[int, ...]:
        """The slots asked for, out of `total`.

        Raises:
            CaptureError: one is beyond them.
        """
        if "memory" not in self.names:
            return ()
        if self.slots == "all":
            return tuple(range(total))
        slots = tuple(int(slot) for slot in self.slots)
        check_slots(slots, total)
        return slots


@dataclass(frozen=True)
class Capture:
    """What to record while a question runs. Give it to `Session.ask(..., capture=...)`.

    A question that was asked before is read again for it, from the best thing kept: rows can be
    recorded only while they are computed. With keys and values kept, that is the question and the
    memory tokens, not the video.

    What it adds to `trace.data` (probabilities and hidden states as float32; NaN where a segment
    has no such group, or its allocation needed no such slot):

    * attention [segment, layer, head, row, key_group]; the last dimension is `key` with
      reduce="none", `pair, patch_row, patch_column` with "patch_grid" (its sum is what all patches
      got; the rest went to text and memory), `rank` with "top_k" (`attention_key` says which key).
    * answer_attention [llm_layer, llm_head, answer_token, llm_key_group], with row "answer".
      Patches are not the LLM's, so "patch_grid" gives its key groups.
    * hidden_state [segment, layer, hidden_row, hidden], after each layer.
    * memory_token [segment, slot, hidden], memory_projected [segment, slot, llm_hidden]: what the
      SVLM wrote in the slots that were needed, before and after the projector; NaN in others.
    * layer_logit [segment, layer]: Yes - No read from each layer's decision state (the logit lens:
      final norm, then the two rows); the last layer's is the relevance logit.

    Attributes:
        attention: rows whose attention is recorded.
        hidden: rows whose hidden states are recorded; of the SVLM only.
        memory: whether to record memory tokens before and after the projector.
        layer_relevance: whether to record the relevance logit by layer.
        layers: of the SVLM; "all" or numbers, negative ones from the last.
        heads: of the SVLM, whose attention is recorded; likewise.
        llm_layers: of the LLM.
        reduce: "none" (every key), "key_group" (system, timestamps, each frame pair, query, text,
            earlier memory, self), "patch_grid", "top_k".
        top: keys that "top_k" keeps.
        limit_mib: MiB that the record may have at most; more is refused before anything runs.

    Raises:
        CaptureError: something that cannot be recorded.
    """

    attention: Rows | None = None
    hidden: Rows | None = None
    memory: bool = False
    layer_relevance: bool = False
    layers: Every | Sequence[int] = "all"
    heads: Every | Sequence[int] = "all"
    llm_layers: Every | Sequence[int] = "all"
    reduce: str = "key_group"
    top: int = 8
    limit_mib: float = 1024.0

    def __post_init__(self) -> None:
        for name in ("attention", "hidden"):
            rows = getattr(self, name)
            if rows is not None and not isinstance(rows, Rows):
                object.__setattr__(self, name, Rows(rows))
        for name in ("layers", "heads", "llm_layers"):
            object.__setattr__(self, name, whole_numbers(getattr(self, name), name))
        if self.reduce not in REDUCTIONS:
            raise CaptureError(
                "attention cannot be reduced so",
                asked=f"reduce={self.reduce!r}",
                found=", ".join(REDUCTIONS),
                fix=did_you_mean(self.reduce, REDUCTIONS, "use one of these"),
            )
        if isinstance(self.top, bool) or not isinstance(self.top, int) or self.top < 1:
            raise CaptureError("top_k keeps 1 key or more", asked=f"top={self.top!r}")
        limit = self.limit_mib
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            raise CaptureError("a limit is more than 0 MiB", asked=f"limit_mib={limit!r}")
        if self.hidden is not None and self.hidden.answer:
            raise CaptureError(
                "hidden states are recorded of the SVLM only",
                asked=f"hidden={list(self.hidden.names)}",
                found=", ".join(SVLM_ROWS),
                fix='leave "answer" out',
            )
        if self.heads != "all" and not (self.attention and self.attention.svlm):
            raise CaptureError(
                "heads are of the SVLM's attention, and none of it is asked for",
                asked=f"heads={list(self.heads)}",
                fix='attention=["decision"] too, or leave heads out',
            )
        if not (self.attention or self.hidden or self.memory or self.layer_relevance):
            raise CaptureError(
                "nothing is to be recorded",
                fix="Capture(attention=..., hidden=..., memory=True, layer_relevance=True)",
            )

    def price(
        self, session: Session, question: str = "", *, max_new_tokens: int | None = None
    ) -> Price:
        """MiB that the record may take at most, by part, and what would shrink it.

        Nothing is decoded or computed. Slots and answer tokens that are not needed cost nothing
        in the end.

        Args:
            session: the opened video.
            question: the question; by default a short one.
            max_new_tokens: as of `Session.ask`.

        Raises:
            CaptureError: a layer, head or slot that this model does not have; or no session.
        """
        if not (hasattr(session, "checkpoint") and hasattr(session, "video")):
            raise CaptureError(
                "a price is of an opened video",
                asked=one_line(repr(session), 120),
                found=type(session).__name__,
                fix="with tempo.open(PATH) as video: capture.price(video)",
            )
        return price_of(self, session, question, max_new_tokens)

    def describe(self) -> dict[str, Any]:
        """What was asked, as plain data, for the trace's provenance."""
        described: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return described
