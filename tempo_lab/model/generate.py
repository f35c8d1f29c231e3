"""Generate an answer greedily with transformers' `generate`, and stream its text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import LogitsProcessor, LogitsProcessorList
from transformers.generation.streamers import BaseStreamer

from tempo_lab.model.tempo import TempoForConditionalGeneration


@dataclass(frozen=True)
class Answer:
    """An answer of the LLM.

    Attributes:
        text: the text without control tokens, stripped.
        ids: int [token], as generated, with the stop token if there was one.
        logprobs: float32 [token], natural logarithm of each token's probability.
        stopped: "end" at a stop token, "max_new_tokens" if the answer was cut.
        logits: float32 [token, vocabulary] before each token, if requested.
    """

    text: str
    ids: np.ndarray
    logprobs: np.ndarray
    stopped: str
    logits: np.ndarray | None = None


class _GreedyLogprob(LogitsProcessor):
    """Records the log-probability of each step's best token, without keeping all logits."""

    def __init__(self) -> None:
        self.logprobs: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        logits = scores[0].float()
        self.logprobs.append(float(logits.max() - logits.logsumexp(0)))
        return scores


class _TextStream(BaseStreamer):
    """Passes text on as soon as its characters are complete: one can take several tokens."""

    def __init__(self, tokenizer: Any, write: Callable[[str], object]) -> None:
        self.tokenizer, self.write = tokenizer, write
        self.ids: list[int] = []
        self.written = 0

    def put(self, value: torch.Tensor) -> None:
        self.ids += value.flatten().tolist()
        text = self.tokenizer.decode(self.ids, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            self._pass_on(text)

    def end(self) -> None:
        self._pass_on(self.tokenizer.decode(self.ids, skip_special_tokens=True))

    def _pass_on(self, text: str) -> None:
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
    logits: bool = False,
) -> Answer:
    """Answer greedily until a stop token (docs/method.md section 6).

    Args:
        model: the model; its `generation_config` has the stop tokens.
        tokenizer: the LLM's tokenizer.
        embeddings: [1, position, hidden], the whole prompt.
        max_new_tokens: maximum number of tokens.
        stream: called with each new piece of text.
        logits: whether to return the logits of the whole vocabulary at each step.
    """
    greedy = _GreedyLogprob()
    output: Any = model.generate(
        inputs_embeds=embeddings,
        attention_mask=torch.ones(embeddings.shape[:2], dtype=torch.long, device=embeddings.device),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        logits_processor=LogitsProcessorList([greedy]),
        return_dict_in_generate=True,
        output_logits=logits,
        streamer=_TextStream(tokenizer, stream) if stream is not None else None,
    )
    ids = output.sequences[0].cpu().numpy()
    stopped = "end" if ids[-1] in model.generation_config.eos_token_id else "max_new_tokens"
    all_logits = (
        torch.stack([step[0].float() for step in output.logits]).cpu().numpy() if logits else None
    )
    text = tokenizer.decode(ids, skip_special_tokens=True).strip()
    return Answer(text, ids, np.array(greedy.logprobs, dtype=np.float32), stopped, all_logits)
