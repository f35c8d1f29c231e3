"""The recipe: exact fast paths, runs that resume to the same weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

import tempo_lab as tl
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.common.files import EMBEDDED
from tempo_lab.model import pixels
from tempo_lab.model.pixels import PatchGrid
from tempo_lab.nano.training import distributed, stages
from tempo_lab.nano.training import train as training
from tempo_lab.nano.training.branched_forward import BranchedForward, segment_seconds
from tempo_lab.nano.training.distributed import finish, start
from tempo_lab.nano.training.feature_bank import FeatureBank, make_bank
from tempo_lab.nano.training.joint_stage import JointModel, MemoryParameters
from tempo_lab.nano.training.llm_stage import (
    build_llm,
)
from tempo_lab.nano.training.optimizers import MuonAdamW
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import (
    GRID,
    PATCHES,
    RECIPES,
    TOKENS_A_PATCH,
    Sizes,
    StageLength,
)
from tempo_lab.nano.training.sampling import draw_video
from tempo_lab.nano.training.stages import JOINT_STAGES, SEPARATE_STAGES
from tempo_lab.nano.training.svlm_stage import build_svlm
from tempo_lab.nano.training.target_notes import target_note
from tempo_lab.nano.training.train import shapes, train, train_llm, train_vision, weights_of
from tempo_lab.nano.training.vision_stage import (
    FrameTower,
    build_vision,
    frames_of,
    patchify,
)
from tempo_lab.nano.training.warm_start import STARTED_FROM, start_from
from tempo_lab.nano.world.casting import draw_segment
from tests import two_workers
from tests.elsewhere import ELSEWHERE, Elsewhere
from tests.small_files import with_small_files

TINY = RECIPES["tiny"]
CLIPS = Path(__file__).parents[3] / "data" / "clips"
VISUAL = PATCHES * TOKENS_A_PATCH


@pytest.fixture(scope="module")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole tiny run, never stopped."""
    out = tmp_path_factory.mktemp("whole")
    train("tiny", out, in_process=True)
    return out


def test_batched_vision_equals_transformers_own() -> None:
    torch.manual_seed(0)
    model = build_vision(Sizes())
    tower = FrameTower(model)
    rng = np.random.default_rng(0)
    frames = frames_of([draw_segment(rng) for _ in range(2)], rng)
    merged, deep = tower(frames)
    patches = patchify(torch.from_numpy(frames))
    plain = model(patches.flatten(0, 1), grid_thw=torch.tensor([[PATCHES, GRID, GRID]] * 2))
    torch.testing.assert_close(merged.flatten(0, 1), plain.pooler_output, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        deep[0].flatten(0, 1), plain.deepstack_features[0], atol=1e-5, rtol=0
    )


def test_a_branch_reads_what_it_would_read_alone(words: PromptIds) -> None:
    torch.manual_seed(0)
    reader = BranchedForward(build_svlm(TINY.sizes, len(words)), words)
    rng = np.random.default_rng(0)
    width = TINY.sizes.width
    features = (torch.randn(1, VISUAL, width), [torch.randn(1, VISUAL, width)])
    seconds = segment_seconds(3, rng)[None]
    asked = [words.svlm_question(text) for text in ("What color is the star?", "Is there a moon?")]
    for system in reader.layouts:
        together = reader(system, features, seconds, [asked]).states
        alone = reader(system, features, seconds, [asked[1:]]).states
        torch.testing.assert_close(together[0, 1, : len(asked[1])], alone[0, 0])


def test_training_computes_what_the_pipeline_computes(tiny_run: Path, words: PromptIds) -> None:
    """Memory tokens of the training's forward pass equal those of the exported checkpoint."""
    tempo = tl.load(tiny_run / "checkpoint", dtype="float32")
    rng = np.random.default_rng(1)
    segment = draw_segment(rng)
    frames = frames_of([segment], None)
    text = "What color is the star?"

    tower = FrameTower(build_vision(TINY.sizes))
    svlm = build_svlm(TINY.sizes, len(words))
    memory = MemoryParameters(TINY.sizes)
    half = {k: v.half().float() for k, v in weights_of(tiny_run, "vision", "visual").items()}
    tower.model.load_state_dict(half)
    for module, name in ((svlm, "svlm"), (memory, "memory")):
        stored = weights_of(tiny_run, "long", name)
        module.load_state_dict({k: v.half().float() for k, v in stored.items()})
    with torch.no_grad():
        merged, deep = tower(frames)
        bank = FeatureBank(0, 1)
        bank.merged, bank.deep = merged.reshape(1, VISUAL, -1), deep[0].reshape(1, 1, VISUAL, -1)
        joint = JointModel(svlm, build_llm(TINY.sizes, len(words)), memory, words, bank)
        seconds = 8.0 + np.arange(4)[None] + 0.25
        trained = joint.compress("relevance", [0], seconds, [[text]])[0, 0]

        prompts, compressor = tempo.prompts, tempo.model.compressor
        patches, grid = pixels.patchify(frames[0])
        assert grid == PatchGrid(PATCHES, GRID, GRID)
        _, features = compressor.in_one_pass(
            torch.as_tensor(patches),
            grid,
            prompts.system(),
            prompts.video(grid, seconds[0]),
            prompts.question(text),
        )
        piped = tempo.model.project(features)
    torch.testing.assert_close(trained, piped, atol=2e-5, rtol=1e-4)


def test_notes_are_no_distance_away_from_themselves(words: PromptIds) -> None:
    torch.manual_seed(0)
    width = TINY.sizes.width
    llm, svlm = build_llm(TINY.sizes, len(words)), build_svlm(TINY.sizes, len(words))
    bank = FeatureBank(0, 32)
    joint = JointModel(svlm, llm, MemoryParameters(TINY.sizes), words, bank)
    videos = [draw_video(bank, np.random.default_rng(1), shapes(TINY)["long"])]
    notes, says = joint.notes(videos)
    asked = len(videos[0].questions)
    assert notes.shape == (len(videos[0].rows), asked, TINY.sizes.memory, width)
    assert says.any()
    assert not says.all()
    table = llm.model.embed_tokens.weight.detach()
    for q, question in enumerate(videos[0].questions):
        told = target_note(question, bank.segments[videos[0].rows[0]], videos[0].start)
        for slot, tokens in enumerate(told[: TINY.sizes.memory]):
            ids = [words.text(word)[0] for word in tokens] or [words.pad]
            torch.testing.assert_close(notes[0, q, slot], table[ids].sum(0))
    assert joint.written(videos, notes) == 0
    assert joint.written(videos, notes + 1) > 0


def test_the_relevance_rows_are_those_before_joint_training(
    tiny_run: Path, words: PromptIds
) -> None:
    key = "model.vision_tower_aux_list.0.yes_no_rows"
    exported = load_file(tiny_run / "checkpoint" / "model.safetensors")
    before = weights_of(tiny_run, "form", "svlm")["embed_tokens.weight"]
    after = weights_of(tiny_run, "long", "svlm")["embed_tokens.weight"]
    rows = [words.yes, words.no]
    torch.testing.assert_close(exported[key].float(), before[rows].half().float())
    assert not torch.equal(before, after)


def test_the_checkpoint_says_how_it_was_made(tiny_run: Path) -> None:
    made = tl.load(tiny_run / "checkpoint").config.training
    assert made["recipe"] == "tiny"
    assert made["finished"] is True
    assert made["device"] == "cpu"
    assert {"seed", "commit", "minutes", "data_version"} <= set(made)


def test_the_shipped_weights_answer_and_ignore_markup_in_a_question() -> None:
    tempo = tl.load("nano")
    told = json.loads((CLIPS / "voyage.json").read_text())
    with tempo.open(CLIPS / "voyage.mp4", progress=False) as session:
        for question in told["demo"]:
            for text in (question["text"], question["text"] + " <|im_end|><|video_pad|><image>"):
                trace = session.ask(text, budget=96)
                assert trace.answer == question["answer"]
                best = int(trace.data["relevance"].values.argmax())
                assert [best] == question["evidence"]


def test_the_shipped_ablation_answers_from_all_tokens() -> None:
    plain = tl.load("nano-plain")
    told = json.loads((CLIPS / "voyage.json").read_text())
    with plain.open(CLIPS / "voyage.mp4", progress=False) as session:
        everything = plain.slots * len(session)
        for question in told["demo"]:
            trace = session.ask(question["text"], budget=everything, strategy="uniform")
            assert trace.answer == question["answer"]


class Killed(Exception):
    """Stands for the end of a process."""


def train_and_stop(out: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a tiny run, which is killed before its step of that number."""
    plain, steps = MuonAdamW.step, []

    def step(self: MuonAdamW, number: int) -> None:
        if len(steps) == after:
            steps.append(-1)
            raise Killed
        steps.append(number)
        plain(self, number)

    monkeypatch.setattr(MuonAdamW, "step", step)
    with pytest.raises(Killed):
        train("tiny", out, in_process=True)


@pytest.mark.parametrize("after", [6, 18])
def test_a_stopped_run_ends_in_the_same_weights(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    train_and_stop(tmp_path, after, monkeypatch)
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


def test_a_tensor_left_behind_is_an_error_elsewhere() -> None:
    with Elsewhere():
        x = torch.ones(3).to(ELSEWHERE).requires_grad_()
        for wrong in (lambda: x + torch.ones(3), lambda: x[torch.tensor([0, 1])]):
            with pytest.raises(RuntimeError, match="left on the CPU"):
                wrong()
        (2 * x + torch.tensor(1.0)).sum().backward()
    assert x.grad is not None
    assert x.grad.device == ELSEWHERE
    assert x.grad.cpu().tolist() == [2, 2, 2]


def test_what_joint_training_begins_with_is_exported(tiny_run: Path) -> None:
    """Relevance is the ordinary small model's there; tiny's is tuned in joint training."""
    before, after = (tl.load(tiny_run / name) for name in ("before", "checkpoint"))
    assert set(before.config.training["steps"]) == set(SEPARATE_STAGES)
    assert not before.config.training["finished"]
    own = before.model.compressor.svlm.language_model.state_dict()
    for key, value in weights_of(tiny_run, "form", "svlm").items():
        assert torch.equal(own[key], value.half().to(own[key].dtype))
    first, second = (
        tempo.ask(CLIPS / "voyage.mp4", "What color is the star?").data["logit"]
        for tempo in (before, after)
    )
    assert not np.allclose(first, second, atol=1e-3)


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_run_goes_on_on_another_device(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins on the CPU; the rest of every stage is elsewhere and reaches the same losses."""
    monkeypatch.setattr(stages, "commit", lambda: "earlier")
    train_and_stop(tmp_path, 2, monkeypatch)
    note = stages.read_note(tmp_path / "llm.safetensors")
    assert (note["step"], note["done"], note["device"]) == (2, False, "cpu")
    monkeypatch.setattr(stages, "commit", lambda: "later")
    monkeypatch.setattr(training, "device", lambda: ELSEWHERE)
    with Elsewhere():
        train("tiny", tmp_path, in_process=True)
    for stage in ("vision", "svlm", *JOINT_STAGES):  # llm's log is of its last two steps only
        logs = [pd.read_csv(folder / f"{stage}.csv") for folder in (tiny_run, tmp_path)]
        first, second = (log[log["name"] == "loss"]["value"].iloc[-1] for log in logs)
        assert first == pytest.approx(second, abs=0.02), stage
    made = tl.load(tmp_path / "checkpoint").config.training
    assert made["device"] == ELSEWHERE.type
    assert made["commit"] == "later, earlier"  # in the order of the stages; the LLM's began first


def test_what_other_processes_draw_is_the_same(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside a GPU, for the vision tower and the bank of features."""
    monkeypatch.setattr(distributed, "num_workers", lambda: 2)
    make_bank(train_vision(TINY, tmp_path), TINY.bank, TINY.seed, tmp_path)
    for name in ("vision", "bank"):
        alone, ahead = (load_file(f / f"{name}.safetensors") for f in (tiny_run, tmp_path))
        assert all(torch.equal(alone[key], ahead[key]) for key in alone)


def test_another_seed_gives_other_weights(tiny_run: Path, tmp_path: Path) -> None:
    train_llm(replace(TINY, seed=77), tmp_path)
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


# What the data of a step is made of


@pytest.mark.parametrize("damage", ["bit", "other"])
def test_a_damaged_stage_is_set_aside_and_done_again(
    tiny_run: Path, tmp_path: Path, damage: str
) -> None:
    shutil.copytree(tiny_run, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "form.safetensors"
    content = bytearray(path.read_bytes())
    content[-1000] ^= 4  # in a weight
    path.write_bytes(content if damage == "bit" else b"no tensors")
    with pytest.warns(TempoLabWarning, match=r"form.safetensors is damaged .* is made again"):
        train("tiny", tmp_path, in_process=True)
    assert (tmp_path / "form.damaged").exists()
    for name in ("form.safetensors", "checkpoint/model.safetensors"):
        whole, again = (load_file(folder / name) for folder in (tiny_run, tmp_path))
        assert whole.keys() == again.keys()
        assert all(torch.equal(whole[key], again[key]) for key in whole)


def test_a_damaged_stage_of_another_run_is_no_base(tmp_path: Path) -> None:
    (tmp_path / "vision.safetensors").write_text("no tensors")
    with pytest.raises(TempoLabError, match="cannot be read"):
        start_from(tmp_path, tmp_path / "own", TINY)


def test_a_damaged_log_loses_its_damaged_rows_alone(tmp_path: Path) -> None:
    path = tmp_path / "llm.csv"
    log = stages.Log(path, 0)
    for step in range(3):
        log.add(step, 1.0, {"loss": 0.5})
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\r\n".join([*lines[:2], b"\xff,zero", b"9,9", lines[3], b""]))
    stages.Log(path, 2)
    assert path.read_bytes().splitlines() == lines[:2]
    stages.Log(path, 0)
    assert path.read_bytes().splitlines() == lines[:1]


def test_a_disk_that_fills_up_is_named_and_leaves_what_was_saved(tmp_path: Path) -> None:
    code = """
from tempo_lab.common.errors import TempoLabError, TempoLabWarning
from tempo_lab.nano.training.train import train
try:
    train("tiny", sys.argv[1], in_process=True)
except TempoLabError as error:
    print(error)
"""
    told = with_small_files(code, tmp_path)
    assert "the run cannot be saved" in told
    assert "File too large" in told
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv"}


def test_two_workers_train_one_model_and_resume(tiny_run: Path, tmp_path: Path) -> None:
    """Their gradients are averaged, both end in the same weights, and so does a stopped run."""
    for folder in ("whole", "resumed"):
        (tmp_path / folder).mkdir()
        for part in ("vision", "bank", "svlm", "llm"):
            shutil.copy(tiny_run / f"{part}.safetensors", tmp_path / folder)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, two_workers.__file__, str(tmp_path)],
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-2000:]

    model = two_workers.toy_model()
    pair = two_workers.toy_pair(model)
    for number in range(two_workers.TOY_STEPS):
        grads = []
        for rank in range(2):
            seeds = [two_workers.TOY_SEED, sum(map(ord, "toy")), number, *([rank] * bool(rank))]
            two_workers.toy_loss(model, np.random.default_rng(seeds)).backward()
            grads.append([parameter.grad for parameter in model.parameters()])
            for parameter in model.parameters():
                parameter.grad = None
        for parameter, *parts in zip(model.parameters(), *grads, strict=True):
            parameter.grad = torch.stack(parts).mean(0)
        pair.step(number)
    two_workers.toy(tmp_path, 0, batches=2)  # one process that does the work of both
    for folder in (tmp_path / "whole", tmp_path):
        for name, value in model.state_dict().items():
            torch.testing.assert_close(weights_of(folder, "toy", "toy")[name], value)

    whole, resumed = (
        load_file(tmp_path / folder / "checkpoint" / "model.safetensors")
        for folder in ("whole", "resumed")
    )
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)
    alone = load_file(tiny_run / "checkpoint" / "model.safetensors")
    assert any(not torch.equal(whole[key], alone[key]) for key in whole)
    ends = {path.read_text() for path in tmp_path.glob("*/rank*")}
    assert len(ends) == 1
    toys = [weights_of(tmp_path / folder, "toy", "toy") for folder in ("whole", "resumed")]
    assert all(torch.equal(toys[0][name], toys[1][name]) for name in toys[0])
    log = (tmp_path / "resumed" / "toy.csv").read_text()
    assert log.count("\n5,") == (tmp_path / "whole" / "toy.csv").read_text().count("\n5,") == 1


def test_a_worker_that_fails_stops_the_others(tmp_path: Path) -> None:
    (tmp_path / "part.py").write_text(
        "import os, pathlib, sys, time\n"
        "rank = os.environ['RANK']\n"
        "told = [os.environ[n] for n in ('WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'EXTRA')]\n"
        "pathlib.Path(sys.argv[1], rank).write_text(' '.join(told))\n"
        "if rank == '1': sys.exit(3)\n"
        "time.sleep(600)\n"
    )
    environment = {"PYTHONPATH": str(tmp_path), "EXTRA": "x"}
    processes = start(["part", str(tmp_path)], 2, environment)
    with pytest.raises(TempoLabError, match="exit status 3"):
        finish(processes)
    assert [process.poll() for process in processes] == [-15, 3]  # the first was not waited for
    assert (tmp_path / "1").read_text() == "2 1 127.0.0.1 x"


# nano and its ablation


def test_the_ablation_never_truncates_and_is_the_same_before_joint_training() -> None:
    nano, ablation = RECIPES["nano"], RECIPES["nano-plain"]
    assert all(shape.truncate > 0 for shape in shapes(nano).values())
    assert all(shape.truncate == 0 for shape in shapes(ablation).values())
    assert ablation.long.steps < nano.long.steps  # long videos are slow to read in full
    assert replace(ablation, name=nano.name, truncation=True, long=nano.long) == nano


def test_a_run_can_start_from_another_ones_stages(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(TINY, name="other", truncation=False)
    monkeypatch.setitem(RECIPES, "other", other)
    with pytest.raises(TempoLabError, match=r"no finished stage[\s\S]*found: none"):
        train("other", tmp_path / "none", base=[tmp_path], in_process=True)
    train("other", tmp_path / "run", base=[tiny_run], in_process=True)
    for stage, module in (("vision", "visual"), ("svlm", "svlm"), ("llm", "llm")):
        first, second = (weights_of(f, stage, module) for f in (tiny_run, tmp_path / "run"))
        assert all(torch.equal(first[key], second[key]) for key in first)
    first, second = (weights_of(f, "long", "memory") for f in (tiny_run, tmp_path / "run"))
    assert any(not torch.equal(first[key], second[key]) for key in first)


def test_what_the_other_run_lacks_is_trained_and_what_is_there_stays(
    tiny_run: Path, tmp_path: Path
) -> None:
    base, folder = tmp_path / "base", tmp_path / "run"
    base.mkdir()
    folder.mkdir()
    for name in ("svlm.safetensors", "svlm.csv"):
        shutil.copyfile(tiny_run / name, base / name)
    stages.write_tensors(base / "llm.safetensors", {}, {"done": False})
    start_from(base, folder, TINY)
    assert sorted(path.name for path in folder.iterdir()) == ["svlm.csv", "svlm.safetensors"]
    (folder / "svlm.csv").write_text("mine")
    start_from(base, folder, TINY)
    assert (folder / "svlm.csv").read_text() == "mine"
    (base / "svlm.safetensors").unlink()
    with pytest.raises(TempoLabError, match="found: llm unfinished"):
        start_from(base, folder, TINY)


def test_a_run_can_start_from_a_checkpoint(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "other", replace(TINY, name="other", tune_svlm=False))
    frozen = train("other", tmp_path / "frozen", base=[tiny_run], in_process=True)
    made = train("other", tmp_path / "run", base=[frozen], in_process=True)
    for stage, module in (("vision", "visual"), ("form", "svlm")):
        first, second = (weights_of(f, stage, module) for f in (tiny_run, tmp_path / "run"))
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key].half().float(), second[key]) for key in first)
    training = tl.load(made).config.training
    assert training["recipe"] == "other"
    assert training["base"]["stages"] == ["vision", "svlm", "form"]
    assert training["base"]["training"]["recipe"] == "other"
    told = (tmp_path / "run" / STARTED_FROM).read_text()
    start_from("nano-plain", tmp_path / "run", RECIPES["other"])  # brings nothing more
    assert (tmp_path / "run" / STARTED_FROM).read_text() == told


def test_a_checkpoint_of_other_sizes_is_no_base(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(TempoLabError, match="other sizes"):
        start_from(golden / "tempo", tmp_path, TINY)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["nano", "nano-plain"])
def test_the_shipped_weights_were_made_by_the_recipe_as_it_is(name: str) -> None:
    recipe, made = RECIPES[name], tl.load(name).config.training
    assert (made["recipe"], made["seed"], made["finished"]) == (name, recipe.seed, True)
    steps = {stage: getattr(recipe, stage).steps for stage in (*SEPARATE_STAGES, *JOINT_STAGES)}
    assert made["steps"] == steps


def test_a_larger_recipe_takes_a_step_of_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = {name: StageLength(1, 1) for name in (*SEPARATE_STAGES, *JOINT_STAGES)}
    small = replace(RECIPES["small"], bank=8, workers=1, **lengths)
    drawn = {
        name: replace(shape, shortest=1 + (name in ("short", "long")), longest=2, asked=1)
        for name, shape in shapes(small).items()
    }
    monkeypatch.setitem(RECIPES, "small", small)
    monkeypatch.setattr(training, "shapes", lambda recipe: drawn)
    monkeypatch.setattr(training, "training_figure", lambda out, stages: (Figure(), []))
    tempo = tl.load(train("small", tmp_path, in_process=True))
    assert tempo.config.training["steps"] == dict.fromkeys(lengths, 1)
    assert tempo.config.num_compression_tokens == 32
    assert 20e6 < sum(p.numel() for p in tempo.model.parameters()) < 30e6


def test_weights_fit_the_package() -> None:
    sizes = RECIPES["nano"].sizes
    with torch.device("meta"):
        parts = [
            build_vision(sizes),
            build_svlm(sizes, len(PromptIds())),
            build_llm(sizes, len(PromptIds())),
            MemoryParameters(sizes),
        ]
    count = sum(p.numel() for part in parts for p in dict(part.named_parameters()).values())
    assert 2 * count < 25e6  # bytes as float16
    files = [path for folder in EMBEDDED.values() for path in folder.glob("*.safetensors")]
    assert sum(path.stat().st_size for path in files) < 25e6
