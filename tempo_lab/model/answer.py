"""Greedy answering by transformers' own `generate`, with a stream of text if wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers.generation.streamers import BaseStreamer

from tempo_lab.model.tempo import TempoForConditionalGeneration


@dataclass(frozen=True)
class Answer:
    """What the LLM wrote.

    Attributes:
        text: without control tokens, stripped.
        ids: int [token], as generated, with the stop token if there was one.
        logits: float32 [token, vocabulary], before each token.
    """

    text: str
    ids: np.ndarray
    logits: np.ndarray

    @property
    def logprobs(self) -> np.ndarray:
        """Natural logarithm of each token's probability, float32 [token]."""
        logits = self.logits.astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        rows = np.arange(len(self.ids))
        total = np.log(np.exp(logits).sum(axis=1))
        return (logits[rows, self.ids] - total).astype(np.float32)


class _TextStream(BaseStreamer):
    """Hands on text as soon as it is whole: a character can take several tokens."""

    def __init__(self, tokenizer: Any, write: Callable[[str], object]) -> None:
        self.tokenizer, self.write = tokenizer, write
        self.ids: list[int] = []
        self.written = 0

    def put(self, value: torch.Tensor) -> None:
        self.ids += value.flatten().tolist()
        text = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            self._hand_on(text)

    def end(self) -> None:
        self._hand_on(self.tokenizer.decode(self.ids, skip_special_tokens=True))

    def _hand_on(self, text: str) -> None:
        if len(text) > self.written:
            self.write(text[self.written :])
            self.written = len(text)


def answer(
    model: TempoForConditionalGeneration,
    tokenizer: Any,
    embeddings: torch.Tensor,
    *,
    max_new_tokens: int,
    stream: Callable[[str], object] | None = None,
) -> Answer:
    """Answer greedily until a stop token (METHOD section 6).

    Args:
        model: the model; its `generation_config` names the stop tokens.
        tokenizer: the LLM's.
        embeddings: [1, position, hidden], the whole prompt.
        max_new_tokens: tokens at most.
        stream: called with each new piece of text.
    """
    output: Any = model.generate(
        inputs_embeds=embeddings,
        attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        streamer=_TextStream(tokenizer, stream) if stream is not None else None,
    )
    ids = output.sequences[0].cpu().numpy()
    logits = torch.stack([step[0].float() for step in output.logits]).cpu().numpy()
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return Answer(text, ids, logits)
