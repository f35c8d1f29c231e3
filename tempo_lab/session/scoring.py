"""How probable the right answer is, given memory tokens of one's choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch

from tempo_lab.allocation.ata import Allocation
from tempo_lab.common.errors import QueryError
from tempo_lab.model.prompts import IM_END, encode_text, segment_seconds, unknown_words
from tempo_lab.model.token_map import MEMORY, TokenMap
from tempo_lab.session.capture.attention import AttentionRecorder, AttentionRequest
from tempo_lab.session.capture.key_groups import KeyGroupSum
from tempo_lab.session.interventions.apply import remembered
from tempo_lab.session.session import Session
from tempo_lab.session.validation import check_context, check_texts, check_words
from tempo_lab.trace.trace import Trace

ROOM_LEFT = 8
"""Tokens that a wrong answer may be longer than the right one before it is cut."""


def allocation_of(trace: Trace) -> Allocation:
    """The allocation that a trace records."""
    data, attrs = trace.data, trace.data.attrs
    kept = None if attrs["merged"] else data["kept"].to_numpy()
    return Allocation(
        scores=data["score"].to_numpy(),
        wanted=data["wanted"].to_numpy(),
        tokens=data["tokens"].to_numpy(),
        budget=attrs["budget"],
        strategy=attrs["strategy"],
        mode=attrs["mode"],
        min_tokens=attrs["min_tokens"],
        max_tokens=attrs["memory_slots"],
        seed=attrs["seed"],
        chosen=None if kept is None else tuple(np.flatnonzero(slots) for slots in kept),
    )


def answer_logprob(session: Session, trace: Trace, answer: str) -> np.ndarray:
    """Log-probability of an answer, read by the LLM as if it had written it (teacher-forced).

    The interventions of the trace's run are repeated.

    Args:
        session: the one that made the trace; the memory tokens that it still has are used.
        trace: what was asked, and which memory tokens were kept. A question without history.
        answer: any text.

    Returns:
        float32 [answer_token], natural logarithm of each token's probability; the last one is
        that of the end.
    """
    allocation = allocation_of(trace)
    kept = remembered(session, trace, allocation)
    asked = TeacherForced(session, trace.question, answer)
    return asked.of_answer(asked.distributions(asked.embed([kept])))[0].cpu().numpy()


def _leads(logits: torch.Tensor) -> torch.Tensor:
    """Lead of the most probable token over the second, [..., vocabulary] -> [...], in nat."""
    first, second = logits.float().topk(2).values.unbind(-1)
    return first - second


class TeacherForced:
    """One question put to the LLM, with any memory tokens in the place of the video.

    Args:
        session: the video, opened.
        question: without history.
        answer: the right one.

    Attributes:
        ids: int [answer_token], the answer and its end.

    Raises:
        QueryError: question or answer is no text, or has words that the model does not know.
    """

    def __init__(self, session: Session, question: str, answer: str) -> None:
        self.session, self.question, self.answer = session, question, answer
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
        written = encode_text(self.prompts.llm, "assistant\n", answer)[len(opening) :]
        end = self.prompts.llm.convert_tokens_to_ids(IM_END)
        self.ids = torch.tensor([*written, end], device=self.model.device)

    @cached_property
    def _clocks(self) -> list[list[int]] | None:
        video = self.session.video
        if video.is_image:
            return None
        seconds = segment_seconds(len(video), video.plan.fps, video.window)
        return [self.prompts.timestamp(each) for each in seconds]

    def prompt(self, tokens: Sequence[int] | np.ndarray) -> TokenMap:
        """What the LLM reads before the answer.

        Args:
            tokens: int [segment], memory tokens of each.

        Raises:
            BudgetError: it does not fit the LLM's context.
        """
        prompt = self.prompts.conversation(self._clocks, np.asarray(tokens), self.question)
        config = self.model.config
        context = int(config.tokenizer_model_max_length or config.max_position_embeddings)
        check_context(prompt, len(self.ids) + ROOM_LEFT, context, "head")
        return prompt

    @torch.inference_mode()
    def project(self, memory: torch.Tensor) -> torch.Tensor:
        """Memory tokens [..., hidden] as the LLM reads them, [..., LLM hidden]."""
        return self.model.project(memory)

    @torch.inference_mode()
    def embed(self, kept: Sequence[Sequence[torch.Tensor]]) -> torch.Tensor:
        """The LLM's input, before the answer.

        Args:
            kept: memory tokens [k, hidden] by row and segment; rows are read together, and have
                the same k of each segment.

        Returns:
            [row, position, LLM hidden].
        """
        prompt = self.prompt([len(tokens) for tokens in kept[0]])
        rows = [[self.project(tokens) for tokens in row] for row in kept]
        return torch.cat([self.model.embed(prompt, row) for row in rows])

    @torch.inference_mode()
    def distributions(self, asked: torch.Tensor) -> torch.Tensor:
        """What the LLM expects at each token of the right answer, having read those before.

        Args:
            asked: from `embed`.

        Returns:
            float32 [row, answer_token, vocabulary], natural logarithms of probabilities.
        """
        written = self.model.get_input_embeddings()(self.ids[:-1]).expand(len(asked), -1, -1)
        embeddings = torch.cat([asked, written], dim=1)
        output = self.model(inputs_embeds=embeddings, logits_to_keep=len(self.ids))
        return output.logits.float().log_softmax(dim=-1)

    def of_answer(self, distributions: torch.Tensor) -> torch.Tensor:
        """float32 [row, answer_token], the log-probability of each token of the right answer."""
        ids = self.ids.expand(len(distributions), -1)[:, :, None]
        return distributions.gather(2, ids)[:, :, 0]

    @torch.inference_mode()
    def said(
        self, asked: torch.Tensor, distributions: torch.Tensor
    ) -> tuple[list[str], np.ndarray]:
        """What the LLM answers, greedily, in each row, and how near it was to another answer.

        Only rows that leave the right answer are written out: where each of its tokens is the most
        probable one, greedy decoding writes just these.

        Args:
            asked: from `embed`.
            distributions: what `distributions` made of it.

        Returns:
            the answers, and float [row], in nat: by how much each token of the answer leads the
            second most probable one, at the token where this is least.
        """
        answers = [self.answer] * len(asked)
        margins = _leads(distributions).amin(dim=1)
        wrong = (distributions.argmax(dim=-1) != self.ids).any(dim=1)
        if wrong.any():
            output = self.model.generate(
                inputs_embeds=asked[wrong],
                attention_mask=asked.new_ones(asked[wrong].shape[:2], dtype=torch.long),
                max_new_tokens=len(self.ids) - 1 + ROOM_LEFT,
                do_sample=False,
                return_dict_in_generate=True,
                output_logits=True,
            )
            texts = self.prompts.llm.batch_decode(output.sequences, skip_special_tokens=True)
            for row, text in zip(wrong.nonzero()[:, 0].tolist(), texts, strict=True):
                answers[row] = text.strip()
            ends = torch.tensor(self.model.generation_config.eos_token_id, device=asked.device)
            ended = torch.isin(output.sequences, ends).int()
            after = ended.cumsum(dim=1) > ended  # padding behind the end
            leads = _leads(torch.stack(output.logits, dim=1)).masked_fill(after, torch.inf)
            margins[wrong] = leads.amin(dim=1)
        return answers, margins.cpu().numpy().astype(float)

    @contextmanager
    def slots_watched(self, tokens: Sequence[int]) -> Iterator[AttentionRequest]:
        """Record where the LLM looks in `distributions` meanwhile, by memory slot.

        Args:
            tokens: int [segment], memory tokens of each: the first ones.

        Yields:
            a job whose `found` has, once for each layer, float32 [1, LLM head, answer_token,
            slot + 2]: what the slot got in all segments together; then all other keys, and the
            position itself. One row only.

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
        with recorder.installed(), recorder.at(job):
            yield job
