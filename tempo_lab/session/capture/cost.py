"""Estimate the memory of a capture before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tempo_lab.common.errors import CaptureError
from tempo_lab.model.config import TempoConfig
from tempo_lab.session.capture.key_groups import visual_grid
from tempo_lab.session.capture.spec import Capture, Price, Rows
from tempo_lab.session.engine import CompressorEngine
from tempo_lab.session.validation import default_answer_budget

FLOAT_BYTES = 4
"""Bytes of a recorded number."""
SPARE_POSITIONS = 8
"""Positions by which the timestamps of a prompt may grow, when a number gains a digit."""


def estimate_cost(
    capture: Capture, engine: CompressorEngine, question: str, max_new_tokens: int | None = None
) -> Price:
    """Return what a capture takes at most; see `Capture.price`."""
    return _cost(capture, _sizes(engine, question, max_new_tokens))


def check_cost(
    capture: Capture, engine: CompressorEngine, question: str, answer_budget: int, text: int
) -> None:
    """Refuse a capture that may exceed its own limit.

    Args:
        capture: what to record.
        engine: reads the video.
        question: what the SVLM reads.
        answer_budget: tokens that the answer may have.
        text: positions of the LLM's prompt that do not belong to the video.

    Raises:
        CaptureError: it may exceed the limit; the message names the options that shrink it.
    """
    sizes = _sizes(engine, question, answer_budget, text)
    if sum(mib for _, mib in _parts(capture, sizes)) > capture.max_bytes / 2**20:
        cost = _cost(capture, sizes)
        raise CaptureError(
            "this capture does not fit its limit",
            asked=", ".join(f"{name} {mib:.2f} MiB" for name, mib in cost.parts.items()),
            found=f"max_bytes={capture.max_bytes}, {capture.max_bytes / 2**20:.2f} MiB",
            fix=f"{cost.fix}; or a higher max_bytes",
        )


@dataclass(frozen=True)
class _Sizes:
    """Sizes of the model, video and question that determine the cost.

    Attributes:
        positions: positions of the longest segment's prompt.
        grid: frame pairs, patch rows and patch columns of the longest segment.
        answer: tokens that the answer may have.
        context: positions that the LLM may read.
    """

    config: TempoConfig
    segments: int
    positions: int
    grid: tuple[int, int, int]
    answer: int
    context: int


def _sizes(
    engine: CompressorEngine, question: str, answer_budget: int | None, text: int | None = None
) -> _Sizes:
    config, prompts = engine.checkpoint.model.config, engine.prompts
    segments, slots = len(engine.video), config.num_compression_tokens
    # all segments have the same shape, except that the last one may have fewer frame pairs
    first, last = (engine.svlm_prompt(question, segment) for segment in (0, segments - 1))
    limit = config.context_length
    answer = answer_budget or default_answer_budget(engine.checkpoint.model)
    if text is None:
        text = len(prompts.opening()) + len(prompts.closing(question))
    last_end = len(engine.video.plan) / engine.video.plan.fps  # on the clock of the prompt
    timestamp = len(prompts.timestamp(last_end)) + SPARE_POSITIONS
    return _Sizes(
        config=config,
        segments=segments,
        positions=max(len(first), len(last)) + SPARE_POSITIONS,
        grid=visual_grid(first),
        answer=answer,
        context=min(limit, segments * (slots + timestamp) + text + answer),
    )


def _cost(capture: Capture, sizes: _Sizes) -> Price:
    parts = dict(_parts(capture, sizes))
    total = sum(parts.values())
    dials = {
        dial: sum(mib for _, mib in _parts(changed, sizes)) for dial, changed in _dials(capture)
    }
    return Price(parts, {dial: mib for dial, mib in dials.items() if mib < total})


def _parts(capture: Capture, sizes: _Sizes) -> Iterator[tuple[str, float]]:
    """Yield (variable, MiB at most)."""
    config, svlm = sizes.config, sizes.config.compressor_config.text_config
    segments, slots = sizes.segments, config.num_compression_tokens
    layers = len(capture.selected("layers", svlm.num_hidden_layers))
    llm_layers = len(capture.selected("llm_layers", config.num_hidden_layers))
    heads = len(capture.selected("heads", svlm.num_attention_heads))

    def mib(*shape: int) -> float:
        return FLOAT_BYTES * math.prod(shape) / 2**20

    attention = capture.attention
    if attention is not None and attention.svlm:
        width = {
            "none": sizes.positions,
            "key_group": sizes.grid[0] + 6,
            "patch_grid": math.prod(sizes.grid),
            "top_k": 2 * capture.top_k,
        }[capture.reduce]
        yield "attention", mib(segments, layers, heads, _row_count(attention, slots), width)
    if attention is not None and attention.answer:
        widths = {"none": sizes.context, "top_k": 2 * capture.top_k}
        width = widths.get(capture.reduce, segments + 7)
        yield "answer_attention", mib(llm_layers, config.num_attention_heads, sizes.answer, width)
    if capture.hidden is not None:
        rows = _row_count(capture.hidden, slots)
        yield "hidden_state", mib(segments, layers, rows, svlm.hidden_size)
    if capture.memory:
        yield "memory_token", mib(segments, slots, svlm.hidden_size)
        yield "memory_projected", mib(segments, slots, config.hidden_size)
    if capture.layer_relevance:
        yield "layer_logit", mib(segments, layers)


def _row_count(rows: Rows, slots: int) -> int:
    """Return how many rows of the SVLM are recorded at most."""
    return sum(name != "memory" for name in rows.svlm) + len(rows.memory_slots(slots))


def _dials(capture: Capture) -> Iterator[tuple[str, Capture]]:
    """Yield (changed option, changed capture) for every option that may shrink the record."""
    yield "layers=[-1]", replace(capture, layers=(-1,))
    yield "llm_layers=[-1]", replace(capture, llm_layers=(-1,))
    if capture.attention is not None and capture.attention.svlm:
        yield "heads=[0]", replace(capture, heads=(0,))
    if capture.reduce == "none":
        yield 'reduce="key_group"', replace(capture, reduce="key_group")
    for name in ("attention", "hidden"):
        rows = getattr(capture, name)
        if rows is not None and "memory" in rows.names:
            yield f"one slot in {name}", replace(capture, **{name: replace(rows, slots=(0,))})
    if capture.memory and (capture.attention or capture.hidden or capture.layer_relevance):
        yield "memory=False", replace(capture, memory=False)
