"""Recall of a study's runs: what is asked, which tokens are left, what counts as right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.front_loading import recall as module
from tempo_lab.nano.front_loading.recall import (
    FACTS,
    GROUPS,
    ONE_WORD,
    asked_shares,
    chosen_slots,
    conditions,
    evaluate_study,
    fact_spans,
    finished_runs,
    held_out_videos,
    recall,
)
from tempo_lab.nano.front_loading.training import run_arm
from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.joint_stage import JointModel, MemoryParameters
from tempo_lab.nano.training.llm_stage import build_llm
from tempo_lab.nano.training.prompt_ids import IGNORE, PromptIds
from tempo_lab.nano.training.recipes import (
    NANO,
    PATCHES,
    RECIPES,
    TOKENS_A_PATCH,
    StageLength,
)
from tempo_lab.nano.training.svlm_stage import build_svlm
from tempo_lab.nano.training.target_notes import answer
from tempo_lab.nano.training.train import shapes
from tempo_lab.nano.world.questions import plain, relevant

TINY = replace(RECIPES["tiny"], name="front-loading-tiny", single=StageLength(2, 2))
ASKED = sum(GROUPS.values())


@pytest.fixture(scope="module")
def bank() -> FeatureBank:
    """Segments with random features."""
    torch.manual_seed(0)
    bank, size = FeatureBank(5, 40), (40, PATCHES * TOKENS_A_PATCH, TINY.sizes.width)
    bank.merged, bank.deep = torch.randn(size), torch.randn(1, *size)
    return bank


@pytest.fixture
def joint(words: PromptIds, bank: FeatureBank) -> JointModel:
    """A tiny model that nothing has trained."""
    svlm, llm = build_svlm(TINY.sizes, len(words)), build_llm(TINY.sizes, len(words))
    return JointModel(svlm, llm, MemoryParameters(TINY.sizes), words, bank)


def test_questions_are_about_what_a_segment_shows(bank: FeatureBank) -> None:
    videos = held_out_videos(bank)
    assert len(videos) == len(bank)
    kinds: set[str] = set()
    for video in videos:
        segment = video.scene.segments[0]
        assert segment is bank.segments[video.rows[0]]
        assert len(video.questions) == len(video.texts) == ASKED
        for number, question in enumerate(video.questions):
            assert relevant(question, segment, video.start)
            assert question.answer == answer(question, segment, video.start)
            assert question.answer not in ("none", "not shown")
            assert (question.kind == "multi") == (number >= GROUPS["one word"])
            assert question.kind == "multi" or len(question.answer.split()) == 1
            kinds.add(question.kind)
    assert kinds == {*ONE_WORD, "multi"}
    assert held_out_videos(bank)[3].texts == videos[3].texts


def test_the_facts_of_an_answer_are_its_parts(words: PromptIds) -> None:
    asks = ("color", "position", "digit", "word")
    question = plain("multi", "red, top left, none, fox", asks=asks, fill=("star",))
    ids = words.text(question.answer)
    spans = list(fact_spans(words, question))
    assert [(name, text) for name, text, _ in spans] == [
        ("color", "red"), ("position", "top left"), ("digit", "none"), ("word", "fox"),
    ]  # fmt: skip
    said = ["".join(words.tokenizer.decode(ids[span])).strip() for *_, span in spans]
    assert said == ["red", "top left", "none", "fox"]
    (one,) = fact_spans(words, plain("with", "blue", fill=("star", "ring")))
    assert one == ("with", "blue", slice(0, 1))


def test_conditions_keep_the_tokens_that_they_name() -> None:
    named = conditions(16)
    assert list(named) == [
        *(f"{end}_{k}" for k in (1, 2, 4, 8) for end in ("first", "last", "random")), "all",
    ]  # fmt: skip
    assert named["all"] == ("first", 16)
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(16), (50, 1)), axis=1)
    for name, (end, count) in named.items():
        for row, kept in zip(orders, chosen_slots(end, count, orders), strict=True):
            wanted = {
                "first": list(range(count)),
                "last": list(range(16 - count, 16)),
                "random": sorted(row[:count]),
            }[end]
            assert kept.tolist() == wanted, name


def test_a_fact_is_right_if_all_its_words_are_and_only_then(
    joint: JointModel, bank: FeatureBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An LLM that knows all from first tokens, and from others no second word of a corner."""
    videos = held_out_videos(bank)[:3]
    plain_answers = joint.answers

    def answers(part, memory, kept):
        *_, labels = plain_answers(part, memory, kept)
        right = labels != IGNORE
        sides = {joint.words.text(f"top {side}")[1] for side in ("left", "right")}
        for number in range(len(right)):
            if kept[number // ASKED][number % ASKED][0][0]:  # the first token is not among them
                right[number] &= ~torch.isin(labels[number], torch.tensor(list(sides)))
        return memory.sum(), memory.sum(), right, labels

    monkeypatch.setattr(joint, "answers", answers)
    table = recall(joint, videos, batch=2)
    assert list(table.columns[:3]) == ["segment", "group", "fact"]
    first = [name for name in table if name.startswith("first")]
    assert (table[[*first, "all"]] == 1).all(axis=None)
    corner = table["fact"] == "position"
    moved = table["fact"] == "motion"  # "left" alone is a motion, spelled otherwise
    assert corner.any()
    assert (table.loc[corner, "last_1"] == 0).all()
    assert (table.loc[~corner & ~moved, "last_1"] == 1).all()
    for video in videos:
        own = table[table["segment"] == video.rows[0]]
        wanted = [
            name
            for question in video.questions
            for name, text, _ in fact_spans(joint.words, question)
            if text != "none"
        ]
        assert own["fact"].tolist() == wanted


def test_recall_does_not_depend_on_the_batch_but_on_the_memory(
    joint: JointModel, bank: FeatureBank
) -> None:
    videos = held_out_videos(bank)[:4]
    together, again = recall(joint, videos, batch=4), recall(joint, videos, batch=4)
    pd.testing.assert_frame_equal(together, again)
    alone = recall(joint, videos, batch=1)
    same = [name for name in together if not name.startswith("random")]  # subsets are by batch
    assert (together[same] == alone[same]).mean(axis=None) > 0.999  # but for the last digits


def test_training_asks_mostly_for_corners(bank: FeatureBank) -> None:
    shares = asked_shares(bank, shapes(NANO)["single"], videos=60)
    assert set(shares) == set(FACTS)
    assert sum(shares.values()) == pytest.approx(1)
    assert max(shares, key=lambda fact: shares[fact]) == "position"


class MeasuredAgain(Exception):
    pass


def measures_again(*_: object) -> pd.DataFrame:
    raise MeasuredAgain


def other_weights(path: Path) -> None:
    """Change one weight of a stage's file, and nothing else."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    next(tensor for tensor in tensors.values() if tensor.is_floating_point()).view(-1)[0] += 1
    save_file(tensors, path, metadata)


def test_a_study_is_measured_once_and_tabulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENTS", 6)
    monkeypatch.setattr(module, "FRONT_LOADING", TINY)
    monkeypatch.setattr(module, "asked_shares", lambda *_: dict.fromkeys(FACTS, 1 / len(FACTS)))
    with pytest.raises(TempoLabError, match="no finished run"):
        evaluate_study(tmp_path)
    for arm in ("prefix", "none"):
        run_arm(TINY, tmp_path, arm, 1)
    assert finished_runs(tmp_path) == [("none", 1), ("prefix", 1)]
    arms = evaluate_study(tmp_path)
    assert set(arms["arm"]) == {"none", "prefix"}
    assert arms["tokens"].unique().tolist() == [1, 2, TINY.sizes.memory]
    told = json.loads((tmp_path / "tables" / "summary.json").read_text())
    assert told["runs"] == ["none-1", "prefix-1"]
    assert len(told["base_digest"]) == 1

    made = (tmp_path / "none-1" / "recall.csv.gz").stat().st_mtime_ns
    monkeypatch.setattr(module, "recall", measures_again)
    evaluate_study(tmp_path, tmp_path / "again")
    assert (tmp_path / "none-1" / "recall.csv.gz").stat().st_mtime_ns == made
    for name in ("arms.csv", "facts.csv", "summary.json"):
        both = [(tmp_path / folder / name).read_bytes() for folder in ("tables", "again")]
        assert both[0] == both[1]
    other_weights(tmp_path / "none-1" / "single.safetensors")
    with pytest.raises(MeasuredAgain):
        evaluate_study(tmp_path, tmp_path / "again")
