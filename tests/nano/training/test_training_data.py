"""What the recipe draws: pools of segments, notes, conversations, videos, lengths."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from tempo_lab.nano.training.feature_bank import FeatureBank
from tempo_lab.nano.training.init_and_aux_losses import (
    HAPPENINGS,
    LOOKS,
    NAMES,
    happenings,
    name_what_is_seen,
)
from tempo_lab.nano.training.llm_stage import KIND_WEIGHTS, conversation, hint, short_note
from tempo_lab.nano.training.prompt_ids import IGNORE, PromptIds
from tempo_lab.nano.training.recipes import MEMORY, RECIPES
from tempo_lab.nano.training.sampling import RECALLED, SINGLE, draw_kept_counts, draw_video
from tempo_lab.nano.training.segment_pool import SegmentPool
from tempo_lab.nano.training.svlm_stage import build_svlm, form
from tempo_lab.nano.training.target_notes import (
    LOCAL,
    LONG,
    answer,
    draw_asked,
    draw_kind,
    is_skipped,
    note_text,
    segment_question,
    stated_facts,
    target_note,
)
from tempo_lab.nano.training.train import shapes
from tempo_lab.nano.training.vision_stage import (
    SIDE,
    targets,
    tint,
)
from tempo_lab.nano.world import KINDS, questions
from tempo_lab.nano.world.casting import draw_scene, draw_segment
from tempo_lab.nano.world.questions import DESCRIBE, Question, plain, relevant
from tempo_lab.nano.world.scenes import CARDS, DIGITS, HELD_OUT, Item, Noun, SceneSegment


@pytest.fixture(scope="module")
def pool() -> SegmentPool:
    """Enough segments of two casts that every part of a plan is there."""
    return SegmentPool(3, 900, casts=2)


def test_a_pool_is_its_seed(pool: SegmentPool) -> None:
    again = SegmentPool(3, 900, casts=2)
    assert pool.segments == again.segments
    assert SegmentPool(4, 100, casts=2).segments != pool.segments[:100]
    assert len(pool) == 900
    shown = {(i.shape, i.color) for s in pool.segments for i in s.items}
    assert not shown & HELD_OUT


def test_videos_of_a_pool_have_needles_and_come_from_one_cast(pool: SegmentPool) -> None:
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
    rows, scene = SegmentPool(0, 5).video(np.random.default_rng(0), 30)
    assert len(rows) == len(scene) == 30


SEEN = SceneSegment(
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
    assert stated_facts(question, SEEN, 5) == parts  # from 20 to 24 seconds
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
        telling = {i for i, s in enumerate(scene.segments) if stated_facts(question, s, i)}
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


def test_relevance_of_what_comes_after_a_digit_mostly_hangs_on_the_digit() -> None:
    rng = np.random.default_rng(2)
    own: list[tuple[bool, bool]] = []
    with_digit, asked = 0, 0
    for _ in range(1500):
        segment = draw_segment(rng)
        question = segment_question(segment, 0, segment, rng, "two_hop")
        with_digit += segment.card in DIGITS
        if question is None:
            assert segment.card not in DIGITS
            continue
        asked += 1
        if segment.card in DIGITS:
            own.append((question.fill[1] == segment.card, bool(segment.find(question.nouns[0]))))
    same, there = np.mean(own, axis=0)
    assert asked < 2 * with_digit
    assert 0.4 < same < 0.6
    assert 0.15 < there < 0.35


def test_kinds_that_are_drawn_exist() -> None:
    assert set(KIND_WEIGHTS) == set(KINDS)
    assert {*LOCAL, *LONG, *SINGLE} - {"caption"} <= set(KINDS)


FACTS = [[" star"], *([" star", f] for f in ("sea", "red", "big", "left", "top"))]
FACTS += [[" star", "top", "left"], [" star", "7"]]
ELSE = [[" moon"], [" ring"]]
BLANK: list[str] = []


@pytest.mark.parametrize(
    ("question", "tokens"),
    [
        (plain("color", nouns=(STAR,)), [*FACTS, BLANK, BLANK, BLANK, *ELSE]),
        (plain("color", nouns=(BOLT,)), []),
        (
            plain("with", nouns=(STAR,), fill=("star", "ring")),
            [*FACTS, BLANK, BLANK, [" star", " ring", "green"], *ELSE],
        ),
        (
            plain("event", nouns=(Noun("ring", "green"),)),
            [
                [" green", " ring"],
                *([" green", " ring", fact] for fact in ("sea", "green", "small", "up", "bottom")),
                [" green", " ring", "bottom", "right"],
                *([" green", " ring", fact] for fact in ("7", "meets", "moon")),
                *(BLANK, [" star"], [" moon"]),
            ],
        ),
        (plain("order", nouns=(BOLT, STAR)), [*FACTS, BLANK, BLANK, BLANK, *ELSE]),
        (plain("two_hop", nouns=(BOLT,), fill=("bolt", "7")), [[" 7"], [" 7", "sea"]]),
        (plain("most"), [["sea"]]),
        (
            plain("describe", fill=("22",)),
            [["sea"], ["7"], [" star"], [" star", "red"], [" moon"], [" moon", "blue"]]
            + [[" ring"], [" ring", "green"]],
        ),
    ],
)
def test_a_note_goes_from_the_gist_to_the_details(
    question: Question, tokens: list[list[str]]
) -> None:
    assert target_note(question, SEEN, 5) == tokens
    assert len(note_text(tokens).split()) == len(tokens)


def test_the_order_of_a_note_does_not_depend_on_what_is_asked() -> None:
    asked = [plain(kind, nouns=(STAR,)) for kind in ("color", "digit", "time", "count")]
    assert len({str(target_note(question, SEEN, 0)) for question in (*asked, MULTI)}) == 1


def test_a_note_fits_into_memory_and_holds_the_answer() -> None:
    for seed in range(12):
        scene = draw_scene(seed, 4)
        for question in questions(scene):
            notes = [target_note(question, s, i) for i, s in enumerate(scene.segments)]
            told = {word.strip() for tokens in notes for token in tokens for word in token}
            assert max(map(len, notes)) <= MEMORY
            assert {i for i, tokens in enumerate(notes) if tokens} >= set(question.evidence)
            if question.kind not in ("present", "absence", "count", "time", "multi", "event"):
                needed = set(question.answer.replace(",", "").split())
                assert needed - {"none"} <= told, question


def test_a_short_note_holds_what_is_asked_alone() -> None:
    asked = replace(plain("digit", nouns=(STAR,)), answer="7")
    assert short_note(asked, SEEN, 0) == [[" star"], [" star", "7"]]
    assert short_note(plain("digit", nouns=(BOLT,)), SEEN, 0) == []


def test_a_form_has_a_number_for_each_memory_token(words: PromptIds) -> None:
    assert words.tokenizer.decode(form(words, 4)) == " 1 2 3 4"
    assert len(form(words, 32)) == len(set(form(words, 32))) == 32


def test_conversations_ask_for_answers_at_their_places(words: PromptIds, pool: SegmentPool) -> None:
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
            seconds = [i for i in range(position) if made.ids[i] == words.timestamp(2.0)[2]]
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


def test_tinted_frames_have_shades_of_one_colour() -> None:
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (40, 2, 8, 8, 3), dtype=np.uint8)
    made, chosen = tint(frames, 0.5, rng)
    assert 10 < chosen.sum() < 30
    np.testing.assert_array_equal(made[~chosen], frames[~chosen])
    for one in made[chosen].astype(float):
        shades = one[(one.max(-1) < 255) & (one.min(-1) > 40)]
        mixed = shades / shades.sum(-1, keepdims=True)
        assert mixed.std(0).max() < 0.02


def test_every_name_is_one_token(words: PromptIds) -> None:
    ids = [words.text(name) for names in (*NAMES.values(), HAPPENINGS) for name in names]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(ids)
    assert words.tokenizer.unk_token_id not in {one[0] for one in ids}


def test_words_begin_with_what_they_name_looks_like(words: PromptIds) -> None:
    """Digits as a question spells them; those that begin a text, as times do, stay as they were."""
    bank = FeatureBank(3, 600)
    torch.manual_seed(0)
    bank.merged = torch.randn(len(bank), 64, 32).half()
    for row, segment in enumerate(bank.segments):
        if segment.card == "7":
            bank.merged[row] += 3 * torch.arange(32).sin().half()
    model = build_svlm(RECIPES["tiny"].sizes, len(words))
    before = model.embed_tokens.weight.detach().clone()
    name_what_is_seen(model, bank, words)
    moved = model.embed_tokens.weight.detach() - before
    spelled = [names for spellings in LOOKS.values() for names in spellings]
    named = {words.text(name)[0] for names in spelled for name in names}
    assert set(moved.norm(dim=-1).nonzero().flatten().tolist()) == named
    assert not named & {words.text(card)[0] for card in CARDS}
    seven = moved[words.text(" 7")[0]]
    assert torch.cosine_similarity(seven, torch.arange(32).sin(), dim=0) > 0.7


def test_the_hint_of_a_time_is_its_seconds(words: PromptIds) -> None:
    question = plain("time", nouns=(STAR,))
    piece = words.llm_question(question.text)
    star = piece.index(words.text(" star")[0])
    for said, wanted in (("at 162 seconds", "62"), ("at 2 seconds", "2"), ("not shown", "not")):
        told = hint(words, question, piece, [*words.text(said), words.end])
        assert [(at, words.tokenizer.decode([i])) for at, i in told] == [(star, wanted)]


def test_drawn_videos_have_as_many_questions_as_the_stage_asks(pool: SegmentPool) -> None:
    rng = np.random.default_rng(0)
    bank = FeatureBank(3, 300)
    for name, shape in shapes(RECIPES["nano"]).items():
        for _ in range(12):
            video = draw_video(bank, rng, shape)
            assert shape.shortest <= len(video.rows) == len(video.scene) <= shape.longest
            assert len(video.questions) == len(video.texts) == shape.asked
            for question in video.questions:
                assert question.answer, question
                assert set(question.evidence) <= set(range(len(video.rows)))
                if question.kind in ("time", "describe") and name in ("short", "long"):
                    assert video.start == 0  # they tell the clock


def test_what_is_recalled_takes_several_segments() -> None:
    rng = np.random.default_rng(0)
    shape = replace(shapes(RECIPES["nano"])["long"], weights=RECALLED)
    videos = [draw_video(FeatureBank(3, 300), rng, shape) for _ in range(12)]
    assert all(len(video.questions) == shape.asked for video in videos)
    kinds = Counter(q.kind for video in videos for q in video.questions)
    assert set(kinds) <= set(RECALLED)
    assert kinds["count"] > kinds["most"] > 0  # the place shown most is one question a video


def test_cards_are_seldom_asked_for_where_there_are_none() -> None:
    rng = np.random.default_rng(0)
    scenes = [draw_scene(seed, 24) for seed in range(12)]

    def nones(weights: dict[str, float]) -> float:
        asked = [q for scene in scenes for q in draw_asked(scene, rng, 6, weights)]
        assert {q.kind for q in asked} == set(weights)
        return float(np.mean([q.answer == "none" for q in asked]))

    assert 0.02 < nones({"digit": 1.0, "word": 1.0}) < 0.4
    assert not is_skipped("event", "none", rng)
    assert 0.6 < np.mean([is_skipped("word", "none", rng) for _ in range(200)]) < 0.9


def test_truncation_keeps_evidence_and_stays_in_bounds() -> None:
    rng = np.random.default_rng(0)
    question = plain("color", "red", (3,), (STAR,))
    drawn = np.stack([draw_kept_counts(question, 8, 16, 1.0, rng) for _ in range(400)])
    assert drawn.min() >= 1
    assert drawn.max() <= 16
    others = np.delete(drawn, 3, axis=1)
    assert drawn[:, 3].mean() > 2 * others.mean()
    assert 0.7 < (drawn[:, 3] == 16).mean() < 0.9
    assert set(drawn[:, 3]) >= {1, 2, 8}  # any number may be left
    assert (others <= 4).mean() > 0.85
    assert (draw_kept_counts(question, 8, 16, 0.0, rng) == 16).all()


def test_truncation_without_evidence_and_of_everything() -> None:
    rng = np.random.default_rng(1)
    nothing = plain("absence", "not shown", nouns=(BOLT,), asks=("size",))
    drawn = np.stack([draw_kept_counts(nothing, 8, 16, 1.0, rng) for _ in range(200)])
    assert (drawn.max(1) == 16).all()  # ATA gives its argmax all, whatever it shows
    assert np.median(drawn) <= 4
    most = plain("most", "sea", tuple(range(8)))
    drawn = np.stack([draw_kept_counts(most, 8, 16, 1.0, rng) for _ in range(200)])
    assert drawn.min() >= 1
    assert drawn.max() <= 8
    single = np.stack(
        [draw_kept_counts(plain("size", "big", (0,), (STAR,)), 1, 16, 1.0, rng) for _ in range(99)]
    )
    assert 1 <= single.min() < single.max() == 16


# Several processes
