"""Answer a question without its video: the blind baseline of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tempo_lab.model.checkpoint import Checkpoint
from tempo_lab.model.generate import answer
from tempo_lab.session.validation import (
    check_answer_budget,
    check_memory,
    check_question,
    check_texts,
    read_as_known,
)


@dataclass(frozen=True)
class BlindAnswer:
    """The LLM's answer to a question without a video.

    Attributes:
        question: as asked.
        answer: the generated text.
        prompt: the LLM's prompt, as text.
        text_tokens: tokens of the prompt.
        context_left: tokens of the context that the prompt leaves.
        answer_tokens: tokens of the answer, with the stop token if there was one.
        stopped: "end" at a stop token, "max_new_tokens" if the answer was cut.
    """

    question: str
    answer: str
    prompt: str
    text_tokens: int
    context_left: int
    answer_tokens: int
    stopped: str


@torch.inference_mode()
def answer_blind(
    checkpoint: Checkpoint, question: str, *, max_new_tokens: int | None = None
) -> BlindAnswer:
    """Return the LLM's answer to a question alone: no memory tokens, no timestamps.

    The prompt is that of `Session.ask` for a video without segments. The SVLM does not run.

    Args:
        checkpoint: the model, `Tempo.checkpoint`.
        question: plain text, as in `Session.ask`; a blank one is refused.
        max_new_tokens: tokens of the answer at most; the default is that of `Session.ask`.

    Raises:
        QueryError: the question is not text, is blank, or has words that a model with a small
            vocabulary does not know.
        BudgetError: the context cannot hold the question and the answer.
        CheckpointError: the model writes no answers (a plain Qwen3-VL).
    """
    check_memory(checkpoint)
    check_texts(question, ())
    model, prompts = checkpoint.model, checkpoint.prompts
    read = read_as_known(checkpoint, question)
    check_question(read, "strict", prompts.llm, model.config.example_questions, question)
    prompt = prompts.conversation(None, np.zeros(0, dtype=np.int64), read)
    context = model.config.context_length
    answer_budget = check_answer_budget(max_new_tokens, len(prompt), model)
    with checkpoint.lock:
        embeddings = model.embed(prompt, [])
        generated = answer(model, prompts.llm, embeddings, max_new_tokens=answer_budget)
    return BlindAnswer(
        question=question,
        answer=generated.text,
        prompt=prompt.text(prompts.llm),
        text_tokens=len(prompt),
        context_left=context - len(prompt),
        answer_tokens=len(generated.ids),
        stopped=generated.stopped,
    )
