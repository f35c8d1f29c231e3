"""One place deals seeds of scenes: no two purposes share a video, for any seed that is taken."""

from itertools import combinations, pairwise

import pytest

from tempo_lab.common.errors import TempoLabError
from tempo_lab.nano.claims.cases import world_videos
from tempo_lab.nano.claims.plan import draw_jobs
from tempo_lab.nano.world.seeds import (
    DEVELOPMENT,
    EVALUATION,
    NOTEBOOKS,
    PURPOSES,
    REPORT,
    REPORTED,
    TRAINING,
    Purpose,
    held_out,
)


def spans(purpose: Purpose) -> list[tuple[int, int]]:
    """First scene seed and one beyond the last, of each stretch of runs."""
    return [(starts[0], starts[-1] + starts.step) for starts in purpose.starts]


def test_no_two_purposes_share_a_scene() -> None:
    assert {EVALUATION, NOTEBOOKS, REPORT, TRAINING} == set(PURPOSES)
    every = sorted((span, each.name) for each in PURPOSES for span in spans(each))
    for ((_, end), one), ((start, _), other) in pairwise(every):
        assert end <= start, (one, other)


@pytest.mark.parametrize("purpose", PURPOSES, ids=lambda each: each.name)
def test_no_two_runs_share_a_scene(purpose: Purpose) -> None:
    runs = [*range(min(purpose.runs, 20)), purpose.runs - 1]
    drawn = [purpose.seeds(run) for run in dict.fromkeys(runs)]
    for one, other in combinations(drawn, 2):
        assert one[-1] < other[0] or other[-1] < one[0]
    within = [span for span in spans(purpose) for each in drawn if span[0] <= each[0] < span[1]]
    assert len(within) == len(drawn)
    for run in (-1, purpose.runs):
        with pytest.raises(TempoLabError, match="no such seed"):
            purpose.seeds(run)


def test_stored_numbers_stand_on_the_scenes_that_they_were_drawn_from() -> None:
    assert NOTEBOOKS.seeds(1)[0] == 2_001_000
    for run in (*DEVELOPMENT, *REPORTED):
        first = 1_000_000 + 100_000 * run if run < 10 else 9_000_000 + 100_000 * run
        assert draw_jobs("quick", run, 16)[0].seed in range(first, first + 100_000)


def test_what_is_reported_was_not_chosen_by() -> None:
    assert not set(DEVELOPMENT) & set(REPORTED)
    assert all(map(held_out, REPORTED))
    assert not any(map(held_out, DEVELOPMENT))


def test_more_videos_than_a_seed_has_are_refused_before_anything_is_made() -> None:
    for videos in (0, 1001):
        with (
            pytest.raises(TempoLabError, match="one seed has fewer videos"),
            world_videos(None, videos=videos),  # type: ignore[arg-type]
        ):
            pass
