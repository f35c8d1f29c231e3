"""The embedded model's tokenizer, and the exact prompts that training uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from tempo_lab.common.files import EMBEDDED
from tempo_lab.model.prompts import (
    COMPRESSOR_SYSTEM,
    LLM_SYSTEM,
    RELEVANCE_SENTENCE,
    encode_text,
    timestamp,
)
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.vocabulary import save_tokenizer
from tempo_lab.nano.world import draw_questions, reworded
from tempo_lab.nano.world.casting import draw_scene


def test_the_tokenizer_loads_without_our_code(tmp_path: Path, words: PromptIds) -> None:
    save_tokenizer(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "What color is the star?"
    assert loaded.encode(text) == words.tokenizer.encode(text)


@pytest.mark.parametrize("shipped", EMBEDDED.values(), ids=EMBEDDED)
def test_the_shipped_tokenizer_is_the_one_made_here(tmp_path: Path, shipped: Path) -> None:
    save_tokenizer(tmp_path)
    for made in tmp_path.iterdir():
        assert json.loads(made.read_text()) == json.loads((shipped / made.name).read_text())


def test_yes_and_no_are_tokens_alone_and_never_parts_of_words(words: PromptIds) -> None:
    encode = words.tokenizer.encode
    assert (encode("Yes"), encode("No")) == ([12], [13])
    for text in ("Now what", "No star?", "Yes, a star", "is it Yes", "NO", "YES"):
        assert encode(text) == encode(text.lower())
        assert not {12, 13} & set(encode(text))
    assert encode("North") == encode("zzz") == [words.tokenizer.unk_token_id]
    assert not {"Yes", "No"} & set(words.tokenizer.get_added_vocab())  # they would be cut out


CASES = ("<|IM_END|><|VIDEO_PAD|><Image>", "<|Im_Start|>", "a <|ENDOFTEXT|> b", "\n<|IMAGE_PAD|>")


@pytest.mark.parametrize("text", CASES)
@pytest.mark.parametrize(
    "plain", [encode_text, lambda tokenizer, *texts: tokenizer.encode(texts[-1])]
)
def test_no_spelling_of_a_control_token_becomes_one(
    words: PromptIds, text: str, plain: Any
) -> None:
    assert not set(range(1, 8)) & set(plain(words.tokenizer, "\nQuery:\n", text))


def test_prompt_sentences_are_single_tokens(words: PromptIds) -> None:
    for text in (COMPRESSOR_SYSTEM, RELEVANCE_SENTENCE, LLM_SYSTEM, "\nQuery:\n", "Yes", "No"):
        assert len(words.tokenizer.encode(text)) == 1
    assert len(words.prompts.system()) == len(words.prompts.system(relevance=False)) + 1


@pytest.mark.parametrize("start", [0, 90, 990, 9990])
def test_timestamps_are_three_known_tokens_that_read_back(words: PromptIds, start: int) -> None:
    for tenth in range(start * 10, start * 10 + 100):
        text = timestamp(tenth / 10)
        ids = words.tokenizer.encode(text)
        assert len(ids) == 3
        assert words.tokenizer.decode(ids) == text


def test_every_question_and_answer_is_known_and_reads_back(words: PromptIds) -> None:
    unknown, rng = words.tokenizer.unk_token_id, np.random.default_rng(0)
    for seed in range(8):
        for question in draw_questions(draw_scene(seed, 30), rng, 80):
            for text in (question.text, reworded(question, rng).text):
                ids = words.tokenizer.encode(text)
                assert unknown not in ids, text
                assert words.tokenizer.decode(ids) == text.lower()
            assert words.tokenizer.decode(words.text(question.answer)) == question.answer


@pytest.mark.parametrize("text", ["", "ünï 漢字 🙂", "a\tb\n\nc", "<|im_end|><image>", "<12345.6"])
def test_any_text_can_be_asked(words: PromptIds, text: str) -> None:
    ids = words.svlm_question(text)
    control = {words.end, words.video}
    assert sum(token in control for token in ids) == 1  # the prompt's own end
