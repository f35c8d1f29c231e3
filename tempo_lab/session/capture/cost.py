"""What a capture costs in memory, before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tempo_lab.common.errors import CaptureError
from tempo_lab.session.capture.selection import pick_heads, pick_layers
from tempo_lab.session.validation import default_room

if TYPE_CHECKING:
    from tempo_lab.model.config import TempoConfig
    from tempo_lab.session.capture.spec import Capture
    from tempo_lab.session.session import Session

FLOAT = 4
"""Bytes of a recorded number."""
SPARE = 8
"""Positions that timestamps may grow by in a prompt: a digit now and then."""


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
    return _price(spec, _sizes(session, question, max_new_tokens))


def check_price(spec: Capture, session: Session, question: str, room: int, text: int) -> None:
    """Refuse a capture beyond its own limit.

    Args:
        room: tokens that the answer may have.
        text: positions of the LLM's prompt that are not the video's.

    Raises:
        CaptureError: it may take more; says what would shrink it.
    """
    sizes = _sizes(session, question, room, text)
    if sum(mib for _, mib in _parts(spec, sizes)) > spec.limit_mib:
        price = _price(spec, sizes)
        raise CaptureError(
            "this capture does not fit its limit",
            asked=", ".join(f"{name} {mib:.2f} MiB" for name, mib in price.parts.items()),
            found=f"limit_mib = {spec.limit_mib:g}",
            fix=f"{price.fix}; or a higher limit_mib",
        )


@dataclass(frozen=True)
class _Sizes:
    """What the price depends on beside the capture.

    Attributes:
        positions: of the longest segment's prompt.
        grid: frame pairs, patch rows and columns of the longest segment.
        answer: tokens that the answer may have.
        context: positions that the LLM may read.
    """

    config: TempoConfig
    segments: int
    positions: int
    grid: tuple[int, int, int]
    answer: int
    context: int


def _sizes(session: Session, question: str, room: int | None, text: int | None = None) -> _Sizes:
    config, prompts = session.checkpoint.model.config, session.checkpoint.prompts
    # segments have one shape but for the last, which is never longer in pairs
    first, last = (session.prompt(question, i) for i in (0, len(session) - 1))
    patches = first.positions("vision")
    pairs, rows, columns = (
        int(axis[patches].max()) + 1 for axis in (first.index, first.row, first.column)
    )
    limit = int(config.tokenizer_model_max_length or config.max_position_embeddings)
    room = room or default_room(limit)
    if text is None:
        text = len(prompts.opening()) + len(prompts.closing(question))
    stamp = len(prompts.timestamp(float(session.video.segment_times[-1, 1]))) + SPARE
    video = len(session) * (config.num_compression_tokens + stamp)
    return _Sizes(
        config=config,
        segments=len(session),
        positions=max(len(first), len(last)) + SPARE,
        grid=(pairs, rows, columns),
        answer=room,
        context=min(limit, video + text + room),
    )


def _price(spec: Capture, sizes: _Sizes) -> Price:
    parts = dict(_parts(spec, sizes))
    totals = {dial: sum(mib for _, mib in _parts(other, sizes)) for dial, other in _dials(spec)}
    whole = sum(parts.values())
    return Price(parts, {dial: mib for dial, mib in totals.items() if mib < whole})


def _parts(spec: Capture, sizes: _Sizes) -> Iterator[tuple[str, float]]:
    """(variable, MiB at most)."""
    config = sizes.config
    text = config.compressor_config.text_config
    segments, slots = sizes.segments, config.num_compression_tokens
    layers = len(pick_layers(spec.layers, text.num_hidden_layers, "layers"))
    llm_layers = len(pick_layers(spec.llm_layers, config.num_hidden_layers, "llm_layers"))
    heads = len(pick_heads(spec.heads, text.num_attention_heads))

    def mib(*numbers: int) -> float:
        return FLOAT * math.prod(numbers) / 2**20

    if spec.attention is not None and spec.attention.svlm:
        rows = _rows(spec.attention.svlm, len(spec.attention.memory_slots(slots)))
        width = {
            "none": sizes.positions,
            "key_group": sizes.grid[0] + 6,
            "patch_grid": math.prod(sizes.grid),
            "top_k": 2 * spec.top,
        }[spec.reduce]
        yield "attention", mib(segments, layers, heads, rows, width)
    if spec.attention is not None and spec.attention.answer:
        width = {"none": sizes.context, "top_k": 2 * spec.top}.get(spec.reduce, segments + 7)
        yield "answer_attention", mib(llm_layers, config.num_attention_heads, sizes.answer, width)
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


def _dials(spec: Capture) -> Iterator[tuple[str, Capture]]:
    """(what to change, the changed spec), of what may shrink it."""
    yield "layers=[-1]", replace(spec, layers=(-1,))
    yield "llm_layers=[-1]", replace(spec, llm_layers=(-1,))
    if spec.attention is not None and spec.attention.svlm:
        yield "heads=[0]", replace(spec, heads=(0,))
    if spec.reduce == "none":
        yield 'reduce="key_group"', replace(spec, reduce="key_group")
    for name in ("attention", "hidden"):
        rows = getattr(spec, name)
        if rows is not None and "memory" in rows.names:
            fewer = replace(rows, slots=(0,))
            yield f"one slot in {name}", replace(spec, **{name: fewer})
    if spec.memory and (spec.attention or spec.hidden or spec.layer_relevance):
        yield "memory=False", replace(spec, memory=False)
