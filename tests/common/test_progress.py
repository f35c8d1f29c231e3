"""Progress bars: shown, hidden by the caller, hidden by the environment."""

from __future__ import annotations

import pytest

from tempo_lab.common.progress import HIDE_BARS, progress_bar, stage


@pytest.mark.parametrize(
    ("variable", "disable", "shown"),
    [(None, False, True), ("", False, True), ("0", False, True), ("1", False, False),
     (None, True, False), ("0", True, False)],
)  # fmt: skip
def test_a_bar_is_hidden_by_its_caller_or_by_the_environment(
    monkeypatch, capsys, variable, disable, shown
):
    if variable is None:
        monkeypatch.delenv(HIDE_BARS, raising=False)
    else:
        monkeypatch.setenv(HIDE_BARS, variable)  # tqdm itself was imported before
    assert list(progress_bar(range(3), desc="counting", disable=disable)) == [0, 1, 2]
    assert ("counting" in capsys.readouterr().err) == shown


def test_a_stage_obeys_the_environment_and_a_display_of_the_caller_does_not(monkeypatch):
    monkeypatch.setenv(HIDE_BARS, "1")
    with stage(True, "reading", 4) as bar:
        assert bar.disable
    shown = []
    stage(lambda name, segments: shown.append((name, segments)), "reading", 4)
    assert shown == [("reading", 4)]
