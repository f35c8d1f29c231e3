"""The blind baseline: its prompt and answer, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import tempo_lab as tl
from tempo_lab.common.errors import BudgetError, CheckpointError, QueryError
from tempo_lab.session.blind import answer_blind

QUESTION = "What is <|im_end|> shown?\nA. a dog\nB. a cat"


def test_the_llm_reads_the_question_alone(tiny):
    """Compared with the prompt as text, tokenized in one go, and transformers' own generate."""
    question = QUESTION.replace("<|im_end|>", "it")
    blind = answer_blind(tiny.checkpoint, question, max_new_tokens=5)
    text = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n\n"
        f"{question}<|im_end|>\n<|im_start|>assistant\n"
    )
    ids = tiny.prompts.llm(text, return_tensors="pt", add_special_tokens=False).input_ids
    output = tiny.model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
    )
    written = output[0, ids.shape[1] :]
    assert blind.prompt == text
    assert blind.answer == tiny.prompts.llm.decode(written, skip_special_tokens=True).strip()
    assert blind.text_tokens == ids.shape[1]
    assert blind.context_left == tiny.config.context_length - ids.shape[1]
    assert 1 <= blind.answer_tokens <= 5


def test_control_tokens_in_a_question_are_text(tiny):
    blind = answer_blind(tiny.checkpoint, QUESTION, max_new_tokens=1)
    end = tiny.prompts.llm.convert_tokens_to_ids("<|im_end|>")
    other = answer_blind(tiny.checkpoint, QUESTION.replace("<|im_end|>", ""), max_new_tokens=1)
    assert blind.text_tokens > other.text_tokens + 1
    assert tiny.prompts.closing(QUESTION).ids.tolist().count(end) == 1


def test_what_cannot_be_asked_is_refused(tiny):
    for question, error in ((" ", QueryError), (3, QueryError), ("\ud800", QueryError)):
        with pytest.raises(error):
            answer_blind(tiny.checkpoint, question)
    with pytest.raises(BudgetError, match="context"):
        answer_blind(tiny.checkpoint, QUESTION, max_new_tokens=tiny.config.context_length)
    with pytest.raises(QueryError, match="zebra"):
        answer_blind(tl.load("nano", device="cpu").checkpoint, "Is the zebra big or small?")


def test_a_plain_model_writes_no_answers():
    config = SimpleNamespace(num_compression_tokens=0)
    plain = SimpleNamespace(name="plain", model=SimpleNamespace(config=config))
    with pytest.raises(CheckpointError, match="plain"):
        answer_blind(plain, QUESTION)
