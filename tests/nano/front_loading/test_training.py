"""Runs of the front-loading study: what each arm keeps, equal data, exact resuming."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.front_loading import training as study
from tempo_lab.nano.front_loading.cuts import ARMS, kept_slots
from tempo_lab.nano.front_loading.training import (
    FRONT_LOADING,
    cut_step,
    load_base,
    run_arm,
    train_arm,
)
from tempo_lab.nano.training import joint_stage
from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.joint_stage import JointModel, MemoryParameters
from tempo_lab.nano.training.llm_stage import build_llm
from tempo_lab.nano.training.optimizers import MuonAdamW
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import PATCHES, RECIPES, TOKENS_A_PATCH, StageLength
from tempo_lab.nano.training.sampling import draw_video
from tempo_lab.nano.training.stages import write_tensors
from tempo_lab.nano.training.svlm_stage import build_svlm
from tempo_lab.nano.training.train import shapes

TINY = replace(RECIPES["tiny"], name="front-loading-tiny", single=StageLength(6, 2))
SLOTS = TINY.sizes.memory


@pytest.fixture
def joint(words: PromptIds) -> JointModel:
    """A tiny model that nothing has trained, over a bank of random features."""
    torch.manual_seed(0)
    bank, size = FeatureBank(0, 64), (64, PATCHES * TOKENS_A_PATCH, TINY.sizes.width)
    bank.merged, bank.deep = torch.randn(size), torch.randn(1, *size)
    svlm = build_svlm(TINY.sizes, len(words)).requires_grad_(False)
    llm = build_llm(TINY.sizes, len(words))
    return JointModel(svlm, llm, MemoryParameters(TINY.sizes), words, bank)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder with a tiny base, and the run prefix-1, never stopped."""
    out = tmp_path_factory.mktemp("study")
    run_arm(TINY, out, "prefix", 1)
    return out


def drawn(arm: str, questions: int = 3000, slots: int = 16) -> list[list[int]]:
    kept = kept_slots(arm, questions, slots, np.random.default_rng(3))
    return [chosen.tolist() for chosen in kept]


def test_each_arm_keeps_the_tokens_that_it_is_named_for() -> None:
    everything = list(range(16))
    assert all(kept == everything for kept in drawn("none"))
    assert all(kept == everything[: len(kept)] for kept in drawn("prefix"))
    assert all(kept == everything[-len(kept) :] for kept in drawn("suffix"))
    subsets = drawn("random")
    assert all(kept == sorted(set(kept)) for kept in subsets)
    chosen = np.bincount(np.concatenate(subsets), minlength=16) / len(subsets)
    assert np.allclose(chosen, 8.5 / 16, atol=0.04)  # no slot more often than another
    assert any(kept not in (everything[: len(kept)], everything[-len(kept) :]) for kept in subsets)


def test_all_cuts_keep_equally_many_tokens_drawn_evenly_from_one_to_all() -> None:
    sizes = [[len(kept) for kept in drawn(arm)] for arm in ("prefix", "suffix", "random")]
    assert sizes[0] == sizes[1] == sizes[2]
    counts = np.bincount(sizes[0], minlength=17)
    assert counts[0] == 0
    assert np.allclose(counts[1:] / 3000, 1 / 16, atol=0.02)


def test_the_llm_reads_the_memory_of_the_kept_slots_and_no_other(
    joint: JointModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each memory token holds its own number, which is found again in what the LLM reads."""
    shape = replace(shapes(TINY)["single"], videos=2, asked=5)
    rng = np.random.default_rng(0)
    videos = [draw_video(joint.bank, rng, shape) for _ in range(2)]
    width = TINY.sizes.width
    memory = (1000.0 + torch.arange(2 * 5 * SLOTS)).view(2, 5, SLOTS, 1).expand(-1, -1, -1, width)
    kept = [[[np.array(slots)] for slots in ([0], [3], [1, 3], [0, 1, 2], [0, 1, 2, 3])]] * 2
    read: list[torch.Tensor] = []
    plain = joint_stage.read
    monkeypatch.setattr(joint_stage, "read", lambda llm, x: read.append(x) or plain(llm, x))
    joint.answers(videos, memory, kept)
    for number, row in enumerate(read[0]):
        found = row[row[:, 0] >= 1000, 0]
        video, question = divmod(number, 5)
        assert torch.equal(found, memory[video, question, kept[video][question][0], 0])


def test_all_arms_are_asked_the_same_in_the_same_order(
    joint: JointModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = replace(shapes(TINY)["single"], videos=3)
    compress, answers = joint.compress, joint.answers
    seen: dict[str, list[Any]] = {arm: [] for arm in ARMS}
    sizes: dict[str, list[int]] = {arm: [] for arm in ARMS}

    for arm in ARMS:

        def spy(system, rows, seconds, texts, arm=arm):
            seen[arm].append((system, rows, seconds.tolist(), texts))
            return compress(system, rows, seconds, texts)

        def count(videos, memory, kept, arm=arm):
            sizes[arm] += [len(slots) for video in kept for (slots,) in video]
            return answers(videos, memory, kept)

        monkeypatch.setattr(joint, "compress", spy)
        monkeypatch.setattr(joint, "answers", count)
        step = cut_step(joint, shape, arm)
        for number in range(4):
            step(np.random.default_rng([1, number]), number, {})
    assert seen["none"] == seen["prefix"] == seen["suffix"] == seen["random"]
    assert len({str(each) for each in seen["none"]}) == 4
    assert sizes["prefix"] == sizes["suffix"] == sizes["random"] != sizes["none"]
    assert set(sizes["none"]) == {SLOTS}


class Killed(Exception):
    """Stands for the end of a process."""


def test_a_stopped_run_ends_in_the_same_weights(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in base.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    plain = MuonAdamW.step

    def step(self: MuonAdamW, number: int) -> None:
        if number == 3:
            raise Killed
        plain(self, number)

    monkeypatch.setattr(MuonAdamW, "step", step)
    with pytest.raises(Killed):
        run_arm(TINY, tmp_path, "prefix", 1)
    monkeypatch.setattr(MuonAdamW, "step", plain)
    run_arm(TINY, tmp_path, "prefix", 1)
    whole, resumed = (load_file(d / "prefix-1" / "single.safetensors") for d in (base, tmp_path))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_runs_of_a_seed_begin_alike_and_only_the_llm_and_the_memory_change(base: Path) -> None:
    first, again, other = (load_base(TINY, base, seed) for seed in (1, 1, 2))
    begun = [each.joint.memory.state_dict() for each in (first, again, other)]
    assert all(torch.equal(begun[0][key], begun[1][key]) for key in begun[0])
    assert not torch.equal(begun[0]["compression_tokens"], begun[2]["compression_tokens"])
    assert first.digest == other.digest
    assert not any(p.requires_grad for p in first.joint.reader.model.parameters())
    trained = load_file(base / "prefix-1" / "single.safetensors")
    assert {key.split("/")[1] for key in trained} == {"llm", "memory"}
    for module, own in (("llm", first.joint.llm.model), ("memory", first.joint.memory)):
        before = own.state_dict()
        assert any(not torch.equal(trained[f"weights/{module}/{k}"], before[k]) for k in before)


def test_the_base_stops_before_the_form(base: Path) -> None:
    assert {path.stem for path in base.glob("*.safetensors")} == {"vision", "bank", "svlm", "llm"}


def test_a_run_is_not_continued_from_another_base(base: Path, tmp_path: Path) -> None:
    for path in base.glob("*.safetensors"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "none-1").mkdir()
    note = {"step": 1, "seconds": 0.0, "done": False, "state": {"base": "another"}}
    write_tensors(tmp_path / "none-1" / "single.safetensors", {}, note)
    with pytest.raises(TempoLabError, match="another base"):
        run_arm(TINY, tmp_path, "none", 1)


def test_a_base_is_taken_over_once_and_a_run_in_the_way_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began: list[list[str]] = []
    monkeypatch.setattr(study, "start", lambda arguments, *_: began.append(arguments))
    monkeypatch.setattr(study, "finish", lambda processes: None)
    assert train_arm("random", 7, tmp_path, base=[base]) == tmp_path / "random-7"
    assert began == [[study.__name__, str(tmp_path), "random", "7"]]
    copied = {path.stem for path in tmp_path.glob("*.safetensors")}
    assert copied == {"vision", "svlm", "llm"}
    with pytest.raises(TempoLabError, match="no such arm"):
        train_arm("middle", 7, tmp_path)
    (tmp_path / "random-7").mkdir()
    (tmp_path / "random-7" / "single.safetensors").touch()
    with pytest.raises(TempoLabError, match="already exists"):
        train_arm("random", 7, tmp_path, resume=False)


def test_the_study_is_as_long_as_it_says() -> None:
    length, shape = FRONT_LOADING.single, shapes(FRONT_LOADING)["single"]
    assert (length.steps, shape.videos, shape.asked, FRONT_LOADING.workers) == (500, 12, 5, 1)
    assert (shape.shortest, shape.longest) == (1, 1)
    assert replace(FRONT_LOADING, name="nano", workers=2) == RECIPES["nano"]
