"""The probability of an answer, given any memory tokens in place of the video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from tempo_lab.common.errors import QueryError
from tempo_lab.model.prompts import IM_END, encode_text, unknown_words
from tempo_lab.model.token_map import MEMORY, TokenMap
from tempo_lab.session.capture.attention import AttentionRecorder, AttentionRequest
from tempo_lab.session.capture.key_groups import KeyGroupSum
from tempo_lab.session.interventions.apply import kept_memory
from tempo_lab.session.session import Session
from tempo_lab.session.validation import check_context, check_memory, check_texts, check_words
from tempo_lab.trace.trace import Trace

SPARE_TOKENS = 8
"""Tokens by which a wrong answer may exceed the right one before it is cut."""


def answer_logprob(session: Session, trace: Trace, answer: str) -> np.ndarray:
    """Return the log-probability of each token of an answer, given the memory tokens of a trace.

    The LLM reads the answer as if it had generated it (teacher forcing). The interventions of the
    trace's run are repeated.

    Args:
        session: the session that made the trace; memory tokens that it has cached are used.
        trace: of a question without history.
        answer: any text.

    Returns:
        float32 [answer_token], natural logarithm of each token's probability; the last one is
        that of the end token.
    """
    kept = kept_memory(session.engine, trace, trace.allocation())
    forced = TeacherForced(session, trace.question, answer)
    return forced.of_answer(forced.distributions(forced.embed([kept])))[0].cpu().numpy()


def _margin(logits: torch.Tensor) -> torch.Tensor:
    """Margin of the most probable token over the second, [..., vocabulary] -> [...], in nat."""
    first, second = logits.float().topk(2).values.unbind(-1)
    return first - second


class TeacherForced:
    """One question and its right answer, for any memory tokens in place of the video.

    Args:
        session: the opened video.
        question: a question without history.
        answer: the right answer.

    Attributes:
        ids: int [answer_token], the answer and its end token.

    Raises:
        QueryError: question or answer is not text, or has words that the model does not know.
        CheckpointError: the model has no memory tokens.
    """

    def __init__(self, session: Session, question: str, answer: str) -> None:
        self.session, self.question, self.answer = session, question, answer
        check_memory(session.checkpoint)
        self.model, self.prompts = session.checkpoint.model, session.checkpoint.prompts
        check_texts(question, [(question, answer)])
        if examples := self.model.config.example_questions:
            check_words(question, self.prompts.llm, examples)
            if unknown := unknown_words(self.prompts.llm, answer):
                raise QueryError(
                    "this model cannot write every word of the answer",
                    asked=answer,
                    found=f"unknown: {', '.join(unknown)}",
                    fix="an answer in words that it knows",
                )
        opening = encode_text(self.prompts.llm, "assistant\n")  # where the prompt ends
        answer_ids = encode_text(self.prompts.llm, "assistant\n", answer)[len(opening) :]
        end = self.prompts.llm.convert_tokens_to_ids(IM_END)
        self.ids = torch.tensor([*answer_ids, end], device=self.model.device)

    def prompt(self, tokens: Sequence[int] | np.ndarray) -> TokenMap:
        """Return the LLM's prompt, which ends before the answer.

        Args:
            tokens: int [segment], memory tokens of each segment.

        Raises:
            BudgetError: it does not fit the LLM's context.
        """
        prompt = self.session.engine.llm_prompt(np.asarray(tokens), self.question)
        answer_budget = len(self.ids) + SPARE_TOKENS
        check_context(prompt, answer_budget, self.model.config.context_length, "head")
        return prompt

    @torch.inference_mode()
    def project(self, memory: torch.Tensor) -> torch.Tensor:
        """Project memory tokens [..., hidden] to the LLM's width, [..., LLM hidden]."""
        return self.model.project(memory)

    @torch.inference_mode()
    def embed(self, kept: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
        """Embed the LLM's prompt, which ends before the answer.

        Args:
            kept: memory tokens [k, hidden] by row and segment; all rows have the same k for each
                segment, and are read together.

        Returns:
            [row, position, LLM hidden].
        """
        prompt = self.prompt([len(tokens) for tokens in kept[0]])
        rows = [[self.project(tokens) for tokens in row] for row in kept]
        return torch.cat([self.model.embed(prompt, row) for row in rows])

    @torch.inference_mode()
    def distributions(self, prompts: torch.Tensor) -> torch.Tensor:
        """Return the LLM's distribution at each token of the right answer, given earlier tokens.

        Args:
            prompts: from `embed`.

        Returns:
            float32 [row, answer_token, vocabulary], natural logarithms of probabilities.
        """
        answer = self.model.get_input_embeddings()(self.ids[:-1]).expand(len(prompts), -1, -1)
        embeddings = torch.cat([prompts, answer], dim=1)
        output = self.model(inputs_embeds=embeddings, logits_to_keep=len(self.ids))
        return output.logits.float().log_softmax(dim=-1)

    def of_answer(self, distributions: torch.Tensor) -> torch.Tensor:
        """Return float32 [row, answer_token], the log-probability of each right token."""
        ids = self.ids.expand(len(distributions), -1)[:, :, None]
        return distributions.gather(2, ids)[:, :, 0]

    @torch.inference_mode()
    def generate(
        self, prompts: torch.Tensor, distributions: torch.Tensor
    ) -> tuple[list[str], np.ndarray]:
        """Generate an answer greedily in each row, and measure how near it was to another one.

        Only rows that differ from the right answer are generated: where each of its tokens is the
        most probable one, greedy decoding generates exactly these.

        Args:
            prompts: from `embed`.
            distributions: from `distributions`, of these prompts.

        Returns:
            the answers, and float [row], in nat: the margin of each token of the answer over the
            second most probable one, at the token where it is smallest.
        """
        answers = [self.answer] * len(prompts)
        margins = _margin(distributions).amin(dim=1)
        wrong = (distributions.argmax(dim=-1) != self.ids).any(dim=1)
        if wrong.any():
            output = self.model.generate(
                inputs_embeds=prompts[wrong],
                attention_mask=prompts.new_ones(prompts[wrong].shape[:2], dtype=torch.long),
                max_new_tokens=len(self.ids) - 1 + SPARE_TOKENS,
                do_sample=False,
                return_dict_in_generate=True,
                output_logits=True,
            )
            texts = self.prompts.llm.batch_decode(output.sequences, skip_special_tokens=True)
            for row, text in zip(wrong.nonzero()[:, 0].tolist(), texts, strict=True):
                answers[row] = text.strip()
            ends = torch.tensor(self.model.generation_config.eos_token_id, device=prompts.device)
            ended = torch.isin(output.sequences, ends).int()
            padding = ended.cumsum(dim=1) > ended
            steps = _margin(torch.stack(output.logits, dim=1)).masked_fill(padding, torch.inf)
            margins[wrong] = steps.amin(dim=1)
        return answers, margins.cpu().numpy().astype(float)

    @contextmanager
    def record_slot_attention(self, tokens: Sequence[int]) -> Iterator[AttentionRequest]:
        """Record the LLM's attention by memory slot while `distributions` runs.

        Args:
            tokens: int [segment], memory tokens of each segment: the first ones.

        Yields:
            a request whose `recorded` has, once per layer, float32 [1, LLM head, answer_token,
            slot + 2]: the attention to the slot in all segments together; then to all other keys,
            and to the position itself. One row only.

        Raises:
            CaptureError: the model's attention cannot be recorded.
        """
        prompt, slots = self.prompt(tokens), max(tokens)
        group = np.where(prompt.role == MEMORY, prompt.index, slots)
        keys = len(prompt) + len(self.ids) - 1
        reduction = KeyGroupSum([group], slots + 2, keys, self.model.device, beyond=slots)
        rows = torch.arange(-len(self.ids), 0, device=self.model.device)
        layers = range(self.model.config.num_hidden_layers)
        recorder = AttentionRecorder(self.model, layers, "LLM")
        job = AttentionRequest("answer", rows, reduction, keys)
        with recorder.installed(), recorder.recording(job):
            yield job
