"""The recipe: exact prompts, exact fast paths, runs that resume to the same weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

import tempo_lab as tl
from tempo_lab.errors import TempoLabError
from tempo_lab.model import pixels
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.model.prompts import (
    COMPRESSOR_SYSTEM,
    LLM_SYSTEM,
    RELEVANCE_SENTENCE,
    encode_text,
    timestamp,
)
from tempo_lab.training import stages
from tempo_lab.training.bank import Bank
from tempo_lab.training.evaluate import auc
from tempo_lab.training.joint import Joint, Memory, kept
from tempo_lab.training.nano_config import RECIPES, Sizes
from tempo_lab.training.optimizers import Pair
from tempo_lab.training.svlm import Reader, build_svlm, segment_seconds
from tempo_lab.training.text import build_llm
from tempo_lab.training.train import train, weights_of
from tempo_lab.training.vision import FrameTower, build_vision, frames_of, patchify
from tempo_lab.training.vocabulary import save_tokenizer
from tempo_lab.training.words import Words
from tempo_lab.world.questions import Question, questions
from tempo_lab.world.scenes import draw_scene, draw_segment

TINY = RECIPES["tiny"]
CLIPS = Path(__file__).parents[1] / "data" / "clips"


@pytest.fixture(scope="module")
def words() -> Words:
    return Words()


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole tiny run, never stopped."""
    out = tmp_path_factory.mktemp("whole")
    train("tiny", out, in_process=True)
    return out


def test_the_tokenizer_loads_without_our_code(tmp_path: Path, words: Words) -> None:
    save_tokenizer(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = "What color is the star?"
    assert loaded.encode(text) == words.tokenizer.encode(text)


def test_the_shipped_tokenizer_is_the_one_made_here(tmp_path: Path) -> None:
    save_tokenizer(tmp_path)
    shipped = Path(tl.__file__).parent / "model" / "nano"
    for made in tmp_path.iterdir():
        assert json.loads(made.read_text()) == json.loads((shipped / made.name).read_text())


def test_yes_and_no_are_tokens_alone_and_never_parts_of_words(words: Words) -> None:
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
def test_no_spelling_of_a_control_token_becomes_one(words: Words, text: str, plain: Any) -> None:
    assert not set(range(1, 8)) & set(plain(words.tokenizer, "\nQuery:\n", text))


def test_prompt_sentences_are_single_tokens(words: Words) -> None:
    for text in (COMPRESSOR_SYSTEM, RELEVANCE_SENTENCE, LLM_SYSTEM, "\nQuery:\n", "Yes", "No"):
        assert len(words.tokenizer.encode(text)) == 1
    assert len(words.prompts.system()) == len(words.prompts.system(relevance=False)) + 1


@pytest.mark.parametrize("start", [0, 90, 990, 9990])
def test_timestamps_are_three_known_tokens_that_read_back(words: Words, start: int) -> None:
    for tenth in range(start * 10, start * 10 + 100):
        text = timestamp(tenth / 10)
        ids = words.tokenizer.encode(text)
        assert len(ids) == 3
        assert words.tokenizer.decode(ids) == text


def test_every_question_and_answer_is_known_and_reads_back(words: Words) -> None:
    unknown = words.tokenizer.unk_token_id
    for seed in range(30):
        for question in questions(draw_scene(seed, 6)):
            ids = words.tokenizer.encode(question.text)
            assert unknown not in ids
            assert words.tokenizer.decode(ids) == question.text.lower()
            assert words.tokenizer.decode(words.text(question.answer)) == question.answer


@pytest.mark.parametrize("text", ["", "ünï 漢字 🙂", "a\tb\n\nc", "<|im_end|><image>", "<12345.6"])
def test_any_text_can_be_asked(words: Words, text: str) -> None:
    ids = words.svlm_question(text)
    control = {words.end, words.video}
    assert sum(token in control for token in ids) == 1  # the prompt's own end


def test_batched_vision_equals_transformers_own() -> None:
    torch.manual_seed(0)
    model = build_vision(Sizes())
    tower = FrameTower(model)
    rng = np.random.default_rng(0)
    patches = patchify(torch.from_numpy(frames_of([draw_segment(rng) for _ in range(2)], rng)))
    merged, deep = tower(patches)
    plain = model(patches.flatten(0, 1), grid_thw=torch.tensor([[4, 6, 6], [4, 6, 6]]))
    torch.testing.assert_close(merged.flatten(0, 1), plain.pooler_output, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        deep[0].flatten(0, 1), plain.deepstack_features[0], atol=1e-5, rtol=0
    )


def test_a_branch_reads_what_it_would_read_alone(words: Words) -> None:
    torch.manual_seed(0)
    reader = Reader(build_svlm(TINY.sizes, len(words)), words)
    rng = np.random.default_rng(0)
    width = TINY.sizes.width
    features = (torch.randn(1, 36, width), [torch.randn(1, 36, width)])
    seconds = segment_seconds(3, rng)[None]
    asked = [words.svlm_question(text) for text in ("What color is the star?", "Is there a moon?")]
    for system in reader.layouts:
        together, _ = reader(system, features, seconds, [asked])
        alone, _ = reader(system, features, seconds, [asked[1:]])
        torch.testing.assert_close(together[0, 1, : len(asked[1])], alone[0, 0])


def test_training_computes_what_the_pipeline_computes(tiny_run: Path, words: Words) -> None:
    """Memory tokens of the training's forward pass equal those of the exported checkpoint."""
    tempo = tl.load(tiny_run / "checkpoint", dtype="float32")
    rng = np.random.default_rng(1)
    segment = draw_segment(rng)
    frames = frames_of([segment], None)
    text = "What color is the star?"

    tower = FrameTower(build_vision(TINY.sizes))
    svlm = build_svlm(TINY.sizes, len(words))
    memory = Memory(TINY.sizes)
    half = {k: v.half().float() for k, v in weights_of(tiny_run, "vision", "visual").items()}
    tower.model.load_state_dict(half)
    for module, name in ((svlm, "svlm"), (memory, "memory")):
        stored = weights_of(tiny_run, "long", name)
        module.load_state_dict({k: v.half().float() for k, v in stored.items()})
    with torch.no_grad():
        merged, deep = tower(patchify(torch.from_numpy(frames)))
        bank = Bank([segment], merged.reshape(1, 36, -1), deep[0].reshape(1, 1, 36, -1))
        joint = Joint(svlm, build_llm(TINY.sizes, len(words)), memory, words, bank)
        seconds = 8.0 + np.arange(4)[None] + 0.25
        trained = joint.compress("relevance", [0], seconds, [[text]])[0, 0]

        prompts, compressor = tempo.prompts, tempo.model.compressor
        patches, grid = pixels.patchify(frames[0])
        assert grid == PatchGrid(4, 6, 6)
        _, features = compressor.in_one_pass(
            torch.as_tensor(patches),
            grid,
            prompts.system(),
            prompts.video(grid, seconds[0]),
            prompts.question(text),
        )
        piped = tempo.model.project(features)
    torch.testing.assert_close(trained, piped, atol=2e-5, rtol=1e-4)


def test_the_relevance_rows_are_those_before_joint_training(tiny_run: Path, words: Words) -> None:
    key = "model.vision_tower_aux_list.0.yes_no_rows"
    exported = load_file(tiny_run / "checkpoint" / "model.safetensors")
    before = weights_of(tiny_run, "svlm", "svlm")["embed_tokens.weight"]
    after = weights_of(tiny_run, "long", "svlm")["embed_tokens.weight"]
    rows = [words.yes, words.no]
    torch.testing.assert_close(exported[key].float(), before[rows].half().float())
    assert not torch.equal(before, after)


def test_the_checkpoint_says_how_it_was_made(tiny_run: Path) -> None:
    made = tl.load(tiny_run / "checkpoint").config.training
    assert made["recipe"] == "tiny"
    assert made["finished"] is True
    assert {"seed", "commit", "minutes", "data_version"} <= set(made)


def test_the_shipped_weights_answer_and_ignore_markup_in_a_question() -> None:
    tempo = tl.load("nano")
    assert tempo.config.training["recipe"] == "nano"
    assert tempo.config.training["finished"] is True
    told = json.loads((CLIPS / "voyage.json").read_text())
    with tempo.open(CLIPS / "voyage.mp4", progress=False) as session:
        for question in told["demo"]:
            for text in (question["text"], question["text"] + " <|im_end|><|video_pad|><image>"):
                trace = session.ask(text, budget=96)
                assert trace.answer == question["answer"]
                best = int(trace.data["relevance"].values.argmax())
                assert [best] == question["evidence"]


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.mark.parametrize("after", [6, 18])
def test_a_stopped_run_ends_in_the_same_weights(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    plain, steps = Pair.step, []

    def step(self: Pair, number: int) -> None:
        if len(steps) == after:
            steps.append(-1)
            raise Killed
        steps.append(number)
        plain(self, number)

    monkeypatch.setattr(Pair, "step", step)
    with pytest.raises(Killed):
        train("tiny", tmp_path, in_process=True)
    train("tiny", tmp_path, in_process=True)
    whole, resumed = (
        load_file(folder / "checkpoint" / "model.safetensors") for folder in (tiny_run, tmp_path)
    )
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    for path in tiny_run.glob("*.csv"):
        logs = (path.read_text(), (tmp_path / path.name).read_text())
        first, second = ({row.split(",")[0] for row in log.split()} for log in logs)
        assert first == second


def test_another_seed_gives_other_weights(tiny_run: Path, tmp_path: Path) -> None:
    import dataclasses

    from tempo_lab.training.train import train_llm

    train_llm(dataclasses.replace(TINY, seed=77), tmp_path)
    first, second = (weights_of(d, "llm", "llm")["norm.weight"] for d in (tiny_run, tmp_path))
    assert not torch.equal(first, second)


def test_a_run_in_the_way_and_an_unknown_recipe_are_refused(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(TempoLabError, match="already in this folder"):
        train("tiny", tiny_run, resume=False)
    with pytest.raises(TempoLabError, match="no such recipe"):
        train("huge", tmp_path)


def test_notes_travel_with_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    stages.write_tensors(path, {"a": torch.ones(2)}, {"step": 3})
    assert stages.read_note(path) == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


def test_truncation_keeps_evidence_and_stays_in_bounds() -> None:
    rng = np.random.default_rng(0)
    question = Question("", "", "color", (3,), "star")
    drawn = np.stack([kept(question, 8, 16, 1.0, rng) for _ in range(400)])
    assert drawn.min() >= 1
    assert drawn.max() <= 16
    others = np.delete(drawn, 3, axis=1)
    assert drawn[:, 3].mean() > 2 * others.mean()
    assert (kept(question, 8, 16, 0.0, rng) == 16).all()


def test_auc_counts_ties_half() -> None:
    assert auc([0.9, 0.1, 0.2], [True, False, False]) == 1.0
    assert auc([0.1, 0.1, 0.2], [True, False, False]) == 0.25
