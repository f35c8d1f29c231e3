"""Token ids of everything that the models read, exactly as in the pipeline's prompts, cached."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tempo_lab.model.prompts import Prompts, encode_text, timestamp
from tempo_lab.nano.training.vocabulary import build_tokenizer

IGNORE = -100


class PromptIds:
    """Prompts as lists of ids, with their pieces cached.

    Attributes:
        tokenizer: nano's tokenizer.
        prompts: the pipeline's prompt builder over it.
        end: id of ``<|im_end|>``.
    """

    def __init__(self) -> None:
        self.tokenizer: Any = build_tokenizer()
        self.prompts = Prompts(self.tokenizer, self.tokenizer)
        self.end = int(self.tokenizer.convert_tokens_to_ids("<|im_end|>"))
        self.pad = int(self.tokenizer.convert_tokens_to_ids("<|endoftext|>"))
        self.video = int(self.tokenizer.convert_tokens_to_ids("<|video_pad|>"))
        self.yes, self.no = self.prompts.yes_no
        self.opening = [int(i) for i in self.prompts.opening().ids]
        self.text = lru_cache(maxsize=200_000)(self._text)
        self.timestamp = lru_cache(maxsize=200_000)(self._timestamp)
        self.svlm_question = lru_cache(maxsize=200_000)(self._svlm_question)
        self.llm_question = lru_cache(maxsize=200_000)(self._llm_question)

    def __len__(self) -> int:
        return len(self.tokenizer)

    def _text(self, text: str) -> list[int]:
        return encode_text(self.tokenizer, "", text)

    def _timestamp(self, seconds: float) -> list[int]:
        return encode_text(self.tokenizer, timestamp(seconds))

    def _svlm_question(self, query: str) -> list[int]:
        return [int(i) for i in self.prompts.question(query).ids]

    def _llm_question(self, query: str) -> list[int]:
        return [int(i) for i in self.prompts.closing(query).ids]

    def llm_turn(self, query: str) -> list[int]:
        """Return a follow-up turn, from the ``\\n`` after the last answer to the decision token."""
        first, start = self.llm_question(query), self.opening
        return [*start[-4:], *first[1:]]  # "\n", "<|im_start|>", "user", "\n"
