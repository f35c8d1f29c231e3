"""What a capture costs in memory, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tempo_lab.arguments import default_room
from tempo_lab.capture.choice import pick_layers
from tempo_lab.errors import CaptureError

if TYPE_CHECKING:
    from tempo_lab.capture.spec import Capture
    from tempo_lab.session import Session

FLOAT = 4
"""Bytes of a recorded number."""


@dataclass(frozen=True)
class Price:
    """MiB that a record may take at most.

    Attributes:
        parts: of each variable that it adds to the trace.
        dials: MiB in total with an option changed, of options that shrink it.
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
        turned = (f"{dial}: {mib:.2f} MiB" for dial, mib in self.dials.items())
        return "; ".join(turned) or "nothing shrinks it"


def price_of(
    spec: Capture, session: Session, question: str, max_new_tokens: int | None = None
) -> Price:
    """See `Capture.price`."""
    parts = dict(_parts(spec, session, question, max_new_tokens))
    total = sum(parts.values())
    dials = {}
    for dial, changed in _dials(spec):
        cheaper = sum(mib for _, mib in _parts(changed, session, question, max_new_tokens))
        if cheaper < total:
            dials[dial] = cheaper
    return Price(parts, dials)


def check_price(spec: Capture, session: Session, question: str, room: int) -> None:
    """Refuse a capture beyond its own limit.

    Raises:
        CaptureError: it may take more; says what would shrink it.
    """
    price = price_of(spec, session, question, room)
    if price.total > spec.limit_mib:
        raise CaptureError(
            "this capture does not fit its limit",
            asked=", ".join(f"{name} {mib:.2f} MiB" for name, mib in price.parts.items()),
            found=f"limit_mib = {spec.limit_mib:g}",
            fix=f"{price.fix}; or a higher limit_mib",
        )


def _parts(
    spec: Capture, session: Session, question: str, max_new_tokens: int | None
) -> Iterator[tuple[str, float]]:
    """(variable, MiB at most)."""
    config = session.checkpoint.model.config
    text = config.compressor_config.text_config
    segments, slots = len(session), config.num_compression_tokens
    layers = len(pick_layers(spec.layers, text.num_hidden_layers, "layers"))
    llm_layers = len(pick_layers(spec.llm_layers, config.num_hidden_layers, "llm_layers"))

    def mib(*sizes: int) -> float:
        bytes_ = FLOAT
        for size in sizes:
            bytes_ *= size
        return bytes_ / 2**20

    if spec.attention is not None and spec.attention.svlm:
        rows = _rows(spec.attention.svlm, len(spec.attention.memory_slots(slots)))
        width = _svlm_width(spec, session, question)
        heads = text.num_attention_heads
        yield "attention", mib(segments, layers, heads, rows, width)
    if spec.attention is not None and spec.attention.answer:
        context = int(config.tokenizer_model_max_length or config.max_position_embeddings)
        room = max_new_tokens or default_room(context)
        width = {"none": context, "top_k": 2 * spec.top}.get(spec.reduce, segments + 7)
        yield "answer_attention", mib(llm_layers, config.num_attention_heads, room, width)
    if spec.hidden is not None:
        rows = _rows(spec.hidden.svlm, len(spec.hidden.memory_slots(slots)))
        yield "hidden_state", mib(segments, layers, rows, text.hidden_size)
    if spec.memory:
        yield "memory_token", mib(segments, slots, text.hidden_size)
        yield "memory_projected", mib(segments, slots, config.hidden_size)
    if spec.layer_relevance:
        yield "layer_logit", mib(segments, layers)


def _rows(names: tuple[str, ...], slots: int) -> int:
    return len([name for name in names if name != "memory"]) + slots


def _svlm_width(spec: Capture, session: Session, question: str) -> int:
    """Numbers that one row becomes."""
    if spec.reduce == "top_k":
        return 2 * spec.top
    # segments have one shape but for the last, which is never longer in pairs
    first, last = (session.prompt(question, i) for i in (0, len(session) - 1))
    if spec.reduce == "none":
        return max(len(first), len(last)) + 8  # timestamps grow by a digit now and then
    patches = first.positions("vision")
    pairs = int(first.index[patches].max()) + 1
    if spec.reduce == "key_group":
        return pairs + 6
    return pairs * (int(first.row[patches].max()) + 1) * (int(first.column[patches].max()) + 1)


def _dials(spec: Capture) -> Iterator[tuple[str, Capture]]:
    """(what to change, the changed spec), of what may shrink it."""
    yield "layers=[-1]", replace(spec, layers=(-1,))
    yield "llm_layers=[-1]", replace(spec, llm_layers=(-1,))
    if spec.reduce == "none":
        yield 'reduce="key_group"', replace(spec, reduce="key_group")
    for name in ("attention", "hidden"):
        rows = getattr(spec, name)
        if rows is not None and "memory" in rows.names:
            fewer = replace(rows, slots=(0,))
            yield f"one slot in {name}", replace(spec, **{name: fewer})
    if spec.memory and (spec.attention or spec.hidden or spec.layer_relevance):
        yield "memory=False", replace(spec, memory=False)
