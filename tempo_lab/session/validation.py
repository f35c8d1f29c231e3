"""What a question may ask for; the rest is refused before anything is computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from difflib import get_close_matches
from typing import Any

import numpy as np

from tempo_lab.allocation.ata import as_scores
from tempo_lab.common.errors import BudgetError, QueryError
from tempo_lab.model.prompts import BLANK_QUERY, known_words, unknown_words
from tempo_lab.model.token_map import MEMORY, TokenMap
from tempo_lab.trace.trace import Trace

MAX_NEW_TOKENS = 1024
"""Tokens of an answer at most, where the question does not say (METHOD section 6)."""


def check_texts(question: object, history: object) -> tuple[tuple[str, str], ...]:
    """The earlier turns as (question, answer).

    Raises:
        QueryError: the question or a turn is no text, or has characters that no file can hold.
    """
    turns = []
    for turn in history if isinstance(history, list | tuple) else [history]:
        pair = (turn.question, turn.answer) if isinstance(turn, Trace) else turn
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise QueryError(
                "an earlier turn is a trace or (question, answer)",
                asked=repr(turn),
                fix='history=[trace, ("question", "answer")]',
            )
        turns.append((pair[0], pair[1]))
    for text in (question, *(text for turn in turns for text in turn)):
        if not isinstance(text, str):
            raise QueryError("a question is text", asked=repr(text), found=type(text).__name__)
        try:
            text.encode()
        except UnicodeEncodeError as err:
            raise QueryError(
                "this text has a character that is none",
                asked=repr(text),
                found=str(err),
                fix="decode it with the encoding that it was written in",
            ) from None
    return tuple(turns)


def check_asked(question: str, mode: str, tokenizer: Any, examples: Sequence[str] | None) -> None:
    """Refuse what asks nothing: no visible character, or no word that a small vocabulary has.

    In mode "faithful" a blank question passes, as in the released code.

    Args:
        question: as asked.
        mode: of the allocation.
        tokenizer: the model's.
        examples: questions that it can answer; None for a model that takes any words.

    Raises:
        QueryError: it asks nothing.
    """
    if not any(character.isprintable() and not character.isspace() for character in question):
        if mode == "faithful":
            return
        raise QueryError(
            "this is no question",
            asked=repr(question),
            found="no visible character",
            fix=f'ask something, such as "{BLANK_QUERY}"; mode="faithful" reads a blank question '
            "as that, as the released code does",
        )
    check_words(question, tokenizer, examples)
    if examples and not known_words(tokenizer, question):
        raise QueryError(
            "this is no question: it has no word that the model knows",
            asked=repr(question),
            found="only signs, numbers or markup",
            fix=_own_words(examples),
        )


def check_words(question: str, tokenizer: Any, examples: Sequence[str] | None) -> None:
    """Refuse words that a model of small vocabulary does not know.

    Args:
        question: as asked.
        tokenizer: the model's.
        examples: questions that it can answer; None for a model that takes any words.

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
        asked=question,
        found="unknown: "
        + ", ".join(f"{w} (near: {near[w][0]})" if near[w] else w for w in unknown),
        fix=_own_words(examples or ()),
    )


def _own_words(examples: Sequence[str]) -> str:
    return "\n         ".join(["ask in its own words, such as", *examples])


def check_scores(scores: Iterable[float], segments: int) -> np.ndarray:
    """Relevance scores given by the user, float32 [segment].

    Raises:
        BudgetError: they are not one finite number per segment, in order.
    """
    many = isinstance(scores, Iterable) and not isinstance(scores, str | bytes | Mapping | Set)
    forced = as_scores(list(scores) if many else scores)  # type: ignore[arg-type]
    if forced.shape != (segments,):
        raise BudgetError(
            "scores must have one value per segment",
            asked=f"scores of shape {forced.shape}",
            found=f"{segments} segments",
            fix=f"a list of {segments} numbers",
        )
    if len(wrong := np.flatnonzero(~np.isfinite(forced))):
        raise BudgetError(
            "a score is not a finite number",
            asked=f"scores[{wrong[0]}] = {forced[wrong[0]]}",
            found=f"{len(wrong)} of {segments} scores are NaN, infinite or beyond float32",
            fix="finite numbers",
        )
    return forced


def default_answer_budget(context: int) -> int:
    """Tokens of an answer where nobody says: 1024, or a quarter of a small context."""
    return min(MAX_NEW_TOKENS, context // 4)


def check_room(max_new_tokens: int | None, text: int, context: int) -> int:
    """Tokens that the answer may have.

    Args:
        max_new_tokens: as asked; None for 1024, or a quarter of a small context.
        text: tokens of the prompt without the video.
        context: tokens that the LLM can hold.

    Raises:
        BudgetError: not a whole number from 1, or text and answer alone fill the context.
    """
    room = default_answer_budget(context)
    if max_new_tokens is not None:
        whole = isinstance(max_new_tokens, int | np.integer) and max_new_tokens is not True
        if not whole or max_new_tokens < 1:
            raise BudgetError(
                "an answer has a whole number of tokens, 1 or more",
                asked=f"max_new_tokens={max_new_tokens!r}",
                fix=f"leave it out for {room}",
            )
        room = int(max_new_tokens)
    if text + room > context:
        raise BudgetError(
            "the question does not fit the model's context",
            asked=f"{text} tokens of text + {room} for the answer",
            found=f"a context of {context} tokens",
            fix="a shorter question, fewer earlier turns, or a smaller max_new_tokens",
        )
    return room


def check_context(prompt: TokenMap, room: int, context: int, strategy: str) -> None:
    """Refuse a prompt that the context cannot hold; nothing is cut.

    Args:
        prompt: the LLM's prompt.
        room: tokens that the answer may have.
        context: tokens that the LLM can hold.
        strategy: of the allocation, for the advice.

    Raises:
        BudgetError: it does not fit; says what would.
    """
    if len(prompt) + room <= context:
        return
    used = int((prompt.role == MEMORY).sum())
    other = len(prompt) - used
    fits = context - room - other
    fix = f"a budget of at most {fits}"
    if strategy == "none":
        fix = f'strategy="head" with {fix}'
    if fits < len(set(prompt.segment[prompt.role == MEMORY].tolist())):
        fix = "fewer segments (a lower fps or max_frames)"
    raise BudgetError(
        "the context cannot hold this video at this budget",
        asked=f"{used} memory tokens + {other} of timestamps and text "
        f"+ {room} for the answer = {len(prompt) + room}",
        found=f"a context of {context} tokens",
        fix=f"{fix}, or a smaller max_new_tokens",
    )
