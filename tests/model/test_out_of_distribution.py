"""What a small model cannot know it says: words without tokens, videos unlike its training."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import tempo_lab as tl
from tempo_lab.common.errors import QueryError, TempoLabWarning, UnfamiliarVideoWarning
from tempo_lab.model.out_of_distribution import FeatureStatistics, OODMonitor
from tempo_lab.model.prompts import unknown_words
from tempo_lab.nano.training.export import (
    example_questions,
    export,
    familiar_tensors,
    released_keys,
)
from tempo_lab.nano.training.feature_bank import make_bank
from tempo_lab.nano.training.joint_stage import MemoryParameters
from tempo_lab.nano.training.llm_stage import build_llm
from tempo_lab.nano.training.prompt_ids import PromptIds
from tempo_lab.nano.training.recipes import RECIPES
from tempo_lab.nano.training.svlm_stage import build_svlm
from tempo_lab.nano.training.vision_stage import FrameTower, build_vision, rescale
from tempo_lab.nano.world import KINDS, draw_scene
from tempo_lab.nano.world.files import write_video

SIZES = RECIPES["tiny"].sizes
KNOWN = "What color is the star?"


def write_checkpoint(folder: Path, words: PromptIds) -> Path:
    """An untrained checkpoint of the embedded model's kind, with a bank of its training frames."""
    torch.manual_seed(0)
    tower = FrameTower(build_vision(SIZES))
    rescale(tower, 0)
    make_bank(tower, 192, 0, folder)
    svlm, llm = build_svlm(SIZES, len(words)), build_llm(SIZES, len(words))
    tensors = released_keys(
        tower.model.state_dict(),
        svlm.state_dict(),
        llm.model.state_dict(),
        MemoryParameters(SIZES).state_dict(),
        svlm.embed_tokens.weight[[words.yes, words.no]],
    )
    tensors |= familiar_tensors(folder / "bank.safetensors")
    export(folder / "checkpoint", SIZES, tensors, {"recipe": "none"})
    return folder / "checkpoint"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, words: PromptIds) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("small"), words)


@pytest.fixture(scope="module")
def small(checkpoint: Path) -> tl.Tempo:
    return tl.load(checkpoint)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of the small model's world."""
    return write_video(draw_scene(77, 3), tmp_path_factory.mktemp("own") / "own.mp4")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three segments of coarse noise: nothing of any world."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (24, 4, 4, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("foreign") / "noise.npy"
    np.save(path, coarse.repeat(32, axis=1).repeat(32, axis=2))
    return path


# Words


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        (KNOWN, []),
        ("WHAT COLOR IS THE STAR", []),
        ("", []),
        ("Is there an elephant, or a Zebra near the elephant?", ["elephant", "Zebra", "near"]),
        ("Welche Farbe hat der Stern?", ["Welche", "Farbe", "hat", "der", "Stern"]),
        ("星は何色？", ["星は何色"]),
        ("What color is the star? <|im_end|><|video_pad|><image> @@ ### 17 42", []),
        ("What, color... is - the star?!", []),
    ],
)
def test_words_without_a_token_are_found(words: PromptIds, text: str, unknown: list[str]) -> None:
    assert unknown_words(words.tokenizer, text) == unknown


def test_a_tokenizer_that_spells_everything_knows_every_word(tiny: tl.Tempo) -> None:
    for text in ("Is there an elephant?", "星は何色？", "<|im_end|>"):
        assert unknown_words(tiny.prompts.llm, text) == []


def test_examples_are_of_every_kind_and_known(words: PromptIds) -> None:
    examples = example_questions()
    assert len(examples) == len(set(examples)) == len(KINDS) - 1  # absence asks as the others do
    assert not any(unknown_words(words.tokenizer, text) for text in examples)


def test_unknown_words_are_refused_by_name_before_anything_is_read(
    small: tl.Tempo, own: Path
) -> None:
    with small.open(own, progress=False) as session:
        with pytest.raises(QueryError) as refused:
            session.ask("What colr is the Elephant?")
        assert session.engine.computed["decoded"] == 0
        for shown in ("colr (near: color)", "Elephant", *example_questions()):
            assert shown in str(refused.value)
        assert "star?" not in str(refused.value.found)
        session.ask(f"{KNOWN} <|im_end|>", max_new_tokens=1)


@pytest.mark.parametrize("question", ["🙂", "<script>", "<script>alert(1)</script>", "???", "17"])
def test_what_has_no_word_is_no_question(small: tl.Tempo, own: Path, question: str) -> None:
    with small.open(own, progress=False) as session:
        with pytest.raises(QueryError, match="no word that the model knows") as refused:
            session.ask(question)
        assert repr(question) in str(refused.value)
        assert KNOWN.partition(" ")[0] in refused.value.fix
        with pytest.raises(QueryError, match="the question is blank"):
            session.ask(" ")
        session.ask("", mode="faithful", max_new_tokens=1)


def test_a_checkpoint_without_examples_takes_any_words(
    checkpoint: Path, own: Path, tiny: tl.Tempo, frames_file: Path
) -> None:
    tiny.ask(frames_file, "Is there an elephant?", max_new_tokens=1)
    plain = tl.load(checkpoint)
    plain.config.example_questions = None
    plain.ask(own, "Is there an elephant?", max_new_tokens=1)


# Videos


def test_training_frames_are_familiar_and_others_are_not() -> None:
    torch.manual_seed(1)
    spread = torch.linspace(0.01, 1.0, 24)
    mixed = torch.randn(24, 24)

    def frames(count: int) -> torch.Tensor:
        return ((torch.randn(count, 1, 24) + torch.randn(count, 16, 24)) * spread) @ mixed

    statistics = FeatureStatistics.of(frames(3000))
    assert (statistics.ood_score(frames(2000)) <= 1).float().mean() > 0.995
    usual = statistics.ood_score(frames(200)).median()
    assert usual < 0.95
    assert (statistics.ood_score(frames(50) + 3 * spread @ mixed) > 1).all()
    turned = frames(200).flip(-1)  # every channel in its range, but not together
    assert statistics.ood_score(turned).median() > 1
    flat = frames(50).mean(1, keepdim=True).expand(-1, 16, -1)
    assert (statistics.ood_score(flat) > 1).all()
    rough = FeatureStatistics(24)
    rough.load_state_dict({k: v.bfloat16().float() for k, v in statistics.state_dict().items()})
    again = rough.ood_score(frames(200).bfloat16()).median()
    assert float(again) == pytest.approx(float(usual), abs=0.1)


def test_a_look_counts_each_segment_once_and_warns_once() -> None:
    statistics = FeatureStatistics(4)
    monitor = OODMonitor(statistics)
    assert monitor.ood_score is None
    merged = torch.arange(2 * 8 * 4.0).view(2, 8, 4)
    monitor.add(0, merged, pairs=2)
    first = monitor.ood_score
    monitor.add(0, 0 * merged, pairs=2)
    assert monitor.ood_score == first > 1
    assert monitor.provenance == {"strangeness": first}
    with pytest.warns(UnfamiliarVideoWarning, match=r"^a\.mp4 does not look like") as given:
        monitor.warn("/home/me/models/small", "/home/me/a.mp4")
    assert monitor.warnings("/home/me/models/small", "/home/me/a.mp4") == [str(given[0].message)]
    assert "videos that small was" in str(given[0].message)
    assert "home" not in str(given[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.warn("small", "a.mp4")
        nothing = OODMonitor(None)
        nothing.add(0, merged, pairs=2)
        nothing.warn("small", "a.mp4")
    assert nothing.provenance == {}
    assert nothing.warnings("small", "a.mp4") == []


def test_a_video_of_its_world_is_answered_without_a_word(small: tl.Tempo, own: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TempoLabWarning)
        trace = small.ask(own, KNOWN, max_new_tokens=1)
    assert trace.provenance["strangeness"] <= 1
    assert trace.warnings == ()


@pytest.mark.parametrize("cache_mode", ["kv", "nothing"])
def test_python_warns_once_and_every_trace_does(
    small: tl.Tempo, foreign: Path, cache_mode: str, tmp_path: Path
) -> None:
    with small.open(foreign, cache=cache_mode, progress=False) as session:
        with pytest.warns(UnfamiliarVideoWarning, match=r"noise\.npy does not look like") as given:
            trace = session.ask(KNOWN, max_new_tokens=1)
        assert given[0].filename == __file__
        assert trace.provenance["strangeness"] > 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", TempoLabWarning)
            again = session.ask("Is there a moon?", max_new_tokens=1)
        assert again.provenance["strangeness"] == trace.provenance["strangeness"]
        assert again.warnings == trace.warnings == (str(given[0].message),)
        saved = again.save(tmp_path / "again.nc")
        assert tl.Trace.load(saved).warnings == again.warnings


def test_notes_on_the_video_come_first(small: tl.Tempo, foreign: Path) -> None:
    with small.open(foreign, progress=False) as session:
        session.video.info = replace(session.video.info, notes=("Sound is ignored.",))
        with pytest.warns(UnfamiliarVideoWarning):
            noted, unlike = session.ask(KNOWN, max_new_tokens=1).warnings
    assert noted == "Sound is ignored."
    assert unlike.startswith("noise.npy does not look like")


def test_a_checkpoint_that_says_nothing_warns_of_nothing(tiny: tl.Tempo, frames_file: Path) -> None:
    assert tiny.model.feature_statistics is None
    with warnings.catch_warnings():
        warnings.simplefilter("error", TempoLabWarning)
        assert "strangeness" not in tiny.ask(frames_file, "What?", max_new_tokens=1).provenance


def test_a_saved_copy_knows_the_same(small: tl.Tempo, tmp_path: Path) -> None:
    small.save_pretrained(tmp_path / "copy")
    copy = tl.load(tmp_path / "copy")
    assert list(copy.config.example_questions) == example_questions()
    kept, had = (tempo.model.feature_statistics.state_dict() for tempo in (copy, small))
    assert had.keys() == kept.keys() == {"mean", "whiten", "limits"}
    assert all(torch.equal(had[key], kept[key]) for key in had)
