"""Checks of notebook 02."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tempo_lab.course.checking import check, number, numbers, words
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, example_session, judge_run
from tempo_lab.model import qwen
from tempo_lab.model.compressor import Compressor, DecodeState
from tempo_lab.model.pixels import patchify
from tempo_lab.session.capture.spec import Capture
from tempo_lab.session.interventions.spec import Intervention
from tempo_lab.trace.trace import Trace

_PROMPT = SimpleNamespace(decision=105)


@check(
    right=[(105, _PROMPT), (np.int64(105), _PROMPT), (105.0, _PROMPT), ([105], _PROMPT)],
    wrong=[(106, _PROMPT), (104, _PROMPT), (-1, _PROMPT), (121, _PROMPT), ("last", _PROMPT)],
)
def check_decision(answer: Any, prompt: Any) -> str | None:
    """The position of the decision token in a prompt."""
    value = number(answer)
    if value == prompt.decision:
        return None
    if value > prompt.decision:
        return "This is a memory slot. The decision token comes before the first memory slot."
    return "There are other tokens between this position and the first memory slot."


_BEFORE = ("system", "timestamp", "vision_mark", "vision")


@check(
    right=[(set(_BEFORE),), (list(_BEFORE),), (("vision", "System", *_BEFORE[1:3]),)],
    wrong=[
        ({*_BEFORE, "query"},),
        (["system", "vision"],),
        ({"memory"},),
        ("vision",),
        ([1, 2],),
    ],
)
def check_reused(answer: Any) -> str | None:
    """Roles of a prompt whose keys and values a second question can use again."""
    chosen = set(words(answer))
    if chosen == set(_BEFORE):
        return None
    if chosen - set(_BEFORE):
        return "One of these roles is the question or comes after it, so it must be read again."
    return "These can be reused, but some are missing. What else comes before the question?"


def _order(rows: int, columns: int) -> np.ndarray:
    """Numbers of patches (row by row) in the order in which they are read, blocks of 2 x 2."""
    frame = np.arange(rows * columns, dtype=np.uint8).reshape(1, rows, columns, 1)
    patches, _ = patchify(frame, patch=1, merge=2, temporal=1)
    return patches[:, 0].astype(int)


def _by_loops(rows: int, columns: int) -> list[int]:
    order = []
    for top in range(0, rows, 2):
        for left in range(0, columns, 2):
            for row in (top, top + 1):
                order += [row * columns + left, row * columns + left + 1]
    return order


@check(
    right=[(_by_loops,), (_order,), (lambda rows, columns: tuple(_by_loops(rows, columns)),)],
    wrong=[
        (lambda rows, columns: list(range(rows * columns)),),
        (lambda rows, columns: _by_loops(columns, rows),),
        (lambda rows, columns: _by_loops(4, 4),),
        ([0, 1, 4, 5],),
    ],
)
def check_order(answer: Callable[[int, int], Any]) -> str | None:
    """A function: the order in which the patches of a frame are read."""
    if not callable(answer):
        return "Give a function of rows and columns."
    for rows, columns in ((2, 2), (4, 4), (2, 6), (6, 2), (8, 4)):
        values = numbers(answer(rows, columns))
        if len(values) != rows * columns:
            return f"For {rows} x {columns} patches it returns {len(values)} numbers."
        if values != _order(rows, columns).tolist():
            return f"For {rows} x {columns} patches the order is wrong."
    return None


_PATCH = Intervention.patch(0, "memory 5", 0.0, segments=STAR_AT)


def _captured(*changes: Intervention) -> Trace:
    return example_run(STAR, *changes, capture=Capture(memory=True))


def _patch_right() -> list[tuple[Any, ...]]:
    run, plain = _captured(_PATCH), _captured()
    return [(5, run, plain), (5.0, run, plain), ([5], run, plain)]


def _patch_wrong() -> list[tuple[Any, ...]]:
    run, plain = _captured(_PATCH), _captured()
    other = _captured(Intervention.patch(0, "memory 2", 0.0, segments=STAR_AT))
    return [
        (15, run, plain),
        (6, run, plain),
        (2, other, plain),
        (5, example_run(STAR, _PATCH), plain),
        (5, ..., plain),
    ]


@check(right=_patch_right, wrong=_patch_wrong)
def check_same_tokens(predicted: Any, run: Any, plain: Any) -> str | None:
    """How many memory tokens of a segment stay the same if one slot is patched."""
    count = number(predicted)
    hint = judge_run(run, STAR, _PATCH)
    if hint is not None:
        return hint
    if "memory_token" not in run.data:
        return "The run recorded no memory tokens: ask with the same `capture` as for `plain`."
    before, after = (each.data["memory_token"][STAR_AT].to_numpy() for each in (plain, run))
    same = abs(after - before).max(axis=1) < 0.001 * abs(before).max()
    if count == same.sum():
        return None
    return "The run is as asked, but it gives another number. Which tokens come before the slot?"


@cache
def _read_example() -> tuple[Compressor, DecodeState]:
    """The compressor, and its state after the question about the star."""
    session = example_session()
    batches, prompts = session.engine.batches, session.checkpoint.prompts
    compressor = session.checkpoint.model.compressor
    segment = list(session.video.segments(batches.resize))[STAR_AT]
    patches, grid = batches.patches(segment)
    with torch.inference_mode():
        features = compressor.encode_vision(torch.from_numpy(patches)[None], grid)
        system = compressor.system(prompts.system())
        prefix = compressor.prefix(system, [batches.prompt(STAR_AT)], features)
        (state,) = compressor.relevance(prefix, prompts.question(STAR))
    return compressor, state


def _third_call(state: DecodeState, k: int) -> torch.Tensor:
    compressor, _ = _read_example()
    past = qwen.concat_caches([(state.prefix.cache, *state.suffix)])
    positions = state.next_position + torch.arange(k)
    slots = compressor.compression_tokens[:, :k]
    return qwen.prefill(compressor.svlm, slots, positions.expand(3, -1), past)[0]


def _call_right() -> list[tuple[Any, ...]]:
    compressor, state = _read_example()

    def by_library(state: DecodeState, k: int) -> torch.Tensor:
        return compressor.memory([state], k)[0].tokens

    return [(_third_call, compressor, state), (by_library, compressor, state)]


def _call_wrong() -> list[tuple[Any, ...]]:
    compressor, state = _read_example()
    slots = compressor.compression_tokens[0]
    answers = (
        lambda state, k: slots[:k],
        lambda state, k: _third_call(state, compressor.slots),
        lambda state, k: _third_call(state, compressor.slots)[-k:],
        lambda state, k: _third_call(replace(state, next_position=0), k),
        "memory",
    )
    return [(answer, compressor, state) for answer in answers]


@check(right=_call_right, wrong=_call_wrong)
def check_third_call(write: Any, compressor: Compressor, state: DecodeState) -> str | None:
    """A function: the third call, which writes the first k memory tokens after a question."""
    if not callable(write):
        return "Give a function of a state and of k."
    with torch.inference_mode():
        for k in (1, 5, compressor.slots):
            expected = compressor.memory([state], k)[0].tokens
            tokens = torch.as_tensor(write(state, k))
            if tokens.shape != expected.shape:
                return "The shape is not [k, width]: return the first k tokens of one segment."
            if (tokens - expected).abs().max() > 0.001 * expected.abs().max():
                return "The shape is right, but the vectors differ. What does a slot attend to?"
    return None
