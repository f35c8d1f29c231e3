"""Checks of notebook 07."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_number
from tempo_lab.session.interventions.spec import Intervention

_TRACE = SimpleNamespace(
    totals={"text": 21},
    data={"tokens": np.array([2, 16, 3]), "timestamp_tokens": np.array([3, 4, 3])},
)


@check(
    right=[(41, _TRACE), (np.int64(41), _TRACE), (41.0, _TRACE), ([41], _TRACE)],
    wrong=[(37, _TRACE), (47, _TRACE), (52, _TRACE), (20, _TRACE), (42, _TRACE), ("all", _TRACE)],
)
def check_prompt_left(answer: Any, trace: Any) -> str | None:
    """Positions of the LLM's prompt when only the segment with the most tokens keeps them."""
    value = number(answer)
    tokens, stamps = (np.asarray(trace.data[name]) for name in ("tokens", "timestamp_tokens"))
    best, text = int(tokens.argmax()), trace.totals["text"]
    if value == text + tokens[best] + stamps[best]:
        return None
    if value == text + tokens[best]:
        return "The remaining segment keeps something in addition to its memory tokens."
    if value == text + tokens[best] + stamps.sum():
        return "Segments without tokens are not in the prompt: their times are gone, too."
    if value == tokens[best] + stamps[best]:
        return "The prompt has more than the video: instructions and question stay."
    return "Three parts are left: the text, one time, and one segment's tokens."


@check(
    right=[
        (lambda logprobs: np.exp(np.sum(logprobs)),),
        (lambda logprobs: np.prod([np.exp(each) for each in logprobs]),),
        (lambda logprobs: [np.exp(sum(logprobs))],),
    ],
    wrong=[
        (lambda logprobs: np.sum(logprobs),),
        (lambda logprobs: np.exp(np.mean(logprobs)),),
        (lambda logprobs: np.mean(np.exp(logprobs)),),
        (lambda logprobs: np.exp(np.min(logprobs)),),
        (lambda logprobs: 0.25,),
        (0.25,),
    ],
)
def check_answer_probability(answer: Callable[[np.ndarray], Any]) -> str | None:
    """A function: log-probabilities of an answer's tokens to the probability of the answer."""
    if not callable(answer):
        return "Give the function, not its result."
    for shares in ([0.5, 0.5], [0.9, 0.8, 0.99], [0.3], [0.5, 1.0, 0.25, 1.0]):
        value = number(answer(np.log(shares)))
        if abs(value - np.prod(shares)) < 1e-6:
            continue
        about = f"Of tokens with probabilities {shares} it returns {value:.3f}"
        if value < 0:
            return f"{about}: that is not a probability. What is the inverse of a logarithm?"
        if value > np.prod(shares):
            return f"{about}: a whole answer is less probable than that."
        return f"{about}: all tokens count, each once."
    return None


@check(
    right=[([1238, 220],), ((1238, 220),), (np.array([1238, 220]),), ([1238.0, 220.0],)],
    wrong=[
        ([1348, 220],),
        ([1238, 1238],),
        ([1238, 55],),
        ([1238, 180],),
        ([1083, 220],),
        ([220, 1238],),
        (1458,),
    ],
)
def check_tokens_read(answer: Any) -> str | None:
    """Tokens through the SVLM for a first and for a second question."""
    values = numbers(answer)
    if len(values) != 2:
        return "Give two numbers: for the first question, and for the second one."
    if values == [1238, 220]:
        return None
    if values[0] == 1348:
        return "The instructions are the same for every segment, and read once."
    if values[0] != 1238:
        return "The first question: instructions, pictures, its own words, memory tokens."
    if values[1] == 55:
        return "The second question comes after the pictures of each segment, not once."
    return "The first number is right. Which of its parts depend on the question?"


@check(
    right=[(114688,), (np.int64(114688),), (114688.0,), ("114688",)],
    wrong=[(57344,), (229376,), (4096,), (28672,), (344064,)],
)
def check_kept_bytes(answer: Any) -> str | None:
    """Bytes of keys and values that the released SVLM keeps of one token."""
    value = number(answer)
    if value == 114688:
        return None
    if value == 57344:
        return "That is half: a key and a value are kept, in numbers of two bytes."
    if value == 229376:
        return "Query heads share keys and values: there are fewer heads of those."
    if value == 4096:
        return "That is one layer. All layers keep keys and values."
    return "Layers, heads of keys and values, dimension, key and value, bytes of a number."


_WITHOUT = Intervention.drop(STAR_AT)


def _prompt_right() -> list[tuple[Any, ...]]:
    run = example_run(STAR, _WITHOUT)
    return [(run.totals["prompt"], run), (float(run.totals["prompt"]), run)]


def _prompt_wrong() -> list[tuple[Any, ...]]:
    run, plain = example_run(STAR, _WITHOUT), example_run(STAR)
    with_timestamp = plain.totals["prompt"] - int(plain.data["tokens"][STAR_AT])
    prompt = run.totals["prompt"]
    return [(with_timestamp, run), (plain.totals["prompt"], plain), (prompt, ...)]


@check(right=_prompt_right, wrong=_prompt_wrong)
def check_prompt_after_drop(predicted: Any, run: Any) -> str | None:
    """Positions of the language model's prompt if one segment is dropped."""
    return judge_number(predicted, run, STAR, _WITHOUT, lambda trace: trace.totals["prompt"])
