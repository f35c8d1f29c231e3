"""The course's machinery: set-up, clips, figures in words, and every check both ways."""

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib import pyplot

import tempo_lab as tl
from tempo_lab import course
from tempo_lab.course.checking import check, number, numbers, words
from tempo_lab.course.svlm_attention import things_of, times_even_near
from tempo_lab.nano.world.scenes import Item

course.lessons()
CHECKS = list(course.CHECKS.values())
every_check = pytest.mark.parametrize("tried", CHECKS, ids=lambda tried: tried.name)


@every_check
def test_right_answers_are_accepted_in_other_forms_too(tried):
    right, _ = tried.examples()
    assert len(right) >= 2
    for arguments in right:
        verdict = tried(*arguments)
        assert verdict, (arguments, verdict)
        assert repr(verdict) == "Right."


@every_check
def test_wrong_answers_are_refused_with_a_hint_that_gives_nothing_away(tried):
    right, wrong = tried.examples()
    assert len(wrong) >= 2
    answer = right[0][0]
    for arguments in wrong:
        verdict = tried(*arguments)
        assert not verdict, arguments
        assert len(verdict.text.split()) >= 5
        if isinstance(answer, int | float | str):
            assert str(answer) not in verdict.text.replace(",", " ").replace(".", " ").split()


@every_check
def test_no_answer_is_no_wrong_one(tried):
    right, _ = tried.examples()
    verdict = tried(..., *right[0][1:])
    assert not verdict
    assert verdict.text.startswith("No answer yet")


@every_check
def test_it_says_what_it_asks(tried):
    assert tried.__doc__
    assert tried.name.startswith("check_")
    assert getattr(course, tried.name) is tried


def test_a_check_that_no_answer_breaks():
    def check_small(answer):
        return None if number(answer) < 3 else "Smaller."

    made = check(right=[(1,)], wrong=[(4,)])(check_small)
    try:
        assert made("red").text.startswith("Not yet. This answer could not be tried (ValueError")
        assert made([1, 2]).text.endswith("(TypeError: give one number, not 2).")
    finally:
        del course.CHECKS["check_small"]


def test_two_lessons_may_not_share_a_check():
    def check_segment_at(answer):
        return None

    with pytest.raises(ValueError, match="a check of quickstart already"):
        check(right=[], wrong=[])(check_segment_at)


def test_an_unknown_check_names_the_nearest():
    with pytest.raises(AttributeError, match="did you mean 'check_segment_at'"):
        _ = course.check_segmnt_at
    with pytest.raises(AttributeError, match="no attribute 'clips'"):
        _ = course.clips
    assert "check_segment_at" in dir(course)


@pytest.mark.parametrize(
    "answer", [3, 3.0, np.int64(3), np.array(3), np.array([3]), torch.tensor(3), [3], {3}, "3"]
)
def test_a_number_in_any_form(answer):
    assert number(answer) == 3


def test_numbers_and_words_in_any_form():
    for answer in ([0, 1, 2], (0, 1, 2), range(3), np.arange(3), torch.arange(3), {2, 0, 1}):
        assert numbers(answer) == [0, 1, 2]
    for answer in (True, None, ["red"], [[1, 2], [3]]):
        with pytest.raises((TypeError, ValueError)):
            numbers(answer)
    assert words(" Red ") == words(["red"]) == words({"RED"}) == ["red"]
    with pytest.raises(TypeError):
        words([1])


# Set-up


def test_the_first_cell_says_model_device_and_memory(capsys, monkeypatch):
    monkeypatch.delenv("TEMPO_LAB_MODEL", raising=False)
    tempo = course.start()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("nano: ")
    assert f"{tempo.slots} memory tokens per segment" in first
    assert second.startswith("on cpu in float32, ")
    assert second.endswith(" GiB of memory free")


def test_the_environment_names_another_model(golden, capsys, monkeypatch):
    monkeypatch.setenv("TEMPO_LAB_MODEL", str(golden / "tempo"))
    monkeypatch.setenv("TEMPO_LAB_BASE", str(golden / "svlm" / "qwen3-vl-tiny"))
    course.start()
    assert capsys.readouterr().out.startswith("tempo: ")
    monkeypatch.setenv("TEMPO_LAB_MODEL", str(golden / "nothing"))
    with pytest.raises(tl.CheckpointError):
        course.start()


def test_clips_are_found_and_unknown_ones_name_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert course.clip("voyage").is_file()
    assert course.truth("voyage")["segments"][8]["place"]
    with pytest.raises(tl.VideoError, match="did you mean 'voyage'"):
        course.clip("voyge")


# Where things are


def test_attention_near_a_thing():
    thing = Item("star", "red", "small", "right", x=20, y=112)
    mass = xr.DataArray(np.ones((3, 4, 4, 4)), dims=("head", "pair", "patch_row", "patch_column"))
    mass[1, :, 3, 0] = 5  # lower left, which the thing leaves after half of the pairs
    mass[2] = 0
    mass[2, 0, 3, 0] = 1
    even, some, all_of_it = times_even_near(mass, thing).to_numpy()
    assert even == pytest.approx(1)
    assert some == pytest.approx((2 * 5 + 2 * 1) / (60 + 4 * 5) / (4 / 64))
    assert all_of_it == pytest.approx(1 / (4 / 64))
    assert [len(shown) for shown in things_of("voyage")[:2]] == [4, 4]


# Figures in words


def test_a_figure_in_words():
    figure, (upper, lower, empty, photo) = pyplot.subplots(4)
    upper.stairs([1, 2, 6], [0, 1, 2, 3])
    upper.set(ylabel="tokens\nper segment", xlabel="time (s)")
    upper.set_title("red \\$", loc="left")
    lower.plot([1, np.nan, 3])
    lower.bar([0, 1], [0.5, 0.5])
    photo.imshow(np.zeros((20, 30, 3), dtype=np.uint8))
    lower.set_title("<b>")
    text, page = repr(course.drawn(figure)), course.drawn(figure)._repr_html_()
    pyplot.close(figure)
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert text.splitlines() == [
        "1. red $, tokens per segment over time (s): 3 numbers, 1.00 to 6.00, mean 3.00",
        "2. <b>: 4 numbers, 0.50 to 3.00, mean 1.25",
        "3. no labels: no numbers",
        "4. no labels: a picture of 30 x 20 pixels",
    ]
    assert not empty.lines


# Counts with intervals


@pytest.mark.parametrize(
    ("hits", "n", "text"),
    [
        (15, 16, "15 of 16: 0.94 [0.70, 1.00]"),
        (24, 24, "24 of 24: 1.00 [0.86, 1.00]"),  # 0.025 ** (1 / 24)
        (0, 7, "0 of 7: 0.00 [0.00, 0.41]"),  # 1 - 0.025 ** (1 / 7)
        (8, 10, "8 of 10: 0.80 [0.44, 0.97]"),
    ],
)
def test_a_share_has_its_count_and_the_interval_of_clopper_and_pearson(hits, n, text):
    assert course.share(np.arange(n) < hits) == text


def test_a_mean_resamples_groups():
    assert course.mean([0, 0, 1, 1], ["a", "a", "b", "b"]) == "0.50 [0.00, 1.00]"


def test_the_old_name_of_a_result_works_and_warns():
    with pytest.warns(DeprecationWarning, match=r"course\.CheckResult"):
        assert course.Verdict is course.CheckResult
