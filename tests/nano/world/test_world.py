"""The procedural world: seeded, drawn as it says, and asked about with right answers."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import combinations, pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from tempo_lab.nano.world import (
    COLORS,
    KINDS,
    PLACES,
    SHAPES,
    Question,
    Scene,
    SceneSegment,
    draw_questions,
    draw_scene,
    make,
    questions,
    reworded,
)
from tempo_lab.nano.world.casting import draw_cast, draw_plan, draw_segment
from tempo_lab.nano.world.files import demo_questions, write_video
from tempo_lab.nano.world.layout import card_box
from tempo_lab.nano.world.questions import PHRASES, phrase, phrasing, plain, relevant, rephrase
from tempo_lab.nano.world.renderer import RGB, render, sampled
from tempo_lab.nano.world.scenes import (
    CARDS,
    DIGITS,
    EVENTS,
    HELD_OUT,
    SIZES,
    SPEED,
    STEP,
    UNITS,
    WORDS,
    Item,
    Noun,
)
from tests.small_files import with_small_files

CLIPS = Path(__file__).parents[3] / "data" / "clips"
MOMENTS = np.linspace(0, 4, 33)


def segments(seed: int, count: int, **options: object) -> list[SceneSegment]:
    rng = np.random.default_rng(seed)
    return [draw_segment(rng, **options) for _ in range(count)]


def bare(*items: Item, place: str = "space", card: str | None = None) -> SceneSegment:
    return SceneSegment(place, 0, items, card, 64.0, 16.0)


# What is in a scene


def test_a_seed_is_one_scene() -> None:
    assert draw_scene(5, 12) == draw_scene(5, 12)
    assert draw_scene(5, 12) != draw_scene(6, 12)


@pytest.mark.parametrize("length", [1, 2, 8, 40])
def test_places_make_chapters(length: int) -> None:
    for seed in range(20):
        chapters = draw_scene(seed, length).chapters()
        assert chapters[0]["first"] == 0
        assert chapters[-1]["last"] == length - 1
        assert all(b["first"] == a["last"] + 1 for a, b in pairwise(chapters))
        assert all(a["place"] != b["place"] for a, b in pairwise(chapters))
        assert all(c["last"] > c["first"] for c in chapters[:-1])


def test_chapters_of_an_hour_last_minutes() -> None:
    scene = draw_scene(3, 900)
    chapters = scene.chapters()
    assert scene.seconds == 3600
    minutes = [(c["last"] - c["first"] + 1) * 4 / 60 for c in chapters[:-1]]
    assert 1.5 <= min(minutes) <= max(minutes) <= 6


def test_no_segments_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one segment"):
        draw_scene(0, 0)


def test_a_scene_is_its_segments() -> None:
    scene = Scene(0, draw_scene(0, 3).segments)
    assert len(scene) == 3
    assert scene.seconds == 12.0
    assert set(PLACES) >= {s.place for s in scene.segments}
    told = json.loads(json.dumps(scene.to_dict()))
    assert told["segments"][2]["place"] == scene.segments[2].place
    assert [i["shape"] for i in told["segments"][0]["items"]] == [
        item.shape for item in scene.segments[0].items
    ]


def test_segments_hold_three_to_five_items_of_different_shapes_and_everything_comes() -> None:
    drawn = segments(0, 1200)
    assert {len(s.items) for s in drawn} == {3, 4, 5}
    items = [item for s in drawn for item in s.items]
    assert all(len({item.shape for item in s.items}) == len(s.items) for s in drawn)
    assert {item.event for item in items} == {None, *EVENTS}
    assert {(item.shape, item.size) for item in items} == {(a, b) for a in SHAPES for b in SIZES}
    assert {item.motion for item in items} == set(STEP)
    assert {s.card for s in drawn} == {None, *CARDS}
    assert all(sum(item.event is not None for item in s.items) <= 1 for s in drawn)
    for s in drawn:
        middles = [item.center(2.0)[0] for item in s.items]
        assert middles == sorted(middles)  # captions tell them from left to right


def test_nothing_ever_overlaps_or_leaves_the_frame() -> None:
    for segment in segments(1, 400):
        paths = {
            item.shape: np.array([item.center(t) for t in MOMENTS]).T for item in segment.items
        }
        for item in segment.items:
            path = paths[item.shape]
            assert (item.radius <= path).all()
            assert (path <= UNITS - item.radius).all()
            if segment.card:
                wide, high = card_box(segment.card)
                dx = np.maximum(np.abs(path[0] - segment.card_x) - wide / 2, 0)
                dy = np.maximum(np.abs(path[1] - segment.card_y) - high / 2, 0)
                assert (np.hypot(dx, dy) > item.radius).all()
        for one, two in combinations(segment.items, 2):
            apart = np.hypot(*(paths[one.shape] - paths[two.shape])) - one.radius - two.radius
            if any(a.event == "meets" and a.other == b.shape for a, b in ((one, two), (two, one))):
                assert apart[-1] == pytest.approx(0, abs=1e-6)
                assert (np.diff(apart) < 0).all()
                continue
            assert apart.min() > 0


def test_a_card_is_inside_the_frame() -> None:
    for segment in segments(2, 300):
        if segment.card:
            wide, high = card_box(segment.card)
            assert wide / 2 <= segment.card_x <= UNITS - wide / 2
            assert high / 2 <= segment.card_y <= UNITS - high / 2


def test_a_cast_gives_every_shape_one_part() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        cast = draw_cast(rng)
        assert len(cast.needles) == 3
        parts = [*cast.needles, cast.rare, cast.absent, *cast.common]
        assert sorted(parts) == sorted(SHAPES)


@pytest.mark.parametrize("length", [8, 12, 32, 128])
def test_needles_come_once_the_rare_shape_two_to_five_times_the_absent_one_never(
    length: int,
) -> None:
    rng = np.random.default_rng(length)
    repeats = set()
    for _ in range(12):
        cast = draw_cast(rng)
        plan = draw_plan(rng, cast, length)
        told = Counter(must for _, must in plan if must)
        repeats.add(told[cast.rare])
        shown = Counter(
            item.shape
            for place, must in plan
            for item in draw_segment(rng, place=place, must=must, shapes=cast.common).items
        )
        assert [told[n] for n in cast.needles] == [shown[n] for n in cast.needles] == [1, 1, 1]
        assert 2 <= told[cast.rare] == shown[cast.rare] <= 5
        assert cast.absent not in shown
        assert all(shown[c] for c in cast.common)
    assert len(repeats) > 1 or length == 8


def test_even_the_shortest_video_has_a_needle() -> None:
    for length in (1, 2, 3):
        for seed in range(20):
            shapes = Counter(i.shape for s in draw_scene(seed, length).segments for i in s.items)
            assert 1 in shapes.values()


def test_held_out_pairs_come_only_where_they_may() -> None:
    assert {shape for shape, _ in HELD_OUT} <= set(SHAPES)

    def pairs(held_out: bool) -> set[tuple[str, str]]:
        drawn = [draw_scene(seed, 30, held_out=held_out) for seed in range(12)]
        items = [item for scene in drawn for s in scene.segments for item in s.items]
        turned = {(i.shape, i.other) for i in items if i.event == "changes"}
        return {(i.shape, i.color) for i in items} | turned

    assert not pairs(False) & HELD_OUT
    assert pairs(True) >= HELD_OUT
    assert pairs(False) == {(s, c) for s in SHAPES for c in COLORS} - HELD_OUT


# What is drawn


def test_frames_show_the_colour_at_the_centre_and_move() -> None:
    for color in COLORS:
        item = Item("circle", color, "small", "right", 30.0, 64.0)
        frames = sampled(bare(item))
        assert frames.shape == (8, UNITS, UNITS, 3)
        assert frames.dtype == np.uint8
        for index, frame in enumerate(frames):
            x, y = item.center(index * 0.5)
            assert (x, y) == (30.0 + SPEED * index / 2, 64.0)
            assert tuple(frame[round(y), round(x)]) == RGB[color]
    for motion, (dx, dy) in STEP.items():
        item = replace(item, motion=motion, x=64.0)
        assert item.center(4.0) == (64.0 + 24 * dx, 64.0 + 24 * dy)
        first, *_, last = sampled(bare(item))
        assert (first != last).any() == (motion != "still")


def test_every_shape_and_size_differs_from_every_other() -> None:
    masks = {}
    for shape in SHAPES:
        for size in SIZES:
            frame = render(bare(Item(shape, "yellow", size, "still", 64.0, 64.0)), [0.0])[0]
            masks[shape, size] = np.abs(frame.astype(int) - RGB["yellow"]).sum(-1) < 40
    for one, other in combinations(masks, 2):
        both, either = masks[one] & masks[other], masks[one] | masks[other]
        assert both.sum() / either.sum() < 0.8, (one, other)


def test_a_card_is_drawn_where_it_says_and_each_differs() -> None:
    blank = render(bare(), [0.0])[0]
    pictures = {}
    for card in CARDS:
        frame = render(bare(card=card), [0.0])[0]
        rows, columns = np.nonzero((frame != blank).any(-1))
        wide, high = card_box(card)
        assert (np.ptp(columns) + 1, np.ptp(rows) + 1) == (wide, high)
        assert abs(columns.mean() - 64.0) < 2
        assert abs(rows.mean() - 16.0) < 2
        pictures[card] = frame
    assert all((pictures[a] != pictures[b]).sum() > 30 for a, b in combinations(CARDS, 2))


def test_places_differ_and_come_in_variants() -> None:
    looks = {place: render(SceneSegment(place, 0, ()), [0.0])[0].astype(int) for place in PLACES}
    for one, other in combinations(PLACES, 2):
        assert np.abs(looks[one] - looks[other]).mean() > 20, (one, other)
    for place in PLACES:
        other = render(SceneSegment(place, 1, ()), [0.0])[0]
        assert np.abs(looks[place] - other).mean() > 0.1


def test_larger_frames_show_the_same() -> None:
    for segment in segments(4, 5):
        small, large = render(segment, [1.0])[0], render(segment, [1.0], 3 * UNITS)[0]
        shrunk = large.reshape(UNITS, 3, UNITS, 3, 3).mean((1, 3))
        assert np.abs(shrunk - small).mean() < 8


def shown_at(segment: SceneSegment, seconds: float) -> np.ndarray:
    """Pixels [row, column] that its items cover."""
    frame = render(segment, [seconds])[0]
    return (frame != render(replace(segment, items=()), [seconds])[0]).any(-1)


def test_what_appears_and_leaves_does_so_at_two_seconds() -> None:
    for event, before, after in (("appears", False, True), ("leaves", True, False)):
        for shape in SHAPES:
            segment = bare(Item(shape, "white", "big", "left", 90.0, 64.0, event))
            assert [shown_at(segment, t).any() for t in (0.0, 1.95, 2.0, 4.0)] == [
                before, before, after, after,
            ]  # fmt: skip


def test_what_changes_its_colour_does_so_at_two_seconds() -> None:
    item = Item("diamond", "red", "big", "up", 64.0, 90.0, "changes", "blue")
    for seconds, color in ((0.0, "red"), (1.95, "red"), (2.0, "blue"), (4.0, "blue")):
        x, y = item.center(seconds)
        frame = render(bare(item), [seconds])[0]
        assert tuple(frame[round(y), round(x)]) == RGB[color]


def test_what_meets_ends_up_touching() -> None:
    met = [(s, i) for s in segments(6, 800) for i in s.items if i.event == "meets"]
    assert len(met) > 20
    for segment, mover in met:
        other = segment.find(Noun(mover.other))
        assert other is not None
        assert other.motion == "still"
        # both round, so that their outlines are where their radius says
        pair = replace(mover, shape="circle"), replace(other, shape="ring")
        gaps = []
        for seconds in (0.0, 4.0):
            one, two = (np.argwhere(shown_at(bare(item), seconds)) for item in pair)
            gaps.append(np.sqrt(((one[:, None] - two[None]) ** 2).sum(-1).min()))
        assert gaps[0] > 15
        assert gaps[1] <= 2


# What is asked: every answer derived again, from the words of the question and the scene alone


class Oracle:
    """Reads a plainly worded question and finds every answer that the scene allows."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def things(self, name: str) -> list[tuple[int, Item]]:
        """What can be called "star" or "red star": (segment, item), at whatever moment."""
        *color, shape = name.split()
        return [
            (index, item)
            for index, segment in enumerate(self.scene.segments)
            for item in segment.items
            if item.shape == shape and (not color or color[0] in self.colors(item))
        ]

    def colors(self, item: Item) -> set[str]:
        return {item.color, item.other} if item.event == "changes" else {item.color}

    def told(self, name: str, tell: Callable[[int, Item], set[str]]) -> tuple[set[str], set[int]]:
        """Answers and evidence of what is asked about a thing alone."""
        found = self.things(name)
        answers = set().union(*(tell(i, item) for i, item in found)) if found else {"not shown"}
        return answers, {i for i, _ in found}

    def card(self, index: int, among: tuple[str, ...]) -> set[str]:
        card = self.scene.segments[index].card
        return {card if card in among else "none"}

    def color(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: self.colors(item))

    def size(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: {item.size})

    def motion(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: {item.motion})

    def digit(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: self.card(i, DIGITS))

    def word(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: self.card(i, WORDS))

    def place(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: {self.scene.segments[i].place})

    def position(self, name: str) -> tuple[set[str], set[int]]:
        def corner(i: int, item: Item) -> set[str]:
            x, y = item.center(2.0)
            return {f"{'top' if y < 64 else 'bottom'} {'left' if x < 64 else 'right'}"}

        return self.told(name, corner)

    def event(self, name: str) -> tuple[set[str], set[int]]:
        def happens(i: int, item: Item) -> set[str]:
            if item.event == "changes":
                return {f"turns {item.other}"}
            return {f"meets the {item.other}"} if item.event == "meets" else {str(item.event)}

        return self.told(name, happens)

    def beside(self, other: str, name: str) -> tuple[set[str], set[int]]:
        def colors(i: int, item: Item) -> set[str]:
            return set().union(*(self.colors(o) for at, o in self.things(other) if at == i))

        return self.told(name, colors)

    def present(self, name: str) -> tuple[set[str], set[int]]:
        found = {i for i, _ in self.things(name)}
        return {"yes" if found else "no"}, found

    def count(self, name: str) -> tuple[set[str], set[int]]:
        found = {i for i, _ in self.things(name)}
        return {str(len(found))}, found

    def order(self, one: str, two: str) -> tuple[set[str], set[int]]:
        first, second = ({i for i, _ in self.things(name)} for name in (one, two))
        return {one if i < j else two for i in first for j in second}, first | second

    def time(self, name: str) -> tuple[set[str], set[int]]:
        return self.told(name, lambda i, item: {f"at {4 * i + 2} seconds"})

    def most(self) -> tuple[set[str], set[int]]:
        places = [s.place for s in self.scene.segments]
        return (
            {p for p in places if places.count(p) == max(map(places.count, places))},
            set(range(len(places))),
        )

    def two_hop(self, name: str, digit: str) -> tuple[set[str], set[int]]:
        answers, evidence = set(), set()
        for index, segment in enumerate(self.scene.segments):
            if segment.card == digit:
                after = next((i, item) for i, item in self.things(name) if i >= index)
                answers |= self.colors(after[1])
                evidence |= {index, after[0]}
        return answers, evidence

    def describe(self, second: str) -> tuple[set[str], set[int]]:
        index = int(second) // 4
        segment = self.scene.segments[index]
        parts = [f"{item.color} {item.shape}" for item in segment.items]
        parts += [segment.place, *([segment.card] if segment.card else [])]
        return {", ".join(parts)}, {index}

    PLAIN = (
        (r"What color is the (\w+) with the (.+)\?", "beside"),
        (r"What color is the (\w+) after the digit (\d)\?", "two_hop"),
        (r"What color is the (.+)\?", "color"),
        (r"Is the (.+) big or small\?", "size"),
        (r"Which way does the (.+) move\?", "motion"),
        (r"In which corner is the (.+)\?", "position"),
        (r"Which digit is shown with the (.+)\?", "digit"),
        (r"Which word is shown with the (.+)\?", "word"),
        (r"Where is the (.+)\?", "place"),
        (r"What happens to the (.+)\?", "event"),
        (r"Is there an? (.+)\?", "present"),
        (r"How many times does the (.+) appear\?", "count"),
        (r"Which comes first, the (.+) or the (.+)\?", "order"),
        (r"When does the (.+) appear\?", "time"),
        (r"Which place is shown most\?", "most"),
        (r"Describe the part at (\d+) seconds\.", "describe"),
    )

    def __call__(self, text: str) -> tuple[set[str], set[int]]:
        """Answers that are right, and the segments that have to be seen."""
        if text.startswith("Q1: "):
            first, *rest = re.split(r" ?Q\d: ", text)[1:]
            named = re.search(rf"the ((?:(?:{'|'.join(COLORS)}) )?(?:{'|'.join(SHAPES)}))\b", first)
            assert named, text
            whole = [first, *(re.sub(r"\bit\b", f"the {named[1]}", part) for part in rest)]
            told = [self(part) for part in whole]
            assert all(len(answers) == 1 for answers, _ in told), text
            parts = [answer for answers, _ in told for answer in answers]
            return {", ".join(parts)}, set().union(*(evidence for _, evidence in told))
        for pattern, name in self.PLAIN:
            found = re.fullmatch(pattern, text)
            if found:
                return getattr(self, name)(*found.groups())
        raise AssertionError(f"no reading of {text!r}")


@pytest.mark.parametrize("length", [1, 2, 8, 32])
def test_every_answer_follows_from_the_scene_and_no_other_does(length: int) -> None:
    for seed in range(25 if length < 32 else 12):
        scene = draw_scene(1000 * length + seed, length)
        oracle = Oracle(scene)
        for question in questions(scene):
            answers, evidence = oracle(question.text)
            assert answers == {question.answer}, question
            assert evidence == set(question.evidence), question
            assert list(question.evidence) == sorted(evidence)


@pytest.mark.parametrize("length", [8, 32])
def test_every_kind_comes_up_and_few_scenes_lack_one(length: int) -> None:
    scenes = [draw_scene(seed, length) for seed in range(12)]
    found = Counter(kind for scene in scenes for kind, ask in KINDS.items() if ask(scene))
    assert set(found) == set(KINDS)
    assert min(found.values()) >= 6, found


def test_what_matters_to_a_question_is_what_holds_its_evidence() -> None:
    for seed, length in ((0, 1), (1, 8), (2, 8), (3, 32)):
        scene = draw_scene(seed, length)
        for question in questions(scene):
            matter = {i for i, s in enumerate(scene.segments) if relevant(question, s, i)}
            if question.kind == "two_hop":  # which of them comes after, one segment cannot tell
                assert matter > set(question.evidence) or matter == set(question.evidence)
                assert all(
                    scene.segments[i].find(question.nouns[0])
                    or scene.segments[i].card == question.fill[1]
                    for i in matter
                )
            else:
                assert matter == set(question.evidence), question


def test_drawn_questions_are_of_the_scene_each_once_and_of_the_kinds_asked() -> None:
    scene = draw_scene(4, 12)
    rng = np.random.default_rng(0)
    drawn = draw_questions(scene, rng, 60)
    assert len(drawn) == 60
    everything = questions(scene)
    assert all(question in everything for question in drawn)
    assert len({q.text for q in drawn}) == 60
    few = draw_questions(scene, rng, 40, {"most": 1.0, "two_hop": 3.0})
    assert {q.kind for q in few} <= {"most", "two_hop"}
    assert len(few) == len(questions(scene, ("most", "two_hop"))) < 40


def test_no_answer_of_yes_no_and_none_is_a_good_guess() -> None:
    rng = np.random.default_rng(0)
    for kind, usual in (("present", "no"), ("digit", "none"), ("word", "none")):
        answers = [
            q.answer
            for seed in range(150)
            for q in draw_questions(draw_scene(seed, 8), rng, 1, (kind,))
        ]
        assert 0.35 < answers.count(usual) / len(answers) < 0.75, kind


def test_other_words_ask_the_same_and_the_last_phrasing_is_held_out() -> None:
    assert all(len(set(group)) == len(group) > 2 for group in PHRASES.values())
    rng = np.random.default_rng(5)
    everything = [q for seed in range(3) for q in questions(draw_scene(seed, 8))]
    for kind in KINDS:
        asked = [q for q in everything if q.kind == kind]
        seen = 0
        for question in (asked[int(i)] for i in rng.integers(len(asked), size=40)):
            last = phrase(question.asks[0], question.fill, len(PHRASES[question.asks[0]]) - 1)
            shy = [rephrase(question, rng) for _ in range(20)]
            bold = [rephrase(question, rng, held_out=True, rough=False) for _ in range(20)]
            assert not any(last.rstrip("?.") in text for text in shy), last
            seen += sum(last in text for text in bold)
            assert all(fill in text for text in bold for fill in question.fill)
        assert seen > 0, kind


def test_each_part_of_a_question_comes_in_all_its_phrasings() -> None:
    rng = np.random.default_rng(8)
    for asks in (("color", "motion"), ("motion", "color")):
        question = plain("multi", nouns=(Noun("star"),), asks=asks)
        texts = [rephrase(question, rng, held_out=True, rough=False) for _ in range(400)]
        for part, ask in enumerate(asks, 1):
            found = {text.split(f"Q{part}: ")[1].split(" Q2: ")[0] for text in texts}
            assert len(found) == len(PHRASES[ask])


def test_a_question_tells_its_phrasing() -> None:
    rng = np.random.default_rng(7)
    for question in draw_questions(draw_scene(4, 16), rng, 80):
        if len(question.asks) == 1:
            worded = reworded(question, rng)
            form = phrasing(question.asks[0], worded.text)
            assert form in PHRASES[question.asks[0]]
            assert form.split(" {")[0] == worded.text[: len(form.split(" {")[0])]
    one, other = PHRASES["two_hop"][:2]
    assert phrasing("two_hop", one.format("star", 7)) == one
    assert phrasing("two_hop", other.format("star", 7)) == other
    assert phrasing("two_hop", "Where is the star?") is None


def test_loose_spelling_and_markup_come_only_where_they_may() -> None:
    rng = np.random.default_rng(6)
    question = questions(draw_scene(1, 8), ("color",))[0]
    rough = {rephrase(question, rng) for _ in range(300)}
    for found in ("colour", "<|im_end|>", "please"):
        assert any(found in text for text in rough), found
    assert any(not text.endswith("?") for text in rough)
    neat = {rephrase(question, rng, rough=False) for _ in range(300)}
    assert neat == {phrase("color", question.fill, n) for n in range(3)}
    again = {reworded(question, rng).text for _ in range(300)}
    assert again == {phrase("color", question.fill, n) for n in range(4)}
    assert replace(reworded(question, rng), text=question.text) == question


# How answers are scored


def asked(kind: str, answer: str) -> Question:
    return Question("", answer, kind, ())


@pytest.mark.parametrize(
    ("kind", "answer", "given", "score"),
    [
        ("color", "red", " Red.", 1.0),
        ("color", "red", "blue", 0.0),
        ("color", "red", "", 0.0),
        ("color", "red", "red, blue", 0.0),
        ("absence", "not shown", "not shown", 1.0),
        ("position", "top left", "top", 0.0),
        ("count", "3", "3", 1.0),
        ("multi", "red, left, 7", "red, left, 7", 1.0),
        ("multi", "red, left, 7", "red, right, 7", 2 / 3),
        ("multi", "red, left, 7", "left, red, 7", 1 / 3),
        ("multi", "red, left, 7", "red", 1 / 3),
        ("multi", "red, left", "red, left, 7, 8", 1 / 2),
        ("describe", "red star, sea, 7", "7, sea, red star", 1.0),
        ("describe", "red star, sea, 7", "sea, red star", 2 / 3),
        ("describe", "red star, sea", "sea, blue star", 1 / 2),
        ("describe", "red star, sea", "red star, sea, moon, 7", 1 / 2),
        ("describe", "red star, sea", "sea, sea, sea, sea", 1 / 4),
        ("time", "at 10 seconds", "at 10 seconds", 1.0),
        ("time", "at 10 seconds", "8.5 s", 1.0),
        ("time", "at 10 seconds", "at 12.1 seconds", 0.0),
        ("time", "at 10 seconds", "at 7 seconds", 0.0),
        ("time", "at 10 seconds", "at 10 or at 30 seconds", 0.0),
        ("time", "at 10 seconds", "not shown", 0.0),
    ],
)
def test_answers_are_scored(kind: str, answer: str, given: str, score: float) -> None:
    assert asked(kind, answer).score(given) == pytest.approx(score)


def test_every_right_answer_scores_one() -> None:
    for question in questions(draw_scene(2, 12)):
        assert question.score(question.answer) == 1.0
        assert question.score("nothing of it") == 0.0
        json.dumps(question.to_dict())


# Files


def test_make_writes_a_file_that_decodes_to_the_scene(tmp_path: Path) -> None:
    video, truth = make(3, 2, tmp_path, size=UNITS)
    told = json.loads(truth.read_text())
    assert told["seed"] == 3
    assert len(told["segments"]) == 2
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(decoded) == 2 * 4 * 8
    scene = draw_scene(3, 2)
    for index in range(2):
        drawn = render(scene.segments[index], np.arange(32) / 8)
        found = np.stack(decoded[32 * index : 32 * index + 32])
        assert np.abs(found.astype(int) - drawn.astype(int)).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == [truth.name, video.name]


def test_sampling_a_file_at_two_frames_a_second_cuts_it_into_its_segments(tmp_path: Path) -> None:
    from tempo_lab.video.video import Video

    scene = draw_scene(8, 5)
    path = write_video(scene, tmp_path / "five.mp4", size=96)
    with Video(path) as video:
        assert len(video) == 5
        for index, segment in enumerate(video.segments()):
            assert (segment.times >= 4 * index).all()
            assert (segment.times < 4 * index + 4).all()


def test_a_disk_that_fills_up_leaves_nothing_behind(tmp_path: Path) -> None:
    code = "from tempo_lab.apps.cli import app; app(['world', 'make', '--out', sys.argv[1]])"
    told = with_small_files(code, tmp_path)
    assert "the video could not be written" in told
    assert "File too large" in told
    assert "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_demo_questions_ask_of_different_things_in_different_ways() -> None:
    for seed in range(30):
        chosen = demo_questions(draw_scene(seed, 12))
        assert len(chosen) == 3
        assert len({q.kind for q in chosen}) == 3
        assert len({noun for q in chosen for noun in q.nouns}) == 3
        assert not any(noun.color for q in chosen for noun in q.nouns)


@pytest.mark.parametrize("name", ["voyage", "expedition"])
def test_the_clips_are_what_their_truth_says(name: str) -> None:
    told = json.loads((CLIPS / f"{name}.json").read_text())
    scene = draw_scene(told["seed"], len(told["segments"]))
    assert told["segments"] == json.loads(json.dumps([asdict(s) for s in scene.segments]))
    assert told["questions"] == json.loads(json.dumps([q.to_dict() for q in questions(scene)]))
    assert told["world_version"] == "2"
    with av.open(str(CLIPS / f"{name}.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.frames == len(scene) * 32
        first = next(container.decode(stream)).to_ndarray(format="rgb24")
    drawn = render(scene.segments[0], [0.0], first.shape[0])[0]
    assert np.abs(first.astype(int) - drawn.astype(int)).mean() < 6
