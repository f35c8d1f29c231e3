"""Validate what a question asks for, before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Any

import numpy as np

from tempo_lab.allocation import as_scores
from tempo_lab.common.errors import BudgetError, QueryError
from tempo_lab.common.question_reading import read_question
from tempo_lab.common.text import one_line
from tempo_lab.common.validation import check_whole
from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.plain import no_memory
from tempo_lab.model.prompts import BLANK_QUERY, known_words, unknown_words
from tempo_lab.model.tempo import TempoForConditionalGeneration
from tempo_lab.model.token_map import MEMORY, TokenMap
from tempo_lab.trace.trace import Trace

MAX_NEW_TOKENS = 1024
"""Default for the tokens of an answer (docs/method.md section 6)."""


def check_memory(checkpoint: Checkpoint) -> None:
    """Refuse a plain Qwen3-VL where memory tokens or an answer are needed.

    Raises:
        CheckpointError: the model has no memory tokens.
    """
    if checkpoint.model.config.num_compression_tokens == 0:
        raise no_memory(checkpoint.name)


def check_texts(question: object, history: object) -> tuple[tuple[str, str], ...]:
    """Return the earlier turns as (question, answer).

    Raises:
        QueryError: the question or a turn is not text, or has characters that cannot be encoded.
    """
    turns = []
    for turn in history if isinstance(history, list | tuple) else [history]:
        pair = (turn.question, turn.answer) if isinstance(turn, Trace) else turn
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise QueryError(
                "an earlier turn must be a trace or (question, answer)",
                asked=repr(turn),
                fix='history=[trace, ("question", "answer")]',
            )
        turns.append((pair[0], pair[1]))
    for text in (question, *(text for turn in turns for text in turn)):
        if not isinstance(text, str):
            raise QueryError("a question must be text", asked=repr(text), found=type(text).__name__)
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise QueryError(
                "this text has a character that cannot be encoded",
                asked=repr(text),
                found=str(err),
                fix="decode the text with the encoding that it was written in",
            ) from None
    return tuple(turns)


def read_as_known(checkpoint: Checkpoint, question: str) -> str:
    """Return a question in the forms that the model knows, if the checkpoint lists any."""
    forms = checkpoint.question_forms
    return question if forms is None else read_question(forms, question)


def check_question(
    question: str,
    mode: str | None,
    tokenizer: Any,
    examples: Sequence[str] | None,
    asked: str | None = None,
) -> None:
    """Refuse a question without a visible character, or without a word that the model knows.

    In mode "faithful" a blank question passes, as in the released code.

    Args:
        question: the question as the model reads it.
        mode: the allocation's mode; None where nothing is allocated.
        tokenizer: the model's tokenizer.
        examples: questions that the model can answer; None for a model without a closed vocabulary.
        asked: the question as asked, where it is read differently.

    Raises:
        QueryError: the question asks nothing, or has unknown words.
    """
    if not any(character.isprintable() and not character.isspace() for character in question):
        if mode == "faithful":
            return
        raise QueryError(
            "the question is blank",
            asked=repr(question),
            found="no visible character",
            fix=f'ask something, such as "{BLANK_QUERY}"'
            + (
                '; mode="faithful" reads a blank question as that, as the released code does'
                if mode is not None
                else ""
            ),
        )
    check_words(question, tokenizer, examples, asked)
    if examples and not known_words(tokenizer, question):
        raise QueryError(
            "the question has no word that the model knows",
            asked=repr(asked or question),
            found="only punctuation, numbers or markup",
            fix=_example_questions(examples),
        )


def check_subtitle_words(text: str, tokenizer: Any, examples: Sequence[str] | None) -> None:
    """Refuse subtitles for a model with a closed vocabulary that lacks some of their words.

    Args:
        text: what the prompt lists.
        tokenizer, examples: see `check_words`.

    Raises:
        QueryError: a word is unknown.
    """
    if examples and (unknown := unknown_words(tokenizer, text)):
        more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
        raise QueryError(
            "this model does not know every word of the subtitles",
            asked=one_line(text, 120),
            found=f"unknown: {', '.join(unknown[:8])}{more}",
            fix="leave subtitles out: the model has a small vocabulary of its own",
        )


def check_words(
    question: str, tokenizer: Any, examples: Sequence[str] | None, asked: str | None = None
) -> None:
    """Refuse words outside the vocabulary of a model whose vocabulary is closed.

    Args:
        question: the question as the model reads it.
        tokenizer: the model's tokenizer.
        examples: questions that the model can answer; None for a model without a closed vocabulary.
        asked: the question as asked, where it is read differently.

    Raises:
        QueryError: a word is unknown.
    """
    unknown = unknown_words(tokenizer, question) if examples else []
    if not unknown:
        return
    known = sorted({word.strip() for word in tokenizer.get_vocab()})
    near = {word: get_close_matches(word.lower(), known, n=1, cutoff=0.75) for word in unknown}
    raise QueryError(
        "this model does not know every word of the question",
        asked=asked or question,
        found="unknown: "
        + ", ".join(f"{w} (near: {near[w][0]})" if near[w] else w for w in unknown),
        fix=_example_questions(examples or ()),
    )


def _example_questions(examples: Sequence[str]) -> str:
    return "\n         ".join(["ask in its own words, such as", *examples])


def check_scores(scores: Iterable[float], segments: int) -> np.ndarray:
    """Return the relevance scores that a user gives, float32 [segment].

    Raises:
        BudgetError: they are not one finite number per segment, in order.
    """
    ordered = isinstance(scores, Iterable) and not isinstance(scores, str | bytes | Mapping | Set)
    array = as_scores(list(scores) if ordered else scores)  # type: ignore[arg-type]
    if array.shape != (segments,):
        raise BudgetError(
            "scores must have one value per segment",
            asked=f"scores of shape {array.shape}",
            found=f"{segments} segments",
            fix=f"a list of {segments} numbers",
        )
    if len(wrong := np.flatnonzero(~np.isfinite(array))):
        raise BudgetError(
            "a score is not a finite number",
            asked=f"scores[{wrong[0]}] = {array[wrong[0]]}",
            found=f"{len(wrong)} of {segments} scores are NaN, infinite or beyond float32",
            fix="finite numbers",
        )
    return array


def default_answer_budget(model: TempoForConditionalGeneration) -> int:
    """Tokens of an answer by default.

    They are those of a model's generation settings, or else 1024, at most a quarter of the context.
    """
    longest = model.generation_config.max_new_tokens or MAX_NEW_TOKENS
    return min(longest, model.config.context_length // 4)


FEWER_SUBTITLES = "subtitles of fewer frames (a smaller subtitle_frames), no subtitles"


def check_answer_budget(
    max_new_tokens: int | None,
    text_tokens: int,
    model: TempoForConditionalGeneration,
    subtitle_tokens: int = 0,
) -> int:
    """Return the tokens that the answer may have.

    Args:
        max_new_tokens: as asked; None for the default.
        text_tokens: tokens of the prompt without the video.
        model: the model, with its context and generation settings.
        subtitle_tokens: how many of `text_tokens` are subtitles.

    Raises:
        BudgetError: not a whole number from 1, or text and answer alone exceed the context.
    """
    budget, context = default_answer_budget(model), model.config.context_length
    if max_new_tokens is not None:
        fix = f"leave it out for {budget}"
        budget = check_whole("max_new_tokens", max_new_tokens, 1, error=BudgetError, fix=fix)
    if text_tokens + budget > context:
        subtitles = f" ({subtitle_tokens} of them subtitles)" if subtitle_tokens else ""
        raise BudgetError(
            "the question does not fit the model's context",
            asked=f"{text_tokens} tokens of text{subtitles} + {budget} for the answer",
            found=f"a context of {context} tokens",
            fix=f"{FEWER_SUBTITLES}, " * bool(subtitle_tokens)
            + "a shorter question, fewer earlier turns, or a smaller max_new_tokens",
        )
    return budget


def check_context(
    prompt: TokenMap, answer_budget: int, context: int, strategy: str, subtitle_tokens: int = 0
) -> None:
    """Refuse a prompt that the context cannot hold; nothing is cut to make it fit.

    Args:
        prompt: the LLM's prompt.
        answer_budget: tokens that the answer may have.
        context: tokens that the LLM can hold.
        strategy: the allocation strategy, for the suggested fix.
        subtitle_tokens: how many tokens of the prompt are subtitles.

    Raises:
        BudgetError: it does not fit; the message says what would.
    """
    if len(prompt) + answer_budget <= context:
        return
    memory = int((prompt.role == MEMORY).sum())
    other = len(prompt) - memory
    fits = context - answer_budget - other
    fix = f"a budget of at most {fits}"
    if strategy == "none":
        fix = f'strategy="head" with {fix}'
    if fits < len(set(prompt.segment[prompt.role == MEMORY].tolist())):
        fix = "fewer segments (a lower fps or max_frames)"
    subtitles = f" ({subtitle_tokens} of them subtitles)" if subtitle_tokens else ""
    fix += f", {FEWER_SUBTITLES}" * bool(subtitle_tokens)
    raise BudgetError(
        "the context cannot hold this video at this budget",
        asked=f"{memory} memory tokens + {other} of timestamps and text{subtitles} "
        f"+ {answer_budget} for the answer = {len(prompt) + answer_budget}",
        found=f"a context of {context} tokens",
        fix=f"{fix}, or a smaller max_new_tokens",
    )
