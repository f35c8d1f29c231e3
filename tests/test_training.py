"""The recipe: exact prompts, exact fast paths, runs that resume to the same weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file
from transformers import AutoTokenizer

import tempo_lab as tl
from tempo_lab.errors import TempoLabError
from tempo_lab.files import EMBEDDED
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
from tempo_lab.training import train as training
from tempo_lab.training.bank import Bank
from tempo_lab.training.base import STARTED_FROM, take_over
from tempo_lab.training.joint import SINGLE, Joint, Memory, draw, kept
from tempo_lab.training.naming import HAPPENINGS, NAMES, happenings
from tempo_lab.training.nano_config import (
    GRID,
    PATCHES,
    RECIPES,
    TOKENS_A_PATCH,
    Sizes,
    StageLength,
)
from tempo_lab.training.notes import LOCAL, LONG, answer, draw_kind, segment_question, told
from tempo_lab.training.optimizers import Pair
from tempo_lab.training.pool import Pool
from tempo_lab.training.stages import JOINT_STAGES, SEPARATE_STAGES
from tempo_lab.training.svlm import Reader, build_svlm, segment_seconds
from tempo_lab.training.text import (
    KIND_WEIGHTS,
    among_blanks,
    build_llm,
    conversation,
    hint,
    note,
)
from tempo_lab.training.train import shapes, train, train_llm, weights_of
from tempo_lab.training.vision import (
    SIDE,
    FrameTower,
    build_vision,
    frames_of,
    patchify,
    targets,
)
from tempo_lab.training.vocabulary import save_tokenizer
from tempo_lab.training.words import IGNORE, Words
from tempo_lab.training.workers import finish, start
from tempo_lab.world import KINDS, draw_questions, questions, reworded
from tempo_lab.world.casting import draw_scene, draw_segment
from tempo_lab.world.questions import DESCRIBE, Question, plain, relevant
from tempo_lab.world.scenes import HELD_OUT, Item, Noun, Segment
from tests import two_workers
from tests.elsewhere import ELSEWHERE, Elsewhere

TINY = RECIPES["tiny"]
DATA = Path(__file__).parents[1] / "data"
CLIPS, STAGES = DATA / "clips", DATA / "stages"
VISUAL = PATCHES * TOKENS_A_PATCH


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


@pytest.mark.parametrize("shipped", EMBEDDED.values(), ids=EMBEDDED)
def test_the_shipped_tokenizer_is_the_one_made_here(tmp_path: Path, shipped: Path) -> None:
    save_tokenizer(tmp_path)
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
    unknown, rng = words.tokenizer.unk_token_id, np.random.default_rng(0)
    for seed in range(8):
        for question in draw_questions(draw_scene(seed, 30), rng, 80):
            for text in (question.text, reworded(question, rng).text):
                ids = words.tokenizer.encode(text)
                assert unknown not in ids, text
                assert words.tokenizer.decode(ids) == text.lower()
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
    plain = model(patches.flatten(0, 1), grid_thw=torch.tensor([[PATCHES, GRID, GRID]] * 2))
    torch.testing.assert_close(merged.flatten(0, 1), plain.pooler_output, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        deep[0].flatten(0, 1), plain.deepstack_features[0], atol=1e-5, rtol=0
    )


def test_a_branch_reads_what_it_would_read_alone(words: Words) -> None:
    torch.manual_seed(0)
    reader = Reader(build_svlm(TINY.sizes, len(words)), words)
    rng = np.random.default_rng(0)
    width = TINY.sizes.width
    features = (torch.randn(1, VISUAL, width), [torch.randn(1, VISUAL, width)])
    seconds = segment_seconds(3, rng)[None]
    asked = [words.svlm_question(text) for text in ("What color is the star?", "Is there a moon?")]
    for system in reader.layouts:
        together = reader(system, features, seconds, [asked]).states
        alone = reader(system, features, seconds, [asked[1:]]).states
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
        bank = Bank(0, 1)
        bank.merged, bank.deep = merged.reshape(1, VISUAL, -1), deep[0].reshape(1, 1, VISUAL, -1)
        joint = Joint(svlm, build_llm(TINY.sizes, len(words)), memory, words, bank)
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
    assert made["device"] == "cpu"
    assert {"seed", "commit", "minutes", "data_version"} <= set(made)


def test_the_shipped_weights_answer_and_ignore_markup_in_a_question() -> None:
    tempo = tl.load("nano")
    assert tempo.config.training["recipe"] == "nano-more"
    assert tempo.config.training["finished"] is True
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
    assert plain.config.training["recipe"] == "nano-plain"
    assert plain.config.training["finished"] is True
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
    plain, steps = Pair.step, []

    def step(self: Pair, number: int) -> None:
        if len(steps) == after:
            steps.append(-1)
            raise Killed
        steps.append(number)
        plain(self, number)

    monkeypatch.setattr(Pair, "step", step)
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


@pytest.mark.filterwarnings("ignore:.*copying from a non-meta parameter")
def test_a_run_goes_on_on_another_device(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins on the CPU; the rest of every stage is elsewhere and reaches the same losses."""
    train_and_stop(tmp_path, 2, monkeypatch)
    note = stages.read_note(tmp_path / "llm.safetensors")
    assert (note["step"], note["done"], note["device"]) == (2, False, "cpu")
    monkeypatch.setattr(training, "device", lambda: ELSEWHERE)
    with Elsewhere():
        train("tiny", tmp_path, in_process=True)
    for stage in ("vision", "svlm", *JOINT_STAGES):  # llm's log is of its last two steps only
        logs = [pd.read_csv(folder / f"{stage}.csv") for folder in (tiny_run, tmp_path)]
        first, second = (log[log["name"] == "loss"]["value"].iloc[-1] for log in logs)
        assert first == pytest.approx(second, abs=0.02), stage
    assert tl.load(tmp_path / "checkpoint").config.training["device"] == ELSEWHERE.type


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


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Enough segments of two casts that every part of a plan is there."""
    return Pool(3, 900, casts=2)


def test_a_pool_is_its_seed(pool: Pool) -> None:
    again = Pool(3, 900, casts=2)
    assert pool.segments == again.segments
    assert Pool(4, 100, casts=2).segments != pool.segments[:100]
    assert len(pool) == 900
    shown = {(i.shape, i.color) for s in pool.segments for i in s.items}
    assert not shown & HELD_OUT


def test_videos_of_a_pool_have_needles_and_come_from_one_cast(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    for segments in (1, 2, 8, 24):
        for _ in range(10):
            rows, scene = pool.video(rng, segments)
            assert [pool.segments[row] for row in rows] == list(scene.segments)
            assert len(scene) == segments
            if segments < 8:
                continue
            counts = Counter(i.shape for s in scene.segments for i in s.items)
            fits = []
            for cast in pool.casts:
                roles = [counts[n] for n in cast.needles], counts[cast.rare], counts[cast.absent]
                fits.append(roles[0] == [1, 1, 1] and 2 <= roles[1] <= 5 and not roles[2])
            assert any(fits), counts


def test_a_pool_without_a_fitting_segment_still_gives_a_video() -> None:
    rows, scene = Pool(0, 5).video(np.random.default_rng(0), 30)
    assert len(rows) == len(scene) == 30


SEEN = Segment(
    "sea",
    0,
    (
        Item("star", "red", "big", "left", 40.0, 30.0),
        Item("moon", "blue", "small", "still", 60.0, 90.0, "changes", "white"),
        Item("ring", "green", "small", "up", 100.0, 100.0, "meets", "moon"),
    ),
    "7",
    64.0,
    16.0,
)
STAR, MOON, RING, BOLT = (Noun(shape) for shape in ("star", "moon", "ring", "bolt"))
MULTI = plain("multi", nouns=(STAR,), asks=("color", "digit", "word", "position"))


@pytest.mark.parametrize(
    ("question", "parts"),
    [
        (plain("color", nouns=(STAR,)), ["red"]),
        (plain("color", nouns=(BOLT,)), []),
        (plain("size", nouns=(Noun("star", "red"),)), ["big"]),
        (plain("size", nouns=(Noun("star", "blue"),)), []),
        (MULTI, ["red", "7", "none", "top left"]),
        (plain("with", nouns=(STAR,), fill=("star", "ring")), ["green"]),
        (plain("with", nouns=(STAR,), fill=("star", "bolt")), ["none"]),
        (plain("event", nouns=(MOON,)), ["turns white"]),
        (plain("event", nouns=(RING,)), ["meets the moon"]),
        (plain("event", nouns=(STAR,)), ["none"]),
        (plain("count", nouns=(STAR,)), ["star"]),
        (plain("order", nouns=(BOLT, STAR)), ["star"]),
        (plain("order", nouns=(RING, STAR)), ["ring", "star"]),
        (plain("two_hop", nouns=(BOLT,), fill=("bolt", "7")), ["7"]),
        (plain("two_hop", nouns=(STAR,), fill=("star", "3")), ["red"]),
        (plain("two_hop", nouns=(BOLT,), fill=("bolt", "3")), []),
        (plain("most"), ["sea"]),
        (plain("describe", fill=("22",)), ["red star", "blue moon", "green ring", "sea", "7"]),
        (plain("describe", fill=("24",)), []),
        (
            Question(DESCRIBE, "", "caption", ()),
            ["red star", "blue moon", "green ring", "sea", "7"],
        ),
    ],
)
def test_a_segment_tells_what_a_question_asks_and_no_more(
    question: Question, parts: list[str]
) -> None:
    assert told(question, SEEN, 5) == parts  # from 20 to 24 seconds
    assert answer(question, SEEN, 5) == (", ".join(parts) if parts else "not shown")


def test_presence_is_answered_yes_or_no() -> None:
    assert answer(plain("present", nouns=(STAR,)), SEEN, 0) == "yes"
    assert answer(plain("present", nouns=(BOLT,)), SEEN, 0) == "no"


def test_a_segment_alone_gives_the_answers_of_its_own_video() -> None:
    for seed in range(20):
        scene = draw_scene(seed, 1)
        for question in questions(scene):
            if question.kind not in ("time", "count"):  # it gives their parts, not their sum
                assert answer(question, scene.segments[0], 0) == question.answer, question


def test_evidence_and_nothing_else_tells_something() -> None:
    scene = draw_scene(7, 16)
    for question in questions(scene):
        telling = {i for i, s in enumerate(scene.segments) if told(question, s, i)}
        assert telling >= set(question.evidence)
        assert telling == set(question.evidence) or question.kind == "two_hop"


def test_questions_about_a_segment_are_of_their_kind_and_as_often_relevant_as_not() -> None:
    rng = np.random.default_rng(1)
    segments = [draw_segment(rng) for _ in range(60)]
    seen = set()
    fits: dict[bool, list[bool]] = {True: [], False: []}
    for kind in {**LOCAL, **LONG}:
        for number in range(40):
            segment, other = segments[number], segments[-1 - number % 20]
            for own in (True, False):
                source = segment if own else other
                question = segment_question(segment, number, source, rng, kind)
                if question is None:
                    continue
                assert question.kind == kind
                seen.add(kind)
                assert set(draw_kind(rng, {kind: 1.0}).split()) == {kind}
                if kind not in ("caption", "absence"):
                    fits[own].append(relevant(question, segment, number))
    assert seen == {*LOCAL, *LONG}
    assert np.mean(fits[True]) > 0.75
    assert np.mean(fits[False]) < 0.55


def test_kinds_that_are_drawn_exist() -> None:
    assert set(KIND_WEIGHTS) == set(KINDS)
    assert {*LOCAL, *LONG, *SINGLE} - {"caption"} <= set(KINDS)


def test_a_note_names_what_it_tells_of() -> None:
    rng = np.random.default_rng(0)
    assert note(plain("color", nouns=(STAR,)), SEEN, 0, rng) == [["star", "red"]]
    assert note(plain("with", nouns=(STAR,), fill=("star", "ring")), SEEN, 0, rng) == [
        ["star", "ring", "green"]
    ]
    assert note(plain("count", nouns=(STAR,)), SEEN, 0, rng) == [["star"]]
    assert note(plain("color", nouns=(BOLT,)), SEEN, 0, rng) == []
    forms = {str(note(MULTI, SEEN, 0, rng)) for _ in range(60)}
    parts = [["star", "red"], ["star", "7"], ["star", "none"], ["star", "top", "left"]]
    assert forms == {str(parts), str([["star", "red", "7", "none", "top", "left"]])}


def test_conversations_ask_for_answers_at_their_places(words: Words, pool: Pool) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        scene = pool.video(rng, 8)[1]
        made = conversation(words, scene, rng, 6)
        assert len(made.ids) == len(made.labels)
        asked_for = [(i, label) for i, label in enumerate(made.labels) if label != IGNORE]
        assert all(made.ids[i] == label for i, label in asked_for)
        assert len(made.spots) == sum(label == words.end for _, label in asked_for) == 6
        for position, kind in made.spots:
            assert kind in KINDS
            assert made.labels[position] != IGNORE
            first = position - 2 * (kind == "time" and made.labels[position - 1] != IGNORE)
            assert made.labels[first - 1] == IGNORE
        assert all(made.labels[position] == IGNORE for position, _ in made.hints)
        for position, date in made.dates:
            seconds = [i for i in range(position) if made.ids[i] == words.clock(2.0)[2]]
            assert made.ids[seconds[-1] - 1] == date  # ".0 seconds>" ends each timestamp
            assert made.ids[position] != words.pad
        assert max(made.ids) < len(words)


def test_labels_stand_where_things_are() -> None:
    after, before = np.array([3]), np.array([0])
    labels = targets([SEEN], after)
    edge = 128 // SIDE

    def at(x: float, y: float) -> int:
        return int(y // edge) * SIDE + int(x // edge)

    star = at(*SEEN.items[0].center(3.25))
    assert labels["shape"][0, star] == 3
    moon = at(60.0, 90.0)
    assert labels["color"][0, moon] == 5  # white by now
    assert targets([SEEN], before)["color"][0, moon] == 2  # blue before
    assert labels["card"][0, at(64.0, 16.0)] == 7
    assert (labels["place"] == 2).all()
    shown = labels["shape"][0] < 10
    assert shown.sum() == 3
    gone = replace(SEEN, items=(replace(SEEN.items[1], event="leaves"),))
    assert (targets([gone], after)["shape"] == 10).all()

    assert labels["height"][0, star] == 0
    assert labels["side"][0, star] == 0  # top left; of the moon, in the middle, nothing
    assert labels["height"][0, moon] == labels["side"][0, moon] == -100
    assert (happenings([SEEN], 1) == -100).all()  # before anything happens
    happened = happenings([SEEN, gone], 3)
    assert HAPPENINGS[happened[0, moon]] == "turns"
    assert HAPPENINGS[happened[0, at(*SEEN.items[2].center(3.25))]] == "meets"
    assert HAPPENINGS[happened[1, moon]] == "leaves"
    assert HAPPENINGS[happened[0, star]] == "none"
    assert (happened >= 0).sum() == 4


def test_every_name_is_one_token(words: Words) -> None:
    ids = [words.text(name) for names in (*NAMES.values(), HAPPENINGS) for name in names]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(ids)
    assert words.tokenizer.unk_token_id not in {one[0] for one in ids}


def test_notes_among_blanks_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    notes = [["a"], ["b", "c"], ["d"]]
    begins = set()
    for slots in (1, 3, 8, 16):
        for _ in range(30):
            row = among_blanks(notes, slots, rng)
            assert len(row) == max(slots, 3)
            told = [token for token in row if token]
            assert sorted(told) == told
            assert {token[0] for token in told} == {"a", "b", "d"}
            begins.add(row[0] == [])
    assert begins == {True, False}
    assert among_blanks([], 2, rng) == [[], []]


def test_the_hint_of_a_time_is_its_seconds(words: Words) -> None:
    question = plain("time", nouns=(STAR,))
    piece = words.llm_question(question.text)
    star = piece.index(words.text(" star")[0])
    for said, wanted in (("at 162 seconds", "62"), ("at 2 seconds", "2"), ("not shown", "not")):
        told = hint(words, question, piece, [*words.text(said), words.end])
        assert [(at, words.tokenizer.decode([i])) for at, i in told] == [(star, wanted)]


def test_drawn_videos_have_as_many_questions_as_the_stage_asks(pool: Pool) -> None:
    rng = np.random.default_rng(0)
    bank = Bank(3, 300)
    for name, shape in shapes(RECIPES["nano"]).items():
        for _ in range(12):
            video = draw(bank, rng, shape)
            assert shape.shortest <= len(video.rows) == len(video.scene) <= shape.longest
            assert len(video.questions) == len(video.texts) == shape.asked
            for question in video.questions:
                assert question.answer, question
                assert set(question.evidence) <= set(range(len(video.rows)))
                if question.kind in ("time", "describe") and name in ("short", "long"):
                    assert video.start == 0  # they tell the clock


def test_truncation_keeps_evidence_and_stays_in_bounds() -> None:
    rng = np.random.default_rng(0)
    question = plain("color", "red", (3,), (STAR,))
    drawn = np.stack([kept(question, 8, 16, 1.0, rng) for _ in range(400)])
    assert drawn.min() >= 1
    assert drawn.max() <= 16
    others = np.delete(drawn, 3, axis=1)
    assert drawn[:, 3].mean() > 2 * others.mean()
    assert (drawn[:, 3] >= 4).all()
    assert (drawn[:, 3] < 16).any()
    assert (others <= 4).mean() > 0.85
    assert (kept(question, 8, 16, 0.0, rng) == 16).all()


def test_truncation_without_evidence_and_of_everything() -> None:
    rng = np.random.default_rng(1)
    nothing = plain("absence", "not shown", nouns=(BOLT,), asks=("size",))
    drawn = np.stack([kept(nothing, 8, 16, 1.0, rng) for _ in range(200)])
    assert (drawn.max(1) == 16).all()  # ATA gives its argmax all, whatever it shows
    assert np.median(drawn) <= 4
    most = plain("most", "sea", tuple(range(8)))
    drawn = np.stack([kept(most, 8, 16, 1.0, rng) for _ in range(200)])
    assert drawn.min() >= 1
    assert drawn.max() <= 8
    single = np.stack(
        [kept(plain("size", "big", (0,), (STAR,)), 1, 16, 1.0, rng) for _ in range(99)]
    )
    assert 4 <= single.min() < single.max() == 16


# Several processes


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
        timeout=120,
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
        "time.sleep(30)\n"
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
    assert replace(ablation, name=nano.name, truncation=True) == nano


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
    take_over(base, folder, TINY)
    assert sorted(path.name for path in folder.iterdir()) == ["svlm.csv", "svlm.safetensors"]
    (folder / "svlm.csv").write_text("mine")
    take_over(base, folder, TINY)
    assert (folder / "svlm.csv").read_text() == "mine"
    (base / "svlm.safetensors").unlink()
    with pytest.raises(TempoLabError, match="found: llm unfinished"):
        take_over(base, folder, TINY)


def test_a_run_can_start_from_a_checkpoint(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought = ("vision", "svlm", "llm", "align", "single")
    monkeypatch.setitem(RECIPES, "more", replace(TINY, name="more", brought=brought))
    base = tiny_run / "checkpoint"
    made = train("more", tmp_path / "run", base=[base], in_process=True)
    same = [
        ("vision", "vision", "visual"),
        *(("long", "single", m) for m in ("svlm", "llm", "memory")),
    ]
    for ended, begun, module in same:
        first, second = (
            weights_of(tiny_run, ended, module),
            weights_of(tmp_path / "run", begun, module),
        )
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key].half().float(), second[key]) for key in first)
    training = tl.load(made).config.training
    assert training["recipe"] == "more"
    assert training["base"]["stages"] == list(brought)
    assert training["base"]["training"]["recipe"] == "tiny"
    told = (tmp_path / "run" / STARTED_FROM).read_text()
    take_over("nano-plain", tmp_path / "run", RECIPES["more"])  # brings nothing more
    assert (tmp_path / "run" / STARTED_FROM).read_text() == told


def test_a_checkpoint_of_other_sizes_is_no_base(golden: Path, tmp_path: Path) -> None:
    with pytest.raises(TempoLabError, match="other sizes"):
        take_over(golden / "tempo", tmp_path, TINY)
    assert not list(tmp_path.iterdir())


def test_the_stages_that_come_along_fit_the_recipe() -> None:
    """`tempo-lab train nano --base data/stages` goes on from them."""
    recipe, words = RECIPES["nano"], Words()
    models = {
        ("vision", "visual"): build_vision(recipe.sizes),
        ("svlm", "svlm"): build_svlm(recipe.sizes, len(words)),
        ("llm", "llm"): build_llm(recipe.sizes, len(words)).model,
    }
    for (stage, module), model in models.items():
        note = stages.read_note(STAGES / f"{stage}.safetensors")
        assert note["done"]
        assert note["step"] == getattr(recipe, stage).steps
        model.load_state_dict(weights_of(STAGES, stage, module))


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
            build_svlm(sizes, len(Words())),
            build_llm(sizes, len(Words())),
            Memory(sizes),
        ]
    count = sum(p.numel() for part in parts for p in dict(part.named_parameters()).values())
    assert 2 * count < 25e6  # bytes as float16
    files = [path for folder in EMBEDDED.values() for path in folder.glob("*.safetensors")]
    assert sum(path.stat().st_size for path in files) < 25e6
